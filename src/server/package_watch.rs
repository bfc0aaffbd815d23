//! Detects package installations that a failed start may have missed.
//!
//! The directories of installed packages are not watched, and not read while a server runs. While it is broken, the
//! directories that get a new entry with each package are polled a few times a second.

mod named;

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use tokio::task::spawn_blocking;
use tokio::time::sleep;

use crate::command_line::CommandLine;
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
/// Names of directories that contain installed packages.
const PACKAGES: [&str; 3] = ["node_modules", "site-packages", "dist-packages"];
/// Maximum number of directories that the `.pth` files of one directory of packages may name.
const MAX_LINKED: usize = 50;
/// Maximum length of a `.pth` file in bytes.
const MAX_PTH_BYTES: u64 = 64 * 1024;
/// Files beside packages that package managers write last.
const RECORDS: [&str; 3] = [".package-lock.json", ".modules.yaml", ".yarn-state.yml"];
/// Directory names of virtual environments.
const ENVIRONMENTS: [&str; 3] = [".venv", "venv", "env"];
/// Programs that keep virtual environments in a directory of the user, and these directories within the home directory.
#[rustfmt::skip] // A table.
const ENVIRONMENT_STORES: &[(&str, &[&str])] = &[
    ("poetry", &[".cache/pypoetry/virtualenvs", "Library/Caches/pypoetry/virtualenvs"]),
    ("pipenv", &[".local/share/virtualenvs"]),
    ("conda", &[".conda/envs", "miniconda3/envs", "anaconda3/envs", "miniforge3/envs"]),
    ("mamba", &[".conda/envs", "miniforge3/envs", "mambaforge/envs"]),
    ("micromamba", &["micromamba/envs"]),
];
/// Directories with the Python versions that the programs in a directory `shims` choose from (pyenv, asdf, mise).
const VERSIONS: [&str; 2] = ["versions", "installs/python"];

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

/// Places where the cause of a failed start may be mended.
#[derive(Debug, Clone, Default)]
struct Places {
    /// Directories of packages, and missing paths.
    known: BTreeSet<PathBuf>,
    /// Directories beside or above which packages may be installed.
    around: BTreeSet<PathBuf>,
}

impl Places {
    /// Returns the places for a start whose process looks for packages in `directories` and wrote `stderr`. Reads the
    /// file system.
    fn new(spec: &ServerSpec, directories: BTreeSet<PathBuf>, stderr: &[String]) -> Self {
        let mut places = Self {
            known: directories,
            around: around(spec),
        };
        for path in named::paths(stderr, &spec.cwd) {
            let has =
                |is_part: fn(&str) -> bool| path.iter().any(|it| it.to_str().is_some_and(is_part));
            let is_installed = has(|part| PACKAGES.contains(&part));
            if !path.exists() {
                places.known.insert(path);
            } else if is_installed {
                places.known.extend(path.parent().map(Path::to_owned));
                places.known.insert(path);
            } else if !has(|part| part.starts_with("python3")) {
                // Not a library of Python, beside which no package is installed.
                places
                    .around
                    .extend(path.ancestors().skip(1).map(Path::to_owned));
            }
        }
        let linked = python_packages(spec, &places.around);
        let linked = linked
            .iter()
            .flat_map(|packages| linked_directories(packages));
        places.known.extend(linked);
        places
    }
}

/// Waits for an installation that the failed start of a server, begun at `since`, may have missed. `directories` are
/// those where its process looks for packages, and `stderr` are its last lines; `tries` is the number of preceding
/// consecutive starts during which, and not afterwards, packages were installed.
pub(crate) async fn installed(
    spec: Arc<ServerSpec>,
    directories: BTreeSet<PathBuf>,
    stderr: Vec<String>,
    since: SystemTime,
    tries: u32,
) -> PackageInstallation {
    let places = {
        let spec = spec.clone();
        spawn_blocking(move || Places::new(&spec, directories, &stderr)).await
    };
    let places = Arc::new(places.unwrap_or_default());
    let read_now = || {
        let (spec, places) = (spec.clone(), places.clone());
        async move {
            spawn_blocking(move || package_times(&spec, &places))
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
fn package_times(spec: &ServerSpec, places: &Places) -> PackageTimes {
    let known = places.known.iter().cloned();
    let programs = programs(spec).into_iter().filter_map(|it| find(spec, &it));
    let places = known
        .chain(python_packages(spec, &places.around))
        .chain(of_node(spec, &places.around))
        .chain(listed(spec, "PYTHONPATH"))
        .chain(programs);
    let existing = places.filter_map(|place| {
        let changed = file_time::changed(&place)?;
        Some((place, changed))
    });
    existing.collect()
}

/// Returns the directories in which Python packages may be installed.
fn python_packages(spec: &ServerSpec, around: &BTreeSet<PathBuf>) -> Vec<PathBuf> {
    let mut prefixes: BTreeSet<PathBuf> = prefixes(spec).collect();
    for folder in around {
        prefixes.extend(ENVIRONMENTS.iter().map(|name| folder.join(name)));
    }
    let libraries = prefixes
        .iter()
        .flat_map(|prefix| ["lib", "lib64"].map(|name| prefix.join(name)));
    let pythons = libraries.flat_map(|library| entries(&library, "python"));
    pythons
        .flat_map(|it| ["site-packages", "dist-packages"].map(|name| it.join(name)))
        .collect()
}

/// Returns the directories that the `.pth` files in a directory of packages name, such as those of editable
/// installations.
fn linked_directories(packages: &Path) -> Vec<PathBuf> {
    let links = entries(packages, "")
        .into_iter()
        .filter(|path| path.extension() == Some(OsStr::new("pth")))
        // PyTorch's models have this ending too.
        .filter(|path| {
            path.metadata()
                .is_ok_and(|it| it.is_file() && it.len() <= MAX_PTH_BYTES)
        });
    let texts = links.filter_map(|path| fs::read_to_string(path).ok());
    let lines: Vec<PathBuf> = texts
        .flat_map(|text| {
            let lines = text.lines().map(str::trim);
            let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
            let named = lines.map(|line| packages.join(line));
            named.collect::<Vec<_>>()
        })
        .collect();
    let directories = lines.into_iter().filter(|path| path.is_dir());
    directories.take(MAX_LINKED).collect()
}

fn of_node(spec: &ServerSpec, around: &BTreeSet<PathBuf>) -> Vec<PathBuf> {
    let mut places = listed(spec, "NODE_PATH");
    for folder in around {
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
fn prefixes(spec: &ServerSpec) -> impl Iterator<Item = PathBuf> {
    let named = [
        "VIRTUAL_ENV",
        "CONDA_PREFIX",
        "UV_PROJECT_ENVIRONMENT",
        "PYTHONUSERBASE",
    ]
    .into_iter()
    .filter_map(|name| Some(spec.cwd.join(variable(spec, name)?)));
    let mut around = Vec::new();
    let home = env::home_dir();
    for name in programs(spec) {
        let stores = ENVIRONMENT_STORES
            .iter()
            .filter(|(it, _)| name.ends_with(it));
        let stores = stores.flat_map(|(_, stores)| *stores);
        for store in home
            .iter()
            .flat_map(|home| stores.clone().map(move |it| home.join(it)))
        {
            around.extend(entries(&store, ""));
        }
        let program = find(spec, &name);
        let real = program.as_ref().and_then(|it| dunce::canonicalize(it).ok());
        for directory in program.iter().chain(&real).filter_map(|it| it.parent()) {
            let Some(root) = directory.parent() else {
                continue;
            };
            if directory.ends_with("shims") {
                around.extend(VERSIONS.iter().flat_map(|it| entries(&root.join(it), "")));
            }
            around.extend(entries(&root.join("envs"), ""));
            around.push(root.to_owned());
        }
    }
    let user = home.map(|home| home.join(".local"));
    named
        .chain(around)
        .chain(user)
        .chain([PathBuf::from("/usr/local")])
}

/// Returns the commands that the server's command runs: itself, the command behind wrappers, and those of a shell line.
fn commands(spec: &ServerSpec) -> Vec<CommandLine> {
    let whole = CommandLine::new(&spec.cwd, &spec.program, &spec.args);
    let inner = whole.clone().innermost();
    let lines = inner.shell_commands().unwrap_or_default();
    let lines = lines.into_iter().map(CommandLine::innermost);
    [whole, inner].into_iter().chain(lines).collect()
}

/// Returns the programs that the server's command runs: names, and paths relative to the directory in which they run.
fn programs(spec: &ServerSpec) -> BTreeSet<PathBuf> {
    let program = |command: CommandLine| {
        let written = PathBuf::from(command.words.first()?);
        let is_name = written.components().count() == 1;
        Some(if is_name {
            written
        } else {
            command.base.join(written)
        })
    };
    commands(spec).into_iter().filter_map(program).collect()
}

/// Returns the directories that may contain packages: the server's, those that its command changes to, those of the
/// files in its command, and all ancestors.
fn around(spec: &ServerSpec) -> BTreeSet<PathBuf> {
    let mut folders = BTreeSet::new();
    for command in commands(spec) {
        let files = command.words.iter().map(|word| command.base.join(word));
        let real = files.filter_map(|path| dunce::canonicalize(path).ok());
        for place in real.chain([command.base.clone()]) {
            folders.extend(place.ancestors().map(Path::to_owned));
        }
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

    #[cfg(unix)]
    #[test]
    fn packages_are_expected_where_the_command_and_the_error_lead() {
        use std::os::unix::fs::PermissionsExt as _;

        let folder = tempfile::tempdir().unwrap();
        let root = dunce::canonicalize(folder.path()).unwrap();
        let packages = root.join("server/.venv/lib/python3.1/site-packages");
        let version = root.join("versions/3.2/lib/python3.2/site-packages");
        let module = root.join("elsewhere/node_modules/z");
        for directory in [
            &packages,
            &version,
            &module,
            &root.join("linked"),
            &root.join("shims"),
        ] {
            fs::create_dir_all(directory).unwrap();
        }
        let linked = format!("# a comment\n{}\nimport x\n", root.join("linked").display());
        fs::write(packages.join("editable.pth"), linked).unwrap();
        fs::write(module.join("index.js"), "").unwrap();
        let shim = root.join("shims/python");
        fs::write(&shim, "").unwrap();
        fs::set_permissions(&shim, fs::Permissions::from_mode(0o755)).unwrap();

        let line = format!("cd server && exec {} -m server", shim.display());
        let words = vec!["-c".into(), line.into()];
        let spec = ServerSpec::new("s".into(), "sh".into(), words, root.clone());
        let stderr = [
            format!("Cannot find './build/x'\n- {}/index.js", module.display()),
            format!(
                "Error: Cannot find module '{}/dist/index.js'",
                root.display()
            ),
        ];
        let places = Places::new(&spec, BTreeSet::new(), &stderr);
        for place in [root.join("linked"), module, root.join("dist/index.js")] {
            assert!(places.known.contains(&place), "{place:?} {places:?}");
        }
        let found = python_packages(&spec, &places.around);
        for place in [packages, version] {
            assert!(found.contains(&place), "{place:?} {found:?}");
        }
        let nodes = of_node(&spec, &places.around);
        assert!(
            nodes.contains(&root.join("server/node_modules")),
            "{nodes:?}"
        );
    }

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
        let wait = |tries| installed(spec.clone(), BTreeSet::new(), Vec::new(), since, tries);

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
