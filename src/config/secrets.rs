//! What is never shown: of a value whose name sounds like a secret, only the variables that it is made of.

use std::borrow::Cow;
use std::ffi::OsString;

use super::expand::{Piece, pieces};
use super::source::Located;

/// Stands for what is not shown.
const HIDDEN: &str = "***";
/// A name with one of these in it names a secret.
const SECRET: [&str; 8] = [
    "TOKEN",
    "KEY",
    "SECRET",
    "PASSW",
    "AUTH",
    "CREDENTIAL",
    "COOKIE",
    "PWD",
];

fn names_secret(name: &str) -> bool {
    let name = name.to_uppercase();
    SECRET.iter().any(|part| name.contains(part))
}

/// A value under a name, without what is secret in it.
pub(super) fn guarded(name: &str, value: &str) -> String {
    if names_secret(name) {
        redacted(value)
    } else {
        without_secrets(value)
    }
}

/// The variables of a value; what stands around them is hidden, except the word for how to log in.
fn redacted(value: &str) -> String {
    let piece = |piece| match piece {
        Piece::Literal(text) if ["Bearer ", "Basic ", "Token "].contains(&text) => text.to_owned(),
        Piece::Literal(_) => HIDDEN.to_owned(),
        Piece::Variable {
            name,
            default: Some(""),
            ..
        } => format!("${{{name}:-}}"),
        Piece::Variable {
            name,
            default: Some(_),
            ..
        } => format!("${{{name}:-{HIDDEN}}}"),
        Piece::Variable { written, .. } => written.to_owned(),
    };
    pieces(value).into_iter().map(piece).collect()
}

/// Hides the login and the query of an address, which often hold secrets.
pub(super) fn without_secrets(address: &str) -> String {
    let Some((scheme, rest)) = address.split_once("://") else {
        return address.to_owned();
    };
    let (rest, query) = match rest.split_once('?') {
        Some((rest, query)) => (rest, format!("?{}", redacted(query))),
        None => (rest, String::new()),
    };
    let end = rest.find('/').unwrap_or(rest.len());
    match rest[..end].rfind('@') {
        Some(at) => format!("{scheme}://{}{}{query}", redacted(&rest[..at]), &rest[at..]),
        None => format!("{scheme}://{rest}{query}"),
    }
}

/// Hides what follows an option such as `--api-key`.
pub(super) fn arguments(args: &[Located<String>]) -> Vec<String> {
    hide(args.iter().map(|arg| arg.value.as_str()))
}

/// What may be shown of the arguments that a server is started with.
pub(crate) fn shown_arguments(args: &[OsString]) -> Vec<String> {
    let args: Vec<_> = args.iter().map(|arg| arg.to_string_lossy()).collect();
    hide(args.iter().map(Cow::as_ref))
}

fn hide<'a>(args: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut secret_follows = false;
    let shown = args.map(|arg| {
        let hidden = std::mem::take(&mut secret_follows);
        match arg.split_once('=') {
            _ if hidden => redacted(arg),
            Some((name, value)) => format!("{name}={}", guarded(name, value)),
            None => {
                secret_follows = arg.starts_with('-') && names_secret(arg);
                without_secrets(arg)
            }
        }
    });
    shown.collect()
}

/// A line of a file as it may be shown, each character in its place: behind names of secrets, letters of
/// strings become stars, and what would move the cursor of a terminal is replaced.
pub(super) fn masked_line(line: &str) -> String {
    let mut shown = String::new();
    let (mut word, mut is_value, mut rest) = (String::new(), false, line);
    while let Some(first) = rest.chars().next() {
        let quoted = matches!(first, '"' | '\'');
        let end = if quoted {
            end_of_string(rest, first)
        } else {
            first.len_utf8()
        };
        let (token, after) = rest.split_at(end);
        match first {
            _ if quoted && is_value && names_secret(&word) => {
                shown.push_str(&starred(token, first));
            }
            _ if quoted => {
                shown.push_str(token);
                if !is_value {
                    token.clone_into(&mut word);
                }
            }
            _ => shown.push_str(token),
        }
        match first {
            ':' | '=' => is_value = true,
            ',' | '{' | '}' => (is_value, word) = (false, String::new()),
            _ if !quoted && !is_value => word.push(first),
            _ => {}
        }
        rest = after;
    }
    shown.chars().map(visible).collect()
}

/// The end of the string that `text` begins with.
fn end_of_string(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        if c == quote && !escaped {
            return at + 1;
        }
        escaped = c == '\\' && quote == '"' && !escaped;
    }
    text.len()
}

fn starred(token: &str, quote: char) -> String {
    let stars = |text: &str| {
        text.chars()
            .map(|c| if c == quote { c } else { '*' })
            .collect()
    };
    let piece = |piece| match piece {
        Piece::Variable {
            written,
            default: None,
            ..
        } => written.to_owned(),
        Piece::Variable { written, .. } => stars(written),
        Piece::Literal(text) => stars(text),
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
                r#"env = { A_TOKEN = 'ab"c', B = "x" }"#,
                r#"env = { A_TOKEN = '****', B = "x" }"#,
            ),
            (
                r#""env": {"A_KEY": "a\"b", "B": "x"}, "args": 5"#,
                r#""env": {"A_KEY": "**"*", "B": "x"}, "args": 5"#,
            ),
            (
                r#"Authorization = "Bearer ${T}""#,
                r#"Authorization = "*******${T}""#,
            ),
            (r#"KEY = "${T:-abc}""#, r#"KEY = "*********""#),
            (r#"KEY = "unclosed"#, r#"KEY = "********"#),
            ("command = \"\u{1b}[2J\"", "command = \"\u{fffd}[2J\""),
        ] {
            assert_eq!(masked_line(line), shown, "{line}");
            assert_eq!(line.chars().count(), shown.chars().count(), "{line}");
        }
    }
}
