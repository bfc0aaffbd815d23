//! Files of variables, read as VS Code and Cursor read them.

/// The contents of one file.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct EnvFile {
    /// In the order of the file; of two of one name the last counts.
    pub(super) variables: Vec<(String, String)>,
    /// The numbers, from 1, of lines that are no assignments.
    pub(super) odd: Vec<usize>,
}

/// Reads `NAME=value` lines. `export` before them, comments and blank lines do not count. A value in quotes may
/// hold `#` and go over several lines; between `"` also `\n` and `\r`. No variable in a value is replaced.
pub(super) fn parse(text: &str) -> EnvFile {
    let text = text.trim_start_matches('\u{feff}').replace("\r\n", "\n");
    let mut file = EnvFile::default();
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, mut after) = rest.split_once('\n').unwrap_or((rest, ""));
        let number = text[..text.len() - rest.len()].matches('\n').count() + 1;
        let said = line.trim();
        if !said.is_empty() && !said.starts_with('#') {
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

/// The name that a line sets, and where its value begins.
fn assignment(line: &str) -> Option<(&str, usize)> {
    let at = line.find(['=', ':'])?;
    let name = line[..at].trim();
    let name = name.strip_prefix("export ").unwrap_or(name).trim();
    let is_good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    let is_name = !name.is_empty() && name.chars().all(is_good);
    let blank = line[at + 1..].len() - line[at + 1..].trim_start().len();
    is_name.then_some((name, at + 1 + blank))
}

/// A value without quotes ends where a comment begins.
fn plain(text: &str) -> String {
    let text = text.split('#').next().unwrap_or_default();
    text.trim().to_owned()
}

/// The value in quotes that `text` begins with, and what follows its line. Backslashes keep a quote from
/// ending it and stay as they are.
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
