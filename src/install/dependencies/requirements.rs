//! Checks requirements for packages that pip and uv would build, or options that run code, while packages may run no
//! scripts.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::PrepareError;
use super::settings::{read, runs};

/// Maximum number of requirements files that include each other.
const FILES: usize = 64;

/// Checks packages from the head of a script or from another file.
pub(super) fn check_packages(packages: &[String]) -> Result<(), PrepareError> {
    let builds = |line: &&String| matches!(requirement(line.trim()), Requirement::Builds);
    match packages.iter().find(builds) {
        Some(line) => Err(builds_it(Path::new("the server"), line)),
        None => Ok(()),
    }
}

/// Refuses a requirements file, and files it includes, if pip or uv would build a package or run code for an entry.
pub(super) fn check_requirements(file: &Path) -> Result<(), PrepareError> {
    let (mut open, mut seen) = (vec![file.to_owned()], BTreeSet::new());
    while let Some(file) = open.pop() {
        if !seen.insert(file.clone()) {
            continue;
        }
        if seen.len() > FILES {
            return Err(runs(&file, "is one of too many files of requirements"));
        }
        for line in logical_lines(&read(&file)?) {
            if line.contains('#') && line.ends_with('\\') {
                return Err(runs(
                    &file,
                    "has a comment that ends in `\\`, which tools read differently",
                ));
            }
            let line = without_comment(&line);
            match requirement(line) {
                Requirement::Package => {}
                Requirement::Files(names) => {
                    for name in names {
                        let named = beside(&file, name);
                        if !named.is_file() {
                            return Err(runs(
                                &file,
                                &format!("names `{name}`, which is not there"),
                            ));
                        }
                        open.push(named);
                    }
                }
                Requirement::Builds => return Err(builds_it(&file, line)),
            }
        }
    }
    Ok(())
}

/// Splits text into lines as pip does: a trailing backslash continues a line, except in comments.
fn logical_lines(text: &str) -> Vec<String> {
    // Line separators of Python.
    let ends = [
        '\n', '\r', '\u{b}', '\u{c}', '\u{1c}', '\u{1d}', '\u{1e}', '\u{85}', '\u{2028}',
        '\u{2029}',
    ];
    let (mut lines, mut open) = (Vec::new(), String::new());
    for line in text.replace("\r\n", "\n").split(ends) {
        let is_comment = line.trim_start().starts_with('#');
        match line.strip_suffix('\\') {
            Some(begun) if !line.contains('#') => open.push_str(begun),
            _ if is_comment => lines.push(std::mem::take(&mut open)),
            _ => lines.push(std::mem::take(&mut open) + line),
        }
    }
    lines.push(open);
    lines
}

fn without_comment(line: &str) -> &str {
    let begins = |(at, _): &(usize, &str)| {
        line[..*at].is_empty() || line[..*at].ends_with(char::is_whitespace)
    };
    let comment = line.match_indices('#').find(begins);
    comment.map_or(line, |(at, _)| &line[..at]).trim()
}

enum Requirement<'a> {
    /// A package from an index, or a wheel at an address.
    Package,
    /// Other requirements files.
    Files(Vec<&'a str>),
    Builds,
}

/// Options with a value that decide where packages come from.
const WITH_VALUE: [&str; 6] = [
    "-i",
    "--index-url",
    "--extra-index-url",
    "-f",
    "--find-links",
    "--trusted-host",
];
/// Such options without a value.
const ALONE: [&str; 4] = ["--pre", "--prefer-binary", "--require-hashes", "--no-index"];
/// Options that include other requirements files.
const FILES_OF: [&str; 4] = ["-r", "--requirement", "-c", "--constraint"];
/// Suffixes of packages that have to be built.
const ARCHIVES: [&str; 7] = [
    ".zip", ".tar", ".tgz", ".tar.gz", ".tar.bz2", ".tar.xz", ".tbz",
];

fn requirement(line: &str) -> Requirement<'_> {
    if line.starts_with('-') {
        return options(line).map_or(Requirement::Builds, Requirement::Files);
    }
    let mut words = line.split_whitespace().skip(1);
    if words.any(|word| word.starts_with('-') && !word.starts_with("--hash")) {
        return Requirement::Builds;
    }
    // The line is `name @ address`, an address, or a path.
    let line = line.split(';').next().unwrap_or_default();
    let line = line.split(" --").next().unwrap_or_default().trim();
    let place = line.split_once('@').map_or(line, |(_, place)| place.trim());
    let path = place.split(['?', '#']).next().unwrap_or_default();
    let is_place = line.contains('@')
        || place.contains(['/', '\\'])
        || place.starts_with('.')
        || place.contains("://")
        || ARCHIVES
            .iter()
            .any(|end| path.to_ascii_lowercase().ends_with(end));
    let is_safe = path.starts_with("https://") || !path.contains(':');
    if !is_place || is_safe && Path::new(path).extension() == Some("whl".as_ref()) {
        return Requirement::Package;
    }
    Requirement::Builds
}

/// Returns the files that a line of options includes; `None` if it has an option not known to be free of builds. pip
/// also accepts abbreviated option names.
fn options(line: &str) -> Option<Vec<&str>> {
    let mut files = Vec::new();
    let mut words = line.split_whitespace();
    while let Some(word) = words.next() {
        if ALONE.contains(&word) || word == "--only-binary=:all:" {
            continue;
        }
        let is_short = word.len() > 2 && !word.starts_with("--");
        let (name, value) = match word.split_once('=') {
            Some((name, value)) if !is_short => (name, Some(value)),
            _ if is_short => (word.get(..2)?, word.get(2..)),
            _ => (word, None),
        };
        let value = value.or_else(|| words.next())?.trim_matches(['"', '\'']);
        if FILES_OF.contains(&name) && !value.contains("://") {
            files.push(value);
        } else if !WITH_VALUE.contains(&name) && (name, value) != ("--only-binary", ":all:") {
            return None;
        }
    }
    Some(files)
}

fn beside(file: &Path, name: &str) -> PathBuf {
    file.parent().unwrap_or(Path::new("")).join(name)
}

fn builds_it(file: &Path, line: &str) -> PrepareError {
    runs(file, &format!("has `{line}`, which would be built"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listed_packages_are_checked_as_requirements_are() {
        let check = |package: &str| check_packages(&["mcp".to_owned(), package.to_owned()]);
        assert!(check("fastmcp>=2 ; python_version > '3'").is_ok());
        assert!(check("x @ git+https://x.example/y").is_err());
        assert!(check("./folder").is_err());
    }

    #[test]
    fn requirements_that_are_built_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("requirements.txt");
        let check = |text: &str| {
            std::fs::write(&file, text).unwrap();
            check_requirements(&file)
        };
        std::fs::write(folder.path().join("more.txt"), "-e .").unwrap();
        std::fs::write(folder.path().join("wheels.txt"), "mcp").unwrap();
        for text in [
            "./folder",
            "folder/x",
            ".",
            "..",
            "/tmp/x",
            "-e .",
            "--editable=.",
            "-e git+https://x/y",
            "git+https://x/y",
            "x @ git+https://x/y",
            "x@file:///tmp/y",
            "file:./y",
            "https://x/y.tar.gz",
            "x @ https://x/y.zip",
            "x @ ./y",
            "./y ; python_version > '3'",
            "--no-binary :all:",
            "--no-binary=x",
            "mcp\n-r more.txt",
            "-cmore.txt",
            "-r https://x/y.txt",
            "mcp --config-settings=a=b",
            "./fol\\\nder",
            "./x[extra]",
            "y.whl@http://x/y.whl",
            "evil-1.tar.gz",
            "# note \\\n-e ./evil",
            "mcp # note \\\n-e ./evil",
            "--pre -e ./evil",
            "--edi=./evil",
            "-r\tmore.txt",
            "-r none.txt",
            "mcp\u{b}-e .",
            "--index-url https://x -e .",
        ] {
            assert!(check(text).is_err(), "{text}");
        }
        for text in [
            "mcp",
            "mcp[cli]>=1.2,<2 # the SDK",
            "# -e .",
            "x==1.0 ; python_version < '3.9'",
            "--index-url https://x/simple",
            "--extra-index-url=https://x",
            "x==1 --hash=sha256:abc",
            "x @ https://x/y-1-py3-none-any.whl",
            "mcp\t# see a/b",
            "--only-binary :all:",
            "-i https://x --extra-index-url=https://y",
            "-r wheels.txt",
            "",
        ] {
            assert!(check(text).is_ok(), "{text}");
        }
    }
}
