//! Messages of our own: errors, results, requests.

use std::fmt;

use serde_json::{Value, json};

/// What stands in the `error` member of a response of our own.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ErrorObject {
    /// One of the codes of this module.
    pub(crate) code: i64,
    /// What happened and what to do, for a person.
    pub(crate) message: String,
    /// Details for a program.
    pub(crate) data: Option<Value>,
}

impl ErrorObject {
    /// An error without data.
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

/// The response to the request `id` (raw) with `result` (raw).
pub(crate) fn result_response(id: &str, result: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#)
}

/// The response to the request `id` (raw) with `error`.
pub(crate) fn error_response(id: &str, error: &ErrorObject) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{error}}}"#)
}

/// A request; `params` is raw.
pub(crate) fn request(id: &str, method: &str, params: Option<&str>) -> String {
    match params {
        Some(params) => {
            format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":{params}}}"#)
        }
        None => format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}"}}"#),
    }
}

/// A notification; `params` is raw.
pub(crate) fn notification(method: &str, params: Option<&str>) -> String {
    match params {
        Some(params) => format!(r#"{{"jsonrpc":"2.0","method":"{method}","params":{params}}}"#),
        None => format!(r#"{{"jsonrpc":"2.0","method":"{method}"}}"#),
    }
}
