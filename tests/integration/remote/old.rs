//! The transport of revision 2024-11-05, which servers still have.

use std::sync::{Arc, Mutex};

use serde_json::json;

use super::Stage;
use crate::harness::remote::{Answering, Asked, HttpServer, echo, tools};
use crate::harness::{Log, Project, Proxy, initialize_params};

/// A server of that revision, which refuses messages to its stream by `refusal` and tells `said` of all others.
fn old(refusal: &'static str, said: impl Fn(&str) + Send + Sync + 'static) -> HttpServer {
    let stream: Arc<Mutex<Option<Answering>>> = Arc::default();
    HttpServer::start(move |asked, answering| match (&*asked.verb, &*asked.path) {
        ("GET", "/mcp") => {
            answering.stream();
            // A message may come as soon as the endpoint is known.
            let mut stream = stream.lock().unwrap();
            answering.write(b"event: endpoint\ndata: /messages?session=1\n\n");
            *stream = Some(answering.again());
            drop(stream);
            answering.until_closed();
        }
        ("POST", "/messages?session=1") => {
            said(&asked.method());
            answering.whole(202, &[], "Accepted");
            if let Some(answer) = answer(asked) {
                let mut stream = stream.lock().unwrap();
                let stream = stream.as_mut().unwrap();
                stream.write(format!("event: message\ndata: {answer}\n\n").as_bytes());
                if asked.body.contains("then go") {
                    stream.cut();
                }
            }
        }
        _ => answering.whole(405, &[], refusal),
    })
}

fn answer(asked: &Asked) -> Option<String> {
    let message = asked.message();
    let result = match asked.method().as_str() {
        "initialize" => json!({"protocolVersion": "2024-11-05", "capabilities": {"tools": {}},
            "serverInfo": {"name": "old", "version": "1"}}),
        "tools/list" => tools(&["echo"]),
        "tools/call" if asked.body.contains("never") => return None,
        "tools/call" => echo(&message),
        _ => return None,
    };
    Some(asked.result(&result))
}

#[test]
fn a_server_that_refuses_posts_by_an_error_object_is_found_out() {
    let refusal =
        r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32601,"message":"Method not allowed"}}"#;
    let server = old(refusal, |_| ());
    let stage = Stage::legacy(&server);
    assert_eq!(stage.echo("a").tool_text(), "echo: a");
}

#[test]
fn a_server_that_has_but_one_stream_is_found_out() {
    let server = old("", |_| ());
    let stage = Stage::legacy(&server);
    assert_eq!(stage.echo("a").tool_text(), "echo: a");
    // The end of the stream is the end of all that was asked.
    let lost = json!({"name": "echo", "arguments": {"text": "never"}});
    let lost = stage.peer.request("tools/call", &lost);
    server.until("tools/call", 2);
    assert_eq!(stage.echo("then go").tool_text(), "echo: then go");
    let lost = stage.peer.await_response(lost).result();
    assert_eq!(lost["isError"], true);
    assert_eq!(stage.echo("b").tool_text(), "echo: b");
    stage.log.until("reloaded", 1);
}

#[test]
fn a_server_that_is_said_to_be_old_is_not_asked_in_other_ways() {
    let said: Arc<Mutex<Vec<String>>> = Arc::default();
    let heard = said.clone();
    let server = old("", move |method| {
        heard.lock().unwrap().push(method.to_owned());
    });
    let project = Project::new();
    let entry = json!({"mcpServers": {"far": {"type": "sse", "url": server.url()}}});
    project.write(".mcp.json", &entry.to_string());
    let log = Log::new();
    let peer = log
        .written_by(Proxy::configured("dev"))
        .within(&project)
        .spawn();
    peer.modern("server/discover", json!({})).result();
    log.until("ready", 1);
    let called = peer.modern(
        "tools/call",
        json!({"name": "far__echo", "arguments": {"text": "a"}}),
    );
    assert_eq!(called.tool_text(), "echo: a");
    let first = said.lock().unwrap()[0].clone();
    assert_eq!(first, "initialize");
    assert!(
        server
            .asked()
            .iter()
            .all(|it| it.verb == "GET" || it.path != "/mcp")
    );
    drop(peer);
}

/// A server that names `endpoint` as its address for messages, and has none there.
fn misled(endpoint: String) -> HttpServer {
    HttpServer::start(move |asked, answering| {
        if asked.verb == "GET" {
            answering.stream();
            answering.write(format!("event: endpoint\ndata: {endpoint}\n\n").as_bytes());
            answering.until_closed();
        } else if asked.path == "/mcp" {
            answering.whole(405, &[], "use GET");
        } else {
            answering.whole(404, &[], "no such path");
        }
    })
}

#[test]
fn the_reason_names_the_address_for_messages() {
    let stranger = HttpServer::start(|_, answering| answering.whole(202, &[], ""));
    let elsewhere = format!("{}?session=geheim", stranger.url());
    for (endpoint, shown, says) in [
        (&*elsewhere, stranger.url(), "only to the origin"),
        (
            "messages?session=geheim",
            "/messages,".to_owned(),
            "HTTP 404 Not Found",
        ),
    ] {
        for kind in ["http", "sse"] {
            let server = misled(endpoint.to_owned());
            let project = Project::new();
            let entry = json!({"mcpServers": {"far": {"type": kind, "url": server.url()}}});
            project.write(".mcp.json", &entry.to_string());
            let log = Log::new();
            let proxy = log.written_by(Proxy::configured("dev")).within(&project);
            let peer = proxy.spawn();
            peer.initialize(&initialize_params()).result();
            let broken = log.until("broken", 1)[0]["failure"].clone();
            let reason = broken["reason"].as_str().unwrap();
            assert!(reason.contains(&shown), "{kind}: {reason}");
            assert!(reason.contains(says), "{kind}: {reason}");
            assert!(!reason.contains("geheim"), "{kind}: {reason}");
        }
    }
    // An address elsewhere gets nothing.
    assert_eq!(stranger.asked().len(), 0);
}
