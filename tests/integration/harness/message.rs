//! One line of a peer, parsed just enough to match responses to requests.

use std::time::Instant;

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

/// Line from the peer's stdout, exactly as it was on the wire.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    pub(crate) line: String,
    pub(crate) at: Instant,
    id: Option<String>,
    method: Option<String>,
}

#[derive(Deserialize)]
struct Shape<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    method: Option<String>,
}

#[derive(Deserialize)]
struct Outcome<'a> {
    #[serde(borrow)]
    params: Option<&'a RawValue>,
    #[serde(borrow)]
    result: Option<&'a RawValue>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
}

impl Message {
    pub(crate) fn new(line: String) -> Self {
        let shape = serde_json::from_str::<Shape<'_>>(&line).ok();
        let (id, method) = shape.map_or((None, None), |shape| {
            (shape.id.map(|id| id.get().to_owned()), shape.method)
        });
        Self {
            line,
            at: Instant::now(),
            id,
            method,
        }
    }

    /// Returns the raw id; a string keeps its quotes.
    pub(crate) fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    pub(crate) fn method(&self) -> Option<&str> {
        self.method.as_deref()
    }

    pub(super) fn answers(&self, id: &str) -> bool {
        self.method.is_none() && self.id() == Some(id)
    }

    #[track_caller]
    pub(crate) fn value(&self) -> Value {
        match serde_json::from_str(&self.line) {
            Ok(value) => value,
            Err(error) => panic!("not JSON ({error}): {}", self.line),
        }
    }

    #[track_caller]
    pub(crate) fn params(&self) -> Value {
        self.value()["params"].take()
    }

    /// Returns the text of the params, byte for byte.
    #[track_caller]
    pub(crate) fn params_text(&self) -> &str {
        match self.outcome().params {
            Some(params) => params.get(),
            None => panic!("params were expected: {}", self.line),
        }
    }

    #[track_caller]
    pub(crate) fn is_error(&self) -> bool {
        self.outcome().error.is_some()
    }

    /// Returns the text of the result, byte for byte. Fails on an error response.
    #[track_caller]
    pub(crate) fn result_text(&self) -> &str {
        match self.outcome().result {
            Some(result) => result.get(),
            None => panic!("a result was expected: {}", self.line),
        }
    }

    #[track_caller]
    pub(crate) fn result(&self) -> Value {
        serde_json::from_str(self.result_text()).unwrap()
    }

    /// Returns the text of the error, byte for byte. Fails on a result.
    #[track_caller]
    pub(crate) fn error_text(&self) -> &str {
        match self.outcome().error {
            Some(error) => error.get(),
            None => panic!("an error was expected: {}", self.line),
        }
    }

    #[track_caller]
    pub(crate) fn error(&self) -> Value {
        serde_json::from_str(self.error_text()).unwrap()
    }

    /// Returns the text of the first content block of a tool's result.
    #[track_caller]
    pub(crate) fn tool_text(&self) -> String {
        match self.result()["content"][0]["text"].as_str() {
            Some(text) => text.to_owned(),
            None => panic!("a text content was expected: {}", self.line),
        }
    }

    #[track_caller]
    fn outcome(&self) -> Outcome<'_> {
        match serde_json::from_str(&self.line) {
            Ok(outcome) => outcome,
            Err(error) => panic!("not a response ({error}): {}", self.line),
        }
    }
}
