//! Checks the settings of npm, pnpm, yarn and bun in a repository whose packages may run no scripts. Environment variables
//! override some settings that run code of the repository or write outside of it ([`PINNED`], [`pins`]); all others are
//! refused.

mod bun;
mod manifest;
mod npm;
mod pnpm;
mod sources;
mod yarn;

use std::collections::HashSet;
use std::path::{Component, Path, PathBuf};

use globset::GlobBuilder;

use super::PrepareError;
use super::settings::read;
use crate::install::containment::{existing, place_below};
use crate::install::plan::PackageManager;
use manifest::Manifest;

/// Maximum number of folders to search for members of a workspace.
const MOST_FOLDERS: usize = 20_000;

/// Maximum size of a lock file, in bytes.
const LONGEST_LOCK: u64 = 64 << 20;

/// Environment variables that override files of the repository for every command, since one may start another.
pub(super) const PINNED: [(&str, &str); 2] = [
    // `yarnPath` and `yarn-path` name a file that replaces yarn.
    ("YARN_IGNORE_PATH", "1"),
    // `.corepack.env` sets the address to fetch yarn and pnpm from.
    ("COREPACK_ENV_FILE", "0"),
];

/// Returns environment variables that override files of the repository and of the git repositories of packages: a
/// package manager that installs the packages of a package inherits them.
pub(super) fn pins(packager: PackageManager) -> Vec<(&'static str, String)> {
    let pins: &[(&str, &str)] = match packager {
        PackageManager::Npm => &[
            ("npm_config_git", "git"),
            ("npm_config_global", "false"),
            ("npm_config_location", "user"),
            // npm writes its log and its timings to `logs-dir`.
            ("npm_config_logs_max", "0"),
            ("npm_config_timing", "false"),
        ],
        // Variables of pnpm up to 10 and from 11 on.
        PackageManager::Pnpm => &[
            ("npm_config_ignore_pnpmfile", "true"),
            ("pnpm_config_ignore_pnpmfile", "true"),
            // A script that builds the server would install again before, with scripts.
            ("npm_config_verify_deps_before_run", "false"),
            ("pnpm_config_verify_deps_before_run", "false"),
        ],
        // yarn runs scripts of packages that it fetches by git; git refuses all transports then.
        PackageManager::Yarn => &[("GIT_ALLOW_PROTOCOL", "none")],
        PackageManager::Bun => &[],
    };
    let mut pins: Vec<_> = pins.iter().map(|&(key, it)| (key, it.to_owned())).collect();
    if packager == PackageManager::Npm {
        // npm ignores an empty value.
        let options = std::env::var("NODE_OPTIONS").unwrap_or_default();
        let options = Some(options).filter(|it| !it.trim().is_empty());
        let options = options.unwrap_or_else(|| "--no-warnings".to_owned());
        pins.push(("npm_config_node_options", options));
    }
    pins
}

/// Returns true if the folder is meant for yarn 2 or later.
pub(super) fn is_berry(folder: &Path) -> bool {
    let text = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap_or_default();
    let names_berry = || {
        let manifest: serde_json::Value = serde_json::from_str(&text("package.json")).ok()?;
        let version = manifest
            .get("packageManager")?
            .as_str()?
            .strip_prefix("yarn@")?;
        let major = version.split('.').next()?;
        Some(major.parse().map_or(major != "classic", |it: u32| it > 1))
    };
    folder.join(".yarnrc.yml").is_file()
        || text("yarn.lock")
            .lines()
            .any(|it| it.starts_with("__metadata:"))
        || names_berry().unwrap_or(false)
}

/// Checks the files that `packager` reads when it installs in `folder` of the repository `root`.
pub(super) fn check(
    packager: PackageManager,
    root: &Path,
    folder: &Path,
) -> Result<(), PrepareError> {
    let repository = Repository { packager, root };
    let mut real = PathBuf::new();
    for part in folder.components() {
        match part {
            Component::ParentDir => drop(real.pop()),
            part => real.push(part),
        }
    }
    let mut manifests = Vec::new();
    let mut names_packager = false;
    for folder in real.ancestors().take_while(|it| it.starts_with(root)) {
        let patterns = repository.check_settings(folder)?;
        let manifest = repository.check_manifest(folder)?;
        let mut manifest = manifest.unwrap_or_else(|| Manifest::empty(folder));
        manifest.patterns.extend(patterns);
        names_packager |= manifest.names_packager;
        manifests.push(manifest);
    }
    if packager == PackageManager::Pnpm && names_packager {
        for manifest in &manifests {
            let file = manifest.folder.join(".npmrc");
            repository.check_file(&file, npm::check_registry)?;
        }
    }
    repository.check_members(manifests)
}

/// Repository in which `packager` installs packages.
struct Repository<'a> {
    packager: PackageManager,
    root: &'a Path,
}

/// Folder of a settings file, to which the paths in it are relative.
struct SettingsFolder<'a> {
    root: &'a Path,
    folder: PathBuf,
}

impl SettingsFolder<'_> {
    /// Returns the folder that `path` names, unless it lies outside of the repository, or in `.git`.
    fn inside(&self, path: &str) -> Option<PathBuf> {
        // Tools expand `~` and `$`; a colon begins a drive or an address.
        if path.starts_with('~') || path.contains(['$', '\\', ':', '%']) {
            return None;
        }
        let mut whole = self.folder.clone();
        for part in Path::new(path).components() {
            match part {
                Component::CurDir => {}
                Component::Normal(part) if part.eq_ignore_ascii_case(".git") => return None,
                Component::Normal(part) => whole.push(part),
                Component::ParentDir if whole != self.root => {
                    whole.pop();
                }
                _ => return None,
            }
        }
        let inside = place_below(self.root, existing(&whole)?)?;
        (!inside.starts_with(".git")).then_some(whole)
    }
}

impl<'a> Repository<'a> {
    fn place(&self, folder: &Path) -> SettingsFolder<'a> {
        SettingsFolder {
            root: self.root,
            folder: folder.to_owned(),
        }
    }

    fn refuse(&self, file: &Path, what: &str) -> PrepareError {
        let name = file.strip_prefix(self.root).unwrap_or(file);
        PrepareError::Settings {
            file: crate::quoting::sentence(&name.to_string_lossy()),
            what: crate::quoting::sentence(what),
        }
    }

    fn check_file<T>(
        &self,
        file: &Path,
        check: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<T, PrepareError> {
        let text = read(file)?;
        check(&text).map_err(|what| self.refuse(file, &what))
    }

    /// Checks the settings of a folder. Returns patterns of members of its workspace.
    fn check_settings(&self, folder: &Path) -> Result<Vec<String>, PrepareError> {
        let place = &self.place(folder);
        let modules = folder.join("node_modules");
        if modules.is_symlink() {
            return Err(self.refuse(&modules, "is a symlink"));
        }
        self.check_file(&folder.join(".npmrc"), npm::check_settings)?;
        match self.packager {
            PackageManager::Npm => {
                for name in ["package-lock.json", "npm-shrinkwrap.json"] {
                    self.check_lock(&folder.join(name), |text| npm::check_lock(text, place))?;
                }
            }
            PackageManager::Pnpm => {
                if let Some(name) = pnpm::FILES.iter().find(|it| is_there(folder, it)) {
                    return Err(self.refuse(&folder.join(name), "is run by pnpm"));
                }
                let file = folder.join("pnpm-workspace.yaml");
                return self.check_file(&file, |text| pnpm::check_workspace(text, place));
            }
            PackageManager::Yarn => {
                if is_there(folder, ".env.yarn") {
                    let file = folder.join(".env.yarn");
                    return Err(self.refuse(&file, "sets variables for yarn"));
                }
                self.check_file(&folder.join(".yarnrc"), yarn::check_classic)?;
                let file = folder.join(".yarnrc.yml");
                self.check_file(&file, |text| yarn::check_berry(text, place))?;
                self.check_lock(&folder.join("yarn.lock"), yarn::check_lock)?;
            }
            PackageManager::Bun => {
                for name in bun::VARIABLES {
                    self.check_file(&folder.join(name), bun::check_variables)?;
                }
                let file = folder.join("bunfig.toml");
                self.check_file(&file, |text| bun::check_settings(text, place))?;
            }
        }
        Ok(Vec::new())
    }

    /// Checks a lock file, which may be longer than settings are.
    fn check_lock(
        &self,
        file: &Path,
        check: impl FnOnce(&str) -> Result<(), String>,
    ) -> Result<(), PrepareError> {
        match file.metadata() {
            Ok(about) if !about.is_file() || about.len() > LONGEST_LOCK => {
                return Err(self.refuse(file, "is not a lock file"));
            }
            Ok(_) => {}
            Err(_) => return Ok(()),
        }
        let text = std::fs::read_to_string(file);
        let text = text.map_err(|_| self.refuse(file, "cannot be read"))?;
        check(&text).map_err(|what| self.refuse(file, &what))
    }

    /// Checks `package.json`. Returns its content, if there is such a file.
    fn check_manifest(&self, folder: &Path) -> Result<Option<Manifest>, PrepareError> {
        let file = folder.join("package.json");
        let text = read(&file)?;
        if text.is_empty() {
            return Ok(None);
        }
        let manifest = Manifest::read(&text, self.packager, self.place(folder));
        manifest.map(Some).map_err(|what| self.refuse(&file, &what))
    }

    /// Checks the members of workspaces and the packages in the repository that `manifests` name, and so on.
    fn check_members(&self, mut manifests: Vec<Manifest>) -> Result<(), PrepareError> {
        let mut seen: HashSet<PathBuf> = HashSet::new();
        let mut count = 0;
        while let Some(manifest) = manifests.pop() {
            let members = self.members(&manifest, &mut count)?;
            for folder in members.into_iter().chain(manifest.packages) {
                if seen.insert(folder.clone()) {
                    let modules = folder.join("node_modules");
                    if modules.is_symlink() {
                        return Err(self.refuse(&modules, "is a symlink"));
                    }
                    manifests.extend(self.check_manifest(&folder)?);
                }
            }
        }
        Ok(())
    }

    /// Returns the folders that a workspace's patterns match.
    fn members(
        &self,
        workspace: &Manifest,
        count: &mut usize,
    ) -> Result<Vec<PathBuf>, PrepareError> {
        let mut found = Vec::new();
        let mut folders = Vec::new();
        if !workspace.patterns.is_empty() {
            folders.push(workspace.folder.clone());
        }
        while let Some(folder) = folders.pop() {
            *count += 1;
            if *count > MOST_FOLDERS {
                let file = workspace.folder.join("package.json");
                return Err(self.refuse(&file, "has too many folders in its workspace"));
            }
            for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
                let (name, path) = (entry.file_name(), entry.path());
                // Symlinks in a clone lead to folders of the clone, which this loop meets too.
                let is_folder = entry.file_type().is_ok_and(|it| it.is_dir());
                if is_folder && name != "node_modules" && name != ".git" {
                    let inner = path.strip_prefix(&workspace.folder).unwrap_or(&path);
                    if workspace.matches(inner) {
                        found.push(path.clone());
                    }
                    folders.push(path);
                }
            }
        }
        Ok(found)
    }
}

fn is_there(folder: &Path, name: &str) -> bool {
    folder.join(name).symlink_metadata().is_ok()
}

/// Returns true if `pattern` may match `path`: tools understand patterns in different ways.
fn may_match(pattern: &str, path: &Path) -> bool {
    let pattern = pattern.trim_start_matches("./").trim_end_matches('/');
    let is_known = |c: char| c.is_ascii_alphanumeric() || "_-.*/@".contains(c);
    if !pattern.chars().all(is_known) {
        return true;
    }
    let glob = GlobBuilder::new(pattern).case_insensitive(true).build();
    glob.map_or(true, |glob| glob.compile_matcher().is_match(path))
}

#[cfg(test)]
#[cfg(unix)]
mod tests;
