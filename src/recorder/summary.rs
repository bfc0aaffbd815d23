//! Summary of a recorded message for people.

use serde_json::value::RawValue;

use super::RecordedLine;
use crate::jsonrpc::{Envelope, Members, MessageKind, RawJson};

/// Number of characters that are shown of a text that is no message.
const SHOWN: usize = 60;

/// Parts of a message for people.
#[derive(Debug)]
pub(crate) struct MessageSummary {
    /// Raw id.
    pub(crate) id: Option<String>,
    pub(crate) is_response: bool,
    /// True for an error response, and for a result of a tool that failed.
    pub(crate) is_error: bool,
    /// Method with the name or URI that it is about, or the outcome of a request.
    pub(crate) text: String,
}

impl MessageSummary {
    /// Returns the summary of the message in a line.
    pub(crate) fn of(line: &RecordedLine<'_>) -> Self {
        let whole = line.message.map_or("", RawValue::get);
        if let Ok(envelope) = Envelope::parse(whole) {
            let is_response = envelope.kind() == MessageKind::Response;
            let (is_error, text) = if is_response {
                outcome(&envelope)
            } else {
                (false, request(&envelope))
            };
            return Self {
                id: envelope.id.map(|id| id.as_str().to_owned()),
                is_response,
                is_error,
                text,
            };
        }
        let text = line.text.as_deref().unwrap_or(whole);
        let beginning = Envelope::beginning(text);
        let id = beginning.id.map(|id| id.as_str().to_owned());
        let is_response = id.is_some() && beginning.method.is_none();
        let is_error = is_response && begins_with_error(text);
        let text = match (&id, &beginning.method) {
            (_, Some(_)) => request(&beginning),
            (Some(_), None) if is_error => "error".to_owned(),
            (Some(_), None) => "result".to_owned(),
            (None, None) => {
                let shown: String = text.chars().take(SHOWN).collect();
                format!("no message: {shown}")
            }
        };
        Self {
            id,
            is_response,
            is_error,
            text,
        }
    }
}

/// Returns true for the beginning of an error response.
fn begins_with_error(text: &str) -> bool {
    let place = |member: &str| text.find(member).unwrap_or(text.len());
    place(r#""error""#) < place(r#""result""#)
}

/// Returns the method, and the name or URI that it is about.
fn request(envelope: &Envelope<'_>) -> String {
    let method = envelope.method.as_deref().unwrap_or_default();
    let of = envelope.params.name.or(envelope.params.uri);
    match of.and_then(RawJson::text) {
        Some(of) => format!("{method} {of}"),
        None => method.to_owned(),
    }
}

/// Returns whether a response tells an error, and the outcome in words.
fn outcome(envelope: &Envelope<'_>) -> (bool, String) {
    match envelope.outcome() {
        Some(Err(error)) => {
            let error = Members::of(error);
            let code = error.get("code").unwrap_or_default();
            let message = error.text("message").unwrap_or_default();
            (true, format!("error {code} {message}"))
        }
        Some(Ok(result)) if Members::of(result).get("isError") == Some("true") => {
            (true, "tool error".to_owned())
        }
        _ => (false, "result".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_beginning_of_a_cut_message_tells_its_name_and_outcome() {
        for (text, words, is_error) in [
            (
                r#"{"id":1,"method":"tools/call","params":{"name":"f","arguments":{"a":"xx"#,
                "tools/call f",
                false,
            ),
            (
                r#"{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":"a \"result\" xx"#,
                "error",
                true,
            ),
            (
                r#"{"jsonrpc":"2.0","id":1,"result":{"content":[{"text":"\"error\" xx"#,
                "result",
                false,
            ),
            (
                "Listening on port 80",
                "no message: Listening on port 80",
                false,
            ),
        ] {
            let line = RecordedLine {
                text: Some(text.into()),
                ..RecordedLine::default()
            };
            let summary = MessageSummary::of(&line);
            assert_eq!(
                (&*summary.text, summary.is_error),
                (words, is_error),
                "{text}"
            );
        }
    }
}
