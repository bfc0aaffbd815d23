//! Refusals as clients on the official SDKs see them.

use serde_json::json;

use super::{JSON, answering};
use crate::harness::{Peer, Project, Proxy, program};

/// A client on an official SDK, the program of `tests/peers` at `path`, hears at once that its token has expired.
#[track_caller]
fn an_sdk_hears_of_an_expired_token(path: &str) {
    let server = answering(|_, _, answering| {
        let body = r#"{"error":"invalid_token","error_description":"expired"}"#;
        answering.whole(401, &[JSON], body);
    });
    let project = Project::new();
    let toml = format!("[servers.far]\nurl = \"{}\"\nprefix = ''\n", server.url());
    project.write("mcp-proxy.toml", &toml);
    let proxy = Proxy::configured("dev")
        .options(["--meta-tools", "none"])
        .within(&project);
    let mut words = program(path);
    words.push("legacy".into());
    let client = Peer::spawn_command(proxy.run_by(words));
    assert!(client.ask("list", &json!({})).result()["tools"].is_array());
    let call = json!({"name": "echo", "arguments": {"text": "a"}});
    let answer = client.ask("call", &call);
    let told = if answer.is_error() {
        answer.error()["message"].to_string()
    } else {
        assert_eq!(answer.result()["isError"], true);
        answer.tool_text()
    };
    for words in ["HTTP 401", "invalid_token: expired", "far"] {
        assert!(told.contains(words), "{told}");
    }
}

#[test]
fn the_python_sdk_hears_of_an_expired_token() {
    an_sdk_hears_of_an_expired_token("python/session_mcp.py");
}

#[test]
fn the_typescript_sdk_v1_hears_of_an_expired_token() {
    an_sdk_hears_of_an_expired_token("node/session_v1.mjs");
}

#[test]
fn the_typescript_sdk_v2_hears_of_an_expired_token() {
    an_sdk_hears_of_an_expired_token("node/session_v2.mjs");
}
