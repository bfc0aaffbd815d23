//! Checks where packages, patches and members of a workspace come from.

use std::path::PathBuf;

use super::SettingsFolder;
use crate::install::plan::PackageManager;

/// Hosts of git repositories that yarn knows.
const HOSTS: [&str; 4] = ["github.com", "gitlab.com", "bitbucket.com", "bitbucket.org"];

/// Refuses a pattern of workspace members that can match a folder outside.
pub(super) fn check_pattern(pattern: &str) -> Result<(), String> {
    let path = pattern.trim_start_matches('!');
    let expands = path.contains(['{', '(', '[']) && path.contains('.');
    if expands
        || path.contains("..")
        || path.contains(['\\', '$', ':'])
        || path.starts_with(['/', '~'])
    {
        return Err(format!(
            "has a workspace `{pattern}` that can match a folder outside of the repository"
        ));
    }
    Ok(())
}

/// Checks the source of a package. Returns the folder, if the package is one of the repository.
pub(super) fn check_source(
    source: &str,
    packager: PackageManager,
    place: &SettingsFolder<'_>,
) -> Result<Option<PathBuf>, String> {
    let source = source.trim();
    let lower = source.to_ascii_lowercase();
    if lower.starts_with("exec:") {
        return Err(format!("names the program `{source}` as a package"));
    }
    let prefix = ["file:", "link:", "portal:", "workspace:"]
        .into_iter()
        .find(|it| lower.starts_with(it));
    let path = source[prefix.map_or(0, str::len)..]
        .split('#')
        .next()
        .unwrap_or_default();
    let path = path.split("::").next().unwrap_or_default();
    let is_path = path.starts_with(['.', '/', '\\']) || path.starts_with("~/");
    let is_local = is_path || prefix.is_some_and(|it| it != "workspace:") || {
        prefix.is_some() && path.contains("..")
    };
    if is_local {
        let outside = || format!("names a package outside of the repository (`{source}`)");
        return Ok(Some(place.inside(path).ok_or_else(outside)?));
    }
    if packager == PackageManager::Yarn && prefix.is_none() && !is_plain_source(source) {
        return Err(format!(
            "names the source `{source}`, which yarn may fetch by git and prepare with scripts"
        ));
    }
    Ok(None)
}

/// Refuses a patch that can change files outside of its package.
pub(super) fn check_patch(path: &str, place: &SettingsFolder<'_>) -> Result<(), String> {
    let text = place
        .inside(path)
        .and_then(|file| std::fs::read(file).ok())
        .unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let heads = ["diff ", "--- ", "+++ ", "rename ", "copy "];
    let mut heads = text
        .split(['\n', '\r'])
        .filter(|line| heads.iter().any(|it| line.starts_with(it)));
    let leads_out = |line: &str| line.contains("..") || line.contains(['\\', '"']);
    if text.is_empty() || heads.any(leads_out) {
        return Err(format!("names a patch `{path}` that cannot be checked"));
    }
    Ok(())
}

/// Returns true for sources that yarn fetches without git: versions, tags, packages of the registry, archives.
pub(super) fn is_plain_source(source: &str) -> bool {
    let source = decoded(source.trim());
    let lower = source.to_ascii_lowercase();
    if let Some(patched) = lower.strip_prefix("patch:") {
        let patched = patched.split('#').next().unwrap_or_default();
        let inner = patched.get(1..).and_then(|it| it.split_once('@'));
        return inner.is_none_or(|(_, inner)| is_plain_source(inner));
    }
    if let Some(address) = lower.strip_prefix("https://") {
        let address = address.split('#').next().unwrap_or_default();
        let parts: Vec<&str> = address.split('/').collect();
        let host = parts[0].split(':').next().unwrap_or_default();
        // yarn clones `https://github.com/USER/NAME`.
        let is_repository = HOSTS.contains(&host) && parts.len() <= 3;
        let is_archive = [".tgz", ".tar.gz"].iter().any(|it| address.ends_with(it));
        return is_archive && !is_repository && !address.contains('@');
    }
    let is_named = ["npm:", "catalog:", "workspace:", "jsr:"]
        .iter()
        .any(|it| lower.starts_with(it));
    is_named || !lower.contains(['/', ':', '@'])
}

/// Replaces `%XX` by the character.
pub(super) fn decoded(text: &str) -> String {
    let mut parts = text.split('%');
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let code = part.get(..2).and_then(|it| u8::from_str_radix(it, 16).ok());
        if let Some(code) = code.filter(u8::is_ascii) {
            plain.push(char::from(code));
            plain.push_str(&part[2..]);
        } else {
            plain.push('%');
            plain.push_str(part);
        }
    }
    plain
}
