//! Environment variables of a request to install: names a model may not set, names the repository mentions.

mod dangerous_names;

use std::collections::BTreeSet;
use std::path::Path;

use ignore::WalkBuilder;
use memchr::memmem;

pub(super) use dangerous_names::steers;

/// Size limits for searched files, in bytes: per file, and in total.
const FILE: u64 = 1 << 20;
const ALL: u64 = 64 << 20;

/// Returns the entries of `names` that occur in a file of `folder`.
pub(super) fn mentioned<'a>(
    folder: &Path,
    names: impl Iterator<Item = &'a str>,
) -> BTreeSet<&'a str> {
    let mut missing: BTreeSet<&str> = names.collect();
    let mut found = BTreeSet::new();
    let mut left = ALL;
    let files = WalkBuilder::new(folder)
        .standard_filters(false)
        .filter_entry(|entry| entry.file_name() != ".git")
        .build();
    for file in files.flatten() {
        if missing.is_empty() {
            break;
        }
        let is_file = file.file_type().is_some_and(|kind| kind.is_file());
        let size = file.metadata().map_or(u64::MAX, |it| it.len());
        if !is_file || size > FILE.min(left) {
            continue;
        }
        left -= size;
        let text = std::fs::read(file.path()).unwrap_or_default();
        let here: Vec<&str> = missing
            .iter()
            .copied()
            .filter(|name| has_word(&text, name))
            .collect();
        for name in here {
            missing.remove(name);
            found.insert(name);
        }
    }
    found
}

fn has_word(text: &[u8], word: &str) -> bool {
    let goes_on =
        |byte: Option<&u8>| byte.is_some_and(|it| it.is_ascii_alphanumeric() || *it == b'_');
    memmem::find_iter(text, word).any(|at| {
        let before = at.checked_sub(1).and_then(|at| text.get(at));
        !goes_on(before) && !goes_on(text.get(at + word.len()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_is_known_if_a_file_has_its_whole_name() {
        let folder = tempfile::tempdir().unwrap();
        let write =
            |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        std::fs::create_dir(folder.path().join(".git")).unwrap();
        write(".env.example", "API_KEY=\nMY_TOKEN_2=");
        write(".git/config", "HIDDEN");
        let names = ["API_KEY", "MY_TOKEN", "KEY", "HIDDEN"];
        let found = mentioned(folder.path(), names.into_iter());
        assert_eq!(found.into_iter().collect::<Vec<_>>(), ["API_KEY"]);
    }
}
