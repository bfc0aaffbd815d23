//! What a server answered to a call, in words for people.

use std::time::Duration;

use serde_json::value::RawValue;

use crate::jsonrpc::Members;
use crate::output::clean;

/// Longer texts are cut where one line has to do.
const SHOWN_CHARS: usize = 100;

/// A tool reports its failures in its result; one that asks for input has not done its work.
pub(super) fn succeeded(result: &str) -> bool {
    let result = Members::of(result);
    unfinished(&result).is_none() && result.get("isError") != Some("true")
}

/// The type of a result that is not the last word.
pub(super) fn unfinished(result: &Members<'_>) -> Option<String> {
    let kind = result.text("resultType")?;
    (kind != "complete").then(|| clean(&kind).into_owned())
}

/// A raw JSON-RPC error on one line.
pub(super) fn message(error: Option<&RawValue>) -> String {
    let error = Members::of(error.map_or("{}", RawValue::get));
    let code = error.get("code").unwrap_or("without a code");
    let text = error.text("message").unwrap_or_default();
    format!("error {code}: {}", shorten(&text))
}

/// The first line, or as much of it as a table has room for.
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

/// A copy of raw JSON.
pub(super) fn raw(text: &str) -> Option<Box<RawValue>> {
    RawValue::from_string(text.to_owned()).ok()
}

/// Whole milliseconds.
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
