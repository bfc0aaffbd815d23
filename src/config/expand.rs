//! `${VAR}` and `${VAR:-default}` in values. Everything else stays as it is written: `$VAR`, and the
//! shell's other forms such as `${VAR%x}`, which belong to whoever runs the value in a shell.

/// Before the name of a variable that only the environment has.
pub(super) const ENVIRONMENT: &str = "env:";

/// Variables of clients that only their editors can replace, and why the proxy cannot.
const FOREIGN: [(&str, &str); 6] = [
    ("input", "VS Code asks for this value, mcp-proxy cannot"),
    ("command", "an editor finds this value, mcp-proxy cannot"),
    (
        "cmd",
        "a client runs a command for this value, mcp-proxy does not",
    ),
    (
        "config",
        "this value is a setting of an editor, mcp-proxy has none",
    ),
    (
        "file",
        "Windsurf reads this value from a file, mcp-proxy does not",
    ),
    (
        "workspaceFolder",
        "this is another folder of an editor's workspace, mcp-proxy knows only the one of the file",
    ),
];

/// The beginning of the first variable that only an editor can replace, and why the proxy cannot. What follows the
/// colon is a name or a path: a number or a sign belongs to the shell's own forms.
pub(super) fn foreign(text: &str) -> Option<(String, &'static str)> {
    let found = FOREIGN.iter().filter_map(|(word, why)| {
        let start = format!("${{{word}:");
        let (at, _) = text.match_indices(&start).find(|(at, _)| {
            let follows = text[at + start.len()..].chars().next();
            follows.is_some_and(|c| c.is_alphabetic() || matches!(c, '/' | '~' | '.' | '_'))
        })?;
        Some((at, start, *why))
    });
    let first = found.min_by_key(|(at, ..)| *at)?;
    Some((first.1, first.2))
}

/// A piece of a value.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    Literal(&'a str),
    Variable {
        /// With `${` and `}`.
        written: &'a str,
        /// With `env:` where it stands before it.
        name: &'a str,
        default: Option<&'a str>,
    },
}

/// Cuts a value into its pieces.
pub(super) fn pieces(text: &str) -> Vec<Piece<'_>> {
    let (mut pieces, mut literal, mut at) = (Vec::new(), 0, 0);
    while let Some(start) = text[at..].find("${").map(|found| at + found) {
        at = start + 2;
        if let Some(variable) = variable(&text[start..]) {
            if literal < start {
                pieces.push(Piece::Literal(&text[literal..start]));
            }
            let Piece::Variable { written, .. } = variable else {
                continue;
            };
            at = start + written.len();
            literal = at;
            pieces.push(variable);
        }
    }
    if literal < text.len() {
        pieces.push(Piece::Literal(&text[literal..]));
    }
    pieces
}

/// The variable at the beginning of `text`, which begins with `${`.
fn variable(text: &str) -> Option<Piece<'_>> {
    let end = closing(text)?;
    let inside = &text[2..end];
    let (name, default) = match inside.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (inside, None),
    };
    // `env:NAME` is what VS Code and Cursor write.
    let plain = name.strip_prefix(ENVIRONMENT).unwrap_or(name);
    let is_name = plain.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && plain.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    // VS Code and Gemini CLI write the separator of paths so.
    (is_name || inside == "/").then_some(Piece::Variable {
        written: &text[..=end],
        name,
        default,
    })
}

/// Where the brace that `text` opens is closed; a default may hold variables of its own.
fn closing(text: &str) -> Option<usize> {
    let mut depth = 0;
    for (at, c) in text.char_indices() {
        match c {
            '{' if text[..at].ends_with('$') => depth += 1,
            '}' => depth -= 1,
            _ => continue,
        }
        if depth == 0 {
            return Some(at);
        }
    }
    None
}

/// `text` with its variables replaced, or those that are not set, as written and by name.
pub(super) fn expand(
    text: &str,
    value_of: &dyn Fn(&str) -> Option<String>,
) -> Result<String, Vec<(String, String)>> {
    let (mut expanded, mut missing) = (String::new(), Vec::new());
    for piece in pieces(text) {
        match piece {
            Piece::Literal(literal) => expanded.push_str(literal),
            Piece::Variable {
                written,
                name,
                default,
            } => match (value_of(name), default) {
                (Some(value), _) => expanded.push_str(&value),
                (None, Some(default)) => match expand(default, value_of) {
                    Ok(value) => expanded.push_str(&value),
                    Err(more) => missing.extend(more),
                },
                (None, None) => missing.push((written.to_owned(), name.to_owned())),
            },
        }
    }
    if missing.is_empty() {
        Ok(expanded)
    } else {
        Err(missing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value_of(name: &str) -> Option<String> {
        match name.strip_prefix(ENVIRONMENT).unwrap_or(name) {
            "/" => Some("SEP".to_owned()),
            "A" => Some("1".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        }
    }

    #[test]
    fn variables_and_defaults_are_replaced() {
        for (text, expanded) in [
            ("", ""),
            ("${A}", "1"),
            ("x${A}y${A}z", "x1y1z"),
            ("${NO:-d e}", "d e"),
            ("${NO:-}", ""),
            ("${A:-d}", "1"),
            ("[${EMPTY:-d}]", "[]"),
            ("${NO:-${A}}!", "1!"),
            ("${NO:-${NO:-é}}", "é"),
            ("${env:A}", "1"),
            ("a${/}b", "aSEPb"),
        ] {
            assert_eq!(expand(text, &value_of), Ok(expanded.to_owned()), "{text}");
        }
    }

    #[test]
    fn everything_else_stays_literal() {
        for text in [
            "$A",
            "${A%x}",
            "${A:?no}",
            "${A:+x}",
            "${#A}",
            "${}",
            "${A",
            "$${",
            "${1}",
            "{A}",
            "${input:key}",
        ] {
            assert_eq!(expand(text, &value_of), Ok(text.to_owned()));
        }
        assert_eq!(expand("${x%${A}}", &value_of), Ok("${x%1}".to_owned()));
    }

    #[test]
    fn what_only_an_editor_can_replace_is_found() {
        for (text, start) in [
            ("${input:key}", "${input:"),
            ("a ${config:x} ${command:y.z}", "${config:"),
            ("${file:~/.token}", "${file:"),
            ("${workspaceFolder:api}/x", "${workspaceFolder:"),
        ] {
            assert_eq!(foreign(text).map(|it| it.0).as_deref(), Some(start));
        }
        for shell in [
            "${file:0:3}",
            "${input:-x}",
            "${command:+x}",
            "${input}",
            "$input:x",
        ] {
            assert_eq!(foreign(shell), None, "{shell}");
        }
    }

    #[test]
    fn each_unset_variable_is_named() {
        let missing = expand("${B} ${A} ${C:-${D}}", &value_of).unwrap_err();
        let names: Vec<&str> = missing.iter().map(|(_, name)| name.as_str()).collect();
        assert_eq!(names, ["B", "D"]);
        assert_eq!(missing[0].0, "${B}");
    }
}
