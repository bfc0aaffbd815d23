//! Files in which clients keep their servers, and the behaviour of clients that a developer should know.

use std::path::{Path, PathBuf};

use super::report::Finding;
use crate::config::{ClientEntry, client_entries};

/// Client that starts servers.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) name: &'static str,
    /// Whether it starts from the desktop, without the variables of a shell.
    pub(super) is_desktop: bool,
    /// Whether it lists tools again after a notification.
    lists_again: bool,
    /// Files relative to the home directory.
    of_user: &'static [&'static str],
    /// Files relative to the project.
    of_project: &'static [&'static str],
}

/// Known clients; a file of one that is not installed does not exist.
static CLIENTS: [Client; 8] = [
    Client {
        name: "Claude Code",
        is_desktop: false,
        lists_again: true,
        of_user: &[".claude.json"],
        of_project: &[".mcp.json"],
    },
    Client {
        name: "Claude Desktop",
        is_desktop: true,
        lists_again: false,
        of_user: &[
            ".config/Claude/claude_desktop_config.json",
            "Library/Application Support/Claude/claude_desktop_config.json",
        ],
        of_project: &[],
    },
    Client {
        name: "VS Code",
        is_desktop: true,
        lists_again: true,
        of_user: &[
            ".config/Code/User/mcp.json",
            "Library/Application Support/Code/User/mcp.json",
        ],
        of_project: &[".vscode/mcp.json"],
    },
    Client {
        name: "Cursor",
        is_desktop: true,
        lists_again: true,
        of_user: &[".cursor/mcp.json"],
        of_project: &[".cursor/mcp.json"],
    },
    Client {
        name: "Codex",
        is_desktop: false,
        lists_again: false,
        of_user: &[".codex/config.toml"],
        of_project: &[".codex/config.toml"],
    },
    Client {
        name: "Gemini CLI",
        is_desktop: false,
        lists_again: true,
        of_user: &[".gemini/settings.json"],
        of_project: &[".gemini/settings.json"],
    },
    Client {
        name: "Windsurf",
        is_desktop: true,
        lists_again: true,
        of_user: &[".codeium/windsurf/mcp_config.json"],
        of_project: &[],
    },
    Client {
        name: "Zed",
        is_desktop: true,
        lists_again: true,
        of_user: &[".config/zed/settings.json"],
        of_project: &[".zed/settings.json"],
    },
];

/// Existing file of a client.
#[derive(Debug)]
pub(super) struct ClientFile {
    pub(super) client: &'static Client,
    pub(super) path: PathBuf,
    /// Entries with a command, or the reason why the file cannot be read.
    pub(super) entries: Result<Vec<ClientEntry>, String>,
}

/// Returns the existing files of all clients for `project`, except those that only the proxy would read.
pub(super) fn found(home: &Path, project: &Path, program: Option<&Path>) -> Vec<ClientFile> {
    let mut files = Vec::new();
    for client in &CLIENTS {
        let of_user = client.of_user.iter().map(|name| home.join(name));
        let of_project = client.of_project.iter().map(|name| project.join(name));
        let mut paths: Vec<PathBuf> = of_user.chain(of_project).collect();
        paths.dedup();
        for path in paths.into_iter().filter(|path| path.is_file()) {
            let entries = client_entries(&path, project, program);
            files.push(ClientFile {
                client,
                entries: entries.map_err(|fault| fault.to_string()),
                path,
            });
        }
    }
    files
}

/// Returns the findings about a client that does not list tools again after a change. `own` are its entries that run
/// the proxy.
pub(super) fn lists(file: &ClientFile, own: &[&ClientEntry]) -> Vec<Finding> {
    const CHECK: &str = "list_changed";
    let name = file.client.name;
    if file.client.lists_again {
        return Vec::new();
    }
    let findings = own.iter().map(|entry| {
        let text = format!(
            "{name} ignores `tools/list_changed`: entry `{}` shows a new or changed tool in the next session only",
            entry.name
        );
        let mut words = entry.args.iter();
        let is_hidden = words.any(|word| word == "--meta-tools")
            && words.next().is_some_and(|word| word == "none");
        let is_hidden = is_hidden || entry.args.iter().any(|word| word == "--meta-tools=none");
        if is_hidden {
            let advice = "remove `--meta-tools none`: the tool `call_dynamic_server_tool` reaches new tools";
            Finding::problem(CHECK, text).advice(advice)
        } else {
            let advice = "tell the model to call a new tool through `call_dynamic_server_tool`";
            Finding::note(CHECK, text).advice(advice)
        }
    });
    findings.collect()
}

#[cfg(test)]
mod tests {
    use super::super::report::Severity;
    use super::*;

    fn project() -> tempfile::TempDir {
        let home = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = home.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write(
            ".codex/config.toml",
            "[mcp_servers.a]\ncommand = 'mcp-proxy'\nargs = ['dev', '--meta-tools', 'none', '--', 'x']\n\
             [mcp_servers.b]\ncommand = 'mcp-proxy'\nargs = ['serve']\n",
        );
        write("project/.vscode/mcp.json", "{");
        home
    }

    #[test]
    fn files_of_clients_are_found() {
        let home = project();
        let files = found(home.path(), &home.path().join("project"), None);
        let names: Vec<_> = files.iter().map(|file| file.client.name).collect();
        assert_eq!(names, ["VS Code", "Codex"]);
        assert!(files[0].entries.as_ref().unwrap_err().contains("mcp.json"));
    }

    #[test]
    fn a_client_that_lists_once_needs_the_proxys_tools() {
        let home = project();
        let files = found(home.path(), home.path(), None);
        let codex = files.iter().find(|it| it.client.name == "Codex").unwrap();
        let entries: Vec<_> = codex.entries.as_ref().unwrap().iter().collect();
        let severities: Vec<_> = lists(codex, &entries)
            .iter()
            .map(|it| it.severity)
            .collect();
        assert_eq!(severities, [Severity::Problem, Severity::Note]);
    }
}
