//! A server of the modern era, where headers repeat the body and every request stands alone.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use super::{LIST_CHANGED, Stage};
use crate::harness::remote::{HttpServer, modern, tools};
use crate::harness::{DEADLINE, eventually, modern_meta};

/// The list of tools with one whose arguments `region` and `deep.count` headers carry too, and one that no client
/// may offer.
fn annotated(header: &str) -> Value {
    let mut list = tools(&["echo", "bad"]);
    list["tools"][0]["inputSchema"] = json!({"type": "object", "properties": {
        "region": {"type": "string", "x-mcp-header": header},
        "deep": {"type": "object", "properties": {"count": {"type": "integer", "x-mcp-header": "Count"}}},
    }});
    list["tools"][1]["inputSchema"] = json!({"type": "object", "x-mcp-header": "Nowhere"});
    list
}

#[test]
fn headers_are_made_of_the_body_that_the_server_gets() {
    let server = HttpServer::start(|asked, answering| match asked.method().as_str() {
        "tools/list" => answering.json(&asked.result(&annotated("Region"))),
        _ => modern(asked, answering),
    });
    let stage = Stage::before(
        &server.url(),
        "prefix = 'pre'\nheaders = { X-Tenant = 'me' }".trim(),
    )
    .met_by_modern();
    let list = stage.peer.modern("tools/list", json!({})).result();
    let names: Vec<_> = list["tools"].as_array().unwrap().iter().collect();
    assert_eq!(
        names.len(),
        1,
        "a tool with a wrong annotation is not offered"
    );
    assert_eq!(stage.log.until("tool_left_out", 1)[0]["tool"], "bad");
    assert_eq!(names[0]["name"], "pre__echo");
    let arguments = json!({"region": "Zürich", "deep": {"count": 7}, "text": "a"});
    let call = json!({"name": "pre__echo", "arguments": arguments});
    assert_eq!(stage.peer.modern("tools/call", call).tool_text(), "echo: a");
    let absent = json!({"name": "pre__echo", "arguments": {"region": null}});
    stage.peer.modern("tools/call", absent).result();

    for asked in server.asked() {
        let message = asked.message();
        let method = message["method"].as_str().unwrap();
        assert_eq!(asked.header("mcp-method"), Some(method));
        assert_eq!(asked.header("mcp-protocol-version"), Some("2026-07-28"));
        assert_eq!(asked.header("mcp-session-id"), None);
        assert_eq!(asked.header("x-tenant"), Some("me"));
        assert_eq!(asked.header("mcp-name"), message["params"]["name"].as_str());
    }
    let calls = server.asked_for("tools/call");
    assert_eq!(calls[0].header("mcp-name"), Some("echo"));
    assert_eq!(
        calls[0].header("mcp-param-region"),
        Some("=?base64?WsO8cmljaA==?=")
    );
    assert_eq!(calls[0].header("mcp-param-count"), Some("7"));
    assert_eq!(calls[1].header("mcp-param-region"), None);
    assert_eq!(calls[1].header("mcp-param-count"), None);
}

#[test]
fn tools_are_listed_again_and_a_call_repeated_once_where_headers_do_not_fit() {
    let lists = Arc::new(AtomicUsize::new(0));
    let count = lists.clone();
    let server = HttpServer::start(move |asked, answering| {
        let kind = [("Content-Type", "application/json")];
        match asked.method().as_str() {
            "tools/list" => {
                let first = count.fetch_add(1, Ordering::SeqCst) == 0;
                let header = if first { "Old" } else { "New" };
                answering.json(&asked.result(&annotated(header)));
            }
            "tools/call"
                if asked.header("mcp-param-new").is_none() || asked.body.contains("never") =>
            {
                answering.whole(400, &kind, &asked.error(-32020, "headers do not fit"));
            }
            _ => modern(asked, answering),
        }
    });
    let stage = Stage::modern(&server);
    let call = |region: &str| {
        let arguments = json!({"region": region, "text": region});
        let params = json!({"name": "echo", "arguments": arguments});
        stage.peer.modern("tools/call", params)
    };
    assert_eq!(call("a").tool_text(), "echo: a");
    assert_eq!(server.asked_for("tools/call").len(), 2);
    assert_eq!(lists.load(Ordering::SeqCst), 2);
    assert_eq!(call("never").error()["code"], -32020);
    assert_eq!(server.asked_for("tools/call").len(), 4);
}

#[test]
fn a_cancelled_request_is_one_whose_stream_is_closed() {
    let closed = Arc::new(AtomicUsize::new(0));
    let count = closed.clone();
    let server = HttpServer::start(move |asked, answering| {
        if asked.method() != "tools/call" || !asked.body.contains("long") {
            return modern(asked, answering);
        }
        answering.stream();
        answering.write(b": on it\n\n");
        if answering.until_closed() {
            count.fetch_add(1, Ordering::SeqCst);
        }
    });
    let stage = Stage::modern(&server);
    let params = json!({"name": "echo", "arguments": {"text": "long"}, "_meta": modern_meta()});
    let call = stage.peer.request("tools/call", &params);
    server.until("tools/call", 1);
    let params = json!({"requestId": call, "_meta": modern_meta()});
    stage.peer.notify("notifications/cancelled", &params);
    eventually(DEADLINE, || closed.load(Ordering::SeqCst) == 1);
    assert_eq!(
        stage
            .peer
            .modern("tools/call", json!({"name": "echo"}))
            .tool_text(),
        "echo: "
    );
    assert_eq!(server.asked_for("notifications/cancelled").len(), 0);
    assert_eq!(stage.peer.responses_to(call), 0);
}

#[test]
fn a_listen_stream_that_is_cut_is_opened_anew_and_what_changed_is_told() {
    let lists = Arc::new(AtomicUsize::new(0));
    let count = lists.clone();
    let server = HttpServer::start(move |asked, answering| match asked.method().as_str() {
        "tools/list" => {
            let names: &[&str] = match count.fetch_add(1, Ordering::SeqCst) {
                0 => &["echo"],
                _ => &["echo", "more"],
            };
            answering.json(&asked.result(&tools(names)));
        }
        "subscriptions/listen" => {
            let acknowledged =
                json!({"jsonrpc": "2.0", "method": "notifications/subscriptions/acknowledged"});
            answering.stream();
            answering.event(&acknowledged.to_string());
            if count.load(Ordering::SeqCst) > 1 {
                answering.until_closed();
            }
            answering.cut();
        }
        _ => modern(asked, answering),
    });
    let stage = Stage::legacy(&server);
    stage.peer.expect_notification(LIST_CHANGED);
    eventually(DEADLINE, || stage.names() == ["echo", "more"]);
    let said = server.until("subscriptions/listen", 2);
    assert_eq!(
        said[0].message()["params"]["notifications"]["toolsListChanged"],
        true
    );
    stage.log.exactly("connecting", 1);
}

#[test]
fn a_server_without_a_listen_stream_is_a_server_all_the_same() {
    let server = HttpServer::start(|asked, answering| match asked.method().as_str() {
        "subscriptions/listen" => answering.whole(500, &[], ""),
        _ => modern(asked, answering),
    });
    let stage = Stage::modern(&server);
    server.until("subscriptions/listen", 5);
    assert_eq!(
        stage
            .peer
            .modern("tools/call", json!({"name": "echo"}))
            .tool_text(),
        "echo: "
    );
    assert_eq!(stage.log.events("exited").len(), 0);
    assert_eq!(server.asked_for("subscriptions/listen").len(), 5);
}
