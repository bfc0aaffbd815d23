//! Servers on the official SDKs that request input from clients of the other era.

use std::ffi::OsString;

use crate::harness::{Peer, Project, Proxy, ServerOn, peers, program};

/// A server that asks its client for a name and for the roots, both at once.
const RESOLVES: &str = r#"
from typing import Annotated

from mcp.server.mcpserver import Elicit, ListRoots, MCPServer, Resolve
from mcp.types import ListRootsResult
from pydantic import BaseModel

mcp = MCPServer("asks")


class Answer(BaseModel):
    name: str


def elicited(question: str) -> Elicit[Answer]:
    return Elicit(question, Answer)


def listed() -> ListRoots:
    return ListRoots()


@mcp.tool()
def ask(
    question: str,
    answer: Annotated[Answer, Resolve(elicited)],
    roots: Annotated[ListRootsResult, Resolve(listed)],
) -> str:
    return f"accept: {answer.name} in {roots.roots[0].uri}"


mcp.run("stdio")
"#;

fn python_server(project: &Project) -> Vec<OsString> {
    project.write("asks.py", RESOLVES);
    let python = peers().join("python/.venv/bin/python");
    vec![python.into(), project.path("asks.py").into()]
}

/// The text that the client, given by its words, gets from the tool `ask` of a server of this era.
#[track_caller]
fn asked(client: &str, client_era: &str, server: Vec<OsString>, era: &str) -> String {
    answered(client, client_era, Proxy::dev(server), era)
}

/// As [`asked`], of a server that `proxy` starts.
#[track_caller]
fn answered(client: &str, client_era: &str, proxy: Proxy, era: &str) -> String {
    let proxy = proxy.options(["--era", era, "--startup-wait", "2m", "--no-watch"]);
    let mut words = program(client);
    words.push(client_era.into());
    words.extend(proxy.words());
    let peer = Peer::spawn(words);
    let answered = peer.expect_notification("answered").params();
    assert!(peer.wait_exit().success(), "{}", peer.transcript());
    answered["text"].as_str().unwrap().to_owned()
}

/// Legacy clients in front of a modern server.
const CLIENTS: [&str; 2] = ["python/asked_mcp.py", "node/asked_v1.mjs"];

#[test]
fn a_legacy_client_gives_its_input_to_a_python_server() {
    for client in CLIENTS {
        let project = Project::new();
        let text = asked(client, "legacy", python_server(&project), "modern");
        assert_eq!(text, "accept: Ada in file:///work", "{client}");
    }
}

/// Modern clients in front of a legacy server.
const MODERN_CLIENTS: [&str; 2] = ["python/asked_mcp.py", "node/asked_v2.mjs"];

#[test]
fn a_modern_client_gives_its_input_to_each_server() {
    for client in MODERN_CLIENTS {
        let project = Project::new();
        let text = asked(client, "auto", python_server(&project), "legacy");
        assert_eq!(text, "accept: Ada in file:///work", "{client}");
    }
    // Alternately, since each start takes long.
    let [python, node] = MODERN_CLIENTS;
    for (client, on) in [
        (node, ServerOn::PythonMcp),
        (python, ServerOn::FastMcp),
        (python, ServerOn::TypeScriptV1),
        (node, ServerOn::TypeScriptV2),
        (python, ServerOn::Rmcp),
    ] {
        let project = Project::new();
        let text = asked(client, "auto", on.command(&project), "legacy");
        let text = text.to_lowercase().replace('"', "");
        assert_eq!(text, "accept: ada", "{client}, {on:?}");
    }
}

#[test]
fn a_modern_client_gives_its_input_to_servers_over_http() {
    for on in [ServerOn::PythonMcp, ServerOn::TypeScriptV1] {
        let project = Project::new();
        let mut words = on.command(&project);
        if on != ServerOn::TypeScriptV1 {
            project.copy("fixtures/servers/over_http.py", "over_http.py");
            words.insert(1, project.path("over_http.py").into());
        }
        words.push("{port}".into());
        let proxy = Proxy::dev(words).options(["--url", "http://127.0.0.1:{port}/mcp"]);
        let text = answered("python/asked_mcp.py", "auto", proxy, "legacy");
        assert_eq!(text, "accept: Ada", "{on:?}");
    }
}

#[test]
fn a_legacy_client_gives_its_input_to_a_typescript_server() {
    for client in CLIENTS {
        let project = Project::new();
        let server = ServerOn::TypeScriptV2.command(&project);
        let text = asked(client, "legacy", server, "modern");
        assert_eq!(text, "accept: Ada", "{client}");
    }
}
