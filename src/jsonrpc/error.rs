//! Messages of the proxy's own (errors, results, requests), and responses under a new id.

use std::borrow::Cow;
use std::fmt;

use serde_json::{Value, json};

use super::id::RawId;
use super::members::{Members, unquoted};

/// The `error` member of a response of the proxy's own.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ErrorObject {
    /// One of the codes of this module.
    pub(crate) code: i64,
    /// Description of the problem and of the next step, for a person.
    pub(crate) message: String,
    /// Details for a program.
    pub(crate) data: Option<Value>,
}

impl ErrorObject {
    /// Creates an error without data.
    pub(crate) fn new(code: i64, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            data: None,
        }
    }
}

impl fmt::Display for ErrorObject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut object = json!({ "code": self.code, "message": self.message });
        if let Some(data) = &self.data {
            object["data"] = data.clone();
        }
        write!(f, "{object}")
    }
}

/// Returns true if `error` is an error object: clients understand only one with an integer `code` and a string
/// `message`; their SDKs drop any other response and wait for their timeout (JSON-RPC 2.0, section 5.1).
pub(crate) fn is_error_object(error: &str) -> bool {
    let members = Members::of(error);
    let code = members
        .get("code")
        .and_then(|code| code.parse::<f64>().ok());
    let message = members.get("message");
    code.is_some_and(|code| code.fract() == 0.0) && message.is_some_and(|it| it.starts_with('"'))
}

/// Returns the readable text in `body`, which reports an error in a format of its own: the values of the usual members
/// of a JSON object (OAuth, problem details, web frameworks), else the unchanged body.
pub(crate) fn error_words(body: &str) -> String {
    #[rustfmt::skip] // A table.
    const USUAL: [&str; 6] = [
        "error", "title", "message", "error_description", "detail", "msg",
    ];
    let members = Members::of(body);
    let words = |name: &&str| {
        let value = members.get(name)?;
        let text = unquoted(value).map(Cow::into_owned);
        text.or_else(|| value.starts_with('{').then(|| error_words(value)))
    };
    let mut found: Vec<String> = USUAL.iter().filter_map(words).collect();
    found.dedup();
    match (found.as_slice(), unquoted(body)) {
        ([], Some(text)) => text.into_owned(),
        ([], None) => body.to_owned(),
        (found, _) => found.join(": "),
    }
}

/// Response without its id, since each hop uses another one.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Reply<'a> {
    /// Whole message: the text before and after its id, and its error if it is one.
    Message {
        before: &'a str,
        after: &'a str,
        error: Option<&'a str>,
    },
    /// The result.
    Result(&'a str),
    /// The error object.
    Error(&'a str),
}

impl<'a> Reply<'a> {
    /// Creates a reply from `line`, whose `id` is a slice of it; `error` is its error if it is one.
    pub(crate) fn of_line(line: &'a str, id: RawId<'_>, error: Option<&'a str>) -> Self {
        let (before, after) = id.around(line);
        Self::Message {
            before,
            after,
            error,
        }
    }

    /// Returns the error, if it is one.
    pub(crate) fn error(&self) -> Option<&'a str> {
        match self {
            Self::Message { error, .. } => *error,
            Self::Result(_) => None,
            Self::Error(error) => Some(error),
        }
    }

    /// Calls `take` with the message under `id`, in three parts.
    pub(crate) fn with_id<T>(&self, id: RawId<'_>, take: impl FnOnce([&[u8]; 3]) -> T) -> T {
        match self {
            Self::Message { before, after, .. } => {
                take([before, id.as_str(), after].map(str::as_bytes))
            }
            Self::Result(raw) => take([result_response(id, raw).as_bytes(), b"", b""]),
            Self::Error(raw) => {
                let line = format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{raw}}}"#);
                take([line.as_bytes(), b"", b""])
            }
        }
    }
}

/// Returns the response to the request `id` with `result`.
pub(crate) fn result_response(id: RawId<'_>, result: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#)
}

/// Returns the response to the request `id` with `error`.
pub(crate) fn error_response(id: RawId<'_>, error: &ErrorObject) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{error}}}"#)
}

/// Returns a request.
pub(crate) fn request(id: RawId<'_>, method: &str, params: Option<&str>) -> String {
    match params {
        Some(params) => {
            format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":{params}}}"#)
        }
        None => format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}"}}"#),
    }
}

/// Returns a notification.
pub(crate) fn notification(method: &str, params: Option<&str>) -> String {
    match params {
        Some(params) => format!(r#"{{"jsonrpc":"2.0","method":"{method}","params":{params}}}"#),
        None => format!(r#"{{"jsonrpc":"2.0","method":"{method}"}}"#),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_objects_with_code_and_message_are_errors() {
        for error in [
            r#"{"code":-32001,"message":"gone"}"#,
            r#"{"message":"","code":0,"data":{"x":1}}"#,
            r#"{"code":1180591620717411303424,"message":"a"}"#,
        ] {
            assert!(is_error_object(error), "{error}");
        }
        for error in [
            r#""invalid_token""#,
            "null",
            "true",
            "-32000",
            r#"["a"]"#,
            "{}",
            r#"{"code":"1","message":"a"}"#,
            r#"{"code":1.5,"message":"a"}"#,
            r#"{"code":401}"#,
            r#"{"message":"a"}"#,
            r#"{"code":1,"message":{"text":"a"}}"#,
        ] {
            assert!(!is_error_object(error), "{error}");
        }
    }

    #[test]
    fn the_words_of_usual_error_bodies_are_found() {
        for (body, words) in [
            (
                r#"{"error":"invalid_token","error_description":"expired"}"#,
                "invalid_token: expired",
            ),
            (r#"{"detail":"Not authenticated"}"#, "Not authenticated"),
            (
                r#"{"type":"about:blank","title":"Forbidden","status":403,"detail":"no access"}"#,
                "Forbidden: no access",
            ),
            (r#"{"error":{"code":"x","message":"bad key"}}"#, "bad key"),
            (r#"{"message":"rate limited"}"#, "rate limited"),
            (r#""plain""#, "plain"),
            (
                r#"{"detail":[{"loc":["a"]}]}"#,
                r#"{"detail":[{"loc":["a"]}]}"#,
            ),
            ("not found", "not found"),
            ("", ""),
        ] {
            assert_eq!(error_words(body), words, "{body}");
        }
    }
}
