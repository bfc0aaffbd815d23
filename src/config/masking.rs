//! Hides secrets in the line of a configuration file that an error message quotes.

use super::expand::{ValuePiece, pieces};
use super::keys;

/// A line of a file as it may be shown, each character in its place; letters and digits become stars. Where the file
/// `is_read`, so that a name can be told from a value, names stay, and values of keys that hold no secrets; else only
/// the words that every such file has. What would move the cursor of a terminal is replaced.
pub(super) fn masked_line(line: &str, is_read: bool) -> String {
    let (mut shown, mut rest) = (String::new(), line);
    let (mut may_hold_secrets, mut is_plain, mut has_name) = (false, false, false);
    while let Some(first) = rest.chars().next() {
        let is_quoted = matches!(first, '"' | '\'');
        let end = match first {
            _ if is_quoted => end_of_string(rest, first),
            c if is_word(c) => rest.find(|c| !is_word(c)).unwrap_or(rest.len()),
            c => c.len_utf8(),
        };
        let (token, after) = rest.split_at(end);
        let word = token.trim_matches(['"', '\'']);
        let is_name = (is_quoted || is_word(first)) && after.trim_start().starts_with([':', '=']);
        if is_name {
            has_name = true;
            may_hold_secrets |= keys::is_known(word) && !keys::is_plain(word);
            is_plain = keys::is_plain(word) && !may_hold_secrets;
        }
        let is_shown = is_name || is_plain || !is_quoted && !has_name;
        let stays = keys::is_known(word) || is_read && is_shown;
        if stays {
            shown.push_str(token);
        } else {
            shown.push_str(&starred(token));
        }
        rest = after;
    }
    shown.chars().map(visible).collect()
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '-')
}

/// The end of the string that `text` begins with.
pub(super) fn end_of_string(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        if c == quote && !escaped {
            return at + 1;
        }
        escaped = c == '\\' && quote == '"' && !escaped;
    }
    text.len()
}

fn starred(token: &str) -> String {
    let stars = |text: &str| {
        text.chars()
            .map(|c| if c.is_alphanumeric() { '*' } else { c })
            .collect()
    };
    let piece = |piece| match piece {
        ValuePiece::Variable {
            written,
            default: None,
            ..
        } => written.to_owned(),
        ValuePiece::Variable { written, .. } => stars(written),
        ValuePiece::Literal(text) => stars(text),
    };
    pieces(token).into_iter().map(piece).collect()
}

/// A character that stays where it is put.
pub(super) fn visible(c: char) -> char {
    let moves = (c.is_control() && !matches!(c, '\t' | '\n'))
        || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    if moves { '\u{fffd}' } else { c }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_shown_without_secrets_and_keep_their_columns() {
        for (line, shown) in [
            (r#"API_KEY = "abc""#, r#"API_KEY = "***""#),
            (
                r#"env = { A = 'ab"c', B = "x y" }"#,
                r#"env = { A = '**"*', B = "* *" }"#,
            ),
            (
                r#""env": {"A": "a\"b", "B": "x"}, "args": 5"#,
                r#""env": {"A": "*\"*", "B": "*"}, "args": *"#,
            ),
            (r#"args = ["--key", "abc"]"#, r#"args = ["--***", "***"]"#),
            (r#"A = "Bearer ${T}""#, r#"A = "****** ${T}""#),
            (r#"A = "${T:-abc}""#, r#"A = "${*:-***}""#),
            (r#"A = "unclosed"#, r#"A = "********"#),
            ("command = \"\u{1b}[2J\"", "command = \"\u{fffd}[**\""),
        ] {
            assert_eq!(masked_line(line, true), shown, "{line}");
            assert_eq!(line.chars().count(), shown.chars().count(), "{line}");
        }
    }

    #[test]
    fn of_a_line_that_is_not_understood_only_known_words_are_shown() {
        for (line, shown) in [
            (r#""env": {"A_KEY" "abc"}"#, r#""env": {"*_***" "***"}"#),
            ("command = abc\"", "command = ***\""),
            ("sk-123", "**-***"),
            (r#""sk-123": true,"#, r#""**-***": true,"#),
        ] {
            assert_eq!(masked_line(line, false), shown, "{line}");
        }
    }
}
