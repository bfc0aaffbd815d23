//! Interprets and formats the answers of servers to calls.

use std::time::Duration;

use serde_json::value::RawValue;

use crate::jsonrpc::Members;
use crate::output::clean;

/// Maximum length in characters of a text that has to fit on one line.
const SHOWN_CHARS: usize = 100;

/// Returns true if a tool call succeeded: its result reports no failure (`isError`) and is complete, not a request for
/// input.
pub(super) fn succeeded(result: &str) -> bool {
    let result = Members::of(result);
    unfinished(&result).is_none() && result.get("isError") != Some("true")
}

/// Returns the `resultType` of a result that is not complete.
pub(super) fn unfinished(result: &Members<'_>) -> Option<String> {
    let kind = result.text("resultType")?;
    (kind != "complete").then(|| clean(&kind).into_owned())
}

/// Formats a raw JSON-RPC error on one line.
pub(super) fn message(error: Option<&RawValue>) -> String {
    let error = Members::of(error.map_or("{}", RawValue::get));
    let code = error.get("code").unwrap_or("without a code");
    let text = error.text("message").unwrap_or_default();
    format!("error {code}: {}", shorten(&text))
}

/// Returns the first line, cut to [`SHOWN_CHARS`]; ` …` marks omitted text.
pub(super) fn shorten(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    let cut = line.char_indices().nth(SHOWN_CHARS).map(|(at, _)| at);
    let shown = clean(&line[..cut.unwrap_or(line.len())]).into_owned();
    if cut.is_some() || text.lines().nth(1).is_some() {
        shown + " …"
    } else {
        shown
    }
}

/// Copies raw JSON; returns `None` if `text` is invalid.
pub(super) fn raw(text: &str) -> Option<Box<RawValue>> {
    RawValue::from_string(text.to_owned()).ok()
}

/// Returns a duration in whole milliseconds.
pub(super) fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_succeeds_when_its_tool_says_so() {
        for (result, ok) in [
            (r#"{"content":[]}"#, true),
            (
                r#"{"content":[],"isError":false,"resultType":"complete"}"#,
                true,
            ),
            (r#"{"content":[],"isError":true}"#, false),
            (r#"{"resultType":"input_required"}"#, false),
        ] {
            assert_eq!(succeeded(result), ok, "{result}");
        }
    }
}
