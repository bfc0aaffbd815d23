//! What pip and uv would build, or run otherwise, of the packages that a repository asks for, although packages may run no
//! scripts.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::PrepareError;
use super::settings::{read, runs};

/// So many files of requirements may name each other.
const FILES: usize = 64;

/// Checks packages that the head of a script or another file lists.
pub(super) fn check_packages(packages: &[String]) -> Result<(), PrepareError> {
    let builds = |line: &&String| matches!(requirement(line.trim()), Requirement::Builds);
    match packages.iter().find(builds) {
        Some(line) => Err(builds_it(Path::new("the server"), line)),
        None => Ok(()),
    }
}

/// Checks what pip and uv would build, or run otherwise, of a file of requirements and of those that it names.
pub(super) fn check_requirements(file: &Path) -> Result<(), PrepareError> {
    let (mut open, mut seen) = (vec![file.to_owned()], BTreeSet::new());
    while let Some(file) = open.pop() {
        if !seen.insert(file.clone()) {
            continue;
        }
        if seen.len() > FILES {
            return Err(runs(&file, "is one of too many files of requirements"));
        }
        let text = read(&file)?.replace("\\\r\n", "").replace("\\\n", "");
        for line in text.lines() {
            let line = line.split(" #").next().unwrap_or_default().trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            match requirement(line) {
                Requirement::Package => {}
                Requirement::File(name) => open.push(beside(&file, name)),
                Requirement::Builds => return Err(builds_it(&file, line)),
            }
        }
    }
    Ok(())
}

enum Requirement<'a> {
    /// A package of an index, or a wheel at an address.
    Package,
    /// More requirements.
    File(&'a str),
    Builds,
}

fn requirement(line: &str) -> Requirement<'_> {
    let value = |names: [&str; 2]| {
        let rest = names.into_iter().find_map(|name| line.strip_prefix(name))?;
        Some(
            rest.trim_start_matches(['=', ' '])
                .trim_matches(['"', '\'']),
        )
    };
    if let Some(file) = value(["--requirement", "-r"]).or_else(|| value(["--constraint", "-c"])) {
        return if file.contains("://") {
            Requirement::Builds
        } else {
            Requirement::File(file)
        };
    }
    if line.starts_with('-') {
        let builds = [
            "-e",
            "--editable",
            "--no-binary",
            "--only-binary",
            "--config-setting",
            "--global-option",
            "--install-option",
        ];
        return if builds.iter().any(|option| line.starts_with(option)) {
            Requirement::Builds
        } else {
            Requirement::Package
        };
    }
    if ["--config-setting", "--global-option", "--install-option"]
        .iter()
        .any(|option| line.contains(option))
    {
        return Requirement::Builds;
    }
    // `name @ address`, an address, or a path.
    let line = line.split(';').next().unwrap_or_default();
    let line = line.split(" --").next().unwrap_or_default().trim();
    let place = line.split_once('@').map_or(line, |(_, place)| place.trim());
    let is_place = line.contains('@')
        || place.contains(['/', '\\'])
        || place.starts_with('.')
        || place.contains("://");
    let path = place.split(['?', '#']).next().unwrap_or_default();
    let is_safe = path.starts_with("https://") || !path.contains(':');
    if !is_place || is_safe && Path::new(path).extension() == Some("whl".as_ref()) {
        return Requirement::Package;
    }
    Requirement::Builds
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
            "-r none.txt",
            "",
        ] {
            assert!(check(text).is_ok(), "{text}");
        }
    }
}
