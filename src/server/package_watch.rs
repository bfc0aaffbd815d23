//! Detects package installations that a failed start may have missed.
//!
//! The directories of installed packages are not watched, and not read while a server runs. While it is broken, the
//! directories that get a new entry with each package are polled a few times a second.

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use tokio::task::spawn_blocking;
use tokio::time::sleep;

use crate::config::ServerSpec;
use crate::file_time::{self, TICK};
use crate::transport::resolve::find;

/// Polling interval.
const POLL_INTERVAL: Duration = Duration::from_millis(250);
/// Time without changes after which an installation is over, or pauses.
const QUIET: Duration = Duration::from_millis(500);
/// Maximum number of doublings of the wait by starts during which packages were installed: a server that installs
/// packages itself must not be restarted forever.
const MAX_DOUBLINGS: u32 = 6;
/// Files beside packages that package managers write last.
const RECORDS: [&str; 3] = [".package-lock.json", ".modules.yaml", ".yarn-state.yml"];
/// Directory names of virtual environments.
const ENVIRONMENTS: [&str; 3] = [".venv", "venv", "env"];

/// Times of the last change of the existing package directories and records.
type PackageTimes = BTreeMap<PathBuf, SystemTime>;

/// Result of an installation.
#[derive(Debug)]
pub(crate) struct PackageInstallation {
    /// Paths that changed.
    pub(crate) paths: Vec<PathBuf>,
    /// True if some changes came after the start had failed, so that the server did not make them itself.
    pub(crate) afterwards: bool,
}

/// Waits for an installation that the failed start of a server, begun at `since`, may have missed. `directories` are
/// those where its process looks for packages; `tries` is the number of preceding consecutive starts during which,
/// and not afterwards, packages were installed.
pub(crate) async fn installed(
    spec: Arc<ServerSpec>,
    directories: BTreeSet<PathBuf>,
    since: SystemTime,
    tries: u32,
) -> PackageInstallation {
    let directories = Arc::new(directories);
    let read_now = || {
        let (spec, directories) = (spec.clone(), directories.clone());
        async move {
            spawn_blocking(move || package_times(&spec, &directories))
                .await
                .unwrap_or_default()
        }
    };
    let mut last_times = read_now().await;
    let is_new = |changed: &SystemTime| tries < MAX_DOUBLINGS && *changed + TICK > since;
    let new = last_times.iter().filter(|(_, changed)| is_new(changed));
    let mut changed: BTreeSet<PathBuf> = new.map(|(place, _)| place.clone()).collect();
    let mut quiet_time = QUIET * 2u32.pow(tries);
    let mut afterwards = false;
    let mut last = Instant::now();
    loop {
        sleep(POLL_INTERVAL).await;
        let now = read_now().await;
        let differs =
            |(place, changed): &(&PathBuf, &SystemTime)| last_times.get(*place) != Some(*changed);
        let before = changed.len();
        changed.extend(now.iter().filter(differs).map(|(place, _)| place.clone()));
        if now != last_times {
            (last, quiet_time) = (Instant::now(), QUIET);
            afterwards |= changed.len() > before;
            last_times = now;
        }
        if !changed.is_empty() && last.elapsed() >= quiet_time {
            let paths = changed.into_iter().collect();
            return PackageInstallation { paths, afterwards };
        }
    }
}

/// Reads the times of all package directories and records. Reads the file system.
fn package_times(spec: &ServerSpec, directories: &BTreeSet<PathBuf>) -> PackageTimes {
    let known = directories.iter().cloned();
    let places = known.chain(of_python(spec)).chain(of_node(spec));
    let existing = places.filter_map(|place| {
        let changed = file_time::changed(&place)?;
        Some((place, changed))
    });
    existing.collect()
}

fn of_python(spec: &ServerSpec) -> Vec<PathBuf> {
    let program = find(spec, Path::new(&spec.program));
    let mut prefixes: BTreeSet<PathBuf> = prefixes(spec, program.as_deref()).collect();
    for folder in around(spec) {
        prefixes.extend(ENVIRONMENTS.iter().map(|name| folder.join(name)));
    }
    let libraries = prefixes
        .iter()
        .flat_map(|prefix| ["lib", "lib64"].map(|name| prefix.join(name)));
    let pythons = libraries.flat_map(|library| entries(&library, "python"));
    let packages =
        pythons.flat_map(|it| ["site-packages", "dist-packages"].map(|name| it.join(name)));
    packages
        .chain(listed(spec, "PYTHONPATH"))
        .chain(program)
        .collect()
}

fn of_node(spec: &ServerSpec) -> Vec<PathBuf> {
    let mut places = listed(spec, "NODE_PATH");
    for folder in around(spec) {
        let modules = folder.join("node_modules");
        places.extend(entries(&modules, "@"));
        places.extend(RECORDS.map(|name| modules.join(name)));
        places.extend([modules, folder.join(".pnp.cjs")]);
    }
    places
}

/// Returns the directories listed in the variable.
fn listed(spec: &ServerSpec, name: &str) -> Vec<PathBuf> {
    let value = variable(spec, name).unwrap_or_default();
    let named = env::split_paths(&value).filter(|it| !it.as_os_str().is_empty());
    named.map(|it| spec.cwd.join(it)).collect()
}

/// Returns the directories that may contain a Python installation or a virtual environment.
fn prefixes(spec: &ServerSpec, program: Option<&Path>) -> impl Iterator<Item = PathBuf> {
    let named = [
        "VIRTUAL_ENV",
        "CONDA_PREFIX",
        "UV_PROJECT_ENVIRONMENT",
        "PYTHONUSERBASE",
    ]
    .into_iter()
    .filter_map(|name| Some(spec.cwd.join(variable(spec, name)?)));
    let programs = program.map(Path::to_owned).into_iter();
    let real = program.and_then(|it| dunce::canonicalize(it).ok());
    let around = programs
        .chain(real)
        .filter_map(|it| Some(it.parent()?.parent()?.to_owned()));
    let user = env::home_dir().map(|home| home.join(".local"));
    named
        .chain(around)
        .chain(user)
        .chain([PathBuf::from("/usr/local")])
}

/// Returns the directories that may contain packages: the server's, those of the files in its command, and all
/// ancestors.
fn around(spec: &ServerSpec) -> BTreeSet<PathBuf> {
    let words = [&spec.program].into_iter().chain(&spec.args);
    let files = words
        .map(|word| spec.cwd.join(word))
        .filter(|path| path.exists());
    let real: Vec<PathBuf> = files
        .filter_map(|path| dunce::canonicalize(path).ok())
        .collect();
    let mut folders = BTreeSet::new();
    for place in real.iter().chain([&spec.cwd]) {
        folders.extend(place.ancestors().map(Path::to_owned));
    }
    folders
}

/// Returns the entries of a directory whose names start with `beginning`.
fn entries(directory: &Path, beginning: &str) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(directory) else {
        return Vec::new();
    };
    let names = entries.filter_map(|entry| Some(entry.ok()?.file_name()));
    let begins = |name: &OsString| name.as_encoded_bytes().starts_with(beginning.as_bytes());
    names
        .filter(begins)
        .map(|name| directory.join(name))
        .collect()
}

/// Returns the value of the variable in the server's environment.
fn variable(spec: &ServerSpec, name: &str) -> Option<OsString> {
    let own = spec.env.iter().rev().find(|(it, _)| it == OsStr::new(name));
    let value = own
        .map(|(_, value)| value.clone())
        .or_else(|| env::var_os(name));
    value.filter(|it| !it.is_empty())
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;

    /// A server that runs in `folder` and installs packages at each start must not be restarted forever.
    #[tokio::test]
    async fn installations_during_starts_count_a_limited_number_of_times() {
        let folder = tempfile::tempdir().unwrap();
        let modules = folder.path().join("node_modules");
        let since = SystemTime::now();
        fs::create_dir(&modules).unwrap();
        let words = vec!["server.js".into()];
        let spec = ServerSpec::new("s".into(), "node".into(), words, folder.path().to_owned());
        let spec = Arc::new(spec);
        let wait = |tries| installed(spec.clone(), BTreeSet::new(), since, tries);

        let installed = wait(0).await;
        assert_eq!(installed.paths, std::slice::from_ref(&modules));
        assert!(!installed.afterwards);
        let mut last = std::pin::pin!(wait(MAX_DOUBLINGS));
        let waited = timeout(QUIET * 4, &mut last).await;
        assert!(waited.is_err(), "{waited:?}");
        fs::create_dir(modules.join("late")).unwrap();
        let installed = last.await;
        assert_eq!(installed.paths, [modules]);
        assert!(installed.afterwards);
    }
}
