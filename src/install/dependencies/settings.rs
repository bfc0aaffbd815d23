//! Refuses settings in a repository by which a package manager runs a program of the repository's choice, although
//! packages may run no scripts. Environment variables disable some settings ([`PINNED`]); the rest is refused.

use std::path::Path;

use super::PrepareError;
use crate::install::plan::Packager;

/// Environment variables that override files of the repository.
pub(super) const PINNED: [(&str, &str); 2] = [
    // `yarnPath` and `yarn-path` name a file that replaces yarn.
    ("YARN_IGNORE_PATH", "1"),
    // `.corepack.env` sets the address to fetch yarn and pnpm from.
    ("COREPACK_ENV_FILE", "0"),
];

/// Keys of `.npmrc` that name programs, code files, other settings files or places outside the folder; without `-` and
/// `_`.
const NPMRC: [&str; 30] = [
    "global",
    "location",
    "modulesdir",
    "virtualstoredir",
    "globaldir",
    "globalbindir",
    "storedir",
    "nodemirrorrelease",
    "nodemirrorrc",
    "nodemirrornightly",
    "git",
    "shell",
    "scriptshell",
    "nodegyp",
    "nodeoptions",
    "onloadscript",
    "initmodule",
    "python",
    "editor",
    "viewer",
    "browser",
    "userconfig",
    "globalconfig",
    "prefix",
    "pnpmfile",
    "globalpnpmfile",
    "hooks",
    "configdependencies",
    "usenodeversion",
    "executionenv",
];
/// Such keys of `pnpm-workspace.yaml`.
const WORKSPACE: [&str; 18] = [
    "modulesdir",
    "virtualstoredir",
    "globaldir",
    "globalbindir",
    "storedir",
    "nodedownloadmirrors",
    "git",
    "shell",
    "scriptshell",
    "nodegyp",
    "nodeoptions",
    "pnpmfile",
    "globalpnpmfile",
    "configdependencies",
    "usenodeversion",
    "executionenv",
    "hooks",
    "python",
];
/// Files that pnpm runs.
const PNPMFILES: [&str; 4] = [
    ".pnpmfile.cjs",
    ".pnpmfile.mjs",
    ".pnpmfile.js",
    "pnpmfile.js",
];
/// Maximum size of a settings file, in bytes.
const LONGEST: u64 = 1 << 20;

/// Checks the files that `packager` reads in `folders`.
pub(super) fn check_node<'a>(
    packager: Packager,
    folders: impl Iterator<Item = &'a Path>,
) -> Result<(), PrepareError> {
    for folder in folders {
        check_manifest(folder)?;
        check_npmrc(&folder.join(".npmrc"))?;
        match packager {
            Packager::Pnpm => check_pnpm(folder)?,
            Packager::Yarn => check_yarn(folder)?,
            Packager::Bun => check_bun(&folder.join("bunfig.toml"))?,
            Packager::Npm => {}
        }
    }
    Ok(())
}

/// Refuses an existing `.venv`: installing runs its Python, which loads code from there at startup.
pub(super) fn check_environment(folder: &Path) -> Result<(), PrepareError> {
    let environment = folder.join(".venv");
    match environment.symlink_metadata() {
        Ok(_) => Err(runs(&environment, "comes with the repository")),
        Err(_) => Ok(()),
    }
}

/// Checks `package.json`: corepack fetches a package manager from an address in it and runs it.
fn check_manifest(folder: &Path) -> Result<(), PrepareError> {
    let file = folder.join("package.json");
    let text = read(&file)?;
    if text.is_empty() {
        return Ok(());
    }
    // Node.js may accept JSON that this parser rejects.
    let manifest = serde_json::from_str::<serde_json::Value>(text.trim_start_matches('\u{feff}'));
    let manifest = manifest.map_err(|_| runs(&file, "cannot be read as JSON"))?;
    for name in ["executionEnv", "configDependencies"] {
        if manifest.pointer(&format!("/pnpm/{name}")).is_some() {
            return Err(runs(&file, &format!("sets `pnpm.{name}`")));
        }
    }
    let packager = manifest
        .get("packageManager")
        .and_then(|it| it.as_str())
        .unwrap_or_default();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "@.+-_".contains(c);
    if packager.chars().all(is_plain) {
        return Ok(());
    }
    Err(runs(
        &file,
        "names a package manager by an address (`packageManager`)",
    ))
}

fn check_npmrc(file: &Path) -> Result<(), PrepareError> {
    let text = read(file)?;
    let is_comment = |line: &&str| line.trim_start().starts_with(['#', ';']);
    let lines = text.split(['\n', '\r']);
    for line in lines.filter(|line| !is_comment(line)) {
        let key = line.split('=').next().unwrap_or_default();
        // npm also expands escapes and variables in keys.
        if key.contains(['\\', '$']) {
            return Err(runs(file, "has a key that is not written plainly"));
        }
        if let Some(key) = one_of(&NPMRC, key) {
            return Err(runs(file, &format!("sets `{key}`")));
        }
    }
    Ok(())
}

fn check_pnpm(folder: &Path) -> Result<(), PrepareError> {
    let is_there = |name: &&&str| folder.join(**name).symlink_metadata().is_ok();
    if let Some(name) = PNPMFILES.iter().find(is_there) {
        return Err(runs(&folder.join(name), "is run by pnpm"));
    }
    check_yaml(&folder.join("pnpm-workspace.yaml"), &WORKSPACE)
}

fn check_yarn(folder: &Path) -> Result<(), PrepareError> {
    check_yaml(&folder.join(".yarnrc.yml"), &["plugins"])?;
    // yarn 1 treats these entries like options of its command line.
    let file = folder.join(".yarnrc");
    let text = read(&file)?;
    let names = ["script-shell", "node-gyp", "modules-folder", "\\"];
    match names.into_iter().find(|name| text.contains(name)) {
        Some(name) => Err(runs(&file, &format!("has `{name}`"))),
        None => Ok(()),
    }
}

/// Searches a YAML file for `keys`, on any level. Refuses a file that can hide a key: one with escapes or multi-line
/// keys.
fn check_yaml(file: &Path, keys: &[&str]) -> Result<(), PrepareError> {
    let text = read(file)?;
    for line in text.split(['\n', '\r']) {
        let line = line.split(" #").next().unwrap_or_default();
        if line.contains('\\') {
            return Err(runs(file, "has a `\\`, behind which a setting can hide"));
        }
        // Only text before a colon is a key; a value, such as the name of a package, is not.
        let names = line
            .split([',', '{'])
            .filter_map(|part| part.split_once(':'));
        for (name, _) in names {
            if let Some(key) = one_of(keys, name) {
                return Err(runs(file, &format!("sets `{key}`")));
            }
        }
        if line.trim_start().starts_with('?') {
            return Err(runs(
                file,
                "has a key of several lines, in which a setting can hide",
            ));
        }
    }
    Ok(())
}

fn check_bun(file: &Path) -> Result<(), PrepareError> {
    let text = read(file)?;
    // A TOML escape can replace a letter by its code.
    let is_meant = |line: &str| {
        !line.trim_start().starts_with('#') && (line.contains("scanner") || line.contains("\\u"))
    };
    if text.lines().any(is_meant) {
        return Err(runs(file, "names a scanner, which bun runs"));
    }
    Ok(())
}

/// Returns the entry of `keys` that equals `name`, ignoring case and punctuation.
pub(super) fn one_of<'a>(keys: &[&'a str], name: &str) -> Option<&'a str> {
    let is_letter = |c: &char| c.is_ascii_alphanumeric();
    let plain: String = name
        .chars()
        .filter(is_letter)
        .collect::<String>()
        .to_ascii_lowercase();
    keys.iter().copied().find(|key| *key == plain)
}

/// Reads a file; empty if it does not exist. An unreadable file is an error, since a tool might be able to read it.
pub(super) fn read(file: &Path) -> Result<String, PrepareError> {
    match std::fs::metadata(file) {
        Ok(about) if !about.is_file() || about.len() > LONGEST => {
            return Err(runs(file, "is no file of settings"));
        }
        Ok(_) => {}
        Err(_) => return Ok(String::new()),
    }
    let bytes = std::fs::read(file).map_err(|_| runs(file, "cannot be read"))?;
    String::from_utf8(bytes).map_err(|_| runs(file, "is no UTF-8"))
}

pub(super) fn runs(file: &Path, what: &str) -> PrepareError {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    PrepareError::Settings {
        file: crate::shown::sentence(&name),
        what: crate::shown::sentence(what),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(packager: Packager, name: &str, text: &str) -> bool {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(name), text).unwrap();
        check_node(packager, std::iter::once(folder.path())).is_err()
    }

    #[test]
    fn settings_that_run_programs_are_refused() {
        for (packager, name, text) in [
            (Packager::Npm, ".npmrc", "git=./evil.sh"),
            (
                Packager::Npm,
                ".npmrc",
                "registry=https://x\n  \"git\" = ./evil.sh",
            ),
            (Packager::Npm, ".npmrc", "script-shell=./evil.sh"),
            (Packager::Npm, ".npmrc", r#""\u0067it"=./evil.sh"#),
            (Packager::Npm, ".npmrc", "g${NOPE?}it=./evil.sh"),
            (Packager::Npm, ".npmrc", "; c\rgit=./evil.sh"),
            (Packager::Npm, ".npmrc", "global=true"),
            (
                Packager::Npm,
                "package.json",
                r#"{"x":"\ud800","packageManager":"yarn@https://x"}"#,
            ),
            (
                Packager::Pnpm,
                "package.json",
                r#"{"pnpm":{"executionEnv":{"nodeVersion":"1"}}}"#,
            ),
            (
                Packager::Yarn,
                ".yarnrc",
                r#""script\u002dshell" "./evil.sh""#,
            ),
            (Packager::Pnpm, ".npmrc", "node_options=--import=./evil.mjs"),
            (Packager::Pnpm, ".pnpmfile.cjs", ""),
            (
                Packager::Pnpm,
                "pnpm-workspace.yaml",
                "packages: []\nconfigDependencies:\n  x: 1",
            ),
            (
                Packager::Pnpm,
                "pnpm-workspace.yaml",
                "{packages: [], \"pnpmfile\": ./evil.cjs}",
            ),
            (
                Packager::Pnpm,
                "pnpm-workspace.yaml",
                "\"pnpm\\u0066ile\": ./evil.cjs",
            ),
            (Packager::Yarn, ".yarnrc.yml", "plugins:\n  - ./evil.cjs"),
            (Packager::Yarn, ".yarnrc", "script-shell \"./evil.sh\""),
            (
                Packager::Bun,
                "bunfig.toml",
                "[install.security]\nscanner = 'x'",
            ),
            (
                Packager::Npm,
                "package.json",
                r#"{"packageManager": "yarn@https://x.example/y.js"}"#,
            ),
        ] {
            assert!(refused(packager, name, text), "{name}: {text}");
        }
    }

    #[test]
    fn usual_settings_are_fine() {
        for (packager, name, text) in [
            (
                Packager::Npm,
                ".npmrc",
                "registry=https://registry.npmjs.org/\n//npm.x/:_authToken=${T}\nengine-strict=true\n; git=x\n# git=x",
            ),
            (
                Packager::Npm,
                ".npmrc",
                "legacy-peer-deps=true\ngit-tag-version=false\n@me:registry=https://npm.pkg.github.com",
            ),
            (Packager::Npm, ".pnpmfile.cjs", ""),
            (
                Packager::Pnpm,
                "pnpm-workspace.yaml",
                "packages:\n  - 'packages/*'\nonlyBuiltDependencies:\n  - esbuild\ncatalog:\n  python-shell: ^1",
            ),
            (
                Packager::Yarn,
                ".yarnrc.yml",
                "nodeLinker: node-modules\nyarnPath: .yarn/releases/yarn-4.5.0.cjs\nenableTelemetry: false",
            ),
            (Packager::Bun, "bunfig.toml", "[install]\nexact = true"),
            (
                Packager::Npm,
                "package.json",
                r#"{"packageManager": "pnpm@9.1.0+sha512.abc"}"#,
            ),
        ] {
            assert!(!refused(packager, name, text), "{name}: {text}");
        }
    }
}
