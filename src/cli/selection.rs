//! Selects the servers of a one-shot command, from the command line or the configuration, and visits them.

use std::path::PathBuf;

use super::args::ServerArgs;
use super::{CliError, Global, config};
use crate::app::visit::{ServerVisit, Visit, VisitOutcome, visit};
use crate::config::{Config, Fault, LoadedConfig, ServerSpec};
use crate::output;
use crate::suggestions::nearest;

/// Selected servers, ready to start.
#[derive(Debug)]
pub(super) struct ServerSelection {
    /// Servers, in the order of the configuration.
    pub(super) servers: Vec<ServerSpec>,
    /// Maximum length of a message in bytes.
    pub(super) max_message: usize,
    /// Faults that prevent other selected servers from starting; already reported.
    pub(super) faults: Vec<Fault>,
    /// Files of the configuration.
    pub(super) files: Vec<PathBuf>,
}

impl ServerSelection {
    /// Selects the server of the command line, the servers of the configuration in `names`, or all servers of the
    /// configuration; `options` override their settings. Returns no server only if all selected ones have faults.
    pub(super) fn by(
        options: &ServerArgs,
        file: Option<&PathBuf>,
        names: &[String],
        global: &Global,
    ) -> Result<Self, CliError> {
        let mut chosen = match options.spec()? {
            Some(spec) => Self {
                servers: vec![spec],
                max_message: Config::default().max_message,
                faults: Vec::new(),
                files: Vec::new(),
            },
            None => Self::configured(&config::load(file, global)?, names)?,
        };
        let for_one = options.name.is_some() || options.cwd.is_some() || !options.env.is_empty();
        if let ([_, _, ..], true) = (&chosen.servers[..], for_one) {
            return Err(chosen.single_server_error("--name, --cwd and --env apply to one server"));
        }
        for spec in &mut chosen.servers {
            options.adjust(spec)?;
        }
        chosen.max_message = options.max_message.unwrap_or(chosen.max_message);
        Ok(chosen)
    }

    fn configured(loaded: &LoadedConfig, names: &[String]) -> Result<Self, CliError> {
        if loaded.files.is_empty() {
            let why = format!("no server command after `--`, and {NO_FILE}");
            return Err(CliError::Usage(why));
        }
        let is_meant = |name: &String| names.is_empty() || names.contains(name);
        let is_to_blame = |fault: &&Fault| fault.server.as_ref().is_none_or(is_meant);
        let faults: Vec<Fault> = loaded.faults.iter().filter(is_to_blame).cloned().collect();
        // A fault without a server concerns a whole file, which may define the named server.
        if !faults.iter().any(|fault| fault.server.is_none()) {
            for name in names {
                check_known(name, loaded)?;
            }
        }
        let servers = loaded.config.servers.iter();
        let servers: Vec<ServerSpec> = servers
            .filter(|spec| is_meant(&spec.name))
            .cloned()
            .collect();
        if servers.is_empty() && faults.is_empty() {
            let why = "no server command after `--`, and the configuration has no server to run";
            return Err(CliError::Usage(why.to_owned()));
        }
        Ok(Self {
            servers,
            max_message: loaded.config.max_message,
            faults,
            files: loaded.files.clone(),
        })
    }

    /// Returns the usage error for several selected servers where one is required.
    pub(super) fn single_server_error(&self, why: &str) -> CliError {
        let names: Vec<_> = self.servers.iter().map(|spec| &spec.name).collect();
        CliError::Usage(format!("{why}; select one of {}", listed(&names)))
    }

    /// Returns the error about faults of the configuration, to report after the command did all it could.
    pub(super) fn fault(&self) -> Option<CliError> {
        let count = self.faults.len();
        (count > 0).then(|| config::fault_count_error(count))
    }
}

/// Error text for a missing configuration.
pub(super) const NO_FILE: &str = "no configuration file found (mcp-proxy.toml or .mcp.json)";

/// Returns an error unless the configuration has the server `name`, possibly with a fault.
pub(super) fn check_known(name: &String, loaded: &LoadedConfig) -> Result<(), CliError> {
    let is_faulty = loaded
        .faults
        .iter()
        .any(|it| it.server.as_ref() == Some(name));
    if is_faulty || loaded.names.contains(name) {
        return Ok(());
    }
    if loaded.config.disabled.contains(name) {
        return Err(CliError::Usage(format!(
            "server `{name}` is disabled in the configuration (`enabled = false`)"
        )));
    }
    let names = loaded.names.iter().map(String::as_str);
    Err(CliError::Usage(unknown(
        "the configuration has no server",
        name,
        names,
    )))
}

/// Appends `name` to `message`, with similar names as suggestions, or else with all `names`.
pub(super) fn unknown<'a>(
    message: &str,
    name: &str,
    names: impl Iterator<Item = &'a str> + Clone,
) -> String {
    let name_shown = output::clean(name);
    let near = nearest(name, names.clone());
    if !near.is_empty() {
        let near = near.iter().map(|name| format!("`{}`", output::clean(name)));
        let near: Vec<_> = near.collect();
        return format!(
            "{message} `{name_shown}`; did you mean {}?",
            near.join(" or ")
        );
    }
    let all: Vec<_> = names.collect();
    if all.is_empty() {
        format!("{message} `{name_shown}`")
    } else {
        format!("{message} `{name_shown}`; it has {}", listed(&all))
    }
}

/// Joins names for people: `a`, `b`.
pub(super) fn listed<S: AsRef<str>>(names: &[S]) -> String {
    let names = names
        .iter()
        .map(|name| format!("`{}`", output::clean(name.as_ref())));
    names.collect::<Vec<_>>().join(", ")
}

/// Visits servers and prints events to stderr meanwhile; returns `None` if a signal interrupted the visit.
pub(super) fn run_visit(
    options: Visit,
    global: &Global,
) -> Result<Option<Vec<ServerVisit>>, CliError> {
    let (events, printer) = output::start(&global.output_options())
        .map_err(|error| CliError::Config(error.to_string()))?;
    let visited = visit(options, &events);
    drop(events);
    printer.finish();
    let visited = visited.map_err(|error| CliError::Failure(error.to_string()))?;
    let interrupted = |it: &ServerVisit| matches!(it.outcome, VisitOutcome::Interrupted);
    Ok((!visited.iter().any(interrupted)).then_some(visited))
}

/// Returns an error that names the servers that do not start; `None` if all do.
pub(super) fn not_started(visited: &[ServerVisit]) -> Option<CliError> {
    let broken = |it: &&ServerVisit| matches!(it.outcome, VisitOutcome::Broken(_));
    let broken: Vec<&ServerVisit> = visited.iter().filter(broken).collect();
    let text = match &broken[..] {
        [] => return None,
        [
            ServerVisit {
                server,
                outcome: VisitOutcome::Broken(failure),
            },
        ] => {
            format!("`{server}` does not start: {}", failure.reason)
        }
        several => {
            let names: Vec<_> = several.iter().map(|it| &it.server).collect();
            let (count, all) = (several.len(), visited.len());
            format!("{count} of {all} servers do not start: {}", listed(&names))
        }
    };
    Some(CliError::Start(text))
}
