//! The configuration: which files, what they say, what is wrong with them, and what is in force.
//!
//! `discover` finds the files, `node` makes TOML and JSON one kind of tree, `section` reads it by the
//! tables in `keys` into the file form, `files` joins the files, `resolve` makes of it plain data that every
//! layer may use and none changes. Every fault of every file is found in one go, and a fault of one server
//! keeps no other from running. `edit` writes one server into a file and takes it out again. Nothing here prints,
//! only an edit waits, for its lock, and only [`Surroundings::of_process`] looks at the process.

mod clients;
mod diff;
mod discover;
pub(crate) mod edit;
mod env_file;
mod expand;
mod fault;
mod files;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod keys;
mod masking;
mod node;
mod own_entry;
mod remote;
mod resolve;
mod secrets;
mod section;
mod shapes;
mod show;
mod source;
mod spec;
mod units;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub(crate) use diff::{Changes, diff};
pub(crate) use discover::NAMES;
pub(crate) use fault::Fault;
pub(crate) use keys::schema;
pub(crate) use remote::Remote;
pub(crate) use secrets::guarded;
pub(crate) use show::{Outline, Shown};
pub(crate) use spec::{Admission, MetaTools, OnBroken, Reload, ServerSpec, Timeouts, Warmth};
pub(crate) use units::{parse_duration, parse_size};

/// What is in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Config {
    /// The servers without a fault, in the order of the files.
    pub(crate) servers: Vec<ServerSpec>,
    /// Servers that are switched off.
    pub(crate) disabled: Vec<String>,
    /// Nothing leaves it to the way in which the proxy is run.
    pub(crate) meta_tools: Option<MetaTools>,
    /// The longest name of a tool.
    pub(crate) max_name: usize,
    /// The longest message in bytes.
    pub(crate) max_message: usize,
    /// As many processes may be kept ready for a next start.
    pub(crate) warm_limit: usize,
    /// For everything that no server has times of its own for.
    pub(crate) timeouts: Timeouts,
    pub(crate) watching: Watching,
    pub(crate) install: Install,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            servers: Vec::new(),
            disabled: Vec::new(),
            meta_tools: None,
            max_name: 48,
            max_message: 64 << 20,
            warm_limit: 4,
            timeouts: Timeouts::default(),
            watching: Watching {
                debounce: Duration::from_millis(30),
                ignore: Vec::new(),
            },
            install: Install {
                enabled: true,
                allow: Vec::new(),
                scripts: false,
                consent_required: false,
            },
        }
    }
}

/// How files are watched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Watching {
    /// How long files must be quiet before a save counts.
    pub(crate) debounce: Duration,
    /// Globs that no server is reloaded for.
    pub(crate) ignore: Vec<String>,
}

/// Whether and from where servers may be installed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Install {
    pub(crate) enabled: bool,
    /// Globs of sources; empty allows any.
    pub(crate) allow: Vec<String>,
    /// Whether install scripts of packages may run.
    pub(crate) scripts: bool,
    /// Whether a model may do nothing unless a person could be asked.
    pub(crate) consent_required: bool,
}

/// What loading depends on besides the files.
#[derive(Debug, Clone, Default)]
pub(crate) struct Surroundings {
    /// The file that the user named.
    pub(crate) explicit: Option<PathBuf>,
    pub(crate) cwd: PathBuf,
    pub(crate) home: Option<PathBuf>,
    /// For `${VAR}`.
    pub(crate) variables: HashMap<String, String>,
    /// The path of this program.
    pub(crate) program: Option<PathBuf>,
    /// The ids of the users whose files are taken from above `cwd`.
    pub(crate) users: Vec<u32>,
}

impl Surroundings {
    /// Those of this process. `explicit` wins over `MCP_PROXY_CONFIG`.
    pub(crate) fn of_process(explicit: Option<&Path>) -> std::io::Result<Self> {
        let named = std::env::var_os("MCP_PROXY_CONFIG").filter(|it| !it.is_empty());
        let variables = std::env::vars_os().filter_map(|(name, value)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        });
        Ok(Self {
            explicit: explicit.map(Path::to_owned).or(named.map(PathBuf::from)),
            cwd: std::env::current_dir()?,
            home: std::env::home_dir(),
            variables: variables.collect(),
            program: std::env::current_exe().ok(),
            users: discover::users(),
        })
    }
}

/// The configuration, and everything that is to be said about it.
#[derive(Debug, Default)]
pub(crate) struct Loaded {
    pub(crate) config: Config,
    /// Everything that is wrong, file by file from top to bottom.
    pub(crate) faults: Vec<Fault>,
    /// What was left out on purpose.
    pub(crate) notes: Vec<String>,
    /// The files that were read or should have been.
    pub(crate) files: Vec<PathBuf>,
    /// The files of variables that servers name, missing ones included: they count as configuration and are watched.
    pub(crate) env_files: Vec<PathBuf>,
    /// The names of all servers without a fault, whichever of them are to be run.
    pub(crate) names: Vec<String>,
    /// The file form, for people.
    pub(crate) shown: Shown,
}

/// Says that a file was found that another user owns, and how to use it.
fn not_taken((path, owner): &(PathBuf, u32)) -> Fault {
    let message = format!(
        "the file belongs to another user (id {owner}) and lies above the current directory, so it is not used"
    );
    let help = format!("to use it, name it: --config {}", path.display());
    Fault::of_file(path, message).help(help)
}

/// Finds, reads and resolves the configuration.
pub(crate) fn load(around: &Surroundings) -> Loaded {
    let places = discover::discover(around);
    let mut loaded = Loaded {
        faults: places.foreign.iter().map(not_taken).collect(),
        ..Loaded::default()
    };
    let written = files::read(&places, &mut loaded.faults);
    resolve::resolve(&written, around, &mut loaded);
    loaded
        .files
        .extend([places.json, places.toml].into_iter().flatten());
    let files = &loaded.files;
    loaded.faults.sort_by_key(|fault| {
        (
            files.iter().position(|file| file == fault.path()),
            fault.order(),
        )
    });
    loaded.names = loaded
        .config
        .servers
        .iter()
        .map(|spec| spec.name.clone())
        .collect();
    loaded.shown = Shown::new(&loaded.files, written);
    loaded
}
