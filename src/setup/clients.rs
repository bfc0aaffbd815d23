//! Table of clients: the files in which each keeps its servers, and the keys of the servers in them.

use std::path::{Path, PathBuf};

use clap::ValueEnum;

use super::application_data;
use crate::config::VariableForm;

/// Reach of a client's file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Scope {
    /// Servers of all projects of the user
    User,
    /// Servers of the current project
    Project,
}

impl Scope {
    /// Returns the name on the command line and in JSON.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Project => "project",
        }
    }
}

/// Client with files that `setup` can edit.
#[derive(Debug)]
pub(crate) struct Client {
    /// Name on the command line and in JSON.
    pub(crate) id: &'static str,
    /// Name for people.
    pub(crate) title: &'static str,
    /// Whether the client runs in a terminal, so that its servers have the `PATH` of the user's shell.
    pub(crate) is_in_terminal: bool,
    pub(super) files: &'static [ClientLocation],
}

/// Possible file of a client.
#[derive(Debug)]
pub(super) struct ClientLocation {
    base: Base,
    path: &'static str,
    /// Keys of the table of servers in the file.
    pub(super) keys: &'static [&'static str],
}

/// Folder that the path of a file is relative to.
#[derive(Debug, Clone, Copy)]
enum Base {
    Home,
    /// Folder that the variable names, by default this folder below the home directory.
    Variable(&'static str, &'static str),
    /// The system's folder for settings of graphical applications.
    Application,
    /// Folder in which Windows keeps the files that the app of this package writes to that folder.
    Package(&'static str),
    /// `$XDG_CONFIG_HOME`, by default `~/.config`, on every system.
    Xdg,
    Project,
}

use Base::{Application, Home, Package, Project, Variable, Xdg};

const MCP_SERVERS: &[&str] = &["mcpServers"];
const SERVERS: &[&str] = &["servers"];
const SETTINGS: &[&str] = &["mcp", "servers"];
const CONTEXT_SERVERS: &[&str] = &["context_servers"];
const MCP: &[&str] = &["mcp"];
const AMP: &[&str] = &["amp.mcpServers"];
const EXTENSIONS: &[&str] = &["extensions"];

/// Folder with the data of an extension of VS Code.
macro_rules! vs_code_data {
    ($path:literal) => {
        concat!("Code/User/globalStorage/", $path)
    };
}

const fn file(base: Base, path: &'static str, keys: &'static [&'static str]) -> ClientLocation {
    ClientLocation { base, path, keys }
}

const fn client(
    id: &'static str,
    title: &'static str,
    is_in_terminal: bool,
    files: &'static [ClientLocation],
) -> Client {
    Client {
        id,
        title,
        is_in_terminal,
        files,
    }
}

/// All clients. If two use the same file, the first is named.
#[rustfmt::skip] // A table.
pub(crate) static CLIENTS: [Client; 17] = [
    client(CLAUDE_CODE, "Claude Code", true, &[
        file(Variable("CLAUDE_CONFIG_DIR", ""), ".claude.json", MCP_SERVERS),
        file(Project, ".mcp.json", MCP_SERVERS),
    ]),
    client("claude-desktop", "Claude Desktop", false, &[
        file(Application, "Claude/claude_desktop_config.json", MCP_SERVERS),
        file(Package("Claude_pzs8sxrjxfjjc"), "Claude/claude_desktop_config.json", MCP_SERVERS),
    ]),
    client(VS_CODE, "VS Code", false, &[
        file(Application, "Code/User/mcp.json", SERVERS),
        file(Application, "Code/User/settings.json", SETTINGS),
        file(Application, "Code - Insiders/User/mcp.json", SERVERS),
        file(Project, ".vscode/mcp.json", SERVERS),
    ]),
    client("cursor", "Cursor", false, &[
        file(Home, ".cursor/mcp.json", MCP_SERVERS),
        file(Project, ".cursor/mcp.json", MCP_SERVERS),
    ]),
    client(GEMINI, "Gemini CLI", true, &[
        file(Home, ".gemini/settings.json", MCP_SERVERS),
        file(Project, ".gemini/settings.json", MCP_SERVERS),
    ]),
    client("copilot", "Copilot CLI", true, &[
        file(Home, ".copilot/mcp-config.json", MCP_SERVERS),
        file(Project, ".mcp.json", MCP_SERVERS),
    ]),
    client("windsurf", "Windsurf", false, &[file(Home, ".codeium/windsurf/mcp_config.json", MCP_SERVERS)]),
    client("zed", "Zed", false, &[
        file(Xdg, "zed/settings.json", CONTEXT_SERVERS),
        file(Project, ".zed/settings.json", CONTEXT_SERVERS),
    ]),
    client(OPEN_CODE, "OpenCode", true, &[
        file(Xdg, "opencode/opencode.json", MCP),
        file(Xdg, "opencode/opencode.jsonc", MCP),
        file(Project, "opencode.json", MCP),
        file(Project, "opencode.jsonc", MCP),
    ]),
    client("cline", "Cline", false, &[
        file(Application, vs_code_data!("saoudrizwan.claude-dev/settings/cline_mcp_settings.json"), MCP_SERVERS),
    ]),
    client("roo", "Roo Code", false, &[
        file(Application, vs_code_data!("rooveterinaryinc.roo-cline/settings/mcp_settings.json"), MCP_SERVERS),
        file(Project, ".roo/mcp.json", MCP_SERVERS),
    ]),
    client("lm-studio", "LM Studio", false, &[file(Home, ".lmstudio/mcp.json", MCP_SERVERS)]),
    client("kiro", "Kiro", false, &[
        file(Home, ".kiro/settings/mcp.json", MCP_SERVERS),
        file(Project, ".kiro/settings/mcp.json", MCP_SERVERS),
    ]),
    client("amp", "Amp", true, &[file(Xdg, "amp/settings.json", AMP)]),
    client("goose", "Goose", true, &[file(Xdg, "goose/config.yaml", EXTENSIONS)]),
    client("continue", "Continue", false, &[file(Home, ".continue/config.yaml", MCP_SERVERS)]),
    client("codex", "Codex", true, &[
        file(Variable("CODEX_HOME", ".codex"), "config.toml", &["mcp_servers"]),
        file(Project, ".codex/config.toml", &["mcp_servers"]),
    ]),
];

/// Whether the client with this id keeps servers of a project in a file of this path.
pub(super) fn has_project_file(id: &str, file: &Path) -> bool {
    let mut files = CLIENTS
        .iter()
        .filter(|client| client.id == id)
        .flat_map(|client| client.files);
    files.any(|it| it.scope() == Scope::Project && file.ends_with(it.path))
}

/// Client whose file for the user also has servers of single projects.
pub(super) const CLAUDE_CODE: &str = "claude-code";
const GEMINI: &str = "gemini";
const OPEN_CODE: &str = "opencode";
/// Client with a development mode of its own.
pub(super) const VS_CODE: &str = "vscode";

impl Client {
    /// Returns the form of the variables in the client's files.
    pub(super) fn variables(&self) -> VariableForm {
        match self.id {
            GEMINI => VariableForm::Dollar,
            OPEN_CODE => VariableForm::OpenCode,
            _ => VariableForm::Braces,
        }
    }
}

impl ClientLocation {
    pub(super) fn scope(&self) -> Scope {
        match self.base {
            Project => Scope::Project,
            _ => Scope::User,
        }
    }

    /// Returns the path for a user with this home directory and these variables, or for the root of a project; `None` if
    /// the system has no such folder.
    pub(super) fn path(
        &self,
        home: &Path,
        variable: &dyn Fn(&str) -> Option<PathBuf>,
        project: &Path,
    ) -> Option<PathBuf> {
        let absolute = |name: &str| variable(name).filter(|path| path.is_absolute());
        let folder = match self.base {
            Home => home.to_owned(),
            Variable(name, default) => absolute(name).unwrap_or_else(|| home.join(default)),
            Application => application_data::folder(home, &absolute),
            Package(name) => application_data::of_package(name, home, &absolute)?,
            Xdg => absolute("XDG_CONFIG_HOME").unwrap_or_else(|| home.join(".config")),
            Project => project.to_owned(),
        };
        Some(folder.join(self.path))
    }
}
