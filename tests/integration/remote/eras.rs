//! The era agreed on over HTTP, and responses that are no evidence of one.

use serde_json::json;

use super::Stage;
use crate::harness::initialize_params;
use crate::harness::remote::{HttpServer, legacy, modern};

#[test]
fn a_modern_client_meets_a_legacy_server_by_its_handshake() {
    for status in [400, 404, 405] {
        let server = HttpServer::start(move |asked, answering| match asked.method().as_str() {
            "server/discover" => {
                answering.whole(status, &[("Content-Type", "text/html")], "<h1>No</h1>");
            }
            _ => legacy(asked, answering),
        });
        let stage = Stage::modern(&server);
        let params = json!({"name": "echo", "arguments": {"text": "a"}});
        assert_eq!(
            stage.peer.modern("tools/call", params).tool_text(),
            "echo: a"
        );
        assert_eq!(stage.log.until("ready", 1)[0]["era"], "legacy");
        assert_eq!(server.asked_for("initialize").len(), 1);
    }
}

#[test]
fn a_legacy_client_meets_a_modern_server_by_its_refusal() {
    let server = HttpServer::start(|asked, answering| match asked.method().as_str() {
        "initialize" => {
            let error = asked.error(-32022, "only 2026-07-28");
            answering.whole(400, &[("Content-Type", "application/json")], &error);
        }
        _ => modern(asked, answering),
    });
    let stage = Stage::legacy(&server);
    assert_eq!(stage.echo("a").tool_text(), "echo: a");
    assert_eq!(stage.log.until("ready", 1)[0]["era"], "modern");
    // An error without an id is the response to the request of this POST.
    let server = HttpServer::start(|asked, answering| match asked.method().as_str() {
        "initialize" => {
            let error = r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"no"}}"#;
            answering.whole(400, &[("Content-Type", "application/json")], error);
        }
        _ => modern(asked, answering),
    });
    assert_eq!(Stage::legacy(&server).echo("a").tool_text(), "echo: a");
}

#[test]
fn a_refused_login_is_reported_with_the_remedy_and_decides_no_era() {
    for (status, body) in [
        (401, "{}"),
        (
            403,
            r#"{"jsonrpc":"2.0","id":null,"error":{"code":1,"message":"no geheim"}}"#,
        ),
    ] {
        let server = HttpServer::start(move |_, answering| {
            answering.whole(status, &[("Content-Type", "application/json")], body);
        });
        let url = server.url().replace("http://", "http://me:geheim@");
        let stage = Stage::before(
            &format!("{url}?key=geheim"),
            "prefix = 'far'\nheaders = { Authorization = 'Bearer geheim' }",
        );
        stage.peer.initialize(&initialize_params()).result();
        stage.log.until("broken", 1);
        let error = stage.peer.call("far__echo", &json!({})).line;
        assert!(error.contains(&status.to_string()), "{error}");
        let refusal = stage.log.events("broken")[0]["failure"].clone();
        let reason = refusal["reason"].as_str().unwrap();
        assert!(reason.contains(&format!("HTTP {status}")), "{reason}");
        assert!(refusal["advice"].as_str().unwrap().contains("headers"));
        for method in ["server/discover", "tools/list"] {
            assert_eq!(server.asked_for(method).len(), 0, "{status} is no evidence");
        }
        let said = format!("{error}{}", stage.log.text());
        assert!(!said.contains("geheim"), "{said}");
    }
}

#[test]
fn a_server_in_trouble_is_asked_again_and_not_in_another_way() {
    let server = HttpServer::start(|asked, answering| match asked.method().as_str() {
        "initialize" => answering.whole(503, &[], ""),
        _ => modern(asked, answering),
    });
    let stage = Stage::before(&server.url(), "");
    stage.peer.initialize(&initialize_params()).result();
    server.until("initialize", 3);
    assert_eq!(server.asked().len(), server.asked_for("initialize").len());
    let reason = stage.log.events("broken")[0]["failure"]["reason"].clone();
    assert!(reason.as_str().unwrap().contains("HTTP 503"), "{reason}");
}
