//! Checks `.npmrc`, which all package managers read, and the lock files of npm.

use serde_json::Value;

use super::SettingsFolder;
use super::manifest::check_name;
use crate::install::dependencies::settings::one_of;

/// Keys that name programs, code files, other settings files or places outside the folder; without `-` and `_`.
#[rustfmt::skip] // A table.
const KEYS: [&str; 48] = [
    "global", "globalprefix", "globalpath", "localprefix", "location", "prefix", "dir", "cache", "cachedir",
    "configdir", "logsdir", "lockfiledir", "lockfiledirectory", "modulesdir", "packdestination", "patchesdir",
    "statedir", "storedir", "tmp", "virtualstoredir", "globalvirtualstoredir", "globaldir", "globalbindir",
    "workspacepackages", "nodemirrorrelease", "nodemirrorrc", "nodemirrornightly", "nodedownloadmirrors", "git",
    "shell", "scriptshell", "npmpath", "nodegyp", "nodeoptions", "onloadscript", "initmodule", "python", "editor",
    "viewer", "browser", "userconfig", "globalconfig", "pnpmfile", "globalpnpmfile", "hooks", "configdependencies",
    "usenodeversion", "executionenv",
];

/// Checks the keys of a `.npmrc`. Keys in a section count too, and so does the section's name.
pub(super) fn check_settings(text: &str) -> Result<(), String> {
    let is_comment = |line: &str| line.trim_start().starts_with(['#', ';']);
    // npm counts no other line ends, and Node.js trims more than spaces.
    for (at, line) in text.split('\n').enumerate() {
        for line in line.split('\r').filter(|line| !is_comment(line)) {
            let key = line.split('=').next().unwrap_or_default();
            // npm also expands escapes and variables in keys.
            if key.contains(['\\', '$']) {
                return Err(format!(
                    "has a key with an escape or a variable (line {})",
                    at + 1
                ));
            }
            // The rest of a key after such a mark is a comment.
            let key = key.split(['#', ';']).next().unwrap_or_default();
            if let Some(key) = one_of(&KEYS, key) {
                return Err(format!("sets `{key}` (line {})", at + 1));
            }
        }
    }
    Ok(())
}

/// Refuses settings of the place to fetch packages from: pnpm fetches the pnpm that `package.json` names from there,
/// and runs it.
pub(super) fn check_registry(text: &str) -> Result<(), String> {
    #[rustfmt::skip] // A table.
    const KEYS: [&str; 8] = [
        "registry", "pnpmregistry", "proxy", "httpproxy", "httpsproxy", "ca", "cafile", "strictssl",
    ];
    let lines = text.split(['\n', '\r']).map(str::trim);
    for line in lines.filter(|line| !line.starts_with(['#', ';'])) {
        let (key, value) = line.split_once('=').unwrap_or((line, ""));
        let value = value.trim().trim_matches(['"', '\'']).trim_end_matches('/');
        if let Some(key) = one_of(&KEYS, key)
            && value != "https://registry.npmjs.org"
        {
            return Err(format!(
                "sets `{key}`, by which pnpm may fetch another pnpm to run"
            ));
        }
    }
    Ok(())
}

/// Refuses a lock file that places a package outside of the repository.
pub(super) fn check_lock(text: &str, place: &SettingsFolder<'_>) -> Result<(), String> {
    let lock: Value = serde_json::from_str(text.trim_start_matches('\u{feff}'))
        .map_err(|_| "cannot be read as JSON")?;
    let packages = lock.get("packages").and_then(Value::as_object);
    for (path, package) in packages.into_iter().flatten() {
        let target = match package.get("link").and_then(Value::as_bool) {
            Some(true) => package.get("resolved").and_then(Value::as_str),
            _ => None,
        };
        for path in [Some(&**path), target].into_iter().flatten() {
            if place.inside(path).is_none() {
                return Err(format!(
                    "has a package outside of the repository (`{path}`)"
                ));
            }
        }
    }
    let mut open = vec![&lock];
    while let Some(package) = open.pop() {
        let packages = package.get("dependencies").and_then(Value::as_object);
        for (name, package) in packages.into_iter().flatten() {
            check_name(name)?;
            open.push(package);
        }
    }
    Ok(())
}
