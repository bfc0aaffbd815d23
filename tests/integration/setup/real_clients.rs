//! Real clients list a server before `setup`, after it, and after `undo`; and one offers its tools to a model.

use std::ffi::OsString;

use serde_json::json;

use super::{command_of, home, run};
use crate::harness::remote::HttpServer;
use crate::harness::suite::{inspector, node};
use crate::harness::{Project, Proxy, Run, example, peers};

/// Program of Claude Code in `tests/peers/clients`.
const CLAUDE_CODE: &str = "@anthropic-ai/claude-code/cli-wrapper.cjs";

/// Client whose lists show how it starts a server.
struct RealClient {
    /// Name for `--client`.
    id: &'static str,
    /// File with its servers, relative to the test's project.
    file: &'static str,
    /// Text of the file, with `SERVER` and `SCRIPT` in place of the server's command.
    text: &'static str,
    /// Options of `setup`.
    options: &'static [&'static str],
    /// Command that prints a list.
    list: Vec<OsString>,
    /// Texts in the list of a plain and of a wrapped server, with the same placeholders.
    plain: &'static str,
    wrapped: &'static str,
}

/// Returns the command that lists the servers of a client in `tests/peers/clients`; `main` is its program.
#[track_caller]
fn mcp_list(main: &str) -> Vec<OsString> {
    let main = peers().join("clients/node_modules").join(main);
    [node(), main.into(), "mcp".into(), "list".into()].into()
}

impl RealClient {
    /// Asserts that the client sees the wrapped server after `setup`, and the plain one before it and after `undo`.
    #[track_caller]
    fn follows_setup_and_undo(&self) {
        let home = home();
        let filled = |text: &str| {
            let server = example("fake_server").display().to_string();
            let script = home.path("home/work/script.json").display().to_string();
            text.replace("SERVER", &server).replace("SCRIPT", &script)
        };
        let (plain, wrapped) = (filled(self.plain), filled(self.wrapped));
        home.write(self.file, &filled(self.text));
        let is_plain = || {
            let list = self.listed(&home);
            assert!(list.contains(&plain) && !list.contains(&wrapped), "{list}");
        };
        is_plain();
        // A client may rewrite its file when it first runs.
        let before = home.read(self.file);
        let setup = ["setup", "--yes", "--client", self.id];
        run(&home, &[&setup, self.options].concat()).ended_with(0);
        let list = self.listed(&home);
        assert!(list.contains(&wrapped), "{wrapped}:\n{list}");
        run(&home, &["undo", "--yes", "--client", self.id]).ended_with(0);
        assert_eq!(home.read(self.file), before);
        is_plain();
    }

    /// Runs the client to its end; returns its output.
    #[track_caller]
    fn listed(&self, home: &Project) -> String {
        let mut client = command_of(home, &self.list[0]);
        client
            .args(&self.list[1..])
            .env("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1")
            // Otherwise the Inspector looks for the keychain of a desktop.
            .env("MCP_INSPECTOR_SECRET_STORE", "memory");
        let run = Run::of(client).ended_with(0);
        run.stdout + &run.stderr
    }
}

#[test]
fn claude_code_connects_to_the_wrapped_server() {
    RealClient {
        id: "claude-code",
        file: "home/.claude.json",
        text: r#"{"mcpServers": {"weather": {"type": "stdio", "command": "SERVER", "args": ["SCRIPT"]}}}"#,
        options: &[],
        list: mcp_list(CLAUDE_CODE),
        plain: "weather: SERVER SCRIPT - ✔ Connected",
        wrapped: "mcp-proxy dev -- SERVER SCRIPT - ✔ Connected",
    }
    .follows_setup_and_undo();
}

#[test]
fn claude_code_connects_to_the_entry_of_many_servers() {
    RealClient {
        id: "claude-code",
        file: "home/.claude.json",
        text: r#"{"mcpServers": {"weather": {"type": "stdio", "command": "SERVER", "args": ["SCRIPT"]},
            "tickets": {"command": "SERVER"}}}"#,
        options: &["--many"],
        list: mcp_list(CLAUDE_CODE),
        plain: "weather: SERVER SCRIPT - ✔ Connected",
        wrapped: ".claude.mcp-proxy.json - ✔ Connected",
    }
    .follows_setup_and_undo();
}

/// A tool whose schema has no `type` costs this client all tools of the server.
#[test]
fn claude_code_offers_the_tools_beside_one_that_is_left_out() {
    let refusal = r#"{"type":"error","error":{"type":"invalid_request_error","message":"no"}}"#;
    let model = HttpServer::start(move |_, answering| {
        answering.whole(400, &[("Content-Type", "application/json")], refusal);
    });
    let home = home();
    let tool = |name: &str, schema| json!({"name": name, "inputSchema": schema});
    let tools = [
        tool("good", json!({"type": "object"})),
        tool("bad", json!({"properties": {}})),
    ];
    home.write(
        "home/work/script.json",
        &json!({"tools": tools}).to_string(),
    );
    let main = peers().join("clients/node_modules").join(CLAUDE_CODE);
    let mut turns = 0;
    for (treatment, expected) in [("report", false), ("leave-out", true)] {
        let server = example("fake_server").display().to_string();
        let words = ["dev", "--no-watch", "--on-bad-tool", treatment, "--"];
        let words = words.into_iter().chain([&*server, "script.json"]);
        let entry = json!({"command": Proxy::program(), "args": words.collect::<Vec<_>>()});
        let servers = json!({"mcpServers": {"weather": entry}}).to_string();
        let mut client = command_of(&home, &node());
        client
            .arg(&main)
            .args([
                "-p",
                "hello",
                "--strict-mcp-config",
                "--mcp-config",
                &servers,
            ])
            .env("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1")
            .env("ANTHROPIC_BASE_URL", model.url())
            .env("ANTHROPIC_API_KEY", "none")
            // All tools are offered in the first turn, which begins once the servers are connected.
            .env("ENABLE_TOOL_SEARCH", "false")
            .env("MCP_CONNECTION_NONBLOCKING", "false");
        Run::of(client).ended_with(1);
        let turn: Vec<_> = model.asked().split_off(turns);
        turns += turn.len();
        let offers = |name: &str| {
            turn.iter()
                .any(|it| it.body.contains(&format!("\"mcp__weather__{name}\"")))
        };
        assert!(!offers("bad") && turn.iter().any(|it| it.body.contains("\"tools\"")));
        for name in ["good", "reload_mcp_server"] {
            assert_eq!(offers(name), expected, "{treatment}: {name}");
        }
    }
}

#[test]
fn codex_lists_the_wrapped_server() {
    RealClient {
        id: "codex",
        file: "home/.codex/config.toml",
        text: "# own\n[mcp_servers.weather]\ncommand = \"SERVER\" # scripted\nargs = [\"SCRIPT\"]\n",
        options: &[],
        list: mcp_list("@openai/codex/bin/codex.js"),
        plain: "  SCRIPT  ",
        wrapped: "mcp-proxy  dev -- SERVER SCRIPT  ",
    }
    .follows_setup_and_undo();
}

#[test]
fn gemini_cli_connects_to_the_wrapped_server() {
    RealClient {
        id: "gemini",
        file: "home/.gemini/settings.json",
        text: r#"{
  // It starts servers in trusted folders only.
  "security": {"folderTrust": {"enabled": false}},
  "mcpServers": {"weather": {"command": "SERVER", "args": ["SCRIPT"]}}
}
"#,
        options: &[],
        list: mcp_list("@google/gemini-cli/bundle/gemini.js"),
        plain: "weather: SERVER SCRIPT (stdio) - Connected",
        wrapped: "mcp-proxy dev -- SERVER SCRIPT (stdio) - Connected",
    }
    .follows_setup_and_undo();
}

#[test]
fn the_inspector_lists_the_tools_of_the_wrapped_server() {
    let options = ["--cli", "--config", ".mcp.json", "--server", "weather"];
    let method = ["--method", "tools/list"];
    let words = options.iter().chain(&method).map(OsString::from);
    RealClient {
        // Clients share this file.
        id: "claude-code",
        file: super::FILE,
        text: r#"{"mcpServers": {"weather": {"command": "SERVER", "args": ["SCRIPT"]}}}"#,
        options: &[],
        list: inspector().into_iter().chain(words).collect(),
        plain: r#""name": "echo""#,
        wrapped: r#""name": "reload_mcp_server""#,
    }
    .follows_setup_and_undo();
}
