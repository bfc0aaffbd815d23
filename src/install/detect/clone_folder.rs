//! Reads the files of a clone within limits: no path outside of it, no huge file, only regular files.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Component, Path, PathBuf};

use jsonc_parser::ParseOptions;
use serde_json::Value;
use toml::de::{DeTable, DeValue};

use crate::install::containment::{existing, place_below};

/// Maximum number of bytes to read from a file.
const LONGEST: u64 = 256 * 1024;
/// Maximum number of entries to inspect in a folder.
const MOST_ENTRIES: usize = 1000;

/// Folders that contain no server of the project.
#[rustfmt::skip] // A table.
const FOREIGN: [&str; 7] = [
    "node_modules", "target", "dist", "build", "venv", "test", "tests",
];

/// One folder of a clone; reads no path outside the clone.
#[derive(Debug)]
pub(super) struct CloneFolder {
    root: PathBuf,
    /// Path relative to the root; empty for the root itself.
    pub(super) folder: String,
}

impl CloneFolder {
    /// Opens `folder` within the clone at `root`, if it exists.
    pub(super) fn new(root: &Path, folder: &str) -> Option<Self> {
        let tree = Self {
            root: dunce::canonicalize(root).ok()?,
            folder: cleaned(folder)?,
        };
        tree.inside("").filter(|path| path.is_dir()).map(|_| tree)
    }

    /// Opens another folder of the same clone.
    pub(super) fn at(&self, folder: &str) -> Option<Self> {
        Self::new(&self.root, folder)
    }

    /// Returns the canonical path, if it is within the clone.
    fn inside(&self, path: &str) -> Option<PathBuf> {
        let path = self.root.join(&self.folder).join(cleaned(path)?);
        Some(self.root.join(place_below(&self.root, &path)?))
    }

    /// Returns true if the path, existing or not, is outside the clone, or cannot be followed to its end.
    pub(super) fn leads_out(&self, path: &str) -> bool {
        let first = Path::new(path).components().next();
        if let Some(Component::RootDir | Component::Prefix(_)) = first {
            return true;
        }
        let Some(path) = cleaned(&joined(&self.folder, path)) else {
            return true;
        };
        let path = self.root.join(path);
        existing(&path)
            .and_then(|it| place_below(&self.root, it))
            .is_none()
    }

    /// Returns true if the path is a file.
    pub(super) fn has(&self, path: &str) -> bool {
        self.inside(path).is_some_and(|path| path.is_file())
    }

    /// Returns the beginning of a file.
    pub(super) fn text(&self, path: &str) -> Option<String> {
        let path = self.inside(path).filter(|path| path.is_file())?;
        let mut bytes = Vec::new();
        let file = File::open(path).ok()?;
        file.take(LONGEST).read_to_end(&mut bytes).ok()?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Parses a JSON file; `Err` if it exists and cannot be parsed.
    pub(super) fn json(&self, path: &str) -> Result<Option<Value>, ()> {
        let Some(text) = self.text(path) else {
            return Ok(None);
        };
        let text = text.trim_start_matches('\u{feff}');
        serde_json::from_str(text).map(Some).map_err(|_| ())
    }

    /// Parses a JSON file with comments; `Err` if it exists and cannot be parsed, or is too long.
    pub(super) fn jsonc(&self, path: &str) -> Result<Option<Value>, ()> {
        let Some(path) = self.inside(path).filter(|path| path.is_file()) else {
            return Ok(None);
        };
        let mut text = String::new();
        let file = File::open(path).map_err(|_| ())?;
        let read = file.take(LONGEST + 1).read_to_string(&mut text);
        if read.map_err(|_| ())? as u64 > LONGEST {
            return Err(());
        }
        let value = jsonc_parser::parse_to_serde_value(&text, &ParseOptions::default());
        value.map(Some).map_err(|_| ())
    }

    /// Parses a TOML file; `Err` if it exists and cannot be parsed.
    pub(super) fn toml(&self, path: &str) -> Result<Option<Value>, ()> {
        let Some(text) = self.text(path) else {
            return Ok(None);
        };
        toml_value(&text).map(Some).ok_or(())
    }

    /// Returns the names of the files in a folder, sorted.
    pub(super) fn files(&self, path: &str) -> Vec<String> {
        self.entries(path, Path::is_file)
    }

    /// Returns the names of the folders in a folder, sorted, without those that hold no sources of the project.
    pub(super) fn folders(&self, path: &str) -> Vec<String> {
        let mut folders = self.entries(path, Path::is_dir);
        folders.retain(|name| !name.starts_with('.') && !FOREIGN.contains(&name.as_str()));
        folders
    }

    fn entries(&self, path: &str, kind: fn(&Path) -> bool) -> Vec<String> {
        let Some(folder) = self.inside(path) else {
            return Vec::new();
        };
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        let mut names: Vec<String> = entries
            .take(MOST_ENTRIES)
            .filter_map(|entry| entry.file_name().into_string().ok())
            // Unprintable names are never shown to a person.
            .filter(|name| !name.chars().any(char::is_control))
            .filter(|name| {
                let path = joined(path, name);
                self.inside(&path).is_some_and(|path| kind(&path))
            })
            .collect();
        names.sort();
        names
    }

    /// Returns the nearest folder, from this one up to the root, that has a file of this name.
    pub(super) fn nearest(&self, name: &str) -> Option<String> {
        let folders = Path::new(&self.folder).ancestors();
        folders
            .filter_map(Path::to_str)
            .find(|folder| self.at(folder).is_some_and(|tree| tree.has(name)))
            .map(str::to_owned)
    }
}

/// Parses a TOML text.
pub(super) fn toml_value(text: &str) -> Option<Value> {
    let table = DeTable::parse(text).ok()?.into_inner();
    Some(value(DeValue::Table(table)))
}

fn value(value_of: DeValue<'_>) -> Value {
    match value_of {
        DeValue::Table(table) => table
            .into_iter()
            .map(|(key, it)| (key.into_inner().into_owned(), value(it.into_inner())))
            .collect(),
        DeValue::Array(items) => items.into_iter().map(|it| value(it.into_inner())).collect(),
        DeValue::Boolean(flag) => flag.into(),
        DeValue::String(text) => text.into_owned().into(),
        other => format!("{other:?}").into(),
    }
}

/// Normalizes a relative path without `.` and `..`; `None` if it leads out.
pub(super) fn cleaned(path: &str) -> Option<String> {
    let mut parts: Vec<&str> = Vec::new();
    for part in Path::new(path).components() {
        match part {
            Component::CurDir => {}
            Component::Normal(part) => parts.push(part.to_str()?),
            Component::ParentDir => {
                parts.pop()?;
            }
            Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(parts.join("/"))
}

/// Joins `folder`, which may be empty, and `name`.
pub(super) fn joined(folder: &str, name: &str) -> String {
    match folder {
        "" => name.to_owned(),
        folder => format!("{folder}/{name}"),
    }
}
