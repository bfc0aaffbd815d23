//! Official example servers with views (MCP Apps), in a fleet, before hosts of both eras.

use serde_json::{Value, json};

use crate::harness::{Peer, Project, Proxy, initialize_params, modern_meta, peers};

const UI: &str = "io.modelcontextprotocol/ui";
const UPDATED: &str = "notifications/resources/updated";

/// An example server: its folder in the project, its package, its view, its tool, a member of the tool's result.
const CLOCK: [&str; 5] = [
    "clock",
    "server-basic-vanillajs",
    "ui://get-time/mcp-app.html",
    "get-time",
    "time",
];
const BUDGET: [&str; 5] = [
    "budget",
    "server-budget-allocator",
    "ui://budget-allocator/mcp-app.html",
    "get-budget-data",
    "config",
];

/// A project with both servers, as their authors built them.
#[track_caller]
fn project() -> Project {
    let project = Project::new();
    let packages = peers().join("apps/node_modules/@modelcontextprotocol");
    let sections = [CLOCK, BUDGET].map(|[folder, package, ..]| {
        project.write(&format!("{folder}/package.json"), r#"{"type": "module"}"#);
        for file in ["index.js", "server.js", "mcp-app.html"] {
            let built = packages.join(package).join("dist").join(file);
            let text = std::fs::read_to_string(built).unwrap();
            project.write(&format!("{folder}/dist/{file}"), &text);
        }
        format!(
            "[servers.{package}]\ncommand = 'node'\nargs = ['dist/index.js', '--stdio']\ncwd = '{folder}'\n\
             prefix = '{folder}'\n"
        )
    });
    project.write("mcp-proxy.toml", &sections.concat());
    project
}

/// A host of one of the eras.
struct Host {
    peer: Peer,
    is_modern: bool,
}

impl Host {
    #[track_caller]
    fn start(project: &Project, is_modern: bool) -> Self {
        let proxy = Proxy::configured("dev")
            .options(["--meta-tools", "none", "--startup-wait", "2m"])
            .within(project);
        let peer = Peer::spawn_command(proxy.command());
        let host = Self { peer, is_modern };
        if is_modern {
            host.ask("server/discover", json!({}));
        } else {
            let mut params = initialize_params();
            params["capabilities"]["extensions"] = json!({UI: mime_types()});
            host.peer.initialize(&params).result();
        }
        host
    }

    /// Returns the result of a request in the host's era.
    #[track_caller]
    fn ask(&self, method: &str, params: Value) -> Value {
        self.peer.ask(method, &self.params(params)).result()
    }

    fn params(&self, mut params: Value) -> Value {
        if self.is_modern {
            params["_meta"] = modern_meta();
            params["_meta"]["io.modelcontextprotocol/clientCapabilities"]["extensions"] =
                json!({UI: mime_types()});
        }
        params
    }

    /// Subscribes to a view.
    #[track_caller]
    fn subscribe(&self, view: &str) {
        if self.is_modern {
            let filter = json!({"notifications": {"resourceSubscriptions": [view]}});
            self.peer
                .request("subscriptions/listen", &self.params(filter));
            self.peer
                .expect_notification("notifications/subscriptions/acknowledged");
        } else {
            self.ask("resources/subscribe", json!({"uri": view}));
        }
    }
}

fn mime_types() -> Value {
    json!({"mimeTypes": ["text/html;profile=mcp-app"]})
}

#[test]
fn hosts_of_both_eras_show_the_views_of_several_servers() {
    for is_modern in [false, true] {
        let project = project();
        let host = Host::start(&project, is_modern);
        let tools = host.peer.ask("tools/list", &host.params(json!({})));
        for [folder, _, view, tool, member] in [CLOCK, BUDGET] {
            // The bytes of the server, before and behind which is the name for clients.
            let meta =
                format!(r#""_meta":{{"ui":{{"resourceUri":"{view}"}},"ui/resourceUri":"{view}"}}"#);
            assert!(tools.line.contains(&meta), "{}", tools.line);
            let name = format!(r#""name":"{folder}__{tool}""#);
            assert!(tools.line.contains(&name), "{}", tools.line);
            let page = format!("{folder}/dist/mcp-app.html");
            let read = || host.ask("resources/read", json!({"uri": view}))["contents"][0].take();
            assert_eq!(read()["mimeType"], "text/html;profile=mcp-app");
            assert_eq!(read()["text"], project.read(&page));
            // A view calls its server's own name.
            let result = host.ask("tools/call", json!({"name": tool, "arguments": {}}));
            let content = &result["structuredContent"];
            assert!(!content[member].is_null(), "{result}");

            host.subscribe(view);
            let saved = project.read(&page) + "<!-- saved -->";
            project.save(&page, &saved);
            let told = host.peer.expect_notification(UPDATED).params();
            assert_eq!(told["uri"], view);
            assert_eq!(read()["text"], saved);
        }
        let updates = host.peer.notifications(UPDATED);
        assert_eq!(updates, 2, "{}", host.peer.transcript());
        host.peer.close_stdin();
        assert!(host.peer.wait_exit().success());
    }
}
