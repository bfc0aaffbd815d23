//! Checks `pnpm-workspace.yaml` and the settings of pnpm in `package.json`.

use serde_json::Value;

use super::SettingsFolder;
use super::sources::{check_patch, check_pattern, check_source};
use crate::install::dependencies::yaml;
use crate::install::plan::PackageManager;

/// Files that pnpm runs.
pub(super) const FILES: [&str; 4] = [
    ".pnpmfile.cjs",
    ".pnpmfile.mjs",
    ".pnpmfile.js",
    "pnpmfile.js",
];

/// Settings that run nothing and name no place outside, while packages run no scripts.
#[rustfmt::skip] // A table.
const SETTINGS: &[&str] = &[
    "allowBuilds", "allowNonAppliedPatches", "allowUnusedPatches", "allowedDeprecatedVersions", "auditConfig",
    "auditLevel", "autoInstallPeers", "blockExoticSubdeps", "catalog", "catalogMode", "catalogs",
    "childConcurrency", "cleanupUnusedCatalogs", "dangerouslyAllowAllBuilds", "dedupeDirectDeps",
    "dedupeInjectedDeps", "dedupePeerDependents", "dedupePeers", "deployAllFiles", "disallowWorkspaceCycles",
    "enablePrePostScripts", "engineStrict", "excludeLinksFromLockfile", "extendNodePath", "failIfNoMatch",
    "fetchRetries", "fetchRetryFactor", "fetchRetryMaxtimeout", "fetchRetryMintimeout", "fetchTimeout",
    "forceLegacyDeploy", "gitChecks", "hoist", "hoistPattern", "hoistWorkspacePackages", "ignoreCompatibilityDb",
    "ignoreDepScripts", "ignorePatchFailures", "ignorePnpmfile", "ignoreScripts", "ignoreWorkspaceCycles",
    "ignoreWorkspaceRootCheck", "ignoredBuiltDependencies", "ignoredOptionalDependencies", "includeWorkspaceRoot",
    "injectWorkspacePackages", "linkWorkspacePackages", "lockfile", "lockfileIncludeTarballUrl",
    "managePackageManagerVersions", "minimumReleaseAge", "minimumReleaseAgeExclude",
    "minimumReleaseAgeIgnoreMissingTime", "minimumReleaseAgeStrict", "networkConcurrency", "neverBuiltDependencies",
    "nodeVersion", "nodeLinker", "onlyBuiltDependencies", "optimisticRepeatInstall", "overrides",
    "packageExtensions", "packageImportMethod", "packageManagerStrict", "packageManagerStrictVersion", "packages",
    "patchedDependencies", "peerDependencyRules", "peersSuffixMaxLength", "preferFrozenLockfile", "preferOffline",
    "preferSymlinkedExecutables", "preferWorkspacePackages", "publicHoistPattern", "recursiveInstall",
    "registrySupportsTimeField", "requiredScripts", "resolutionMode", "resolvePeersFromWorkspaceRoot", "saveExact",
    "savePrefix", "saveWorkspaceProtocol", "shamefullyHoist", "sharedWorkspaceLockfile", "shellEmulator",
    "sideEffectsCache", "sideEffectsCacheReadonly", "strictDepBuilds", "strictPeerDependencies",
    "supportedArchitectures", "symlink", "syncInjectedDepsAfterScripts", "tag", "trustPolicy", "trustPolicyExclude",
    "trustPolicyIgnoreAfter", "updateConfig", "updateNotifier",
    // `pins` overrides it.
    "verifyDepsBeforeRun",
    "virtualStoreDirMaxLength", "workspaceConcurrency",
];
/// Settings whose values say where packages come from.
const SOURCES: [&str; 4] = ["catalog", "catalogs", "overrides", "packageExtensions"];
/// Settings of a place, which are permitted inside of the repository.
const PLACES: [&str; 2] = ["modulesDir", "virtualStoreDir"];

/// Checks a `pnpm-workspace.yaml`. Returns the patterns of the workspace's members.
pub(super) fn check_workspace(
    text: &str,
    place: &SettingsFolder<'_>,
) -> Result<Vec<String>, String> {
    let mut patterns = Vec::new();
    for entry in yaml::parse(text)? {
        let (key, line) = (entry.key(), entry.line);
        let is_place = PLACES.contains(&key)
            && entry
                .text
                .as_deref()
                .is_some_and(|it| place.inside(it).is_some());
        if !is_place && !SETTINGS.contains(&key) {
            return Err(format!("sets `{key}` (line {line})"));
        }
        let Some(text) = entry.text.as_deref() else {
            continue;
        };
        let checked = match key {
            "packages" => {
                patterns.push(text.to_owned());
                check_pattern(text)
            }
            "patchedDependencies" => check_patch(text, place),
            key if SOURCES.contains(&key) => {
                check_source(text, PackageManager::Pnpm, place).map(|_| ())
            }
            _ => Ok(()),
        };
        checked.map_err(|what| format!("{what} (line {line})"))?;
    }
    Ok(patterns)
}

/// Checks the table `pnpm` of a `package.json`.
pub(super) fn check_manifest(manifest: &Value) -> Result<(), String> {
    let settings = manifest.get("pnpm").and_then(Value::as_object);
    let mut keys = settings.into_iter().flatten().map(|(key, _)| key);
    match keys.find(|key| !SETTINGS.contains(&key.as_str())) {
        Some(key) => Err(format!("sets `pnpm.{key}`")),
        None => Ok(()),
    }
}
