//! Checks `package.json`: where packages come from, members of the workspace, the package manager.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::sources::{check_patch, check_pattern, check_source};
use super::{SettingsFolder, may_match, pnpm};
use crate::install::plan::PackageManager;

/// Tables of packages by name.
const TABLES: [&str; 4] = [
    "dependencies",
    "devDependencies",
    "optionalDependencies",
    "peerDependencies",
];
/// Places of other values that say where packages come from.
#[rustfmt::skip] // A table.
const SOURCES: [&str; 10] = [
    "/resolutions", "/overrides", "/catalog", "/catalogs", "/workspaces/catalog", "/workspaces/catalogs",
    "/pnpm/overrides", "/pnpm/packageExtensions", "/pnpm/catalog", "/pnpm/catalogs",
];

/// References of a `package.json` to other folders of the repository.
#[derive(Debug, Default)]
pub(super) struct Manifest {
    pub(super) folder: PathBuf,
    /// Patterns of the folders of the workspace's members.
    pub(super) patterns: Vec<String>,
    /// Folders of packages that this one depends on.
    pub(super) packages: Vec<PathBuf>,
    /// True if it names a package manager, which pnpm fetches and runs.
    pub(super) names_packager: bool,
}

impl Manifest {
    /// Parses and checks the text of a `package.json`.
    pub(super) fn read(
        text: &str,
        packager: PackageManager,
        place: SettingsFolder<'_>,
    ) -> Result<Self, String> {
        // Node.js may accept JSON that this parser rejects.
        let manifest: Value = serde_json::from_str(text.trim_start_matches('\u{feff}'))
            .map_err(|_| "cannot be read as JSON")?;
        check_packager(&manifest)?;
        if packager == PackageManager::Pnpm {
            pnpm::check_manifest(&manifest)?;
        }
        for pointer in ["/pnpm/patchedDependencies", "/patchedDependencies"] {
            for patch in strings(manifest.pointer(pointer)) {
                check_patch(patch, &place)?;
            }
        }
        let workspaces = manifest.get("workspaces");
        let listed = workspaces.and_then(|it| it.get("packages")).or(workspaces);
        let listed = listed.and_then(Value::as_array).into_iter().flatten();
        let patterns: Vec<String> = listed
            .filter_map(|it| it.as_str().map(str::to_owned))
            .collect();
        patterns.iter().try_for_each(|it| check_pattern(it))?;
        let mut packages = Vec::new();
        for table in TABLES {
            for (name, source) in manifest
                .get(table)
                .and_then(Value::as_object)
                .into_iter()
                .flatten()
            {
                check_name(name)?;
                packages.extend(check_source(
                    source.as_str().unwrap_or_default(),
                    packager,
                    &place,
                )?);
            }
        }
        for source in SOURCES.iter().flat_map(|it| strings(manifest.pointer(it))) {
            packages.extend(check_source(source, packager, &place)?);
        }
        Ok(Self {
            folder: place.folder,
            patterns,
            packages,
            names_packager: manifest.get("packageManager").is_some()
                || manifest.get("devEngines").is_some(),
        })
    }

    /// Returns the manifest of a folder without a `package.json`.
    pub(super) fn empty(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
            ..Self::default()
        }
    }

    /// Returns true if `path`, relative to the folder, may be a member.
    pub(super) fn matches(&self, path: &Path) -> bool {
        self.patterns.iter().any(|it| may_match(it, path))
    }
}

/// Refuses an address of a package manager, from which corepack fetches a program.
fn check_packager(manifest: &Value) -> Result<(), String> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "@.+-_".contains(c);
    let packager = manifest.get("packageManager").and_then(Value::as_str);
    if !packager.unwrap_or_default().chars().all(is_plain) {
        return Err("names a package manager by an address (`packageManager`)".into());
    }
    let engines = manifest.pointer("/devEngines/packageManager");
    if strings(engines).iter().any(|it| it.contains(['/', ':'])) {
        return Err("names a package manager by an address (`devEngines`)".into());
    }
    Ok(())
}

/// Refuses a name that is a path: packages are installed to `node_modules/NAME`.
pub(super) fn check_name(name: &str) -> Result<(), String> {
    let (scope, rest) = match name.split_once('/') {
        Some((scope, rest)) => (scope.strip_prefix('@').unwrap_or_default(), rest),
        None => ("scope", name),
    };
    let is_plain = |part: &str| {
        !part.is_empty() && !part.starts_with('.') && !part.contains(['/', '\\', ':', '\0'])
    };
    if is_plain(scope) && is_plain(rest) && rest != "node_modules" {
        return Ok(());
    }
    Err(format!(
        "names a package `{name}`, which is not a valid name"
    ))
}

/// Returns all strings in `value`.
fn strings(value: Option<&Value>) -> Vec<&str> {
    let mut found = Vec::new();
    let mut open: Vec<&Value> = value.into_iter().collect();
    while let Some(value) = open.pop() {
        match value {
            Value::String(text) => found.push(&**text),
            Value::Array(items) => open.extend(items),
            Value::Object(members) => open.extend(members.values()),
            _ => {}
        }
    }
    found
}
