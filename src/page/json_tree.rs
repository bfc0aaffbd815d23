//! JSON as folded markup. Works on raw text, so that numbers, escapes and duplicate names are shown as they were sent.

use std::fmt::Write as _;

use maud::{Markup, html};

use crate::jsonrpc::{Members, elements, unquoted};
use crate::output::clean;

/// Maximum number of values that are shown.
const MAX_VALUES: usize = 2_000;
/// Length in bytes to which a text is cut.
const MAX_TEXT: usize = 16 * 1024;
/// Maximum depth; deeper values are shown as text.
const MAX_DEPTH: usize = 40;
/// Number of members or elements up to which a value is unfolded.
const UNFOLDED: usize = 12;

/// Returns a JSON text as nested lists that can be folded.
pub(super) fn json_tree(json: &str) -> Markup {
    let mut left = MAX_VALUES;
    let tree = value(json.trim(), &html! {}, 0, &mut left);
    html! {
        div.json { (tree) }
        @if left == 0 { p { "The rest is not shown; the raw message has it." } }
    }
}

/// Returns a value after `label`, which a nested value has on its first line.
fn value(json: &str, label: &Markup, depth: usize, left: &mut usize) -> Markup {
    *left = left.saturating_sub(1);
    let is_nested = depth < MAX_DEPTH && *left > 0;
    match json.as_bytes().first() {
        Some(b'{') if is_nested => {
            let members = Members::of(json);
            let members = members
                .iter()
                .map(|(name, it)| (Some(name.into_owned()), it.to_owned()));
            nested(["{", "}"], members.collect(), label, depth, left)
        }
        Some(b'[') if is_nested => {
            let elements = elements(json).unwrap_or_default();
            let elements = elements.into_iter().map(|it| (None, it.to_owned()));
            nested(["[", "]"], elements.collect(), label, depth, left)
        }
        Some(b'"') => text(json, label, depth, left),
        Some(b'{' | b'[') => html! { (label) code { "…" } },
        _ => html! { (label) code.literal { (clean(json)) } },
    }
}

fn nested(
    [begin, end]: [&str; 2],
    items: Vec<(Option<String>, String)>,
    label: &Markup,
    depth: usize,
    left: &mut usize,
) -> Markup {
    let count = items.len();
    if count == 0 {
        return html! { (label) code { (begin) (end) } };
    }
    html! {
        details open[count <= UNFOLDED || depth == 0] {
            summary { (label) code { (begin) } " " span.soft { (count) } " " code { (end) } }
            ul {
                @for (name, item) in items {
                    @if *left > 0 {
                        @let label = html! { @if let Some(name) = name { bdi { code.name { (clean(&name)) } } ": " } };
                        li { (value(&item, &label, depth + 1, left)) }
                    }
                }
            }
        }
    }
}

/// Returns a text: as JSON if it is JSON, in lines if it has several, else as it was sent.
fn text(json: &str, label: &Markup, depth: usize, left: &mut usize) -> Markup {
    // A text with a lone surrogate cannot be decoded.
    let Some(decoded) = unquoted(json) else {
        return html! { (label) bdi { code.text { (cut(json)) } } };
    };
    let inner = decoded.trim();
    if inner.starts_with(['{', '['])
        && (!Members::of(inner).is_empty() || elements(inner).is_some())
    {
        let label = html! { (label) span.soft { "JSON in a text: " } };
        return value(inner, &label, depth + 1, left);
    }
    if decoded.trim_end().contains('\n') {
        let lines: Vec<_> = decoded.lines().map(clean).collect();
        return html! { (label) pre tabindex="0" { (cut(&lines.join("\n"))) } };
    }
    html! { (label) bdi { code.text { (cut(json)) } } }
}

/// Cuts a long text and makes it harmless.
fn cut(text: &str) -> String {
    let end = (0..=MAX_TEXT)
        .rev()
        .find(|at| text.is_char_boundary(*at))
        .unwrap_or(0);
    let shown: Vec<_> = text[..end.min(text.len())]
        .split('\n')
        .map(clean_whole)
        .collect();
    let more = text.len().saturating_sub(end);
    let mut shown = shown.join("\n");
    if more > 0 {
        let _ = write!(shown, "… (+{more} bytes)");
    }
    shown
}

/// Returns the JSON text with escapes for marks that reverse the reading direction and for control characters, which it
/// has within strings only.
pub(super) fn escaped(json: &str) -> String {
    let mut escaped = String::with_capacity(json.len());
    for c in json.chars() {
        if is_bad(c) {
            let _ = write!(escaped, "\\u{:04x}", u32::from(c));
        } else {
            escaped.push(c);
        }
    }
    escaped
}

/// Returns true for control characters and for marks that reverse the reading direction.
fn is_bad(c: char) -> bool {
    c.is_control() && c != '\t' || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Escapes control characters and marks that reverse the reading direction.
fn clean_whole(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    for c in text.chars() {
        if is_bad(c) {
            clean.extend(c.escape_default());
        } else {
            clean.push(c);
        }
    }
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(json: &str) -> String {
        json_tree(json).into_string()
    }

    #[test]
    fn values_are_shown_as_they_were_sent() {
        let shown = tree(
            r#"{"n":1E400,"s":"\ud83d","e":{},"t":"[1,{\"a\":true}]","x":"<script>alert(1)</script>"}"#,
        );
        for part in [
            "1E400",
            r"\ud83d",
            "{}",
            "JSON in a text",
            "true",
            "&lt;script&gt;",
        ] {
            assert!(shown.contains(part), "{part}: {shown}");
        }
        assert!(!shown.contains("<script"), "{shown}");
    }

    #[test]
    fn marks_that_mislead_are_escaped() {
        let shown = tree("\"a\u{202e}b\"");
        assert!(shown.contains(r"a\u{202e}b"), "{shown}");
        assert_eq!(escaped("{\"a\":\"\u{202e}é\"}"), r#"{"a":"\u202eé"}"#);
        let shown = tree(r#""one\n\u001b[31mtwo""#);
        assert!(shown.contains("one\ntwo"), "{shown}");
    }

    #[test]
    fn large_and_deep_values_are_cut() {
        let long = tree(&format!("[{}1]", "1,".repeat(100_000)));
        assert!(long.len() < 200_000 && long.contains("The rest is not shown"));
        let deep = tree(&format!("{}{}", "[".repeat(3_000), "]".repeat(3_000)));
        assert!(deep.contains('…') && deep.len() < 20_000);
        let text = tree(&format!("\"{}\"", "é".repeat(20_000)));
        assert!(text.contains("bytes)") && text.len() < 40_000);
    }
}
