//! A server of the legacy era, which has sessions.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use super::Stage;
use crate::harness::remote::{Answering, Asked, HttpServer, SESSION, echo, legacy};
use crate::harness::{DEADLINE, eventually};

#[test]
fn every_request_after_the_first_names_the_session_and_the_revision() {
    let server = HttpServer::start(legacy);
    let stage = Stage::before(
        &server.url(),
        "headers = { Authorization = 'Bearer geheim', X-Tenant = 'me' }",
    )
    .met_by_legacy();
    assert_eq!(stage.echo("a").tool_text(), "echo: a");
    stage.peer.close_stdin();
    stage.peer.wait_exit();

    let asked = server.asked();
    let said: Vec<_> = asked.iter().map(|it| (&*it.verb, it.method())).collect();
    assert_eq!(said[0], ("POST", "initialize".to_owned()));
    assert_eq!(said[1], ("POST", "notifications/initialized".to_owned()));
    assert_eq!(said.last().unwrap(), &("DELETE", String::new()));
    assert!(said.contains(&("GET", String::new())), "{said:?}");
    for (at, request) in asked.iter().enumerate() {
        let later = (at > 0).then_some(());
        assert_eq!(request.header("mcp-session-id"), later.map(|()| SESSION));
        let revision = request.header("mcp-protocol-version");
        assert_eq!(revision, later.map(|()| "2025-11-25"));
        assert_eq!(request.header("authorization"), Some("Bearer geheim"));
        assert_eq!(request.header("x-tenant"), Some("me"));
        assert_eq!(request.header("mcp-method"), None);
        if request.verb == "POST" {
            assert_eq!(request.header("content-type"), Some("application/json"));
            let accepted = request.header("accept");
            assert_eq!(accepted, Some("application/json, text/event-stream"));
        }
    }
    assert!(!stage.log.text().contains("geheim"));
}

#[test]
fn the_cookie_of_a_load_balancer_leads_to_the_instance_of_the_session() {
    let server = HttpServer::start(|asked, answering| {
        if asked.method() == "initialize" {
            let result = json!({
                "protocolVersion": "2025-06-18",
                "capabilities": {"tools": {}},
                "serverInfo": {"name": "one", "version": "1"},
            });
            let headers = [
                ("Mcp-Session-Id", SESSION),
                ("Set-Cookie", "AWSALB=one; Path=/; HttpOnly"),
                ("Set-Cookie", "AWSALBCORS=one; SameSite=None; Secure"),
            ];
            answering.whole(200, &headers, &asked.result(&result));
        } else if asked.header("cookie") == Some("AWSALB=one; AWSALBCORS=one") {
            legacy(asked, answering);
        } else {
            answering.whole(404, &[], "session not found");
        }
    });
    let stage = Stage::legacy(&server);
    assert_eq!(stage.echo("a").tool_text(), "echo: a");
    assert_eq!(server.asked_for("initialize").len(), 1);
}

/// A server that gives sessions, offers no stream of its own, and leaves requests to `answer`.
fn in_sessions(
    no_stream: (u16, &'static str),
    answer: impl Fn(&Asked, &mut Answering) -> bool + Send + Sync + 'static,
) -> HttpServer {
    HttpServer::start(move |asked, answering| {
        if asked.verb == "GET" {
            answering.whole(no_stream.0, &[], no_stream.1);
        } else if !answer(asked, answering) {
            legacy(asked, answering);
        }
    })
}

#[test]
fn a_server_in_sessions_need_not_offer_a_stream() {
    for no_stream in [
        (404, "Cannot GET /mcp"),
        (400, "No sessionId"),
        (405, ""),
        (200, "<html>"),
    ] {
        let server = in_sessions(no_stream, |_, _| false);
        let stage = Stage::legacy(&server);
        let gets = || server.asked().iter().filter(|it| it.verb == "GET").count();
        eventually(DEADLINE, || gets() == 1);
        let called = stage.peer.call("echo", &json!({"text": "hi"}));
        assert!(!called.is_error(), "{no_stream:?}: {}", called.line);
        assert_eq!(
            stage.log.events("exited"),
            [] as [Value; 0],
            "{no_stream:?}"
        );
    }
}

#[test]
fn an_error_of_the_server_itself_is_not_taken_for_a_lost_session() {
    for (status, code, message) in [
        (400, -32602, "no browser session with this name"),
        (404, -32602, "no such session: open one first"),
        (404, -32601, "Method not found"),
        (404, -32002, "Resource not found"),
    ] {
        let server = in_sessions((405, ""), move |asked, answering| {
            let is_call = asked.method() == "tools/call";
            if is_call {
                let headers = [("Content-Type", "application/json")];
                answering.whole(status, &headers, &asked.error(code, message));
            }
            is_call
        });
        let stage = Stage::legacy(&server);
        let answer = stage.peer.call("echo", &json!({"text": "hi"}));
        let error = answer.error();
        assert_eq!(error["code"], code, "{}", answer.line);
        assert_eq!(error["message"], message);
        assert_eq!(server.asked_for("tools/call").len(), 1);
        assert_eq!(stage.log.events("exited"), [] as [Value; 0]);
    }
}

#[test]
fn a_session_that_is_gone_is_begun_anew_and_the_call_sent_once_more() {
    for status in [404, 410] {
        renews_a_session_after(status);
    }
}

/// A session that ends with this status is replaced by a new one.
#[track_caller]
fn renews_a_session_after(status: u16) {
    let sessions = Arc::new(AtomicUsize::new(0));
    let begun = sessions.clone();
    let server = HttpServer::start(move |asked, answering| {
        let known = format!("s{}", begun.load(Ordering::SeqCst));
        match asked.method().as_str() {
            "initialize" => {
                let id = format!("s{}", begun.fetch_add(1, Ordering::SeqCst) + 1);
                let result = json!({
                    "protocolVersion": "2025-06-18", "capabilities": {"tools": {}},
                    "serverInfo": {"name": "by-hand", "version": "1"},
                });
                let headers = [
                    ("Content-Type", "application/json"),
                    ("Mcp-Session-Id", &*id),
                ];
                answering.whole(200, &headers, &asked.result(&result));
            }
            _ if asked.header("mcp-session-id") != Some(&known) => {
                answering.whole(404, &[], "");
            }
            "tools/call" if asked.body.contains("forget") && known == "s1" => {
                begun.fetch_add(1, Ordering::SeqCst);
                answering.whole(status, &[], "");
            }
            _ => legacy(asked, answering),
        }
    });
    let stage = Stage::legacy(&server);
    assert_eq!(stage.echo("forget").tool_text(), "echo: forget");
    stage.peer.expect_notification(super::LIST_CHANGED);
    let calls = server.asked_for("tools/call");
    let sessions: Vec<_> = calls.iter().map(|it| it.header("mcp-session-id")).collect();
    assert_eq!(sessions, [Some("s1"), Some("s3")]);
    let introductions = server.asked_for("initialize");
    assert_eq!(introductions.len(), 2);
    assert_eq!(introductions[1].header("mcp-session-id"), None);
    assert_eq!(calls[0].message()["params"], calls[1].message()["params"]);
}

#[test]
fn progress_and_questions_on_the_stream_of_a_call_belong_to_it() {
    let server = HttpServer::start(|asked, answering| {
        let message = asked.message();
        if asked.method() != "tools/call" {
            return legacy(asked, answering);
        }
        answering.stream();
        let token = &message["params"]["_meta"]["progressToken"];
        let progress = json!({"jsonrpc": "2.0", "method": "notifications/progress",
            "params": {"progressToken": token, "progress": 1}});
        answering.event(&progress.to_string());
        let ask = json!({"jsonrpc": "2.0", "id": "q", "method": "elicitation/create",
            "params": {"message": "?", "requestedSchema": {"type": "object", "properties": {}}}});
        answering.event(&ask.to_string());
        answering.event(&asked.result(&echo(&message)));
    });
    let stage = Stage::legacy(&server);
    let params =
        json!({"name": "echo", "arguments": {"text": "x"}, "_meta": {"progressToken": "mine"}});
    let call = stage.peer.request("tools/call", &params);
    let progress = stage.peer.expect_notification("notifications/progress");
    assert_eq!(progress.params()["progressToken"], "mine");
    let question = stage.peer.expect_request("elicitation/create");
    stage.peer.respond(&question, &json!({"action": "decline"}));
    assert_eq!(stage.peer.await_response(call).tool_text(), "echo: x");
    crate::harness::eventually(crate::harness::DEADLINE, || {
        let answers = server.asked().into_iter().map(|it| it.message());
        answers
            .into_iter()
            .any(|it| it["id"] == "q" && it["result"]["action"] == "decline")
    });
}
