//! Reads the paths that an error message names.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Maximum number of paths.
const MAX_PATHS: usize = 64;
/// Maximum length of a path in bytes.
const MAX_LENGTH: usize = 1024;
/// Characters that enclose paths.
const QUOTES: [char; 6] = ['"', '\'', '`', '‘', '’', '“'];

/// Returns the absolute paths in `lines`, and the quoted words as paths relative to `base`.
pub(super) fn paths(lines: &[String], base: &Path) -> BTreeSet<PathBuf> {
    let words = lines
        .iter()
        .flat_map(|line| quoted(line).chain(unquoted(line)));
    let words = words.filter(|word| !word.is_empty() && word.len() <= MAX_LENGTH);
    words.map(|word| base.join(word)).take(MAX_PATHS).collect()
}

/// Returns the quoted words, without those that are sentences.
fn quoted(line: &str) -> impl Iterator<Item = &str> {
    // An apostrophe is no quote, so that each part may be a quoted one.
    let words = line.split(QUOTES).skip(1);
    words.filter(|word| Path::new(word).is_absolute() || !word.contains(char::is_whitespace))
}

/// Returns the words that are absolute paths, without the position in the file.
fn unquoted(line: &str) -> impl Iterator<Item = &str> {
    let words =
        line.split(|it: char| it.is_whitespace() || "()<>,;".contains(it) || QUOTES.contains(&it));
    words.filter_map(|word| {
        let path = word.strip_prefix("file://").unwrap_or(word);
        let end = path.match_indices(':').find(|(at, _)| *at > 1);
        let path = end.map_or(path, |(at, _)| &path[..at]);
        Path::new(path).is_absolute().then_some(path)
    })
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    #[rustfmt::skip] // A table.
    fn paths_of_error_messages_are_found() {
        for (line, path) in [
            ("  File \"/p/my server/a.py\", line 3, in <module>", "/p/my server/a.py"),
            ("ImportError: cannot import name 'y' from 'k' (/v/site-packages/k/__init__.py)", "/v/site-packages/k/__init__.py"),
            ("FileNotFoundError: [Errno 2] No such file or directory: 'data.bin'", "/base/data.bin"),
            ("Error: Cannot find module '/p/dist/index.js'", "/p/dist/index.js"),
            ("- /p/server/index.js", "/p/server/index.js"),
            ("    at file:///p/server/index.mjs:3:14", "/p/server/index.mjs"),
            ("    at Module._load (/p/server/index.js:1038:27)", "/p/server/index.js"),
            ("panic: open /p/model.onnx: no such file or directory", "/p/model.onnx"),
            ("python3: can't open file '/p/my server.py': [Errno 2]", "/p/my server.py"),
            ("sh: 1: cannot open ‘run.sh’: No such file", "/base/run.sh"),
        ] {
            let found = paths(&[line.to_owned()], Path::new("/base"));
            assert!(found.contains(Path::new(path)), "{line}: {found:?}");
        }
        let found = paths(&["KeyError: 1 and/or 'two words'".to_owned()], Path::new("/base"));
        assert_eq!(found, BTreeSet::new());
    }
}
