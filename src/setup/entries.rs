//! Entries of clients' files that start a command, as written: for people who look for a mistake in them.

use std::path::PathBuf;

use super::clients::{Client, VS_CODE};
use super::discovery::{self, FoundFile};
use crate::config::edit::{ClientFile, EntryKind, EntryPath};
use crate::config::{ConfigContext, is_own};

/// Entry with a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ClientEntry {
    pub(crate) name: String,
    /// Program and arguments, with variables and secrets as written; not empty.
    pub(crate) words: Vec<String>,
    /// Whether the command runs the proxy.
    pub(crate) runs_proxy: bool,
    /// Whether the client itself restarts the server on saves or debugs it.
    pub(crate) has_dev_mode: bool,
}

/// Existing file of a client.
#[derive(Debug)]
pub(crate) struct ClientEntries {
    pub(crate) client: &'static Client,
    pub(crate) path: PathBuf,
    /// Entries with a command, or the reason why the file cannot be read.
    pub(crate) entries: Result<Vec<ClientEntry>, String>,
}

/// Returns the existing files of all clients for the user and for the current project, with their entries.
pub(crate) fn entries(around: &ConfigContext) -> Vec<ClientEntries> {
    let mut files: Vec<ClientEntries> = Vec::new();
    for found in discovery::files(around, &[]) {
        let entries = found.parsed().map(|file| of_table(&file, &found, around));
        let entries = entries.map_err(|error| error.to_string());
        // A file may have several tables of servers.
        match files.iter_mut().find(|it| it.path == found.path) {
            Some(known) => {
                if let Ok(known) = &mut known.entries {
                    known.extend(entries.into_iter().flatten());
                }
            }
            None => files.push(ClientEntries {
                client: found.client,
                path: found.path,
                entries,
            }),
        }
    }
    files
}

/// Whether `dev` of the entry tells VS Code to restart the server on saves, or to start it in a debugger.
pub(super) fn has_dev_mode(client: &Client, file: &ClientFile, path: &EntryPath) -> bool {
    let is_set = |server: serde_json::Value| {
        let mut keys = ["watch", "debug"].into_iter();
        keys.any(|key| !server["dev"][key].is_null())
    };
    client.id == VS_CODE && file.value(path).is_some_and(is_set)
}

fn of_table(file: &ClientFile, found: &FoundFile, around: &ConfigContext) -> Vec<ClientEntry> {
    let entry = |name: String| {
        let path = EntryPath {
            keys: found.keys.clone(),
            name,
        };
        let Some(EntryKind::Command(words)) = file.kind(&path) else {
            return None;
        };
        Some(ClientEntry {
            has_dev_mode: has_dev_mode(found.client, file, &path),
            name: path.name,
            runs_proxy: is_own(&words[0], &words[1..], around.program.as_deref()),
            words,
        })
    };
    let names = file.names(&found.keys).into_iter();
    names.filter_map(entry).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// Returns the client, the names and the commands of all entries below a home directory with these files; the
    /// project is the folder `project` in it.
    fn found(files: &[(&str, &str)]) -> Vec<(&'static str, String, String, bool)> {
        let home = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = home.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            let folder = home.path().join("project").display().to_string();
            let folder = folder.replace('\\', r"\\");
            fs::write(path, text.replace("PROJECT", &folder)).unwrap();
        }
        let around = ConfigContext {
            home: Some(home.path().to_owned()),
            cwd: home.path().join("project"),
            ..ConfigContext::default()
        };
        let files = entries(&around).into_iter();
        files
            .flat_map(|file| {
                let entries = file.entries.unwrap().into_iter();
                entries.map(move |it| (file.client.id, it.name, it.words.join(" "), it.runs_proxy))
            })
            .collect()
    }

    fn expected(
        client: &'static str,
        name: &str,
        words: &str,
        runs_proxy: bool,
    ) -> (&'static str, String, String, bool) {
        (client, name.to_owned(), words.to_owned(), runs_proxy)
    }

    #[test]
    fn entries_are_found_in_files_of_all_formats() {
        for (client, name, text) in [
            (
                "vscode",
                "project/.vscode/mcp.json",
                r#"{"servers": {"a": {"command": "mcp-proxy", "args": ["dev", "--", "uv", "run", "x"]},
                    "b": {"url": "x"},}}"#,
            ),
            (
                "codex",
                ".codex/config.toml",
                "[mcp_servers.a]\ncommand = 'mcp-proxy'\nargs = ['dev', '--', 'uv', 'run', 'x']\n",
            ),
            (
                "opencode",
                "project/opencode.json",
                r#"{"mcp": {"a": {"type": "local", "command": ["mcp-proxy", "dev", "--", "uv", "run", "x"]}}}"#,
            ),
            (
                "goose",
                ".config/goose/config.yaml",
                "extensions:\n  a:\n    cmd: mcp-proxy\n    args: [dev, --, uv, run, x]\n",
            ),
        ] {
            let through = expected(client, "a", "mcp-proxy dev -- uv run x", true);
            assert_eq!(found(&[(name, text)]), [through], "{name}");
        }
    }

    #[test]
    fn claude_code_keeps_servers_of_a_project_in_the_file_of_the_user() {
        let text = r#"{"mcpServers": {"u": {"command": "x"}}, "projects": {
            "PROJECT": {"mcpServers": {"p": {"command": "y"}}},
            "/other": {"mcpServers": {"o": {"command": "z"}}}}}"#;
        let both = [
            expected("claude-code", "u", "x", false),
            expected("claude-code", "p", "y", false),
        ];
        assert_eq!(found(&[(".claude.json", text)]), both);
    }
}
