//! Where the configuration is.

use std::path::{Path, PathBuf};

/// The proxy's own file.
pub(super) const OWN: &str = "mcp-proxy.toml";
/// The file that clients share.
pub(super) const SHARED: &str = ".mcp.json";
/// Both names.
pub(crate) const NAMES: [&str; 2] = [OWN, SHARED];
/// What the root of a repository holds.
const REPOSITORIES: [&str; 4] = [".git", ".jj", ".hg", ".svn"];

/// The files to read; the second adds to the first.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Places {
    pub(super) json: Option<PathBuf>,
    pub(super) toml: Option<PathBuf>,
}

/// The files that `explicit` or `cwd` leads to. An explicit file is taken though it is not there.
pub(super) fn discover(explicit: Option<&Path>, cwd: &Path, home: Option<&Path>) -> Places {
    let toml = match explicit {
        Some(file) if file.extension().is_some_and(|it| it == "toml") => Some(cwd.join(file)),
        Some(file) => {
            return Places {
                json: Some(cwd.join(file)),
                toml: None,
            };
        }
        None => nearest(cwd, home),
    };
    let beside = toml.as_deref().and_then(Path::parent);
    let json = [beside, Some(cwd).filter(|_| explicit.is_none())]
        .into_iter()
        .flatten()
        .map(|folder| folder.join(SHARED))
        .find(|path| path.is_file());
    Places { json, toml }
}

/// Upwards from `cwd`, but not out of a repository or above the home directory.
fn nearest(cwd: &Path, home: Option<&Path>) -> Option<PathBuf> {
    for folder in cwd.ancestors() {
        let path = folder.join(OWN);
        if path.is_file() {
            return Some(path);
        }
        let is_repository = REPOSITORIES.iter().any(|it| folder.join(it).exists());
        if is_repository || Some(folder) == home {
            return None;
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// `repo/.git`, `repo/a/b`, and the files named.
    fn tree(files: &[&str]) -> tempfile::TempDir {
        let tree = tempfile::tempdir().unwrap();
        fs::create_dir_all(tree.path().join("repo/.git")).unwrap();
        fs::create_dir_all(tree.path().join("repo/a/b")).unwrap();
        for file in files {
            fs::write(tree.path().join(file), "").unwrap();
        }
        tree
    }

    fn found(files: &[&str], explicit: Option<&str>) -> [Option<String>; 2] {
        let tree = tree(files);
        let cwd = tree.path().join("repo/a/b");
        let places = discover(explicit.map(Path::new), &cwd, None);
        let short = |path: PathBuf| {
            let path = path.strip_prefix(tree.path()).unwrap().to_owned();
            path.to_str().unwrap().to_owned()
        };
        [places.toml.map(short), places.json.map(short)]
    }

    fn some(toml: Option<&str>, json: Option<&str>) -> [Option<String>; 2] {
        [toml.map(str::to_owned), json.map(str::to_owned)]
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
        let home = tree.path().join("repo/a");
        assert_eq!(discover(None, &cwd, Some(&home)), Places::default());
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
