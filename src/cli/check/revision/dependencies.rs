//! Entries of a working tree that git ignores and a server needs: installed packages and files of variables. The files
//! of a commit get links to them.
//!
//! Packages are those of the working tree, not those that the commit asks for. Build results are not linked, since they
//! are results of other sources.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use git2::Repository;

use super::links::link as link_to;
use crate::command_line::program_name;
use crate::config::ServerSpec;

/// Directory of Node.js packages.
const NODE: &str = "node_modules";
/// Names of directories of Python environments.
const ENVIRONMENTS: [&str; 2] = [".venv", "venv"];
/// Programs that change the environment in which they find themselves. They create one of their own instead.
const INSTALLERS: [&str; 7] = ["uv", "pip", "pip3", "pipenv", "poetry", "pdm", "rye"];

/// Links from `there`, the files of a commit, to the ignored entries of `own` that `servers` may need. Returns the
/// names of the entries, and the directories from which Python has to import the packages that its environments would
/// import from `own`.
pub(super) fn link<'s>(
    repository: &Repository,
    own: &Path,
    there: &Path,
    mut servers: impl Iterator<Item = &'s ServerSpec>,
) -> io::Result<(Vec<String>, Vec<PathBuf>)> {
    let mut linked = Vec::new();
    let links_environments = !servers.any(changes_environment);
    let mut directories = vec![PathBuf::new()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(there.join(&directory))? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                directories.push(directory.join(entry.file_name()));
            }
        }
        let environments = ENVIRONMENTS.iter().filter(|_| links_environments);
        for name in [NODE, ".env"].iter().chain(environments) {
            let relative = directory.join(name);
            let (target, at) = (own.join(&relative), there.join(&relative));
            let is_ignored = || repository.is_path_ignored(&relative).unwrap_or(false);
            if !target.exists() || at.symlink_metadata().is_ok() || !is_ignored() {
                continue;
            }
            if *name == NODE {
                link_modules(&target, &at, own, there)?;
            } else {
                link_to(&target, &at)?;
            }
            linked.push(relative.display().to_string());
        }
    }
    linked.sort_unstable();
    let active = std::env::var_os("VIRTUAL_ENV").map(PathBuf::from);
    let environments = linked.iter().map(|it| own.join(it)).chain(active);
    let mut imports: Vec<PathBuf> = environments
        .flat_map(|it| editable(&it, own))
        .filter_map(|it| Some(there.join(it.strip_prefix(own).ok()?)))
        .collect();
    imports.sort_unstable();
    imports.dedup();
    Ok((linked, imports))
}

/// Returns true if a start of the server may change a Python environment.
fn changes_environment(spec: &ServerSpec) -> bool {
    let words = std::iter::once(&spec.program).chain(&spec.args);
    let mut words = words.map(|it| it.to_string_lossy().into_owned());
    let is_installer = |text: &str| {
        let mut names = text.split_whitespace().map(program_name);
        names.any(|name| INSTALLERS.contains(&&*name))
    };
    words.any(|it| is_installer(&it)) || spec.build.as_deref().is_some_and(is_installer)
}

/// Links to each package in the directory `target` of Node.js packages. A package of the same repository, a member of
/// its workspace, is that of the commit.
fn link_modules(target: &Path, at: &Path, own: &Path, there: &Path) -> io::Result<()> {
    fs::create_dir(at)?;
    for entry in fs::read_dir(target)? {
        let entry = entry?;
        let (target, at) = (entry.path(), at.join(entry.file_name()));
        let is_scope = entry.file_name().to_string_lossy().starts_with('@');
        if is_scope && entry.file_type()?.is_dir() {
            link_modules(&target, &at, own, there)?;
            continue;
        }
        let real = dunce::canonicalize(&target).ok();
        let member = real.as_deref().and_then(|it| it.strip_prefix(own).ok());
        let member = member.filter(|it| it.components().all(|it| it.as_os_str() != NODE));
        let of_commit = member.map(|it| there.join(it)).filter(|it| it.exists());
        link_to(&of_commit.unwrap_or(target), &at)?;
    }
    Ok(())
}

/// Returns the directories below `own` from which a Python environment imports packages: those that are installed as
/// editable.
fn editable(environment: &Path, own: &Path) -> Vec<PathBuf> {
    let entries = |path: PathBuf| fs::read_dir(path).into_iter().flatten().flatten();
    let libraries = entries(environment.join("lib")).map(|it| it.path());
    let mut found = Vec::new();
    for library in libraries.chain([environment.join("Lib")]) {
        for entry in entries(library.join("site-packages")) {
            let path = entry.path();
            let extension = path.extension().unwrap_or_default();
            let name = entry.file_name();
            let is_finder = extension == "py" && name.to_string_lossy().starts_with("__editable__");
            if !is_finder && extension != "pth" {
                continue;
            }
            let text = fs::read_to_string(path).unwrap_or_default();
            // A finder has a dictionary of packages and their directories.
            let places = text.split(['\n', '\r', '\'', '"']).map(Path::new);
            let inside = places.filter(|it| it.starts_with(own));
            found.extend(inside.map(|it| match it.parent() {
                Some(parent) if is_finder => parent.to_owned(),
                _ => it.to_owned(),
            }));
        }
    }
    found
}

/// Returns the names of the entries beside the server, and at the top of the tree, that git ignores and the commit
/// lacks.
pub(super) fn missing(own: &Path, there: &Path, cwd: &Path) -> Vec<String> {
    let Ok(repository) = Repository::open(own) else {
        return Vec::new();
    };
    let mut missing = Vec::new();
    for directory in [own, cwd] {
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            let path = entry.path();
            let Ok(relative) = path.strip_prefix(own) else {
                continue;
            };
            let is_ignored = repository.is_path_ignored(relative).unwrap_or(false);
            if is_ignored
                && relative != Path::new(".git")
                && there.join(relative).symlink_metadata().is_err()
            {
                missing.push(relative.display().to_string());
            }
        }
    }
    missing.sort_unstable();
    missing.dedup();
    missing
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Creates a file with the directories around it.
    fn write(root: &Path, path: &str, text: &str) {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn directories() -> (tempfile::TempDir, PathBuf, PathBuf) {
        let root = tempfile::tempdir().unwrap();
        let base = dunce::canonicalize(root.path()).unwrap();
        let (own, there) = (base.join("own"), base.join("there"));
        fs::create_dir_all(&there).unwrap();
        Repository::init(&own).unwrap();
        (root, own, there)
    }

    fn server(line: &str) -> ServerSpec {
        let mut words = line.split_whitespace().map(Into::into);
        let program = words.next().unwrap();
        ServerSpec::new("a".into(), program, words.collect(), "/".into())
    }

    // Wine has no symbolic links.
    #[cfg(unix)]
    #[test]
    fn packages_are_linked_and_members_of_the_workspace_are_those_of_the_commit() {
        let (_root, own, there) = directories();
        write(&own, ".gitignore", "node_modules\n.venv\n.env\ndist\n");
        for path in [
            "node_modules/a/x",
            "node_modules/@s/b/x",
            "member/x",
            "sub/node_modules/c/x",
        ] {
            write(&own, path, "own");
        }
        for path in [".venv/x", ".env", "dist/x", "venv/x"] {
            write(&own, path, "own");
        }
        for path in ["member/x", "sub/y"] {
            write(&there, path, "commit");
        }
        link_to(&own.join("member"), &own.join("node_modules/@s/m")).unwrap();
        let repository = Repository::open(&own).unwrap();
        let servers = [server("node sub/x.js"), server(".venv/bin/python x.py")];
        let (linked, _) = link(&repository, &own, &there, servers.iter()).unwrap();
        assert_eq!(
            linked,
            [".env", ".venv", "node_modules", "sub/node_modules"]
        );
        for (path, text) in [
            ("node_modules/a/x", Some("own")),
            ("node_modules/@s/b/x", Some("own")),
            ("node_modules/@s/m/x", Some("commit")),
            ("sub/node_modules/c/x", Some("own")),
            (".venv/x", Some("own")),
            (".env", Some("own")),
            ("dist/x", None),
            // Not ignored, so that the commit might have it.
            ("venv/x", None),
        ] {
            let found = fs::read_to_string(there.join(path)).ok();
            assert_eq!(found.as_deref(), text, "{path}");
        }
        assert_eq!(missing(&own, &there, &own), ["dist"]);
    }

    #[test]
    fn an_environment_is_not_linked_for_programs_that_would_change_it() {
        let mut built = server("python x.py");
        built.build = Some("python -m pip install . && uv sync".into());
        for changing in [
            server("uv run x.py"),
            server("sh -c /usr/bin/poetry"),
            built,
        ] {
            assert!(changes_environment(&changing), "{changing:?}");
        }
        for still in [server("python x.py"), server("node uv.js")] {
            assert!(!changes_environment(&still), "{still:?}");
        }
    }

    #[test]
    fn packages_of_the_tree_that_are_installed_as_editable_are_found() {
        let (_root, own, _) = directories();
        let site = ".venv/lib/python3.13/site-packages";
        let path = own.display();
        write(
            &own,
            &format!("{site}/_weather.pth"),
            &format!("{path}/src\n"),
        );
        write(
            &own,
            &format!("{site}/__editable___winds_finder.py"),
            &format!("MAPPING: dict = {{'winds': '{path}/lib/winds'}}"),
        );
        write(&own, &format!("{site}/other.pth"), "/elsewhere\nimport x\n");
        let mut found = editable(&own.join(".venv"), &own);
        found.sort_unstable();
        assert_eq!(found, [own.join("lib"), own.join("src")]);
    }
}
