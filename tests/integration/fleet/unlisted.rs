//! Resources that no server lists: every server that may have them is asked.

use serde_json::{Value, json};

use super::servers::{Fleet, Servers};
use crate::harness::{DEADLINE, Message, eventually};

const MESSAGE: &str = "notifications/message";

/// A server with the resource `hidden://x`, which it does not list; `how` it reads it.
fn hidden(mark: &str, how: &Value) -> Value {
    let mut resource = json!({"uri": "hidden://x", "name": "n"});
    for (name, value) in how.as_object().unwrap() {
        resource[name] = value.clone();
    }
    json!({"mark": mark, "resources": [resource], "raw": {"resources/list": r#"{"resources":[]}"#}})
}

/// A server with resources, but not this one.
fn other(mark: &str) -> Value {
    json!({"mark": mark, "resources": [{"uri": format!("own://{mark}"), "name": "n"}]})
}

fn fails(code: i32, message: &str) -> Value {
    json!({"x-error": {"code": code, "message": message, "data": {"n": 1.0}}})
}

fn read(fleet: &Fleet) -> Message {
    fleet
        .peer
        .ask("resources/read", &json!({"uri": "hidden://x"}))
}

#[track_caller]
fn is_from(answer: &Message, mark: &str) {
    let result = answer.result();
    assert_eq!(result["contents"][0]["text"], mark, "{}", answer.line);
}

#[test]
fn any_error_of_one_lets_the_next_be_asked() {
    for code in [0, -32602, -32603, 17] {
        let fleet = Servers::new()
            .with(
                "a",
                &hidden("a", &fails(code, "Unknown resource: hidden://x")),
            )
            .with("b", &hidden("b", &json!({})))
            .legacy();
        is_from(&read(&fleet), "b");
    }
}

#[test]
fn an_error_of_the_only_one_with_resources_passes_unchanged() {
    let error = fails(0, "Error reading resource hidden://x: disk on fire");
    let fleet = Servers::marked(["a", "c"])
        .with("b", &hidden("b", &error))
        .legacy();
    let answer = read(&fleet);
    let expected = r#""error":{"code":0,"message":"Error reading resource hidden://x: disk on fire","data":{"n":1.0}}}"#;
    assert!(answer.line.ends_with(expected), "{}", answer.line);
}

/// In any order of the servers.
#[test]
fn the_error_that_says_most_passes() {
    let failed = hidden("bad", &fails(0, "Error reading resource: no such table"));
    let unknown = hidden("py", &fails(0, "Unknown resource: hidden://x"));
    let no_method = hidden("old", &fails(-32601, "Method not found"));
    for turn in 0..4 {
        let mut servers = [
            ("a", other("a")),
            ("bad", failed.clone()),
            ("py", unknown.clone()),
            ("old", no_method.clone()),
        ];
        servers.rotate_left(turn);
        let fleet = servers
            .iter()
            .fold(Servers::new(), |fleet, (name, script)| {
                fleet.with(name, script)
            })
            .legacy();
        let error = read(&fleet).error();
        assert_eq!(error["message"], "Error reading resource: no such table");
    }
}

/// One that cannot be asked may be the one that has it.
#[test]
fn broken_code_says_more_than_that_nobody_has_it() {
    let fleet = Servers::new()
        .with("a", &other("a"))
        .with("b", &hidden("b", &json!({})))
        .legacy();
    is_from(&read(&fleet), "b");
    let exit = json!({"exit_at_start": {"code": 3, "stderr": "no module named weather"}});
    fleet.save("b", &exit);
    fleet.until("broken", "b", 1);
    let answer = read(&fleet);
    assert_eq!(answer.error()["data"]["reason"], "server_broken");
    assert!(answer.line.contains("no module named weather"));
}

/// One that answers nothing does not keep the reason of another from the client.
#[cfg(unix)]
#[test]
fn a_failed_reading_is_told_though_another_server_is_silent() {
    let error = fails(-32603, "disk on fire");
    let fleet = Servers::new()
        .text("[proxy]\nhold_timeout = '300ms'")
        .with("frozen", &other("frozen"))
        .with("b", &hidden("b", &error))
        .legacy();
    super::trouble::freeze(&fleet, "frozen");
    assert_eq!(read(&fleet).error()["message"], "disk on fire");
}

#[test]
fn a_reading_in_flight_survives_a_reload() {
    let fleet = Servers::marked(["a"])
        .with(
            "b",
            &hidden("old", &json!({"x-log": "reads", "x-delay-ms": 1500})),
        )
        .legacy();
    let params = json!({"uri": "hidden://x"});
    let reading = fleet.peer.request("resources/read", &params);
    fleet.peer.expect_notification(MESSAGE);
    fleet.save("b", &hidden("new", &json!({})));
    fleet.until("reloaded", "b", 1);
    is_from(&fleet.peer.await_response(reading), "old");
    is_from(&read(&fleet), "new");
}

#[test]
fn a_reading_lost_in_a_crash_is_asked_again_once() {
    let fleet = Servers::marked(["a"])
        .with("b", &hidden("b", &json!({"x-exit": 7})))
        .legacy();
    let answer = read(&fleet);
    assert_eq!(
        answer.error()["data"]["reason"],
        "server_restarted",
        "{}",
        answer.line
    );
    fleet.until("exited", "b", 2);
}

#[test]
fn a_reading_that_is_given_up_is_cancelled_everywhere() {
    let fleet = Servers::marked(["a"])
        .with(
            "b",
            &hidden("b", &json!({"x-log": "reads", "x-delay-ms": 300})),
        )
        .legacy();
    let params = json!({"uri": "hidden://x"});
    let reading = fleet.peer.request("resources/read", &params);
    fleet.peer.expect_notification(MESSAGE);
    let cancelled = json!({"requestId": reading});
    fleet.peer.notify("notifications/cancelled", &cancelled);
    let told = || fleet.state("b")["notifications"].to_string();
    eventually(DEADLINE, || told().contains("notifications/cancelled"));
    assert_eq!(fleet.peer.responses_to(reading), 0);
}
