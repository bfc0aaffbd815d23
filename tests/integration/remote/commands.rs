//! The commands of a shell, with a server that runs elsewhere, and https.

use serde_json::{Value, json};

use crate::harness::remote::{HttpServer, legacy};
#[cfg(unix)]
use crate::harness::{Log, remote::Tls};
use crate::harness::{Project, Proxy, Run, initialize_params};

fn configured(url: &str) -> Project {
    let project = Project::new();
    let server = format!(
        "[servers.far]\nurl = \"{url}?key=geheim\"\nheaders = {{ Authorization = 'Bearer geheim' }}\n"
    );
    project.write("mcp-proxy.toml", &server);
    project
}

#[test]
fn every_command_knows_a_server_elsewhere() {
    let server = HttpServer::start(legacy);
    let project = configured(&server.url());
    let run = |words: &[&str]| {
        let run = Run::within(&project, words).ended_with(0);
        assert!(!format!("{run:?}").contains("geheim"), "{run:?}");
        run.stdout
    };
    let json = |words: &[&str]| serde_json::from_str::<Value>(&run(words)).unwrap();

    let listed = &json(&["list", "--json"])["servers"][0];
    assert_eq!(listed["url"], format!("{}?***", server.url()));
    assert_eq!(
        (&listed["command"], &listed["cwd"]),
        (&json!([]), &Value::Null)
    );
    assert!(run(&["list"]).contains(&server.url()));
    assert!(run(&["config", "show"]).contains("Authorization"));
    let checked = json(&["check", "--json"]);
    let far = checked.to_string();
    assert!(
        far.contains("\"2025-11-25\"") && far.contains("echo"),
        "{far}"
    );
    assert!(run(&["tools"]).contains("echo"));
    assert_eq!(
        run(&["call", "far", "echo", r#"{"text": "a"}"#]),
        "echo: a\n"
    );
    let asked = server.asked();
    assert!(asked.iter().all(|it| it.path == "/mcp?key=geheim"));
}

#[test]
fn a_server_that_is_not_there_is_one_that_does_not_start() {
    let address = HttpServer::start(legacy).stop();
    let project = configured(&format!("http://{address}/mcp"));
    for words in [&["check"][..], &["call", "far", "echo"]] {
        let run = Run::within(&project, words).ended_with(4);
        let said = format!("{}{}", run.stdout, run.stderr);
        assert!(said.contains("cannot be reached at http://"), "{said}");
        assert!(!said.contains("geheim"), "{said}");
    }
}

#[test]
fn serve_connects_when_it_is_asked_to() {
    let server = HttpServer::start(legacy);
    let project = configured(&server.url());
    let peer = Proxy::serve().within(&project).spawn();
    peer.initialize(&initialize_params()).result();
    assert_eq!(server.asked().len(), 0);
    let loaded = peer.call(
        "load_mcp_server_dynamically",
        &json!({"server_name": "far"}),
    );
    assert_eq!(
        loaded.result()["structuredContent"]["tools"],
        json!(["echo"])
    );
    let installed = peer.call("list_installed_mcp_servers", &json!({})).result();
    let far = &installed["structuredContent"]["servers"][0];
    assert_eq!(far["url"], format!("{}?***", server.url()));
    assert_eq!(far["headers"], json!(["authorization"]));
    let unloaded = peer.call("unload_mcp_server", &json!({"server_name": "far"}));
    assert_ne!(unloaded.result()["isError"], true);
    server.until("DELETE", 1);
}

#[cfg(unix)]
#[test]
fn https_is_trusted_as_the_system_does() {
    let server = HttpServer::start(legacy);
    let tls = Tls::before(&server);
    for trusted in [true, false] {
        let project = configured(&tls.url());
        let log = Log::new();
        let proxy = log.written_by(Proxy::configured("dev")).within(&project);
        let authority = tls.authority.path();
        let proxy = if trusted {
            proxy.env("SSL_CERT_FILE", authority)
        } else {
            proxy
        };
        let peer = proxy.spawn();
        peer.initialize(&initialize_params()).result();
        if trusted {
            log.until("ready", 1);
            let called = peer.call("far__echo", &json!({"text": "a"}));
            assert_eq!(called.tool_text(), "echo: a");
        } else {
            let broken = log.until("broken", 1)[0]["failure"].clone();
            let reason = broken["reason"].as_str().unwrap();
            assert!(reason.contains("UnknownIssuer"), "{reason}");
            assert!(reason.contains("SSL_CERT_FILE"), "{reason}");
        }
    }
}

#[cfg(unix)]
#[test]
fn the_certificate_of_an_authority_is_named_as_the_fault() {
    let server = HttpServer::start(legacy);
    let tls = Tls::as_authority(&server);
    let project = configured(&tls.url());
    let log = Log::new();
    let proxy = log.written_by(Proxy::configured("dev")).within(&project);
    let peer = proxy.env("SSL_CERT_FILE", tls.authority.path()).spawn();
    peer.initialize(&initialize_params()).result();
    let broken = log.until("broken", 1)[0]["failure"].clone();
    let reason = broken["reason"].as_str().unwrap();
    assert!(reason.contains("CA:FALSE"), "{reason}");
}
