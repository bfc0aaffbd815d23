//! Resources of a server elsewhere that the client follows, over the loss of the server too.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::Stage;
use crate::harness::remote::{Answering, Asked, HttpServer, legacy, modern};
use crate::harness::{DEADLINE, eventually};

const UPDATED: &str = "notifications/resources/updated";

/// The stream on which a server speaks of its own accord.
type Stream = Arc<Mutex<Option<Answering>>>;

/// A server of both eras that has the resource `test://a`, and resources can be followed.
fn following(stream: &Stream) -> impl Fn(&Asked, &mut Answering) + Send + Sync + use<> {
    let stream = stream.clone();
    move |asked, answering| {
        let capabilities = json!({"resources": {"subscribe": true}, "tools": {}});
        match (&*asked.verb, &*asked.method()) {
            ("POST", "initialize") => {
                let result = json!({"protocolVersion": "2025-11-25", "capabilities": capabilities,
                    "serverInfo": {"name": "by-hand", "version": "1"}});
                answering.json(&asked.result(&result));
            }
            ("POST", "server/discover") => {
                let result = json!({"resultType": "complete", "supportedVersions": ["2026-07-28"],
                    "capabilities": capabilities});
                answering.json(&asked.result(&result));
            }
            ("POST", "resources/list") => {
                let list = json!({"resources": [{"uri": "test://a", "name": "a"}]});
                answering.json(&asked.result(&list));
            }
            ("POST", "resources/templates/list") => {
                answering.json(&asked.result(&json!({"resourceTemplates": []})));
            }
            ("POST", "resources/subscribe") => answering.json(&asked.result(&json!({}))),
            ("GET", _) | ("POST", "subscriptions/listen") => {
                answering.stream();
                answering.write(b": there\n\n");
                *stream.lock().unwrap() = Some(answering.again());
                answering.until_closed();
            }
            _ if asked.header("mcp-method").is_some() => modern(asked, answering),
            _ => legacy(asked, answering),
        }
    }
}

/// Says on the server's stream that the resource has changed.
#[track_caller]
fn update(stream: &Stream, meta: &Value) {
    eventually(DEADLINE, || stream.lock().unwrap().is_some());
    let params = json!({"uri": "test://a", "_meta": meta});
    let note = json!({"jsonrpc": "2.0", "method": UPDATED, "params": params});
    stream
        .lock()
        .unwrap()
        .as_mut()
        .unwrap()
        .event(&note.to_string());
}

#[test]
fn a_legacy_server_is_told_again_what_the_client_follows() {
    let stream = Stream::default();
    let first = HttpServer::start(following(&stream));
    let stage = Stage::legacy(&first);
    stage
        .peer
        .ask("resources/subscribe", &json!({"uri": "test://a"}))
        .result();
    update(&stream, &json!({}));
    let note = stage.peer.expect_notification(UPDATED);
    assert_eq!(note.params()["uri"], "test://a");

    let address = first.stop();
    stage.log.until("exited", 1);
    stream.lock().unwrap().take();
    let second = HttpServer::at(address, following(&stream));
    let told = second.until("resources/subscribe", 1);
    assert_eq!(told[0].message()["params"]["uri"], "test://a");
    // New code may have made another of it.
    stage.peer.expect_notification(UPDATED);
    update(&stream, &json!({}));
    stage.peer.expect_notification(UPDATED);
}

#[test]
fn a_modern_server_is_told_on_its_stream() {
    let stream = Stream::default();
    let deaf = following(&stream);
    let server = HttpServer::start(move |asked, answering| match &*asked.method() {
        "initialize" => answering.whole(404, &[], ""),
        _ => deaf(asked, answering),
    });
    let stage = Stage::legacy(&server);
    assert_eq!(stage.log.until("ready", 1)[0]["era"], "modern");
    server.until("subscriptions/listen", 1);
    stream.lock().unwrap().take();
    stage
        .peer
        .ask("resources/subscribe", &json!({"uri": "test://a"}))
        .result();
    let asked = server.until("subscriptions/listen", 2);
    let filter = &asked[1].message()["params"]["notifications"];
    assert_eq!(filter["resourceSubscriptions"], json!(["test://a"]));
    let id = asked[1].message()["id"].clone();
    update(
        &stream,
        &json!({"io.modelcontextprotocol/subscriptionId": id}),
    );
    let note = stage.peer.expect_notification(UPDATED);
    assert_eq!(note.params()["uri"], "test://a");
    assert_eq!(server.asked_for("resources/subscribe").len(), 0);
    assert_eq!(server.asked_for("notifications/cancelled").len(), 0);
}
