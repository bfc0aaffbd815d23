//! `mcp-proxy list`: lists the servers of the configuration without starting any.

use std::path::PathBuf;

use anstyle::Style;
use clap::Args;
use serde_json::{Value, json};

use super::table::TextTable;
use super::{CliError, EXIT_OK, Global, config, install, print, selection};
use crate::config::{LoadedConfig, ServerOutline};
use crate::output::palette::{BAD, DIM};
use crate::path_text::texts;

/// The options of `list`.
#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Configuration file [default: `MCP_PROXY_CONFIG`, or the nearest mcp-proxy.toml and .mcp.json]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// List installed servers instead, whichever configuration they belong to
    #[arg(long)]
    installed: bool,
    /// Print one JSON object instead of a table
    #[arg(long)]
    json: bool,
}

/// Prints the configured servers; secrets are hidden, variables are not expanded.
pub(crate) fn run(args: &ListArgs, global: &Global) -> Result<u8, CliError> {
    if args.installed {
        return install::list(args.config.as_ref(), args.json);
    }
    let loaded = config::load(args.config.as_ref(), global)?;
    if loaded.files.is_empty() {
        return Err(CliError::Usage(selection::NO_FILE.to_owned()));
    }
    let servers: Vec<ServerRow> = loaded
        .shown
        .outlines()
        .into_iter()
        .filter_map(|outline| ServerRow::of(outline, &loaded))
        .collect();
    print(&if args.json {
        let faults = config::faults_json(&loaded.faults);
        let servers: Vec<Value> = servers.iter().map(ServerRow::json).collect();
        format!("{}\n", json!({ "servers": servers, "faults": faults }))
    } else {
        table(&servers)
    })?;
    if loaded.faults.is_empty() {
        Ok(EXIT_OK)
    } else {
        Err(config::faults_error(&loaded))
    }
}

struct ServerRow {
    outline: ServerOutline,
    /// State: `at once`, `on demand`, `disabled` or `faulty`.
    starts: &'static str,
    /// Working directory; `None` for a remote server, or if the directory is unknown.
    cwd: Option<String>,
}

impl ServerRow {
    /// Returns `None` for the proxy's own entry, and for a server whose state is unknown.
    fn of(outline: ServerOutline, loaded: &LoadedConfig) -> Option<Self> {
        let name = &outline.name;
        let spec = loaded.config.servers.iter().find(|it| it.name == *name);
        let is_faulty = || {
            loaded
                .faults
                .iter()
                .any(|it| it.server.as_ref() == Some(name))
        };
        let starts = match spec {
            Some(spec) if spec.autostart => "at once",
            Some(_) => "on demand",
            None if loaded.config.disabled.contains(name) => "disabled",
            None if is_faulty() => "faulty",
            None => return None,
        };
        Some(Self {
            starts,
            cwd: spec
                .filter(|spec| spec.remote.is_none())
                .map(|spec| spec.hidden.hide(spec.cwd.display().to_string())),
            outline,
        })
    }

    fn json(&self) -> Value {
        let ServerOutline {
            name,
            command,
            url,
            files,
        } = &self.outline;
        json!({
            "name": name,
            "command": command,
            "url": url,
            "cwd": self.cwd,
            "starts": self.starts,
            "files": texts(files),
        })
    }

    /// Returns the command as typed in a shell, or the URL.
    fn line(&self) -> String {
        let words = self.outline.command.iter().map(|word| quoted(word));
        let words: Vec<_> = words.chain(self.outline.url.clone()).collect();
        words.join(" ")
    }
}

/// Quotes a word for a shell; `${VAR}` stays readable.
fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "_-+=./:,@%${}*~".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    shlex::try_quote(word).map_or_else(|_| format!("{word:?}"), std::borrow::Cow::into_owned)
}

fn table(servers: &[ServerRow]) -> String {
    let mut table = TextTable::new(["SERVER", "STARTS", "COMMAND", "DIRECTORY", "FILE"]);
    for server in servers {
        let style = match server.starts {
            "faulty" => BAD,
            "disabled" => DIM,
            _ => Style::new(),
        };
        let files = texts(&server.outline.files);
        let cwd = server.cwd.clone().unwrap_or_default();
        let name = server.outline.name.clone();
        let starts = server.starts.to_owned();
        table.row(style, [name, starts, server.line(), cwd, files.join(", ")]);
    }
    table.text()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_where_a_shell_needs_it() {
        for (word, shown) in [
            ("--port=8080", "--port=8080"),
            ("${HOME}/x", "${HOME}/x"),
            ("two words", "'two words'"),
            ("", "''"),
        ] {
            assert_eq!(quoted(word), shown);
        }
    }
}
