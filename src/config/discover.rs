//! Discovery of configuration files.

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

use std::path::{Path, PathBuf};

#[cfg(unix)]
use self::unix as system;
#[cfg(windows)]
use self::windows as system;

use super::ConfigContext;
use system::other_owner;
pub(super) use system::users;

/// Name of the proxy's own file.
pub(super) const OWN: &str = "mcp-proxy.toml";
/// Name of the file that clients share.
pub(super) const SHARED: &str = ".mcp.json";
/// Names of both files.
pub(crate) const NAMES: [&str; 2] = [OWN, SHARED];
/// Entries that mark the root of a repository.
const REPOSITORIES: [&str; 4] = [".git", ".jj", ".hg", ".svn"];

/// Files to read; `toml` adds to `json`.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct ConfigPaths {
    pub(super) json: Option<PathBuf>,
    pub(super) toml: Option<PathBuf>,
    /// Files above the current directory that belong to other users, each with its owner's id; not read.
    pub(super) foreign: Vec<(PathBuf, u32)>,
}

impl ConfigPaths {
    /// Returns the files to read, in this order.
    pub(super) fn files(self) -> impl Iterator<Item = PathBuf> {
        [self.json, self.toml].into_iter().flatten()
    }
}

/// Finds the files for these surroundings. Accepts an explicit file even if it is missing or belongs to another user.
pub(super) fn discover(around: &ConfigContext) -> ConfigPaths {
    let (explicit, cwd) = (around.explicit.as_deref(), around.cwd.as_path());
    let mut foreign = Vec::new();
    let mut is_ours = |file: &PathBuf| {
        let is_chosen = explicit.is_some() || file.parent() == Some(cwd);
        let owner = other_owner(file, &around.users).filter(|_| !is_chosen);
        foreign.extend(owner.map(|owner| (file.clone(), owner)));
        owner.is_none()
    };
    let toml = match explicit {
        Some(file) if file.extension().is_some_and(|it| it == "toml") => Some(cwd.join(file)),
        Some(file) => {
            return ConfigPaths {
                json: Some(cwd.join(file)),
                ..ConfigPaths::default()
            };
        }
        None => nearest(cwd, around.home.as_deref()).filter(&mut is_ours),
    };
    let beside = toml.as_deref().and_then(Path::parent);
    let json = [beside, Some(cwd).filter(|_| explicit.is_none())]
        .into_iter()
        .flatten()
        .map(|folder| folder.join(SHARED))
        .find(|path| is_taken(path) && is_ours(path));
    ConfigPaths {
        json,
        toml,
        foreign,
    }
}

/// Searches upwards from `cwd`, up to the root of a repository or the home directory.
fn nearest(cwd: &Path, home: Option<&Path>) -> Option<PathBuf> {
    let mut paths = upwards(cwd, home).map(|folder| folder.join(OWN));
    paths.find(|path| is_taken(path))
}

/// Whether the name of a configuration file is taken, be it by a directory or a link to a missing file, which the user is
/// told of. Pipes are left out, because reading them may not end.
fn is_taken(path: &Path) -> bool {
    match path.metadata() {
        Ok(target) => target.is_file() || target.is_dir(),
        Err(_) => path.is_symlink(),
    }
}

/// Returns `cwd` and the folders above it, up to the root of a repository or the home directory.
fn upwards<'p>(cwd: &'p Path, home: Option<&'p Path>) -> impl Iterator<Item = &'p Path> {
    let mut is_over = false;
    cwd.ancestors().take_while(move |folder| {
        let is_in = !is_over;
        let is_repository = REPOSITORIES.iter().any(|it| folder.join(it).exists());
        is_over = is_repository || Some(*folder) == home;
        is_in
    })
}

/// Returns the folders that may be the root of the current project, the innermost first. Leaves out folders above the
/// current one that belong to another user.
pub(crate) fn project_folders(around: &ConfigContext) -> Vec<&Path> {
    let folders = upwards(&around.cwd, around.home.as_deref());
    let is_ours =
        |folder: &&Path| *folder == around.cwd || other_owner(folder, &around.users).is_none();
    folders.filter(is_ours).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;
    #[cfg(unix)]
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    /// Creates `repo/.git`, `repo/a/b` and the given files.
    fn tree(files: &[&str]) -> tempfile::TempDir {
        let tree = tempfile::tempdir().unwrap();
        fs::create_dir_all(tree.path().join("repo/.git")).unwrap();
        fs::create_dir_all(tree.path().join("repo/a/b")).unwrap();
        for file in files {
            fs::write(tree.path().join(file), "").unwrap();
        }
        tree
    }

    fn around(cwd: &Path, explicit: Option<&str>) -> ConfigContext {
        ConfigContext {
            explicit: explicit.map(PathBuf::from),
            cwd: cwd.to_owned(),
            users: users(),
            ..ConfigContext::default()
        }
    }

    fn found(files: &[&str], explicit: Option<&str>) -> [Option<String>; 2] {
        let tree = tree(files);
        let cwd = tree.path().join("repo/a/b");
        let places = discover(&around(&cwd, explicit));
        let short = |path: PathBuf| {
            let path = path.strip_prefix(tree.path()).unwrap().to_owned();
            path.to_str().unwrap().replace('\\', "/")
        };
        [places.toml.map(short), places.json.map(short)]
    }

    fn some(toml: Option<&str>, json: Option<&str>) -> [Option<String>; 2] {
        [toml.map(str::to_owned), json.map(str::to_owned)]
    }

    #[cfg(unix)]
    #[test]
    fn a_directory_or_a_broken_link_takes_the_place_of_a_file() {
        let tree = tree(&[]);
        let cwd = tree.path().join("repo/a/b");
        fs::create_dir(cwd.join(SHARED)).unwrap();
        std::os::unix::fs::symlink("nowhere", cwd.join(OWN)).unwrap();
        let places = discover(&around(&cwd, None));
        let found: Vec<PathBuf> = places.files().collect();
        assert_eq!(found, [cwd.join(SHARED), cwd.join(OWN)]);
    }

    #[test]
    fn the_nearest_toml_counts_and_the_json_beside_it() {
        let above = "repo/mcp-proxy.toml";
        assert_eq!(found(&[], None), some(None, None));
        assert_eq!(found(&[above], None), some(Some(above), None));
        let near = "repo/a/mcp-proxy.toml";
        assert_eq!(found(&[above, near], None), some(Some(near), None));
        let (beside, here) = ("repo/.mcp.json", "repo/a/b/.mcp.json");
        assert_eq!(
            found(&[above, beside, here], None),
            some(Some(above), Some(beside))
        );
        assert_eq!(found(&[above, here], None), some(Some(above), Some(here)));
        assert_eq!(found(&[beside], None), some(None, None));
    }

    #[test]
    fn the_walk_ends_at_the_repository_and_at_home() {
        assert_eq!(found(&["mcp-proxy.toml"], None), some(None, None));
        let tree = tree(&["repo/mcp-proxy.toml"]);
        let cwd = tree.path().join("repo/a/b");
        let mut around = around(&cwd, None);
        around.home = Some(tree.path().join("repo/a"));
        assert_eq!(discover(&around), ConfigPaths::default());
    }

    #[cfg(unix)]
    #[test]
    fn a_file_of_another_user_is_not_found_above() {
        let all = [
            "repo/mcp-proxy.toml",
            "repo/.mcp.json",
            "repo/a/b/.mcp.json",
        ];
        let tree = tree(&all);
        let path = |name: &str| tree.path().join(name);
        let cwd = path("repo/a/b");
        let own = path(all[0]).metadata().unwrap().uid();
        let mut around = around(&cwd, None);
        around.users = vec![own + 1];
        let found = discover(&around);
        assert_eq!((found.toml, found.json), (None, Some(path(all[2]))));
        assert_eq!(found.foreign, [(path(all[0]), own)]);
        let faults = crate::config::load(&around).faults;
        let said = faults[0].to_string();
        assert!(
            said.contains(&format!("--config {}", path(all[0]).display())),
            "{said}"
        );
        around.users.push(own);
        let found = discover(&around);
        assert_eq!(
            (found.toml, found.json),
            (Some(path(all[0])), Some(path(all[1])))
        );
        around.users = Vec::new();
        around.explicit = Some(path(all[0]));
        assert_eq!(discover(&around).toml, Some(path(all[0])));
        (around.explicit, around.cwd) = (None, path("repo"));
        assert_eq!(discover(&around).toml, Some(path(all[0])));
    }

    #[test]
    fn an_explicit_file_is_taken() {
        let files = [
            "repo/mcp-proxy.toml",
            "repo/a/b/.mcp.json",
            "repo/.mcp.json",
        ];
        assert_eq!(
            found(&files, Some("no.toml")),
            some(Some("repo/a/b/no.toml"), Some("repo/a/b/.mcp.json"))
        );
        assert_eq!(
            found(&files, Some("x.json")),
            some(None, Some("repo/a/b/x.json"))
        );
    }
}
