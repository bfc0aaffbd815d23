//! The servers that a one-shot command is about, of the command line or of the configuration, and the
//! visit that it pays them.

use std::path::PathBuf;

use super::args::ServerArgs;
use super::{CliError, Global, config};
use crate::app::visit::{Findings, Visit, Visited, visit};
use crate::config::{Config, Fault, Loaded, ServerSpec};
use crate::near::nearest;
use crate::output;

/// The servers, ready to be started.
#[derive(Debug)]
pub(super) struct Chosen {
    /// In the order of the configuration.
    pub(super) servers: Vec<ServerSpec>,
    /// The longest message in bytes.
    pub(super) max_message: usize,
    /// Why others that were meant too cannot be started; told already.
    pub(super) faults: Vec<Fault>,
}

impl Chosen {
    /// The server of the command line, or those of the configuration that `names` names, or all of
    /// them; `options` win over what stands there. At least one.
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
            },
            None => Self::configured(&config::load(file, global)?, names)?,
        };
        let for_one = options.name.is_some() || options.cwd.is_some() || !options.env.is_empty();
        if let ([_, _, ..], true) = (&chosen.servers[..], for_one) {
            return Err(chosen.several("--name, --cwd and --env are for one server"));
        }
        for spec in &mut chosen.servers {
            options.adjust(spec)?;
        }
        chosen.max_message = options.max_message.unwrap_or(chosen.max_message);
        Ok(chosen)
    }

    fn configured(loaded: &Loaded, names: &[String]) -> Result<Self, CliError> {
        if loaded.files.is_empty() {
            let why = format!("there is no command after `--`, and {NO_FILE}");
            return Err(CliError::Usage(why));
        }
        let is_meant = |name: &String| names.is_empty() || names.contains(name);
        let is_to_blame = |fault: &&Fault| fault.server.as_ref().is_none_or(is_meant);
        let faults: Vec<Fault> = loaded.faults.iter().filter(is_to_blame).cloned().collect();
        // A fault without a server concerns a file, and nobody knows what else is in it.
        if !faults.iter().any(|fault| fault.server.is_none()) {
            for name in names {
                is_known(name, loaded)?;
            }
        }
        let servers = loaded.config.servers.iter();
        let servers: Vec<ServerSpec> = servers
            .filter(|spec| is_meant(&spec.name))
            .cloned()
            .collect();
        if !servers.is_empty() {
            return Ok(Self {
                servers,
                max_message: loaded.config.max_message,
                faults,
            });
        }
        Err(if faults.is_empty() {
            CliError::Usage(
                "there is no command after `--`, and the configuration has no server to run"
                    .to_owned(),
            )
        } else {
            config::broken(loaded)
        })
    }

    /// The error of a command that wants one server and has got several.
    pub(super) fn several(&self, why: &str) -> CliError {
        let names: Vec<_> = self.servers.iter().map(|spec| &spec.name).collect();
        CliError::Usage(format!("{why}; choose it: {}", listed(&names)))
    }

    /// The error of a command that did all it could although the configuration has faults.
    pub(super) fn fault(&self) -> Option<CliError> {
        let count = self.faults.len();
        (count > 0).then(|| config::faulty(count))
    }
}

/// What is to be done without any file.
pub(super) const NO_FILE: &str = "there is no configuration: neither mcp-proxy.toml nor .mcp.json";

/// An error unless the configuration has something to say of the server `name`.
fn is_known(name: &String, loaded: &Loaded) -> Result<(), CliError> {
    let servers = &loaded.config.servers;
    let is_faulty = loaded
        .faults
        .iter()
        .any(|it| it.server.as_ref() == Some(name));
    if is_faulty || servers.iter().any(|spec| spec.name == *name) {
        return Ok(());
    }
    if loaded.config.disabled.contains(name) {
        return Err(CliError::Usage(format!(
            "the server `{name}` is switched off in the configuration: `enabled = false`"
        )));
    }
    let names = servers.iter().map(|spec| spec.name.as_str());
    Err(CliError::Usage(unknown(
        "the configuration has no server",
        name,
        names,
    )))
}

/// `there is no such thing` about `name`, with the name that was probably meant, or all there are.
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

fn listed<S: AsRef<str>>(names: &[S]) -> String {
    let names = names
        .iter()
        .map(|name| format!("`{}`", output::clean(name.as_ref())));
    names.collect::<Vec<_>>().join(", ")
}

/// Visits servers while stderr tells what happens; nothing if a signal ended it.
pub(super) fn pay_visit(plan: Visit, global: &Global) -> Result<Option<Vec<Visited>>, CliError> {
    let (events, printer) = output::start(&global.output_options())
        .map_err(|error| CliError::Config(error.to_string()))?;
    let visited = visit(plan, &events);
    drop(events);
    printer.finish();
    let visited = visited.map_err(|error| CliError::Failure(error.to_string()))?;
    let interrupted = |it: &Visited| matches!(it.findings, Findings::Interrupted);
    Ok((!visited.iter().any(interrupted)).then_some(visited))
}

/// The error that tells which of the visited servers do not start; nothing if all do.
pub(super) fn not_started(visited: &[Visited]) -> Option<CliError> {
    let broken = |it: &&Visited| matches!(it.findings, Findings::Broken(_));
    let broken: Vec<&Visited> = visited.iter().filter(broken).collect();
    let text = match &broken[..] {
        [] => return None,
        [
            Visited {
                server,
                findings: Findings::Broken(failure),
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
