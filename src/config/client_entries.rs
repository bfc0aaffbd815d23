//! Entries of a client's file that start servers, as written: for people who look for a mistake in it.

use std::path::{Path, PathBuf};

use super::fault::Fault;
use super::files;
use super::node::{self, Node, Value};
use super::own_entry::is_own;
use super::server_tables;

/// Entry with a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ClientEntry {
    pub(crate) name: String,
    /// Program, with variables as written.
    pub(crate) command: String,
    /// Arguments, with variables and secrets as written.
    pub(crate) args: Vec<String>,
    /// Whether the command runs the proxy.
    pub(crate) runs_proxy: bool,
}

/// Returns the entries of `file`; those of Claude Code's own file that apply to `project` are among them. Entries
/// without a command are omitted. Returns an error if the file cannot be read.
pub(crate) fn client_entries(
    file: &Path,
    project: &Path,
    program: Option<&Path>,
) -> Result<Vec<ClientEntry>, Fault> {
    let path = PathBuf::from(file);
    let is_toml = file.extension().is_some_and(|it| it == "toml");
    let parse = if is_toml { node::toml } else { node::json };
    let tree = files::tree(&path, parse).map_err(|mut faults| faults.swap_remove(0))?;
    let mut tables: Vec<&Node> = if is_toml {
        let places = server_tables::places_in_toml(&tree);
        places.into_iter().map(|place| place.servers).collect()
    } else {
        let places = server_tables::places(&tree);
        places.into_iter().map(|place| place.servers).collect()
    };
    let of_project = tree
        .get("projects")
        .and_then(|projects| projects.get(&project.to_string_lossy()))
        .and_then(|settings| settings.get("mcpServers"));
    tables.extend(of_project);
    let servers = tables.into_iter().filter_map(|table| match &table.value {
        Value::Table(servers) => Some(servers),
        _ => None,
    });
    Ok(servers
        .flatten()
        .filter_map(|(name, server)| entry(&name.value, server, program))
        .collect())
}

fn entry(name: &str, server: &Node, program: Option<&Path>) -> Option<ClientEntry> {
    let texts = |node: &Node| match &node.value {
        Value::Text(text) => vec![text.clone()],
        Value::List(items) => items
            .iter()
            .filter_map(|item| match &item.value {
                Value::Text(text) => Some(text.clone()),
                _ => None,
            })
            .collect(),
        _ => Vec::new(),
    };
    // OpenCode's command is a list with the arguments.
    let mut command = texts(server.get("command")?);
    if command.is_empty() {
        return None;
    }
    let mut args = command.split_off(1);
    args.extend(server.get("args").map(texts).unwrap_or_default());
    let command = command.remove(0);
    Some(ClientEntry {
        name: name.to_owned(),
        runs_proxy: is_own(&command, &args, program),
        command,
        args,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(name: &str, text: &str) -> Vec<(String, String, bool)> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(name);
        std::fs::write(&file, text).unwrap();
        let entries = client_entries(&file, Path::new("/project"), None).unwrap();
        let entries = entries.into_iter();
        entries
            .map(|it| {
                let words: Vec<_> = std::iter::once(it.command).chain(it.args).collect();
                (it.name, words.join(" "), it.runs_proxy)
            })
            .collect()
    }

    fn expected(name: &str, words: &str, runs_proxy: bool) -> (String, String, bool) {
        (name.to_owned(), words.to_owned(), runs_proxy)
    }

    #[test]
    fn entries_are_found_in_files_of_all_clients() {
        let through = expected("a", "mcp-proxy dev -- uv run x", true);
        for (name, text) in [
            (
                "mcp.json",
                r#"{"servers": {"a": {"command": "mcp-proxy", "args": ["dev", "--", "uv", "run", "x"]},
                    "b": {"url": "x"},}}"#,
            ),
            (
                "config.toml",
                "[mcp_servers.a]\ncommand = 'mcp-proxy'\nargs = ['dev', '--', 'uv', 'run', 'x']\n",
            ),
            (
                "opencode.json",
                r#"{"mcp": {"a": {"type": "local", "command": ["mcp-proxy", "dev", "--", "uv", "run", "x"]}}}"#,
            ),
        ] {
            assert_eq!(
                entries(name, text),
                std::slice::from_ref(&through),
                "{name}"
            );
        }
        let of_claude = r#"{"mcpServers": {"u": {"command": "x"}}, "projects": {
            "/project": {"mcpServers": {"p": {"command": "y"}}},
            "/other": {"mcpServers": {"o": {"command": "z"}}}}}"#;
        let both = [expected("u", "x", false), expected("p", "y", false)];
        assert_eq!(entries(".claude.json", of_claude), both);
    }

    #[test]
    fn an_unreadable_file_is_an_error_and_one_without_servers_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("mcp.json");
        std::fs::write(&file, "{").unwrap();
        let error = client_entries(&file, Path::new("/"), None).unwrap_err();
        assert!(error.to_string().contains("mcp.json"), "{error}");
        assert_eq!(entries("settings.json", r#"{"theme": "dark"}"#), []);
    }
}
