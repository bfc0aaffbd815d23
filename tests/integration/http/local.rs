//! Other users of this machine: limits for clients without a token, and the socket that only the user can use.

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::Path;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::harness::http::{Modern, Site};
use crate::harness::{Log, Peer, Project, Proxy};

const CONFIGURATION: &str = r#"{"mcpServers": {"a": {"command": "sh"}, "b": {"command": "sh"}}}"#;

/// `serve` in a project with two servers.
fn serving(project: &Project) -> Proxy {
    project.write(".mcp.json", CONFIGURATION);
    project.write("token", "s3cret\n");
    project.set_mode("token", 0o600);
    Proxy::serve()
        .env("XDG_DATA_HOME", project.path("data"))
        .env("XDG_CACHE_HOME", project.path("cache"))
        .within(project)
}

fn uninstalling(server: &str) -> Modern {
    let mut call = Modern::call(
        &json!(1),
        "uninstall_mcp_server",
        &json!({"server_name": server}),
    );
    // It cannot ask its user.
    call.body["params"]["_meta"]["io.modelcontextprotocol/clientCapabilities"] = json!({});
    call
}

#[test]
fn installing_over_http_needs_a_token() {
    let project = Project::new();
    let site = Site::start(serving(&project));
    let install = json!({"git_url": "https://git.example/owner/weather"});
    for call in [
        uninstalling("a"),
        Modern::call(&json!(1), "install_mcp_server_from_git", &install),
        Modern::call(&json!(1), "install_and_load_mcp_server", &install),
    ] {
        let answer = call.ask(&site).last();
        assert_eq!(answer.result()["isError"], true, "{}", answer.line);
        for advice in ["--token-file FILE", "--http unix:PATH"] {
            assert!(answer.line.contains(advice), "{}", answer.line);
        }
    }
    assert_eq!(project.read(".mcp.json"), CONFIGURATION);
    drop(site);
    let site = Site::start(serving(&project).options(["--token-file", "token"]));
    let call = uninstalling("a").with("Authorization", Some("Bearer s3cret"));
    let answer = call.ask(&site).last();
    assert_eq!(answer.result()["isError"], false, "{}", answer.line);
    assert!(!project.read(".mcp.json").contains("\"a\""));
}

/// The proxy behind a socket, which listens.
fn behind(project: &Project) -> (Peer, Log) {
    let log = Log::new();
    let proxy = serving(project).options(["--http", "unix:proxy.sock"]);
    let peer = log.written_by(proxy).spawn();
    let listening = log.until("listening", 1);
    let url = listening[0]["url"].as_str().unwrap();
    assert_eq!(
        url,
        format!("unix:{}", project.path("proxy.sock").display())
    );
    (peer, log)
}

/// Calls `uninstall_mcp_server` by the socket; gives the whole response.
fn uninstall_by(socket: &Path, server: &str) -> String {
    let call = uninstalling(server);
    let body = call.body.to_string();
    let mut headers = String::new();
    for (name, value) in &call.headers {
        let _ = write!(headers, "{name}: {value}\r\n");
    }
    let mut stream = UnixStream::connect(socket).unwrap();
    write!(
        stream,
        "POST /mcp HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}Content-Type: application/json\r\n\
         Accept: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).unwrap();
    response
}

#[test]
fn by_a_socket_the_user_alone_comes_in_and_can_do_all() {
    let project = Project::new();
    let socket = project.path("proxy.sock");
    let (peer, _log) = behind(&project);
    let mode = socket.metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let response = uninstall_by(&socket, "a");
    assert!(response.starts_with("HTTP/1.1 200"), "{response}");
    let (_, body) = response.split_once("\r\n\r\n").unwrap();
    let body: Value = serde_json::from_str(body).unwrap();
    assert_eq!(body["result"]["isError"], false, "{body}");
    assert!(!project.read(".mcp.json").contains("\"a\""));
    // A second one is refused, and leaves the socket to the first.
    let second = serving(&project)
        .options(["--http", "unix:proxy.sock"])
        .spawn();
    second.expect_stderr("a running process listens on this socket");
    assert!(!second.wait_exit().success());
    assert!(UnixStream::connect(&socket).is_ok());
    // The socket of a killed proxy is replaced.
    peer.signal(Signal::KILL);
    peer.wait_exit();
    assert!(socket.exists());
    let (peer, _log) = behind(&project);
    assert!(uninstall_by(&socket, "b").starts_with("HTTP/1.1 200"));
    peer.signal(Signal::TERM);
    peer.wait_exit();
    assert!(!socket.exists());
}
