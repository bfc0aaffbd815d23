//! Calls of tools as a person writes them, for rehearsals.

use std::fmt;

use serde_json::value::RawValue;

/// Call that new code of a server answers before it goes live, written as `forecast {"city": "Oslo"}`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct RehearsedCall {
    /// Server's own name of the tool.
    pub(crate) tool: String,
    /// Arguments, a raw JSON object on one line.
    pub(crate) arguments: String,
}

impl RehearsedCall {
    /// Parses a tool's name and, separated by white space, its arguments, `{}` by default. An error says which part is
    /// wrong, and where.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let (tool, json) = text.split_once(char::is_whitespace).unwrap_or((text, "{}"));
        if tool.is_empty() || tool.starts_with('{') {
            return Err(
                "expected a tool and its arguments, as in `forecast {\"city\": \"Oslo\"}`"
                    .to_owned(),
            );
        }
        Ok(Self {
            tool: tool.to_owned(),
            arguments: parse_arguments(json.trim())?,
        })
    }
}

impl fmt::Display for RehearsedCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.arguments.as_str() {
            "{}" => f.write_str(&self.tool),
            arguments => write!(f, "{} {arguments}", self.tool),
        }
    }
}

/// Item of `rehearse`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum RehearsalItem {
    /// Call that the user names.
    Call(RehearsedCall),
    /// Recent calls of clients.
    Recorded,
}

/// Item that stands for recent calls of clients. A tool of this name is called with arguments: `recorded {}`.
const RECORDED: &str = "recorded";

impl RehearsalItem {
    /// Parses `recorded` or a call.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        match text.trim() {
            RECORDED => Ok(Self::Recorded),
            call => RehearsedCall::parse(call).map(Self::Call),
        }
    }
}

/// Parses the arguments of a tool; returns a raw JSON object on one line, or an error about `text`.
pub(crate) fn parse_arguments(text: &str) -> Result<String, String> {
    match serde_json::from_str::<&RawValue>(text) {
        // JSON has line breaks only outside of strings, where they equal spaces.
        Ok(arguments) if arguments.get().starts_with('{') => {
            Ok(arguments.get().replace(['\n', '\r'], " "))
        }
        Ok(_) => Err("the arguments must be a JSON object such as '{}'".to_owned()),
        Err(error) => Err(format!("the arguments are not JSON: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_a_tool_with_arguments() {
        for (text, tool, arguments, shown) in [
            ("forecast", "forecast", "{}", "forecast"),
            (" a.b  {} ", "a.b", "{}", "a.b"),
            (
                "forecast {\"city\":\n\"O slo\"}",
                "forecast",
                "{\"city\": \"O slo\"}",
                "forecast {\"city\": \"O slo\"}",
            ),
        ] {
            let call = RehearsedCall::parse(text).unwrap();
            assert_eq!((&*call.tool, &*call.arguments), (tool, arguments), "{text}");
            assert_eq!(call.to_string(), shown);
        }
    }

    #[test]
    fn one_word_stands_for_the_calls_of_clients() {
        let parsed = |text| RehearsalItem::parse(text).unwrap();
        assert_eq!(parsed(" recorded "), RehearsalItem::Recorded);
        let call = |text| RehearsalItem::Call(RehearsedCall::parse(text).unwrap());
        assert_eq!(parsed("recorded {}"), call("recorded"));
        assert_eq!(parsed("records"), call("records"));
    }

    #[test]
    fn an_error_says_what_is_wrong_and_where() {
        for (text, part) in [
            ("", "expected a tool"),
            ("{\"city\": 1}", "expected a tool"),
            (
                "forecast Oslo",
                "not JSON: expected value at line 1 column 1",
            ),
            ("forecast {\"city\": }", "at line 1 column 10"),
            ("forecast [1]", "must be a JSON object"),
        ] {
            let error = RehearsedCall::parse(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
