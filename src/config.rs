//! Configuration: file discovery, parsing, resolution to effective values, and edits of files.
//!
//! `discover` finds the files, `node` parses TOML and JSON into a common tree, `section` converts the tree to the file
//! form by the tables in `keys`, `files` merges the files, `resolve` produces a [`Config`] of plain data. Faults are
//! collected, and a faulty server does not prevent other servers from running. `edit` adds a server to a file or
//! removes it. No module prints, only an edit blocks on a lock, and only [`ConfigContext::of_process`] reads environment
//! variables.

mod client_entry;
mod client_keys;
mod client_variables;
mod diff;
mod discover;
pub(crate) mod edit;
mod env_file;
mod expand;
mod fault;
mod files;
mod findings;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod hidden_values;
mod keys;
mod location;
mod masking;
mod node;
mod own_entry;
mod pipes;
mod process_address;
mod process_variables;
mod rehearsed_call;
mod remote;
mod resolve;
mod secrets;
mod section;
mod server_tables;
mod show;
mod spec;
mod units;
mod written_entry;

#[cfg(test)]
mod tests;

use std::path::{MAIN_SEPARATOR, Path, PathBuf};
use std::time::Duration;

use expand::ENVIRONMENT;
use process_variables::ProcessVariables;

pub(crate) use client_entry::{EntryError, client_entry};
pub(crate) use client_variables::VariableForm;
pub(crate) use diff::{ConfigDiff, diff};
pub(crate) use discover::{NAMES, project_folders};
pub(crate) use expand::is_variable_name;
pub(crate) use fault::Fault;
pub(crate) use hidden_values::HiddenValues;
pub(crate) use keys::schema;
pub(crate) use own_entry::is_own;
pub(crate) use pipes::is_pipe;
pub(crate) use process_address::ProcessAddress;
pub(crate) use rehearsed_call::{RehearsalItem, RehearsedCall, parse_arguments};
pub(crate) use remote::{Remote, is_loopback};
pub(crate) use secrets::{guarded, line as shown_line, looks_secret, shown_words};
pub(crate) use section::{NAME_ADVICE, is_name_char};
pub(crate) use show::{ConfigDisplay, ServerOutline};
pub(crate) use spec::{
    CompiledToolFilter, EraChoice, MetaToolSet, OnBadTool, OnBroken, OnRegression, ReloadMode,
    ServerSpec, StandbyMode, Timeouts,
};
pub(crate) use units::{parse_duration, parse_size};
pub(crate) use written_entry::{WrittenEntry, written_entry};

/// Effective configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Config {
    /// Enabled servers without faults, in file order.
    pub(crate) servers: Vec<ServerSpec>,
    /// Names of disabled servers.
    pub(crate) disabled: Vec<String>,
    /// Meta-tools to offer; if `None`, the subcommand decides.
    pub(crate) meta_tools: Option<MetaToolSet>,
    /// Maximum length of a tool name, in characters.
    pub(crate) max_name: usize,
    /// Maximum size of a message, in bytes.
    pub(crate) max_message: usize,
    /// Maximum number of standbys, of all servers together.
    pub(crate) warm_limit: usize,
    /// Default timeouts; a server may override some of them.
    pub(crate) timeouts: Timeouts,
    pub(crate) watching: WatchSettings,
    pub(crate) install: InstallPolicy,
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
            watching: WatchSettings {
                debounce: Duration::from_millis(30),
                ignore: Vec::new(),
            },
            install: InstallPolicy {
                enabled: true,
                allow: Vec::new(),
                scripts: false,
                consent_required: false,
            },
        }
    }
}

/// File watching.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WatchSettings {
    /// Duration without touches that ends a save.
    pub(crate) debounce: Duration,
    /// Globs of files that reload no server, relative to each server's `cwd`.
    pub(crate) ignore: Vec<String>,
}

/// Policy for the installation of servers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct InstallPolicy {
    pub(crate) enabled: bool,
    /// Globs of permitted sources; empty permits any source.
    pub(crate) allow: Vec<String>,
    /// Whether install scripts of packages may run.
    pub(crate) scripts: bool,
    /// Whether a model may act only if the client can ask its user.
    pub(crate) consent_required: bool,
}

/// Inputs of loading other than the files.
#[derive(Debug, Clone, Default)]
pub(crate) struct ConfigContext {
    /// Configuration file named by the user.
    pub(crate) explicit: Option<PathBuf>,
    pub(crate) cwd: PathBuf,
    pub(crate) home: Option<PathBuf>,
    /// Environment variables, for `${VAR}`.
    pub(crate) variables: ProcessVariables,
    /// Path of this executable.
    pub(crate) program: Option<PathBuf>,
    /// Ids of the users whose files are accepted above `cwd`.
    pub(crate) users: Vec<u32>,
}

impl ConfigContext {
    /// Returns a variable of the environment, or else a predefined variable of clients for `base` or the home
    /// directory.
    fn variable(&self, name: &str, base: &Path) -> Option<String> {
        let set = |name: &str| self.variables.get(name).cloned();
        if let Some(name) = name.strip_prefix(ENVIRONMENT) {
            return set(name);
        }
        let shown = |path: &Path| path.display().to_string();
        set(name).or_else(|| match name {
            // VS Code and Cursor; Claude Code plugins; Gemini CLI extensions.
            "workspaceFolder" | "CLAUDE_PLUGIN_ROOT" | "extensionPath" => Some(shown(base)),
            "workspaceFolderBasename" => Some(shown(Path::new(base.file_name()?))),
            "userHome" => self.home.as_deref().map(shown),
            "cwd" => Some(shown(&self.cwd)),
            "pathSeparator" | "/" => Some(MAIN_SEPARATOR.to_string()),
            _ => None,
        })
    }

    /// Returns the surroundings of this process. `explicit` takes precedence over `MCP_PROXY_CONFIG`.
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

/// Loaded configuration with its faults and notes.
#[derive(Debug, Default)]
pub(crate) struct LoadedConfig {
    pub(crate) config: Config,
    /// Faults, ordered by file, then by position.
    pub(crate) faults: Vec<Fault>,
    /// Messages about omitted, unsupported or misplaced settings, which do not prevent a server from running.
    pub(crate) notes: Vec<String>,
    /// Configuration files, including unreadable ones and a missing explicit file.
    pub(crate) files: Vec<PathBuf>,
    /// Env files named by servers, including missing ones; watched like configuration files.
    pub(crate) env_files: Vec<PathBuf>,
    /// Names of all servers without faults; callers may reduce `config.servers` to a selection.
    pub(crate) names: Vec<String>,
    /// File form, for display.
    pub(crate) shown: ConfigDisplay,
}

/// Returns a fault for a file that belongs to another user, with advice on using it.
fn not_taken((path, owner): &(PathBuf, u32)) -> Fault {
    let message = format!(
        "the file is not used, since another user (id {owner}) owns it and it is above the current directory"
    );
    let help = format!("to use the file, pass --config {}", path.display());
    Fault::of_file(path, message).help(help)
}

/// Finds, reads and resolves the configuration.
pub(crate) fn load(around: &ConfigContext) -> LoadedConfig {
    let places = discover::discover(around);
    let mut loaded = LoadedConfig {
        faults: places.foreign.iter().map(not_taken).collect(),
        ..LoadedConfig::default()
    };
    let program = around.program.as_deref();
    let written = files::read(&places, program, &mut loaded.faults);
    resolve::resolve(&written, around, &mut loaded);
    loaded.files.extend(places.files());
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
    loaded.shown = ConfigDisplay::new(&loaded.files, written);
    loaded
}
