//! Responses as events, in every permitted shape; too long or too fast ones, and redirects.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

use super::{LIST_CHANGED, Stage};
use crate::harness::remote::{Answering, Asked, HttpServer, echo, legacy, tools};
use crate::harness::{DEADLINE, eventually, initialize_params};

/// A legacy server that answers calls by `call`.
fn calling(call: impl Fn(&Asked, &mut Answering) + Send + Sync + 'static) -> HttpServer {
    HttpServer::start(move |asked, answering| match asked.method().as_str() {
        "tools/call" => call(asked, answering),
        _ => legacy(asked, answering),
    })
}

fn answer(asked: &Asked) -> String {
    asked.result(&echo(&asked.message()))
}

#[test]
fn events_are_read_in_every_form() {
    let server = calling(|asked, answering| {
        let value: Value = serde_json::from_str(&answer(asked)).unwrap();
        let pretty = serde_json::to_string_pretty(&value).unwrap();
        let lines = pretty.replace('\n', "\r\ndata: ");
        let stream = format!(
            "\u{feff}: hello\r\n\r\nevent: ping\r\ndata: x\r\n\r\nid: 1\r\nretry: 5\r\n\r\ndata: {lines}\r\n\r\n"
        );
        answering.stream();
        for piece in stream.as_bytes().chunks(3) {
            answering.write(piece);
        }
    });
    let stage = Stage::legacy(&server);
    assert_eq!(stage.echo("ü\u{2028}x").tool_text(), "echo: ü\u{2028}x");
    assert_eq!(stage.log.events("stray").len(), 0);
}

#[test]
fn a_stream_that_ends_early_is_taken_up_again_where_it_was() {
    let server = HttpServer::start(|asked, answering| match (&*asked.verb, &*asked.method()) {
        ("POST", "tools/call") => {
            answering.stream();
            answering.write(b"id: e-1\nretry: 300\ndata:\n\n");
            answering.cut();
        }
        ("GET", _) => match asked.header("last-event-id") {
            Some("e-1") => {
                answering.stream();
                answering.write(b"id: e-2\nretry: 200\ndata:\n\n");
            }
            Some("e-2") => {
                answering.stream();
                let result = json!({"content": [{"type": "text", "text": "resumed"}]});
                // The second request that the proxy made has this id in any case.
                for id in 1..20 {
                    let message = json!({"jsonrpc": "2.0", "id": id, "result": result});
                    answering.event(&message.to_string());
                }
            }
            _ => answering.whole(405, &[], ""),
        },
        _ => legacy(asked, answering),
    });
    let stage = Stage::legacy(&server);
    assert_eq!(stage.echo("a").tool_text(), "resumed");
    let call = server.asked_for("tools/call")[0].at;
    let mut gets = server.asked_for("GET");
    gets.retain(|it| it.header("last-event-id").is_some());
    assert_eq!(gets.len(), 2);
    let waits = [gets[0].at - call, gets[1].at - gets[0].at];
    for (wait, least) in waits.into_iter().zip([300, 200]) {
        let least = Duration::from_millis(least);
        assert!(
            wait >= least && wait < least + Duration::from_millis(200),
            "{wait:?}"
        );
    }
    assert_eq!(gets[0].header("mcp-session-id"), Some("the-session"));
}

#[test]
fn a_broken_stream_ends_its_own_call_and_no_other() {
    let go = Arc::new(AtomicBool::new(false));
    let (may, reads) = (go.clone(), AtomicUsize::new(0));
    let server = HttpServer::start(move |asked, answering| match asked.method().as_str() {
        "tools/call" if asked.body.contains("break") => {
            answering.stream();
            answering.write(b": soon\n\n");
            answering.cut();
        }
        "tools/call" => {
            eventually(DEADLINE, || may.load(Ordering::SeqCst));
            answering.json(&answer(asked));
        }
        "prompts/get" if reads.fetch_add(1, Ordering::SeqCst) == 0 => answering.cut(),
        "prompts/get" => answering.json(&asked.result(&json!({"messages": []}))),
        _ => legacy(asked, answering),
    });
    let stage = Stage::legacy(&server);
    let slow = stage.peer.request(
        "tools/call",
        &json!({"name": "echo", "arguments": {"text": "slow"}}),
    );
    server.until("tools/call", 1);
    let broken = stage.echo("break").result();
    assert_eq!(broken["isError"], true);
    let text = broken["content"][0]["text"].as_str().unwrap();
    assert!(text.contains("may have been executed"), "{text}");
    // A request without effects is sent once more.
    let prompt = stage.peer.ask("prompts/get", &json!({"name": "greet"}));
    assert_eq!(prompt.result()["messages"], json!([]));
    go.store(true, Ordering::SeqCst);
    assert_eq!(stage.peer.await_response(slow).tool_text(), "echo: slow");
    assert_eq!(server.asked_for("prompts/get").len(), 2);
    assert_eq!(server.asked_for("tools/call").len(), 2);
    stage.log.exactly("connecting", 1);
}

/// A server whose own stream is cut twice, after an event that has this id; meanwhile it has come to have a tool more.
fn cutting(id: &'static str) -> HttpServer {
    let gets = AtomicUsize::new(0);
    HttpServer::start(move |asked, answering| {
        let seen = gets.load(Ordering::SeqCst);
        match (&*asked.verb, &*asked.method()) {
            ("GET", _) => {
                let note = json!({"jsonrpc": "2.0", "method": "notifications/message",
                    "params": {"level": "info", "data": "by itself"}});
                answering.stream();
                if gets.fetch_add(1, Ordering::SeqCst) == 0 {
                    let event = format!("{id}retry: 10\ndata: {note}\n\n");
                    answering.write(event.as_bytes());
                } else if seen > 1 {
                    answering.until_closed();
                }
                answering.cut();
            }
            (_, "tools/list") if seen > 1 => {
                answering.json(&asked.result(&tools(&["echo", "more"])));
            }
            _ => legacy(asked, answering),
        }
    })
}

#[test]
fn the_servers_own_stream_is_followed_and_opened_anew() {
    for (id, named) in [("id: 5\n", Some("5")), ("", None)] {
        let server = cutting(id);
        let stage = Stage::legacy(&server);
        let note = stage.peer.expect_notification("notifications/message");
        assert_eq!(note.params()["data"], "by itself");
        let asked = server.until("GET", 3);
        let last: Vec<_> = asked.iter().map(|it| it.header("last-event-id")).collect();
        assert_eq!(last, [None, named, named]);
        if named.is_none() {
            // Notifications in between are lost, so the lists are read anew.
            stage.peer.expect_notification(LIST_CHANGED);
            assert_eq!(stage.names(), ["echo", "more"]);
        }
        stage.log.exactly("connecting", 1);
    }
}

#[test]
fn a_response_that_is_too_long_is_an_error_for_its_request() {
    let server = calling(|asked, answering| {
        let message = asked.message();
        let way = message["params"]["arguments"]["text"].as_str().unwrap();
        let long =
            asked.result(&json!({"content": [{"type": "text", "text": "x".repeat(200_000)}]}));
        match way {
            "whole" => answering.json(&long),
            "event" => {
                answering.stream();
                answering.event(&long);
                answering.cut();
            }
            _ => answering.json(&answer(asked)),
        }
    });
    let stage = Stage::with(
        &server.url(),
        "",
        &["--meta-tools", "none", "--max-message", "100KiB"],
    );
    let stage = stage.met_by_legacy();
    for way in ["whole", "event"] {
        let error = stage.echo(way).error();
        assert!(
            error["message"].as_str().unwrap().contains("--max-message"),
            "{error}"
        );
    }
    assert_eq!(stage.echo("fits").tool_text(), "echo: fits");
}

#[test]
fn a_redirect_is_followed_within_the_place_and_nowhere_else() {
    let stranger = HttpServer::start(legacy);
    let away = stranger.url();
    let server = HttpServer::start(move |asked, answering| {
        let moved = asked.body.contains("away");
        match asked.path.as_str() {
            "/mcp" if moved => answering.whole(307, &[("Location", &away)], ""),
            "/mcp" => answering.whole(307, &[("Location", "/there")], ""),
            _ => legacy(asked, answering),
        }
    });
    let stage = Stage::before(
        &server.url(),
        "headers = { Authorization = 'Bearer geheim' }",
    );
    let stage = stage.met_by_legacy();
    assert_eq!(stage.echo("a").tool_text(), "echo: a");
    let there = server.asked().into_iter().filter(|it| it.path == "/there");
    assert!(
        there
            .into_iter()
            .all(|it| it.header("authorization") == Some("Bearer geheim"))
    );
    let refused = stage.echo("away").line;
    assert!(
        refused.contains("HTTP 307") && refused.contains("not executed"),
        "{refused}"
    );
    assert_eq!(stranger.asked().len(), 0);
}

#[test]
fn a_client_that_does_not_read_slows_the_server_down() {
    let written = Arc::new(AtomicUsize::new(0));
    let count = written.clone();
    let server = calling(move |asked, answering| {
        let note = json!({"jsonrpc": "2.0", "method": "notifications/message",
            "params": {"level": "info", "data": "x".repeat(100_000)}});
        let note = note.to_string();
        answering.stream();
        for _ in 0..1000 {
            answering.event(&note);
            count.fetch_add(note.len(), Ordering::SeqCst);
        }
        answering.event(&answer(asked));
        answering.cut();
    });
    let stage = super::silent(&server.url());
    server.until("tools/call", 1);
    let mut before = usize::MAX;
    eventually(DEADLINE, || {
        let now = written.load(Ordering::SeqCst);
        let still = now == std::mem::replace(&mut before, now) && now > 0;
        std::thread::sleep(Duration::from_millis(200));
        still
    });
    let buffered = written.load(Ordering::SeqCst);
    assert!(buffered < 40 << 20, "{buffered} bytes were taken of 100 MB");
    drop(stage);
}

#[test]
fn the_servers_own_list_changed_reaches_the_client() {
    let more = Arc::new(AtomicBool::new(false));
    let is_more = more.clone();
    let server =
        HttpServer::start(
            move |asked, answering| match (&*asked.verb, &*asked.method()) {
                ("GET", _) => {
                    answering.stream();
                    eventually(DEADLINE, || is_more.load(Ordering::SeqCst));
                    answering.event(&json!({"jsonrpc": "2.0", "method": LIST_CHANGED}).to_string());
                    answering.until_closed();
                }
                (_, "tools/list") if is_more.load(Ordering::SeqCst) => {
                    answering.json(&asked.result(&tools(&["echo", "more"])));
                }
                _ => legacy(asked, answering),
            },
        );
    let stage = Stage::before(&server.url(), "");
    stage.peer.initialize(&initialize_params()).result();
    assert_eq!(stage.names(), ["echo"]);
    more.store(true, Ordering::SeqCst);
    stage.peer.expect_notification(LIST_CHANGED);
    assert_eq!(stage.names(), ["echo", "more"]);
}

#[test]
fn many_calls_that_all_wait_for_the_client_keep_its_answers_from_nothing() {
    let answered = Arc::new(Mutex::new(Vec::new()));
    let server = HttpServer::start(move |asked, answering| {
        let message = asked.message();
        if asked.method() == "tools/call" {
            let id = message["id"].to_string();
            answering.stream();
            let ask = json!({"jsonrpc": "2.0", "id": id, "method": "roots/list"});
            answering.event(&ask.to_string());
            eventually(DEADLINE, || answered.lock().unwrap().contains(&id));
            answering.event(&answer(asked));
            return answering.cut();
        }
        if let Some(id) = message["id"]
            .as_str()
            .filter(|_| !message["result"].is_null())
        {
            answered.lock().unwrap().push(id.to_owned());
        }
        legacy(asked, answering);
    });
    let stage = Stage::legacy(&server);
    let call = |at: usize| {
        let params = json!({"name": "echo", "arguments": {"text": at.to_string()}});
        stage.peer.request("tools/call", &params)
    };
    let calls: Vec<_> = (0..120).map(call).collect();
    // More than may be open at once: the last are asked for only when the first are answered.
    for _ in &calls {
        let question = stage.peer.expect_request("roots/list");
        stage.peer.respond(&question, &json!({"roots": []}));
    }
    for (at, call) in calls.into_iter().enumerate() {
        assert_eq!(
            stage.peer.await_response(call).tool_text(),
            format!("echo: {at}")
        );
    }
}
