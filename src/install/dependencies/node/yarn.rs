//! Checks the settings of yarn (1, and 2 or later), and its lock file.

use super::SettingsFolder;
use super::sources::{check_source, decoded, is_plain_source};
use crate::install::dependencies::yaml;
use crate::install::plan::PackageManager;

/// Settings of yarn 2 and later that run nothing and name no place outside, while packages run no scripts.
#[rustfmt::skip] // A table.
const SETTINGS: &[&str] = &[
    "cacheMigrationMode", "catalog", "catalogs", "checksumBehavior", "cloneConcurrency", "compressionLevel",
    "defaultProtocol", "defaultSemverRangePrefix", "enableColors", "enableGlobalCache", "enableHardenedMode",
    "enableHyperlinks", "enableImmutableCache", "enableImmutableInstalls", "enableInlineBuilds",
    "enableInlineHunks", "enableMessageNames", "enableMirror", "enableNetwork", "enableOfflineMode",
    "enableProgressBars", "enableScripts", "enableStrictSettings", "enableTelemetry", "enableTimers", "enableTips",
    "enableTransparentWorkspaces", "httpRetry", "httpTimeout", "immutablePatterns", "initFields", "initScope",
    "logFilters", "networkConcurrency", "nmHoistingLimits", "nmMode", "nmSelfReferences", "nodeLinker",
    "npmAlwaysAuth", "npmAuditExcludePackages", "npmAuditIgnoreAdvisories", "npmAuthIdent", "npmAuthToken",
    "npmMinimalAgeGate", "npmPreapprovedPackages", "npmPublishAccess", "npmPublishProvenance", "npmPublishRegistry",
    "npmRegistries", "npmRegistryServer", "npmScopes", "packageExtensions", "pnpEnableEsmLoader",
    "pnpEnableInlining", "pnpFallbackMode", "pnpIgnorePatterns", "pnpMode", "preferAggregateCacheInfo",
    "preferDeferredVersions", "preferInteractive", "preferReuse", "preferTruncatedLines", "progressBarStyle",
    "supportedArchitectures", "taskPoolConcurrency", "telemetryInterval", "winLinkType",
    // An environment variable disables it.
    "yarnPath",
];
/// Settings of a place, which are permitted inside of the repository.
#[rustfmt::skip] // A table.
const PLACES: [&str; 6] = [
    "cacheFolder", "deferredVersionFolder", "globalFolder", "installStatePath", "patchFolder", "virtualFolder",
];
/// Settings whose values say where packages come from.
const SOURCES: [&str; 3] = ["catalog", "catalogs", "packageExtensions"];

/// Settings of yarn 1 that run nothing and name no place outside.
#[rustfmt::skip] // A table.
const CLASSIC: [&str; 22] = [
    "child-concurrency", "disable-self-update-check", "frozen-lockfile", "ignore-engines", "ignore-optional",
    "ignore-platform", "lastUpdateCheck", "network-concurrency", "network-timeout", "no-progress",
    "non-interactive", "prefer-offline", "pure-lockfile", "registry", "save-exact", "save-prefix", "strict-ssl",
    "unsafe-disable-integrity-migration", "version-git-message", "version-tag-prefix", "workspaces-experimental",
    // An environment variable disables it.
    "yarn-path",
];

/// Protocols by which yarn fetches with git or runs a program.
#[rustfmt::skip] // A table.
const PROTOCOLS: [&str; 8] = [
    "git:", "git+", "git@", "ssh:", "exec:", "github:", "gitlab:", "bitbucket:",
];

/// Checks a `.yarnrc.yml`.
pub(super) fn check_berry(text: &str, place: &SettingsFolder<'_>) -> Result<(), String> {
    // yarn reads a file with this comment in the syntax of yarn 1.
    if text.to_ascii_lowercase().contains("yarn lockfile") {
        return Err("looks like a lock file".into());
    }
    for entry in yaml::parse(text)? {
        let (key, line) = (entry.key(), entry.line);
        let text = entry.text.as_deref();
        let is_inside = || text.is_some_and(|it| place.inside(it).is_some());
        if !(SETTINGS.contains(&key) || PLACES.contains(&key) && is_inside()) {
            return Err(format!("sets `{key}` (line {line})"));
        }
        let name = entry.path.last().map_or("", String::as_str);
        let text = text.unwrap_or_default();
        if name.ends_with("RegistryServer") && text.starts_with("http:") {
            return Err(format!(
                "sets `{name}` to an address without TLS (line {line})"
            ));
        }
        if SOURCES.contains(&key) {
            let checked = check_source(text, PackageManager::Yarn, place);
            checked.map_err(|what| format!("{what} (line {line})"))?;
        }
    }
    Ok(())
}

/// Checks a `.yarnrc` of yarn 1: one plain setting in each line. A setting `--install.NAME` is an option of the command
/// line.
pub(super) fn check_classic(text: &str) -> Result<(), String> {
    for (at, line) in text.split('\n').enumerate() {
        let line = line.strip_suffix('\r').unwrap_or(line);
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        let odd = || format!("has a line in an unusual form (line {})", at + 1);
        if line.contains(|c: char| c.is_control() || c == '\\') {
            return Err(odd());
        }
        let (key, rest) = first_word(line).ok_or_else(odd)?;
        let rest = rest.strip_prefix(':').unwrap_or(rest);
        let value = rest.strip_prefix(' ').ok_or_else(odd)?.trim_start();
        let (value, rest) = first_word(value).ok_or_else(odd)?;
        if !rest.trim().is_empty() || value.starts_with('-') {
            return Err(odd());
        }
        let name = match key.strip_prefix("--") {
            Some(option) => option.split_once('.').map_or(option, |(_, name)| name),
            None => key,
        };
        let is_scope = name.starts_with('@') && name.ends_with(":registry");
        if !is_scope && !CLASSIC.contains(&name) {
            return Err(format!("sets `{key}` (line {})", at + 1));
        }
    }
    Ok(())
}

/// Splits off a word, in double quotes or bare, as yarn 1 does. Returns `None` for anything else.
fn first_word(text: &str) -> Option<(&str, &str)> {
    if let Some(quoted) = text.strip_prefix('"') {
        return quoted.split_once('"');
    }
    let is_end = |c: char| c == ':' || c == ' ';
    let end = text.find(is_end).unwrap_or(text.len());
    let word = &text[..end];
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-./_*".contains(c);
    // yarn 1 ends such a word after its prefix.
    let is_split = ["true", "false"]
        .iter()
        .any(|it| word.starts_with(it) && word != *it)
        || word.starts_with(|c: char| c.is_ascii_digit())
            && !word.chars().all(|c| c.is_ascii_digit());
    (!word.is_empty() && word.chars().all(is_plain) && !is_split).then_some((word, &text[end..]))
}

/// Checks a `yarn.lock`: yarn may fetch nothing by git.
pub(super) fn check_lock(text: &str) -> Result<(), String> {
    for (at, line) in text.lines().enumerate() {
        let refused = |what: &str| Err(format!("{what} (line {})", at + 1));
        if line.contains('\\') {
            return refused("has a `\\`, which can hide a source");
        }
        if line.starts_with('#') {
            continue;
        }
        let plain = decoded(line).to_ascii_lowercase();
        for protocol in PROTOCOLS {
            let begins = plain.match_indices(protocol).any(|(at, _)| {
                let before = plain[..at].chars().next_back();
                let rest = &plain[at + protocol.len()..];
                let is_begin = before.is_none_or(|c| "@\" '".contains(c));
                // Before a space stands a package of that name: `git: "npm:1"`, `git@^1`.
                let is_name = protocol == "git@" && before != Some('@') || rest.is_empty();
                is_begin && !is_name && !rest.starts_with([' ', '"'])
            });
            if begins {
                let protocol = protocol.trim_end_matches([':', '+', '@']);
                return refused(&format!("names a source by `{protocol}`"));
            }
        }
        let keys = line.trim_end().strip_suffix(':').unwrap_or_default();
        if line.starts_with([' ', '#']) || keys.starts_with("__metadata") {
            continue;
        }
        for key in keys.split(',') {
            let key = key.trim().trim_matches('"');
            let source = key.get(1..).and_then(|it| it.split_once('@'));
            let source = source.map_or("", |(_, source)| source);
            let is_local = ["file:", "link:", "portal:", "workspace:", ".", "/"]
                .iter()
                .any(|it| source.starts_with(it));
            if !is_local && !is_plain_source(source) {
                return refused(&format!("names the source `{source}`"));
            }
        }
    }
    Ok(())
}
