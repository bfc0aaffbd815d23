//! Tasks that a server runs for its client outlive the code that runs them, as calls do.

use serde_json::{Value, json};

use super::Session;
const STATUS: &str = "notifications/tasks/status";

fn script(mark: &str) -> Value {
    json!({"mark": mark, "tools": [{"name": "long", "x-working": true}],
        "capabilities": {"tools": {"listChanged": true}, "tasks": {"list": {}, "cancel": {}, "requests": {"tools": {"call": {}}}}}})
}

/// The id of a task that is never done.
fn begun(session: &Session) -> String {
    let params = json!({"name": "long", "arguments": {}, "task": {"ttl": 60000}});
    let created = session.peer.ask("tools/call", &params).result();
    assert_eq!(created["task"]["status"], "working");
    created["task"]["taskId"].as_str().unwrap().to_owned()
}

fn get(session: &Session, id: &str) -> Value {
    let params = json!({"taskId": id});
    session.peer.ask("tasks/get", &params).result()
}

/// As the client is told of it once it is lost, by itself and when it asks.
#[track_caller]
fn is_lost(session: &Session, id: &str, why: &str) {
    let told = session.peer.expect_notification(STATUS).params();
    assert_eq!(
        (&told["taskId"], &told["status"]),
        (&json!(id), &json!("failed"))
    );
    let asked = get(session, id);
    for task in [told, asked] {
        assert_eq!(task["status"], "failed");
        let message = task["statusMessage"].as_str().unwrap();
        assert!(message.contains(why), "{message}");
        assert_eq!(task["ttl"], 60000);
    }
    let params = json!({"taskId": id});
    let result = session.peer.ask("tasks/result", &params).result();
    assert_eq!(result["isError"], true);
    let text = result["content"][0]["text"].as_str().unwrap();
    assert!(text.contains(why), "{text}");
    let related = &result["_meta"]["io.modelcontextprotocol/related-task"];
    assert_eq!(related["taskId"], id);
    let cancel = session.peer.ask("tasks/cancel", &params).error();
    assert_eq!(cancel["code"], -32602);
}

#[test]
fn a_task_keeps_its_generation_and_is_asked_about_there() {
    let session = Session::legacy(&script("v1"), &[]);
    let id = begun(&session);
    session.reload(&script("v2"));
    assert_eq!(get(&session, &id)["statusMessage"], "v1");
    // The new code numbers its tasks from one, too.
    let other = begun(&session);
    assert_eq!(other, id);
    assert_eq!(get(&session, &other)["statusMessage"], "v2");
    assert_eq!(session.peer.notifications(STATUS), 0);
}

#[test]
fn a_task_is_lost_after_the_drain_timeout() {
    let session = Session::legacy(&script("v1"), &["--drain-timeout", "1s"]);
    let id = begun(&session);
    session.reload(&script("v2"));
    is_lost(&session, &id, "was replaced by newer code");
}

#[test]
fn a_task_is_lost_with_a_crash() {
    let session = Session::legacy(&script("v1"), &[]);
    let id = begun(&session);
    let crash = session
        .peer
        .request("tools/call", &json!({"name": "crash"}));
    session.peer.await_response(crash);
    is_lost(&session, &id, "before this task ended");
}

/// Its error is still to be fetched.
#[test]
fn a_failed_task_keeps_its_generation() {
    let session = Session::legacy(&script("v1"), &[]);
    let id = begun(&session);
    let told = json!({"taskId": id, "status": "failed"});
    let params = json!({"name": "notify", "arguments": {"method": STATUS, "params": told}});
    session.peer.ask("tools/call", &params).result();
    session.reload(&script("v2"));
    assert_eq!(get(&session, &id)["statusMessage"], "v1");
}

/// Nothing answers until it has made room.
#[test]
fn a_server_that_is_stopped_first_waits_for_no_task() {
    let session = Session::legacy(&script("v1"), &["--reload", "stop-first"]);
    let id = begun(&session);
    session.reload(&script("v2"));
    is_lost(&session, &id, "was replaced by newer code");
}

#[test]
fn the_end_of_the_input_waits_for_no_task() {
    let session = Session::legacy(&script("v1"), &[]);
    let id = begun(&session);
    session.reload(&script("v2"));
    session.peer.close_stdin();
    let told = session.peer.expect_notification(STATUS).params();
    assert_eq!(
        (&told["taskId"], &told["status"]),
        (&json!(id), &json!("failed"))
    );
    assert!(session.peer.wait_exit().success());
}

/// One that has ended, and one whose result was fetched, keep nothing.
#[test]
fn an_ended_task_keeps_no_generation() {
    let session = Session::legacy(&script("v1"), &["--log-format", "json"]);
    let id = begun(&session);
    let told = json!({"taskId": id, "status": "cancelled"});
    let params = json!({"name": "notify", "arguments": {"method": STATUS, "params": told}});
    session.peer.ask("tools/call", &params).result();
    let quick = json!({"name": "mark", "arguments": {}, "task": {}});
    let created = session.peer.ask("tools/call", &quick).result();
    let params = json!({"taskId": created["task"]["taskId"]});
    session.peer.ask("tasks/result", &params).result();
    session.reload(&script("v2"));
    session.peer.expect_stderr(r#""event":"stopped""#);
    assert_eq!(session.peer.notifications(STATUS), 1);
}
