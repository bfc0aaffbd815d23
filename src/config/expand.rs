//! Expansion of `${VAR}` and `${VAR:-default}` in values. Other text stays literal, including `$VAR` and other shell
//! forms such as `${VAR%x}`, which are left to a shell that runs the value.

/// Prefix of a name that is looked up only in the environment.
pub(super) const ENVIRONMENT: &str = "env:";

/// Maximum nesting depth of defaults.
pub(super) const DEEPEST: usize = 32;

/// Client variables that only an editor can expand, each with the reason.
#[rustfmt::skip] // A table.
const FOREIGN: [(&str, &str); 6] = [
    ("input", "VS Code prompts for this value, mcp-proxy cannot"),
    ("command", "an editor's command returns this value, mcp-proxy cannot run it"),
    ("cmd", "a client runs a command for this value, mcp-proxy does not"),
    ("config", "this value is an editor's setting, which mcp-proxy cannot read"),
    ("file", "Windsurf reads this value from a file, mcp-proxy does not"),
    ("workspaceFolder", "mcp-proxy knows only the folder of the file, no other folder of an editor's workspace"),
];

/// Start of a template of Continue, and the reason why it stays; no shell form begins so.
const TEMPLATE: (&str, &str) = (
    "${{",
    "Continue replaces this value by a secret or an input of its own, mcp-proxy cannot",
);

/// Returns the start of the first variable that only an editor can expand, and the reason. A name or a path must follow
/// the colon; a digit or a sign belongs to a shell form.
pub(super) fn foreign(text: &str) -> Option<(String, &'static str)> {
    let found = FOREIGN.iter().filter_map(|(word, why)| {
        let start = format!("${{{word}:");
        let (at, _) = text.match_indices(&start).find(|(at, _)| {
            let follows = text[at + start.len()..].chars().next();
            follows.is_some_and(|c| c.is_alphabetic() || matches!(c, '/' | '~' | '.' | '_'))
        })?;
        Some((at, start, *why))
    });
    let template = text.find(TEMPLATE.0);
    let template = template.map(|at| (at, TEMPLATE.0.to_owned(), TEMPLATE.1));
    let first = found.chain(template).min_by_key(|(at, ..)| *at)?;
    Some((first.1, first.2))
}

/// Piece of a value.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ValuePiece<'a> {
    Literal(&'a str),
    Variable {
        /// Source text, including `${` and `}`.
        written: &'a str,
        /// Name, including a prefix `env:`.
        name: &'a str,
        default: Option<&'a str>,
    },
}

/// Splits a value into pieces. The time is nearly linear in the length, however deep braces nest.
pub(super) fn pieces(text: &str) -> Vec<ValuePiece<'_>> {
    let (mut pieces, mut literal) = (Vec::new(), 0);
    for (start, end) in braces(text) {
        if start < literal {
            // Inside the default of the previous variable.
            continue;
        }
        if let Some(variable) = variable(&text[start..end]) {
            if literal < start {
                pieces.push(ValuePiece::Literal(&text[literal..start]));
            }
            literal = end;
            pieces.push(variable);
        }
    }
    if literal < text.len() {
        pieces.push(ValuePiece::Literal(&text[literal..]));
    }
    pieces
}

/// Returns the start of each closed `${` and the end of its brace, ordered by start. Pairs nest, since a default may
/// contain variables.
fn braces(text: &str) -> Vec<(usize, usize)> {
    let (mut open, mut closed) = (Vec::new(), Vec::new());
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'{' if text[..at].ends_with('$') => open.push(at - 1),
            b'}' => closed.extend(open.pop().map(|start| (start, at + 1))),
            _ => {}
        }
    }
    closed.sort_unstable();
    closed
}

/// Parses `written`, which extends from `${` to its brace; `None` for other shell forms.
fn variable(written: &str) -> Option<ValuePiece<'_>> {
    let inside = &written[2..written.len() - 1];
    // VS Code and Cursor write `env:NAME`.
    let prefixed = inside
        .strip_prefix(ENVIRONMENT)
        .map(|plain| ENVIRONMENT.len() + name_length(plain))
        .filter(|end| *end > ENVIRONMENT.len());
    let (name, rest) = match prefixed.unwrap_or_else(|| name_length(inside)) {
        // VS Code and Gemini CLI write the path separator as `${/}`.
        0 if inside == "/" => (inside, ""),
        0 => return None,
        end => inside.split_at(end),
    };
    let default = rest.strip_prefix(":-");
    (rest.is_empty() || default.is_some()).then_some(ValuePiece::Variable {
        written,
        name,
        default,
    })
}

/// Returns the length of the variable name at the start of `text`; 0 if there is none.
pub(super) fn name_length(text: &str) -> usize {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if text.starts_with(|c: char| c.is_ascii_digit()) {
        return 0;
    }
    text.find(|c| !is_name(c)).unwrap_or(text.len())
}

/// Returns true if every system and shell accepts the name for a variable.
pub(crate) fn is_variable_name(name: &str) -> bool {
    !name.is_empty() && name_length(name) == name.len()
}

/// Error of an expansion.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ExpandError {
    /// Unset variables: source text and name.
    Missing(Vec<(String, String)>),
    /// Defaults nest deeper than [`DEEPEST`].
    Deep,
}

/// Expands the variables in `text`.
pub(super) fn expand(
    text: &str,
    value_of: &dyn Fn(&str) -> Option<String>,
) -> Result<String, ExpandError> {
    let (mut expanded, mut missing) = (String::new(), Vec::new());
    replace(text, value_of, DEEPEST, &mut expanded, &mut missing)?;
    if missing.is_empty() {
        Ok(expanded)
    } else {
        Err(ExpandError::Missing(missing))
    }
}

/// Appends the expansion of `text` to `expanded`; defaults may nest `depth` levels deep.
fn replace(
    text: &str,
    value_of: &dyn Fn(&str) -> Option<String>,
    depth: usize,
    expanded: &mut String,
    missing: &mut Vec<(String, String)>,
) -> Result<(), ExpandError> {
    for piece in pieces(text) {
        match piece {
            ValuePiece::Literal(literal) => expanded.push_str(literal),
            ValuePiece::Variable {
                written,
                name,
                default,
            } => match (value_of(name), default) {
                (Some(value), _) => expanded.push_str(&value),
                (None, Some(default)) => {
                    let depth = depth.checked_sub(1).ok_or(ExpandError::Deep)?;
                    replace(default, value_of, depth, expanded, missing)?;
                }
                (None, None) => missing.push((written.to_owned(), name.to_owned())),
            },
        }
    }
    Ok(())
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
            ("${env:-d}", "d"),
            ("${env:NO:-${env:A}}", "1"),
            ("${A${A}", "${A1"),
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
    fn variables_that_only_an_editor_replaces_are_found() {
        for (text, start) in [
            ("${input:key}", "${input:"),
            ("a ${config:x} ${command:y.z}", "${config:"),
            ("${file:~/.token}", "${file:"),
            ("${workspaceFolder:api}/x", "${workspaceFolder:"),
            ("Bearer ${{ secrets.KEY }}", "${{"),
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
        let expanded = expand("${B} ${A} ${C:-${D}}", &value_of);
        let Err(ExpandError::Missing(missing)) = expanded else {
            panic!("{expanded:?}");
        };
        let names: Vec<&str> = missing.iter().map(|(_, name)| name.as_str()).collect();
        assert_eq!(names, ["B", "D"]);
        assert_eq!(missing[0].0, "${B}");
    }

    #[test]
    fn defaults_are_as_deep_as_is_allowed() {
        let nested = |depth: usize| format!("{}x{}", "${NO:-".repeat(depth), "}".repeat(depth));
        assert_eq!(expand(&nested(DEEPEST), &value_of), Ok("x".to_owned()));
        for depth in [DEEPEST + 1, 100_000] {
            assert_eq!(expand(&nested(depth), &value_of), Err(ExpandError::Deep));
        }
    }

    /// Guards against quadratic time, which would amount to minutes here.
    #[test]
    fn a_long_value_is_read_in_one_pass() {
        const MANY: usize = 200_000;
        for unit in ["${", "${A:-", "${env:", "${x%", "$", "{", "}"] {
            let text = unit.repeat(MANY);
            assert_eq!(expand(&text, &value_of), Ok(text));
        }
        let text = format!("{}{}", "${x%".repeat(MANY), "}".repeat(MANY));
        assert_eq!(expand(&text, &value_of), Ok(text));
        assert_eq!(
            expand(&"${A}".repeat(MANY), &value_of),
            Ok("1".repeat(MANY))
        );
    }

    #[test]
    fn names_are_what_a_shell_takes_for_one() {
        for name in ["", "A B", "A\nB", "A=B", "1A", "A-B", "Ä", "A\0"] {
            assert!(!is_variable_name(name), "{name:?}");
        }
        for name in ["API_KEY", "_x", "a1"] {
            assert!(is_variable_name(name), "{name}");
        }
    }
}
