//! Modules loaded by a process, as noted by its bootstrap, and the decision whether the next process may load them
//! ahead of its code.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use super::stamp::Stamp;

/// Modules that patch modules loaded after them, so that nothing may be loaded ahead of them.
const PATCHES: &[&str] = &[
    "gevent.monkey",
    "eventlet.patcher",
    "ddtrace.auto",
    "newrelic.agent",
    "opentelemetry.instrumentation.instrumentor",
    "sentry_sdk",
];

/// Packages of Node.js that patch modules loaded after them.
#[rustfmt::skip] // A table.
const HOOKS: &[&str] = &[
    "@opentelemetry/instrumentation", "@sentry/server-runtime-injection", "dd-trace", "elastic-apm-node",
    "import-in-the-middle", "newrelic", "require-in-the-middle", "zone.js",
];

/// Files in or above the directory of the code that affect the loading of packages.
#[rustfmt::skip] // A table.
const SETTINGS: &[&str] = &[
    ".env", ".python-version", "Pipfile.lock", "fastmcp.json", "pdm.lock", "poetry.lock", "pyproject.toml",
    "requirements.txt", "setup.cfg", "uv.lock", "uv.toml", ".npmrc", "bun.lock", "npm-shrinkwrap.json",
    "package-lock.json", "package.json", "pnpm-lock.yaml", "tsconfig.json", "yarn.lock",
];

/// Notes of one process.
#[derive(Debug, Clone)]
pub(super) struct PreloadList {
    /// Text for the next process.
    pub(super) text: String,
    /// Files that the notes depend on: a change to one invalidates them.
    files: BTreeSet<PathBuf>,
}

/// Reason why nothing can be loaded ahead.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum PreloadError {
    #[error("`{0}` changes modules that are loaded after it")]
    Patch(&'static str),
    #[error("{0} runs before the server")]
    Earlier(String),
}

impl PreloadList {
    /// Parses the `log` of a server in `cwd`. Reads the file system.
    pub(super) fn new(log: &str, cwd: &Path) -> Result<Self, PreloadError> {
        let lines = || log.lines().filter_map(|line| line.split_once('\t'));
        let marked = |mark| {
            lines()
                .filter(move |(name, _)| *name == mark)
                .map(|(_, place)| place)
        };
        let installed: Vec<&str> = marked("#installed").collect();
        let is_installed = |place: &Path| installed.iter().any(|folder| place.starts_with(folder));
        let real = |path: &Path| dunce::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let real_installed: Vec<PathBuf> =
            installed.iter().map(|path| real(Path::new(path))).collect();

        let mut learned = Self {
            text: log.to_owned(),
            files: real_installed.iter().cloned().collect(),
        };
        learned
            .files
            .extend(marked("#interpreter").map(PathBuf::from));
        let folders = marked("#own").map(Path::new).chain(cwd.ancestors());
        let settings = folders.flat_map(|folder| SETTINGS.iter().map(|name| folder.join(name)));
        learned.files.extend(settings);
        let loaded = lines().filter(|(name, place)| !name.starts_with('#') && !place.is_empty());
        for (name, place) in loaded {
            let path = Path::new(place);
            refuse(name, place, is_installed(path))?;
            if path.is_absolute() && is_installed(path) {
                let target = real(path);
                let is_linked = !real_installed
                    .iter()
                    .any(|folder| target.starts_with(folder));
                // Debian links `sitecustomize` of its Python from /etc. Each process runs it before anything else, and
                // the stamp follows the link.
                if is_linked && name != "sitecustomize" {
                    let _ = writeln!(learned.text, "#linked\t{name}");
                }
                learned.files.insert(path.to_owned());
            }
        }
        Ok(learned)
    }

    /// Returns the stamp of all files that the notes depend on. Reads the file system.
    pub(super) fn stamp(&self) -> Stamp {
        Stamp::of(&self.files)
    }
}

/// Returns an error if nothing may be loaded ahead of this module.
fn refuse(name: &str, place: &str, is_installed: bool) -> Result<(), PreloadError> {
    let place = place.replace('\\', "/");
    let is_in = |package: &&&str| place.contains(&format!("/node_modules/{package}/"));
    let patch = PATCHES.iter().find(|module| **module == name);
    if let Some(patch) = patch.or_else(|| HOOKS.iter().find(is_in)) {
        return Err(PreloadError::Patch(patch));
    }
    if name == "usercustomize" || name == "sitecustomize" && !is_installed {
        return Err(PreloadError::Earlier(place));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn log(root: &Path, lines: &[(&str, &str)]) -> String {
        let mut log = format!("#installed\t{}/site-packages/\n", root.display());
        for (name, place) in lines {
            let place = place.replace('~', root.to_str().unwrap());
            let _ = writeln!(log, "{name}\t{place}");
        }
        log
    }

    fn project() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for file in ["site-packages/a.py", "own/b.py"] {
            let path = folder.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        folder
    }

    #[cfg(unix)]
    #[test]
    fn linked_packages_are_marked() {
        let folder = project();
        let root = folder.path();
        std::os::unix::fs::symlink(root.join("own/b.py"), root.join("site-packages/b.py")).unwrap();
        let log = log(
            root,
            &[("a", "~/site-packages/a.py"), ("b", "~/site-packages/b.py")],
        );
        let learned = PreloadList::new(&log, root).unwrap();
        assert!(learned.text.ends_with("#linked\tb\n"), "{}", learned.text);
        assert!(!learned.text.contains("#linked\ta"), "{}", learned.text);
    }

    #[cfg(unix)]
    #[test]
    fn a_linked_sitecustomize_is_a_module_like_others_and_its_target_is_stamped() {
        let folder = project();
        let root = folder.path();
        let place = root.join("site-packages/sitecustomize.py");
        std::os::unix::fs::symlink(root.join("own/b.py"), place).unwrap();
        let lines = [("sitecustomize", "~/site-packages/sitecustomize.py")];
        let learned = PreloadList::new(&log(root, &lines), root).unwrap();
        assert!(!learned.text.contains("#linked"), "{}", learned.text);
        let before = learned.stamp();
        fs::write(root.join("own/b.py"), "changed").unwrap();
        assert_ne!(learned.stamp(), before);
    }

    #[test]
    fn hooks_that_run_before_the_server_or_patch_it_leave_it_cold() {
        let folder = project();
        let root = folder.path();
        let told = |lines: &[(&str, &str)]| PreloadList::new(&log(root, lines), root).err();
        assert_eq!(
            told(&[("a", "~/site-packages/a.py"), ("gevent.monkey", "")]),
            None
        );
        assert_eq!(
            told(&[("sitecustomize", "~/site-packages/sitecustomize.py")]),
            None
        );
        for (name, place) in [
            ("gevent.monkey", "~/site-packages/gevent/monkey.py"),
            ("sitecustomize", "~/own/sitecustomize.py"),
            ("usercustomize", "~/site-packages/usercustomize.py"),
        ] {
            assert!(told(&[(name, place)]).is_some(), "{name}");
        }
    }

    #[test]
    fn packages_interpreter_and_settings_are_stamped_and_own_code_is_not() {
        let folder = project();
        let root = folder.path();
        let lines = [
            ("#interpreter", "~/python"),
            ("#own", "~/own"),
            ("a", "~/site-packages/a.py"),
            ("b", "~/own/b.py"),
        ];
        let learned = PreloadList::new(&log(root, &lines), &root.join("own")).unwrap();
        let before = learned.stamp();
        fs::write(root.join("own/b.py"), "1").unwrap();
        assert_eq!(learned.stamp(), before);
        for file in [
            "site-packages/a.py",
            "site-packages/new.py",
            "python",
            "own/.env",
            "uv.lock",
        ] {
            let before = learned.stamp();
            fs::write(root.join(file), "changed").unwrap();
            assert_ne!(learned.stamp(), before, "{file}");
        }
    }
}
