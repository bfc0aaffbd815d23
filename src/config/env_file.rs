//! Parser for env files, compatible with VS Code and Cursor.

/// Contents of one env file.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct EnvFile {
    /// Variables in file order; the last of several with the same name wins.
    pub(super) variables: Vec<(String, String)>,
    /// Line numbers, from 1, of lines that assign nothing.
    pub(super) odd: Vec<usize>,
}

/// Parses lines of the form `NAME=value` or `NAME: value`. Skips comments and blank lines and ignores a leading
/// `export`. A quoted value may contain `#` and span several lines; within `"`, `\n` and `\r` are escape sequences.
/// Variables in values are not expanded.
pub(super) fn parse(text: &str) -> EnvFile {
    let text = text.trim_start_matches('\u{feff}').replace("\r\n", "\n");
    let mut file = EnvFile::default();
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, mut after) = rest.split_once('\n').unwrap_or((rest, ""));
        let number = text[..text.len() - rest.len()].matches('\n').count() + 1;
        let trimmed = line.trim();
        if !trimmed.is_empty() && !trimmed.starts_with('#') {
            match assignment(line) {
                Some((name, value)) => {
                    let (value, end) = match quoted(&rest[value..]) {
                        Some((value, end)) => (value, Some(end)),
                        None => (plain(&line[value..]), None),
                    };
                    after = end.unwrap_or(after);
                    file.variables.push((name.to_owned(), value));
                }
                None => file.odd.push(number),
            }
        }
        rest = after;
    }
    file
}

/// Returns the name that a line assigns and the offset of the value.
fn assignment(line: &str) -> Option<(&str, usize)> {
    let at = line.find(['=', ':'])?;
    let name = line[..at].trim();
    let name = name.strip_prefix("export ").unwrap_or(name).trim();
    let is_good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    let is_name = !name.is_empty() && name.chars().all(is_good);
    let blank = line[at + 1..].len() - line[at + 1..].trim_start().len();
    is_name.then_some((name, at + 1 + blank))
}

/// Returns an unquoted value, which ends at a comment.
fn plain(text: &str) -> String {
    let text = text.split('#').next().unwrap_or_default();
    text.trim().to_owned()
}

/// Returns the quoted value at the start of `text` and the text after its last line; `None` unless the whole value is
/// quoted. A backslash before a quote keeps it from closing the value and stays in the value.
fn quoted(text: &str) -> Option<(String, &str)> {
    let quote = text.chars().next().filter(|c| "\"'`".contains(*c))?;
    let inside = &text[1..];
    let ends = |at: &usize| !inside[..*at].ends_with('\\');
    let end = inside.match_indices(quote).map(|(at, _)| at).find(ends)?;
    let (line, after) = inside[end + 1..]
        .split_once('\n')
        .unwrap_or((&inside[end + 1..], ""));
    let follows = line.trim_start();
    if !follows.is_empty() && !follows.starts_with('#') {
        return None;
    }
    let value = &inside[..end];
    let value = if quote == '"' {
        value.replace("\\n", "\n").replace("\\r", "\r")
    } else {
        value.to_owned()
    };
    Some((value, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_as_the_clients_read_them() {
        for (text, value) in [
            ("K=v", "v"),
            ("  export K = v  # c", "v"),
            ("K: v\r\nL=", "v"),
            ("\u{feff}K=v", "v"),
            ("K=", ""),
            ("K=a b#c", "a b"),
            ("K=a=b:c", "a=b:c"),
            ("K=\"a # b\" # c", "a # b"),
            ("K='a\\n${B}'", "a\\n${B}"),
            ("K=\"a\\nb\"", "a\nb"),
            ("K=`\"x\"`", "\"x\""),
            ("K=\"a\nb\"\nL=1", "a\nb"),
            ("K=\"a\\\"b\"", "a\\\"b"),
            ("K='it", "'it"),
            ("K=\"a\" b", "\"a\" b"),
            ("K='' # none", ""),
            ("# K=no\n\nK=v", "v"),
        ] {
            let file = parse(text);
            let first = file.variables.first();
            let expected = ("K".to_owned(), value.to_owned());
            assert_eq!(first, Some(&expected), "{text}");
            assert_eq!(file.odd, [0; 0], "{text}");
            assert_eq!(file.variables.len() > 1, text.contains('L'), "{text}");
        }
    }

    #[test]
    fn lines_that_set_nothing_are_told_by_number() {
        let text = "A=1\nnothing\nB='x\ny'\n=v\nC D=1\nE=2";
        let file = parse(text);
        assert_eq!(file.odd, [2, 5, 6]);
        let names: Vec<_> = file.variables.iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["A", "B", "E"]);
    }
}
