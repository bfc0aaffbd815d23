//! Answers to rehearsed calls, in the form in which they are compared.

use serde_json::Value;

use crate::jsonrpc::Members;
use crate::mcp::URL_ELICITATION_REQUIRED;

/// Maximum length in bytes of a result that is compared place by place; of a longer one, only the length is compared.
pub(crate) const MAX_COMPARED: usize = 1 << 20;

/// Answer of a server to a call of a tool.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Answer {
    /// Result that reports no error.
    Result {
        /// Structured content, if any.
        structured: Option<Value>,
        /// Content; a text that is a JSON object or array is decoded, and a single text stands for the list.
        content: Value,
    },
    /// Message of an error, or the text of a result that reports one.
    Error(String),
    /// Request for input from the client, which a rehearsed call does not get.
    InputRequest,
}

impl Answer {
    /// Reads the raw result of a call.
    pub(crate) fn of_result(raw: &str) -> Self {
        let whole = |content: String| Self::Result {
            structured: None,
            content: content.into(),
        };
        if raw.len() > MAX_COMPARED {
            return whole(format!("{} bytes", raw.len()));
        }
        let Ok(Value::Object(mut result)) = serde_json::from_str(raw) else {
            return whole(raw.to_owned());
        };
        if result.get("resultType").and_then(Value::as_str) == Some("input_required") {
            return Self::InputRequest;
        }
        let blocks = match result.remove("content") {
            Some(Value::Array(blocks)) => blocks,
            other => other.into_iter().collect(),
        };
        if result.get("isError") == Some(&Value::Bool(true)) {
            let texts: Vec<&str> = blocks.iter().filter_map(text).collect();
            return Self::Error(texts.join("\n"));
        }
        let content = match &blocks[..] {
            [block] if text(block).is_some() => decoded(block),
            blocks => blocks.iter().map(decoded).collect(),
        };
        Self::Result {
            structured: result.remove("structuredContent"),
            content,
        }
    }

    /// Returns the length of the answer as JSON in bytes, about that of the raw answer.
    pub(crate) fn length(&self) -> usize {
        match self {
            Self::Result {
                structured,
                content,
            } => {
                let structured = structured.as_ref().map_or(0, |it| it.to_string().len());
                structured + content.to_string().len()
            }
            Self::Error(message) => message.len(),
            Self::InputRequest => 0,
        }
    }

    /// Reads a raw JSON-RPC error. One that first needs the user at a URL is a request for input.
    pub(crate) fn of_error(raw: &str) -> Self {
        let error = Members::of(raw);
        if error.get("code") == Some(URL_ELICITATION_REQUIRED) {
            return Self::InputRequest;
        }
        let message = error.text("message").map(String::from);
        Self::Error(message.unwrap_or_else(|| raw.to_owned()))
    }
}

/// Returns the text of a block of content.
fn text(block: &Value) -> Option<&str> {
    let is_text = block.get("type").and_then(Value::as_str) == Some("text");
    block.get("text").filter(|_| is_text)?.as_str()
}

/// Returns a text, decoded if it is a JSON object or array, or another block as it is.
fn decoded(block: &Value) -> Value {
    let Some(text) = text(block) else {
        return block.clone();
    };
    json(text).unwrap_or_else(|| text.into())
}

/// Decodes a text that is a JSON object or array.
pub(crate) fn json(text: &str) -> Option<Value> {
    let is_json = text.trim_start().starts_with(['{', '[']);
    is_json.then(|| serde_json::from_str(text).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn result(content: Value) -> Answer {
        Answer::Result {
            structured: None,
            content,
        }
    }

    #[test]
    fn results_are_decoded() {
        let of = |raw: &str| Answer::of_result(raw);
        let text = |text: &str| json!({ "type": "text", "text": text });
        let with = |blocks: &[Value]| of(&json!({ "content": blocks }).to_string());
        assert_eq!(with(&[text("a\nb")]), result(json!("a\nb")));
        assert_eq!(with(&[text(r#"{"a":1}"#)]), result(json!({ "a": 1 })));
        assert_eq!(with(&[text("{a}")]), result(json!("{a}")));
        assert_eq!(with(&[]), result(json!([])));
        let image = json!({ "type": "image", "data": "AA==", "mimeType": "image/png" });
        let both = [text("[1]"), image.clone()];
        assert_eq!(with(&both), result(json!([[1], image])));
        let structured = of(r#"{"content":[],"structuredContent":{"a":1},"isError":false}"#);
        let expected = Answer::Result {
            structured: Some(json!({ "a": 1 })),
            content: json!([]),
        };
        assert_eq!(structured, expected);
        let long = json!({ "content": [text(&"x".repeat(1 << 20))] }).to_string();
        assert!(of(&long).length() < 20 && of(r#"{"content":[],"x":1}"#).length() == 2);
        assert_eq!(of(&long), result(format!("{} bytes", long.len()).into()));
    }

    #[test]
    fn errors_and_requests_for_input_are_no_results() {
        let error =
            r#"{"content":[{"type":"text","text":"a"},{"type":"text","text":"b"}],"isError":true}"#;
        assert_eq!(Answer::of_result(error), Answer::Error("a\nb".into()));
        let error = Answer::of_error(r#"{"code":-32602,"message":"bad"}"#);
        assert_eq!(error, Answer::Error("bad".into()));
        let request = r#"{"resultType":"input_required","inputRequests":{}}"#;
        assert_eq!(Answer::of_result(request), Answer::InputRequest);
        let urls = r#"{"code":-32042,"message":"log in","data":{"elicitations":[]}}"#;
        assert_eq!(Answer::of_error(urls), Answer::InputRequest);
    }
}
