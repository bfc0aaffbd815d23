//! Output of a failed start, with the places that it names marked.

use std::sync::LazyLock;

use maud::{Markup, html};
use regex::Regex;

use crate::output::clean;

/// Place in a source: as Python names it, or `path:line`.
static PLACE: LazyLock<Option<Regex>> = LazyLock::new(|| {
    let place = r#"File "[^"]+", line [0-9]+|[A-Za-z0-9_.$@~/\\:-]*[A-Za-z0-9_$-]\.[A-Za-z]{1,5}[:(][0-9]+([:,][0-9]+)?"#;
    Regex::new(place).ok()
});

/// Returns lines of output with marked places.
pub(super) fn traceback(lines: &[String]) -> Markup {
    let lines: Vec<_> = lines.iter().map(|line| clean(line)).collect();
    html! {
        pre tabindex="0" {
            @for (at, line) in lines.iter().enumerate() {
                @if at > 0 { "\n" }
                @for (part, is_place) in parts(line) {
                    @if is_place { mark { (part) } } @else { (part) }
                }
            }
        }
    }
}

/// Splits a line into places and other text.
fn parts(line: &str) -> Vec<(&str, bool)> {
    let mut parts = Vec::new();
    let mut end = 0;
    let places = PLACE.as_ref().into_iter().flat_map(|it| it.find_iter(line));
    for place in places {
        parts.push((&line[end..place.start()], false));
        parts.push((place.as_str(), true));
        end = place.end();
    }
    parts.push((&line[end..], false));
    parts.retain(|(part, _)| !part.is_empty());
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_of_all_languages_are_marked() {
        for (line, place) in [
            (
                r#"  File "/p/server.py", line 7, in main"#,
                r#"File "/p/server.py", line 7"#,
            ),
            ("    at main (/p/src/server.ts:3:9)", "/p/src/server.ts:3:9"),
            ("  --> src/main.rs:12:5", "src/main.rs:12:5"),
            (r"C:\p\server.js:4", r"C:\p\server.js:4"),
        ] {
            let found = parts(line).into_iter().find(|(_, is_place)| *is_place);
            assert_eq!(found, Some((place, true)), "{line}");
        }
        assert_eq!(
            parts("at 12:30:01 nothing"),
            [("at 12:30:01 nothing", false)]
        );
    }

    #[test]
    fn markup_in_output_stays_text() {
        let lines = ["<b>a.py:1</b>\u{1b}[31m".to_owned(), "b".to_owned()];
        let shown = traceback(&lines).into_string();
        assert!(
            shown.contains("&lt;b&gt;<mark>a.py:1</mark>&lt;/b&gt;"),
            "{shown}"
        );
        assert!(!shown.contains('\u{1b}'), "{shown}");
    }
}
