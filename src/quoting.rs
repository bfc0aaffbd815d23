//! Quotes and escapes foreign text within a line of the proxy that a person decides by: the text cannot leave its line,
//! and its beginning and end are visible.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

/// Maximum length of a text in characters. Longer texts are cut, so that they cannot push the rest out of sight.
const LONGEST: usize = 400;
/// Maximum number of files to name.
const FEW: usize = 5;

/// Returns a value in double quotes. Line ends, escapes and invisible characters are written as `\n`, `\u{202e}`.
pub(crate) fn value(text: &str) -> String {
    let (text, more) = cut(text);
    format!("{text:?}{more}")
}

/// Returns the words of a command; a word is quoted like a [`value`] unless it consists of plain characters.
pub(crate) fn command(words: impl IntoIterator<Item: AsRef<str>>) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-./@:=+,%~<>![]*".contains(c);
    let word = |word: &str| {
        if !word.is_empty() && word.len() <= LONGEST && word.chars().all(is_plain) {
            word.to_owned()
        } else {
            value(word)
        }
    };
    let words = words.into_iter().map(|it| word(it.as_ref()));
    let words: Vec<String> = words.collect();
    words.join(" ")
}

/// Returns the names of files, each a [`value`]; of many, the first few and the number of the others.
pub(crate) fn files<'a>(files: impl IntoIterator<Item = &'a PathBuf>) -> String {
    let mut files = files.into_iter();
    let few = files.by_ref().take(FEW);
    let names: Vec<String> = few.map(|it| value(&it.to_string_lossy())).collect();
    let names = names.join(", ");
    match files.count() {
        0 => names,
        more => format!("{names} and {more} more"),
    }
}

/// Returns a folder and the names of its [`files`] for each of `folders`.
pub(crate) fn files_by_folder(folders: &BTreeMap<PathBuf, BTreeSet<PathBuf>>) -> Vec<String> {
    let text = |(folder, names)| {
        let folder: &PathBuf = folder;
        format!("{}: {}", value(&folder.to_string_lossy()), files(names))
    };
    folders.iter().map(text).collect()
}

/// Returns a sentence with foreign words, escaped like a [`value`] but without the quotes.
pub(crate) fn sentence(text: &str) -> String {
    let (text, more) = cut(text);
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '"' | '\'' | '\\' => shown.push(c),
            c => shown.extend(c.escape_debug()),
        }
    }
    shown + &more
}

fn cut(text: &str) -> (&str, String) {
    match text.char_indices().nth(LONGEST) {
        Some((at, _)) => (&text[..at], format!("… (+{} bytes)", text.len() - at)),
        None => (text, String::new()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_leaves_its_line_or_its_quotes() {
        assert_eq!(
            value("a\n\"SAFE\"\u{202e}\u{1b}[2K"),
            r#""a\n\"SAFE\"\u{202e}\u{1b}[2K""#
        );
        assert_eq!(
            sentence("`a\r\n\u{2028}b` isn't \"c\""),
            r#"`a\r\n\u{2028}b` isn't "c""#
        );
        let words = ["uv", "run", "my server.py", "", "x\ny", "--a=b"];
        assert_eq!(command(words), r#"uv run "my server.py" "" "x\ny" --a=b"#);
    }

    #[test]
    fn names_of_files_are_quoted_and_counted() {
        let names = ["a", "b c", "x\nSAFE", "d", "e", "f", "g"].map(PathBuf::from);
        assert_eq!(files(&names[..2]), r#""a", "b c""#);
        assert_eq!(
            files(&names),
            r#""a", "b c", "x\nSAFE", "d", "e" and 2 more"#
        );
    }

    #[test]
    fn long_text_is_cut() {
        let long = "ä".repeat(LONGEST + 5);
        assert!(value(&long).ends_with("ä\"… (+10 bytes)"));
        assert!(command([&*long]).ends_with("(+10 bytes)"));
    }
}
