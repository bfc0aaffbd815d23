//! The transport of revision 2024-11-05, which servers still have.

use std::sync::{Arc, Mutex};

use serde_json::json;

use super::Stage;
use crate::harness::remote::{Answering, Asked, HttpServer, echo, tools};
use crate::harness::{Log, Project, Proxy, initialize_params};

/// A server of that revision, whose stream is told `said`.
fn old(said: impl Fn(&str) + Send + Sync + 'static) -> HttpServer {
    let stream: Arc<Mutex<Option<Answering>>> = Arc::default();
    HttpServer::start(move |asked, answering| match (&*asked.verb, &*asked.path) {
        ("GET", "/mcp") => {
            answering.stream();
            answering.write(b"event: endpoint\ndata: /messages?session=1\n\n");
            *stream.lock().unwrap() = Some(answering.again());
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
        _ => answering.whole(405, &[], ""),
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
fn a_server_that_has_but_one_stream_is_found_out() {
    let server = old(|_| ());
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
    let server = old(move |method| heard.lock().unwrap().push(method.to_owned()));
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
    // An address elsewhere gets nothing.
    let stranger = HttpServer::start(|_, answering| answering.whole(202, &[], ""));
    let url = stranger.url();
    let server = HttpServer::start(move |asked, answering| {
        if asked.verb == "GET" {
            answering.stream();
            answering.write(format!("event: endpoint\ndata: {url}\n\n").as_bytes());
            answering.until_closed();
        } else {
            answering.whole(405, &[], "");
        }
    });
    let stage = Stage::before(&server.url(), "");
    stage.peer.initialize(&initialize_params()).result();
    stage.log.until("broken", 1);
    assert_eq!(stranger.asked().len(), 0);
}
