//! `${VAR}` and `${VAR:-default}` in values. Everything else stays as it is written: `$VAR`, and the
//! shell's other forms such as `${VAR%x}`, which belong to whoever runs the value in a shell.

/// A piece of a value.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    Literal(&'a str),
    Variable {
        /// With `${` and `}`.
        written: &'a str,
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
    let plain = name.strip_prefix("env:").unwrap_or(name);
    let is_name = plain.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && plain.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    is_name.then_some(Piece::Variable {
        written: &text[..=end],
        name: plain,
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
        match name {
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
    fn each_unset_variable_is_named() {
        let missing = expand("${B} ${A} ${C:-${D}}", &value_of).unwrap_err();
        let names: Vec<&str> = missing.iter().map(|(_, name)| name.as_str()).collect();
        assert_eq!(names, ["B", "D"]);
        assert_eq!(missing[0].0, "${B}");
    }
}
