//! Checks requirements while packages may run no scripts: they may hold only entries known to run no code.

mod line;
mod lines;

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use super::PrepareError;
use super::prepare_command::CommandInputs;
use super::settings::runs;
use crate::config::guarded;
use crate::install::containment::place_below;
use crate::quoting;
use line::Parsed;

/// Maximum number of requirements files that include each other.
const FILES: usize = 64;
/// Endings of files that uv does not read as requirements.
const NOT_LISTS: [&str; 3] = ["toml", "py", "cfg"];

/// Program that installs the requirements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Installer {
    Uv,
    /// Builds the dependencies of a wheel that come from an address, despite `--only-binary`.
    Pip,
}

/// Checks packages from the head of a script or from another file.
pub(super) fn check_packages(
    packages: &[String],
    installer: Installer,
) -> Result<(), PrepareError> {
    for package in packages {
        let is_plain = package.chars().all(|c| (' '..='~').contains(&c));
        let parsed = line::parse_package(package.trim()).filter(|_| is_plain);
        check_parsed(
            Path::new("the server"),
            package,
            "its packages",
            parsed,
            installer,
        )?;
    }
    Ok(())
}

/// Refuses a requirements file, and files it includes, if an entry could make pip or uv run code.
pub(super) fn check_requirements(
    site: CommandInputs<'_>,
    file: &Path,
    installer: Installer,
) -> Result<(), PrepareError> {
    let ending = file.extension().unwrap_or_default().to_string_lossy();
    if NOT_LISTS.contains(&&*ending.to_ascii_lowercase()) {
        return Err(runs(file, "is not a list of requirements"));
    }
    let first = inside(site.root, file);
    let first = first.ok_or_else(|| runs(file, "is not a file of the repository"))?;
    let (mut open, mut seen) = (vec![first], BTreeSet::new());
    while let Some(file) = open.pop() {
        if !seen.insert(file.clone()) {
            continue;
        }
        if seen.len() > FILES {
            return Err(runs(&file, "is one of too many requirements files"));
        }
        for line in lines::read(&file)? {
            let place = format!("line {}", line.number);
            let parsed = line::parse(&line.text);
            for name in check_parsed(&file, &line.text, &place, parsed, installer)? {
                let named = beside(&file, &name);
                // Some versions of uv take the quotes for a part of the name.
                let quoted =
                    ['"', '\''].map(|quote| beside(&file, &format!("{quote}{name}{quote}")));
                let named = inside(site.root, &named);
                let Some(named) = named.filter(|_| !quoted.iter().any(|it| it.exists())) else {
                    let name = quoting::value(&name);
                    let what =
                        format!("names {name} in {place}, which is not a file of the repository");
                    return Err(runs(&file, &what));
                };
                open.push(named);
            }
        }
    }
    Ok(())
}

/// Checks the content of a line at `place`. Returns the files that it includes.
fn check_parsed(
    file: &Path,
    line: &str,
    place: &str,
    parsed: Option<Parsed>,
    installer: Installer,
) -> Result<Vec<String>, PrepareError> {
    let problem = match parsed {
        None => {
            "is neither a package of an index, a wheel at an https address nor a harmless option"
        }
        Some(parsed) if parsed.elsewhere && installer == Installer::Pip => {
            "takes packages from an address, whose dependencies pip, unlike uv, could build"
        }
        Some(parsed) => return Ok(parsed.files),
    };
    let words: Vec<String> = line.split_whitespace().map(guarded).collect();
    let line = quoting::value(&words.join(" "));
    Err(runs(
        file,
        &format!("has {line} in {place}, which {problem}"),
    ))
}

fn beside(file: &Path, name: &str) -> PathBuf {
    file.parent().unwrap_or(Path::new("")).join(name)
}

/// Returns the path without `..` if it is a regular file within `root`, and its folder is the same whether links are
/// followed before `..` is resolved or after.
fn inside(root: &Path, path: &Path) -> Option<PathBuf> {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                plain.pop();
            }
            part => plain.push(part),
        }
    }
    let is_same =
        dunce::canonicalize(path.parent()?).ok()? == dunce::canonicalize(plain.parent()?).ok()?;
    let is_inside = place_below(root, &plain).is_some() && plain.is_file();
    (is_same && is_inside).then_some(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listed_packages_are_checked_as_requirements_are() {
        let check = |package: &str| {
            let packages = ["mcp".to_owned(), package.to_owned()];
            check_packages(&packages, Installer::Uv)
        };
        assert!(check("fastmcp>=2 ; python_version > '3'").is_ok());
        assert!(check("x @ git+https://x.example/y").is_err());
        assert!(check("./folder").is_err());
        assert!(check("x @ https://x/${Y}.whl").is_err());
        assert!(check("x\n--index-url=https://x").is_err());
        assert!(check("x\u{2028}>=1").is_err());
        assert!(check("x --hash=sha256:ab").is_err());
    }

    fn check_in(root: &Path, file: &str, installer: Installer) -> Result<(), PrepareError> {
        let site = CommandInputs {
            root,
            folder: root,
            scripts: false,
            locks: true,
        };
        check_requirements(site, &root.join(file), installer)
    }

    #[test]
    fn requirements_that_are_built_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("requirements.txt");
        let check = |text: &str| {
            std::fs::write(&file, text).unwrap();
            check_in(folder.path(), "requirements.txt", Installer::Uv)
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
    #[cfg(unix)]
    #[test]
    fn included_files_are_files_of_the_repository() {
        let outside = tempfile::tempdir().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        let link = |to: &Path, name: &str| std::os::unix::fs::symlink(to, root.join(name)).unwrap();
        std::fs::write(outside.path().join("r.txt"), "mcp").unwrap();
        std::fs::create_dir_all(root.join("a/b")).unwrap();
        for (name, text) in [
            ("a/loop.txt", "-r ../b.txt\n-c loop.txt"),
            ("b.txt", "mcp\n-ra/loop.txt"),
            ("'quoted.txt'", "-e ."),
            ("quoted.txt", "mcp"),
            ("setup.py", "mcp"),
            ("deep.txt", "mcp"),
            ("a/deep.txt", "-e ."),
        ] {
            std::fs::write(root.join(name), text).unwrap();
        }
        link(&outside.path().join("r.txt"), "out.txt");
        link(outside.path(), "out");
        link(&root.join("a/b"), "in");
        link(&root.join("deep.txt"), "a/same.txt");
        link(&root.join("deep.txt"), "same.txt");
        let check = |text: &str| {
            std::fs::write(root.join("r.txt"), text).unwrap();
            check_in(root, "r.txt", Installer::Uv)
        };
        assert!(check("-r b.txt\n-r './b.txt'").is_ok());
        for text in [
            "-r out.txt",
            "-r out/r.txt",
            "-c out/r.txt",
            "-r a",
            "-r 'quoted.txt'",
            // Links come before `..` for the system, after it for others.
            "-r in/../deep.txt",
            "-r in/../same.txt",
        ] {
            assert!(check(text).is_err(), "{text}");
        }
        let up = format!(
            "-r ../{}/r.txt",
            outside.path().file_name().unwrap().display()
        );
        assert!(check(&up).is_err(), "{up}");
        for file in ["out.txt", "setup.py", "none.txt"] {
            assert!(check_in(root, file, Installer::Uv).is_err(), "{file}");
        }
    }

    #[test]
    fn pip_takes_packages_from_its_index_alone() {
        let folder = tempfile::tempdir().unwrap();
        for (text, permitted) in [
            ("mcp\n-i https://pypi.org/simple", true),
            ("x @ https://x/y.whl", false),
            ("--extra-index-url https://x\nmcp", false),
        ] {
            std::fs::write(folder.path().join("r.txt"), text).unwrap();
            assert!(
                check_in(folder.path(), "r.txt", Installer::Uv).is_ok(),
                "{text}"
            );
            let checked = check_in(folder.path(), "r.txt", Installer::Pip);
            assert_eq!(checked.is_ok(), permitted, "{text}");
        }
    }

    #[test]
    fn an_error_names_the_line_and_the_way_out_but_no_password() {
        let folder = tempfile::tempdir().unwrap();
        let text = "# x\n\nmcp \\\n  >=1\nx @ git+https://me:hunter2@x.example/y\n";
        std::fs::write(folder.path().join("r.txt"), text).unwrap();
        let error = check_in(folder.path(), "r.txt", Installer::Uv)
            .unwrap_err()
            .to_string();
        assert!(error.contains("r.txt has \"x @ git+https://"), "{error}");
        assert!(
            error.contains("in line 5") && error.contains("--scripts"),
            "{error}"
        );
        assert!(!error.contains("hunter2"), "{error}");
    }
}
