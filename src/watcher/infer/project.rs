//! Detection of project directories, and of directories too wide to be one.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::language::{Language, NODE};
use crate::watcher::paths::canonical;

/// Directories of the system or shared by users, which are no project.
#[rustfmt::skip] // A table.
const SHARED: &[&str] = &[
    "/Applications", "/Library", "/System", "/Users", "/Volumes", "/bin", "/boot", "/dev", "/etc", "/home", "/lib",
    "/lib64", "/media", "/mnt", "/nix", "/nix/store", "/opt", "/opt/homebrew", "/private", "/private/tmp",
    "/private/var", "/proc", "/root", "/run", "/sbin", "/srv", "/sys", "/tmp", "/usr", "/usr/bin", "/usr/lib",
    "/usr/local", "/usr/local/bin", "/usr/local/lib", "/usr/sbin", "/usr/share", "/var", "/var/lib", "/var/tmp",
];

/// Directories of installed packages, which contain no project of the user.
const INSTALLED: &[&str] = &["node_modules", "site-packages", "dist-packages"];

/// Keys of a `package.json` that only controls how Node.js reads adjacent files.
const STUB_KEYS: &[&str] = &["type", "main", "module", "types", "sideEffects"];

/// Test for directories that are too wide to watch.
#[derive(Debug)]
pub(super) struct DirectoryLimits {
    home: Option<PathBuf>,
    /// Whether the home directory contains directories that are not hidden. Without any, it contains no project.
    is_home_used: bool,
    temporary: PathBuf,
}

impl DirectoryLimits {
    pub(super) fn new(home: Option<&Path>) -> Self {
        let home = home.map(canonical);
        Self {
            is_home_used: home.as_deref().is_some_and(has_visible_directory),
            home,
            temporary: canonical(&std::env::temp_dir()),
        }
    }

    /// Whether the directory contains much more than one project: a drive, the home directory or one above it (unless
    /// the home directory contains no project), the directory for temporary files, or a directory of the system.
    pub(super) fn is_too_wide(&self, directory: &Path) -> bool {
        let directory = canonical(directory);
        let is_drive = directory.parent().is_none_or(|above| {
            above == Path::new("/media")
                || above == Path::new("/Volumes")
                || (above == Path::new("/mnt")
                    && directory.file_name().is_some_and(|name| name.len() == 1))
        });
        is_drive
            || self.home.as_ref().is_some_and(|home| {
                *home == directory || self.is_home_used && home.starts_with(&directory)
            })
            || directory == self.temporary
            || SHARED.iter().any(|shared| directory == Path::new(shared))
    }

    /// Returns the innermost project that contains the directory.
    pub(super) fn project(&self, directory: &Path) -> Option<PathBuf> {
        if is_installed(directory) {
            return None;
        }
        directory
            .ancestors()
            .take_while(|place| !self.is_too_wide(place))
            .find(|place| begins_project(place))
            .map(Path::to_owned)
    }
}

/// Whether a directory that is not hidden is in this one, or may be.
fn has_visible_directory(directory: &Path) -> bool {
    let is_visible = |entry: std::fs::DirEntry| {
        let is_hidden = entry.file_name().to_string_lossy().starts_with('.');
        !is_hidden && entry.path().is_dir()
    };
    match std::fs::read_dir(directory) {
        Ok(entries) => entries.flatten().any(is_visible),
        Err(error) => error.kind() != std::io::ErrorKind::NotFound,
    }
}

/// Whether a package manager installed the path. Symlinks are resolved, so a linked package of the user does not count.
pub(super) fn is_installed(path: &Path) -> bool {
    canonical(path).components().any(|part| {
        matches!(part, Component::Normal(name) if INSTALLED.iter().any(|installed| name == *installed))
    })
}

fn begins_project(directory: &Path) -> bool {
    let is_stub = |language: &Language| language.globs == NODE && is_stub(directory);
    directory.join(".git").exists()
        || Language::of_project(directory).is_some_and(|language| !is_stub(language))
}

/// Whether a `package.json` has only keys of [`STUB_KEYS`], as in `{"type": "module"}`.
fn is_stub(directory: &Path) -> bool {
    let keys = |value: serde_json::Value| {
        let object = value.as_object()?;
        Some(object.keys().all(|key| STUB_KEYS.contains(&key.as_str())))
    };
    read_json(&directory.join("package.json"))
        .and_then(keys)
        .unwrap_or(false)
}

/// Returns the names that start the project's own package.
pub(super) fn own_names(project: &Path) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    if let Some(package) = read_json(&project.join("package.json")) {
        let name = package["name"].as_str();
        names.extend(name.map(str::to_owned));
        if let Some(bins) = package["bin"].as_object() {
            names.extend(bins.keys().cloned());
        } else if package["bin"].is_string() {
            let short = name.and_then(|name| name.rsplit('/').next());
            names.extend(short.map(str::to_owned));
        }
    }
    let pyproject = std::fs::read_to_string(project.join("pyproject.toml")).unwrap_or_default();
    if let Ok(pyproject) = DeTable::parse(&pyproject) {
        let pyproject = pyproject.get_ref();
        let tool = pyproject.get("tool").and_then(|tool| table(tool.get_ref()));
        let poetry = tool.and_then(|tool| tool.get("poetry"));
        let sections = pyproject.get("project").into_iter().chain(poetry);
        for section in sections.filter_map(|section| table(section.get_ref())) {
            if let Some(DeValue::String(name)) = section.get("name").map(Spanned::get_ref) {
                names.insert(python_name(name));
            }
            let scripts = section
                .get("scripts")
                .and_then(|scripts| table(scripts.get_ref()));
            let scripts = scripts.into_iter().flat_map(|scripts| scripts.keys());
            names.extend(scripts.map(|name| python_name(name.get_ref())));
        }
    }
    names
}

fn table<'a, 'text>(value: &'a DeValue<'text>) -> Option<&'a DeTable<'text>> {
    match value {
        DeValue::Table(table) => Some(table),
        _ => None,
    }
}

/// Normalizes the name of a Python package for comparison (PEP 503): `My__Server` → `my-server`.
pub(super) fn python_name(name: &str) -> String {
    let name = name.to_lowercase();
    let words = name.split(['-', '_', '.']).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join("-")
}

pub(super) fn read_json(path: &Path) -> Option<serde_json::Value> {
    serde_json::from_slice(&std::fs::read(path).ok()?).ok()
}

/// Returns the project of the virtual environment or `node_modules` that contains the program: `/project` for
/// `/project/.venv/bin/python`.
pub(super) fn around_environment(program: &Path) -> Option<PathBuf> {
    let environment = program.ancestors().skip(1).find(|place| {
        place.join("pyvenv.cfg").is_file()
            || place.file_name().is_some_and(|name| name == "node_modules")
    })?;
    environment.parent().map(Path::to_owned)
}

/// Removes each `.` and resolves each `..`, without access to the file system.
pub(super) fn tidy(path: &Path) -> PathBuf {
    let mut tidied = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                tidied.pop();
            }
            part => tidied.push(part),
        }
    }
    tidied
}
