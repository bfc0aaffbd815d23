//! Servers that are not there, go away and come back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;

use super::{LIST_CHANGED, Stage};
use crate::harness::remote::{HttpServer, legacy, modern};
use crate::harness::{DEADLINE, eventually, initialize_params};

#[test]
fn calls_are_refused_until_a_server_is_there_for_the_first_time() {
    let address = HttpServer::start(legacy).stop();
    let stage = Stage::before(&format!("http://{address}/mcp"), "prefix = 'far'");
    stage.peer.initialize(&initialize_params()).result();
    stage.log.until("broken", 1);
    let echo = || stage.peer.call("far__echo", &json!({"text": "a"}));
    let refused = echo().result();
    assert_eq!(refused["isError"], true);
    let text = refused["content"][0]["text"].as_str().unwrap();
    assert!(
        text.contains("`far` cannot be reached at http://127.0.0.1"),
        "{text}"
    );
    let server = HttpServer::at(address, legacy);
    stage.log.until("ready", 1);
    stage.peer.expect_notification(LIST_CHANGED);
    assert_eq!(echo().tool_text(), "echo: a");
    assert_eq!(server.asked_for("tools/call").len(), 1);
}

#[test]
fn a_call_reaches_a_server_that_is_up_again_at_once() {
    let server = HttpServer::start(legacy);
    let stage = Stage::legacy(&server);
    let address = server.stop();
    for _ in 0..3 {
        let refused = stage.echo("a").result();
        assert_eq!(refused["isError"], true, "{refused}");
    }
    // The next attempt of the proxy itself is seconds away.
    let restarting = stage.log.until("restarting", 5);
    assert!(
        restarting[4]["delay_ms"].as_u64() >= Some(4000),
        "{restarting:?}"
    );
    let attempts = stage.log.events("connecting").len();
    assert!(
        attempts < 12,
        "a server that is down was tried {attempts} times"
    );
    let server = HttpServer::at(address, legacy);
    assert_eq!(stage.echo("b").tool_text(), "echo: b");
    assert_eq!(server.asked_for("tools/call").len(), 1);
}

#[test]
fn nothing_is_lost_that_was_not_carried_out_while_a_server_is_started_anew() {
    for era in [legacy, modern] {
        let first = HttpServer::start(era);
        let stage = Stage::before(&first.url(), "").met_by_legacy();
        let mut calls = Vec::new();
        let call = |at: usize| {
            let params = json!({"name": "echo", "arguments": {"text": at.to_string()}});
            stage.peer.request("tools/call", &params)
        };
        calls.extend((0..10).map(call));
        // They come back in any order.
        for call in &calls {
            stage.peer.await_response(call);
        }
        let before = stage.peer.notifications(LIST_CHANGED);
        let address = first.stop();
        calls.extend((10..40).map(call));
        stage.log.until("exited", 1);
        let second = HttpServer::at(address, era);
        calls.extend((40..50).map(call));
        let mut unsure = 0;
        for (at, call) in calls.iter().enumerate() {
            let result = stage.peer.await_response(call).result();
            let text = result["content"][0]["text"].as_str().unwrap();
            if result["isError"] == true {
                assert!(text.contains("may have been executed"), "{text}");
                unsure += 1;
            } else {
                assert_eq!(text, format!("echo: {at}"));
            }
            assert_eq!(stage.peer.responses_to(call), 1);
        }
        assert!(unsure <= 5, "{unsure} of 50 may have been executed");
        eventually(DEADLINE, || stage.peer.notifications(LIST_CHANGED) > before);
        let carried_out = second.asked_for("tools/call").len();
        assert!(carried_out >= 35, "{carried_out}");
    }
}

#[test]
fn answers_by_status_alone_say_whether_a_call_may_have_been_carried_out() {
    let server = HttpServer::start(|asked, answering| {
        let message = asked.message();
        let text = message["params"]["arguments"]["text"].as_str();
        match text.and_then(|text| text.parse().ok()) {
            Some(status) => answering.whole(status, &[("Content-Type", "text/plain")], "so it is"),
            None => legacy(asked, answering),
        }
    });
    let stage = Stage::legacy(&server);
    for (status, says) in [
        ("401", "not executed"),
        ("403", "not executed"),
        ("429", "not executed"),
        ("500", "may have been executed"),
        ("503", "may have been executed"),
        ("202", "may have been executed"),
    ] {
        let result = stage.echo(status).result();
        let text = result["content"][0]["text"].as_str().unwrap();
        assert!(
            text.contains(status) && text.contains(says),
            "{status}: {text}"
        );
    }
    let error = stage.echo("418").error();
    assert!(
        error["message"].as_str().unwrap().contains("HTTP 418"),
        "{error}"
    );
    assert_eq!(server.asked_for("tools/call").len(), 7);
    stage.log.exactly("connecting", 1);
}

#[test]
fn a_reload_connects_anew_beside_what_is_there() {
    let server = HttpServer::start(legacy);
    let stage = Stage::with(&server.url(), "", &["--meta-tools", "dev"]).met_by_legacy();
    let reloaded = stage
        .peer
        .call("reload_mcp_server", &json!({"server_name": "far"}))
        .result();
    assert_eq!(reloaded["structuredContent"]["generation"], 2, "{reloaded}");
    stage.peer.expect_notification(LIST_CHANGED);
    server.until("DELETE", 1);
    assert_eq!(stage.echo("a").tool_text(), "echo: a");
    let loaded = stage.peer.call("get_loaded_servers", &json!({})).result();
    let far = &loaded["structuredContent"]["servers"][0];
    assert_eq!(far["url"], server.url());
    assert_eq!(
        (far["status"].as_str(), far["reloads"].as_u64()),
        (Some("running"), Some(1))
    );
}

#[test]
fn nothing_is_sent_before_the_introduction_is_taken_in() {
    let taken = Arc::new(AtomicBool::new(false));
    let early = Arc::new(AtomicUsize::new(0));
    let (is_taken, count) = (taken.clone(), early.clone());
    let server = HttpServer::start(move |asked, answering| {
        match asked.method().as_str() {
            "initialize" => {}
            "notifications/initialized" => {
                let until = Instant::now() + Duration::from_millis(300);
                eventually(DEADLINE, || Instant::now() >= until);
                is_taken.store(true, Ordering::SeqCst);
            }
            _ if !is_taken.load(Ordering::SeqCst) => drop(count.fetch_add(1, Ordering::SeqCst)),
            _ => {}
        }
        legacy(asked, answering);
    });
    let stage = Stage::legacy(&server);
    assert_eq!(stage.echo("a").tool_text(), "echo: a");
    assert_eq!(early.load(Ordering::SeqCst), 0);
}
