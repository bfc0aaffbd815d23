//! Servers that do not start, die, or do not stop: the messages about them, and the remedies.

use serde_json::{Value, json};

use super::client::Client;
use super::stage::{Stage, tool};
use super::{AVAILABLE, CALL, LOAD, LOADED, RELOAD, UNLOAD};
use crate::harness::{DEADLINE, eventually, processes_with_tag};

fn of(server: &str) -> Value {
    json!({ "server_name": server })
}

/// The servers' processes, not the proxy's own.
fn servers_of(client: &Client) -> Vec<(u32, String)> {
    let mut all = processes_with_tag(client.peer.tag());
    all.retain(|(_, command)| command.contains("fake_server"));
    all
}

/// stderr was thrown away; that it could not be read then was the only reason given for a failed start.
#[test]
fn a_failed_start_is_told_with_status_and_stderr() {
    let stage = Stage::new([]);
    stage.define_shell(
        "early",
        "echo no such table >&2; echo in line 7 >&2; exit 3",
    );
    stage.define_shell("killed", "echo out of memory >&2; kill -9 $$");
    stage.define("missing", json!({"command": "no-such-program-anywhere"}));
    let client = stage.serve();
    for (server, reasons) in [
        ("early", ["status 3", "in line 7"]),
        ("killed", ["signal", "out of memory"]),
        ("missing", ["no-such-program-anywhere", "not in PATH"]),
    ] {
        for said in [
            client.failure(LOAD, &of(server)),
            client.failure(CALL, &json!({"server_name": server, "tool_name": "x"})),
        ] {
            let error = said["error"].as_str().unwrap();
            let start = format!("Server '{server}' failed to start: ");
            assert!(error.starts_with(&start), "{error}");
            for reason in reasons {
                assert!(error.contains(reason), "{reason}: {error}");
            }
        }
    }
    assert_eq!(
        client.failure(LOAD, &of("early"))["stderr"],
        json!(["no such table", "in line 7"])
    );
}

/// A server that died after the first half second, or in its handshake, was loaded "successfully" with no
/// tools, and stayed.
#[test]
fn a_server_that_dies_in_its_handshake_is_not_loaded() {
    let stage = Stage::new([("listless", json!({"fail_list": true}))]);
    let fake = "{\"jsonrpc\":\"2.0\",\"id\":%s,\"result\":{\"protocolVersion\":\"2025-11-25\",\"capabilities\":{\"tools\":{}},\"serverInfo\":{\"name\":\"x\",\"version\":\"1\"}}}";
    let number = r#"id=$(printf %s "$line" | sed 's/.*"id":\([^,}]*\).*/\1/')"#;
    stage.define_shell(
        "asked",
        "read -r line; echo cannot reach the database >&2; exit 4",
    );
    stage.define_shell(
        "greeted",
        &format!("read -r line; {number}; printf '{fake}\\n' \"$id\"; read -r line; echo gone >&2; exit 5"),
    );
    let client = stage.serve();
    for (server, reasons) in [
        ("asked", ["status 4", "database"]),
        ("greeted", ["status 5", "gone"]),
        ("listless", ["tools/list", "the list is broken"]),
    ] {
        let said = client.failure(LOAD, &of(server));
        let error = said["error"].as_str().unwrap();
        for reason in reasons {
            assert!(error.contains(reason), "{server}: {reason}: {error}");
        }
    }
    assert_eq!(client.loaded("asked")["status"], "broken");
    assert_eq!(client.loaded("greeted")["status"], "broken");
}

/// A server that had died was "already loaded"; a call noticed, but only the second one started it again.
#[test]
fn a_dead_server_is_started_by_whatever_needs_it_next() {
    let stage = Stage::new([("a", json!({"mark": "one"}))]);
    let client = stage.serve();
    client.success(LOAD, &of("a"));
    let first = client.pid_of("a__mark");
    let crashed = client.call("a__crash", &json!({"code": 7})).result();
    assert_eq!(crashed["isError"], true);
    let text = crashed["content"][0]["text"].as_str().unwrap();
    assert!(
        text.contains("status 7") && text.contains("crashing as told"),
        "{text}"
    );
    client.success(LOAD, &of("a"));
    let second = client.pid_of("a__mark");
    assert_ne!(second, first);
    client.call("a__crash", &json!({"code": 7}));
    let called = client.call(CALL, &json!({"server_name": "a", "tool_name": "mark"}));
    assert_eq!(called.result()["structuredContent"]["mark"], "one");
    assert_ne!(called.result()["structuredContent"]["pid"], second);
}

#[test]
fn a_dead_server_that_does_not_start_again_says_so_until_it_is_mended() {
    let stage = Stage::new([("a", json!({"mark": "one"}))]);
    let client = stage.serve();
    client.success(LOAD, &of("a"));
    let broken = json!({"exit_at_start": {"code": 8, "stderr": "typo"}});
    stage.save("a", &broken);
    client.call("a__crash", &json!({"code": 7}));
    let said = client.failure(LOAD, &of("a"));
    let error = said["error"].as_str().unwrap();
    assert!(
        error.contains("status 8") && error.contains("typo"),
        "{error}"
    );
    // Nothing watches the file here: it is the call that tries again.
    let by_name = (CALL, json!({"server_name": "a", "tool_name": "mark"}));
    for (mark, (tool, arguments)) in [("two", by_name), ("three", ("a__mark", json!({})))] {
        stage.save("a", &broken);
        client.failure(RELOAD, &of("a"));
        stage.save("a", &json!({ "mark": mark }));
        let called = client.call(tool, &arguments).result();
        assert_eq!(called["structuredContent"]["mark"], mark, "{called}");
        assert_eq!(client.loaded("a")["status"], "running");
    }
}

/// A server that ignored SIGTERM blocked everything for five seconds, stayed in the table, and could never be
/// loaded again.
#[test]
fn a_server_that_does_not_want_to_go_is_unloaded_and_loaded_again() {
    let stage = Stage::new([("b", json!({}))]);
    stage.save("stubborn", &json!({"ignore_eof": true}));
    stage.define_shell("stubborn", "trap '' TERM; exec FAKE stubborn.json");
    let client = stage.serve();
    client.success(LOAD, &of("stubborn"));
    let first = client.pid_of("stubborn__mark");
    let unloading = client.begin(UNLOAD, &of("stubborn"));
    // Others do not wait for that.
    client.success(LOAD, &of("b"));
    assert_eq!(client.peer.responses_to(unloading), 0);
    client.succeeded(&client.peer.await_response(unloading));
    assert_eq!(client.loaded("stubborn"), Value::Null);
    assert!(
        servers_of(&client)
            .iter()
            .all(|(pid, _)| json!(pid) != first)
    );
    client.success(LOAD, &of("stubborn"));
    assert_ne!(client.pid_of("stubborn__mark"), first);
}

/// There was no process group and nothing at the end of the proxy: children were left behind.
#[test]
fn no_server_survives_the_session_or_its_unloading() {
    let stage = Stage::new([("a", json!({}))]);
    stage.save("child", &json!({"ignore_eof": true}));
    stage.save("parent", &json!({}));
    // The child of a server belongs to it.
    let line = "FAKE child.json < /dev/null > /dev/null & exec FAKE parent.json";
    stage.define_shell("parent", line);
    let client = stage.serve();
    client.success(LOAD, &of("a"));
    client.success(LOAD, &of("parent"));
    eventually(DEADLINE, || servers_of(&client).len() == 3);
    client.success(UNLOAD, &of("parent"));
    eventually(DEADLINE, || servers_of(&client).len() == 1);
    client.success(LOAD, &of("parent"));
    client.peer.close_stdin();
    assert!(client.peer.wait_exit().success());
    eventually(DEADLINE, || {
        processes_with_tag(client.peer.tag()).is_empty()
    });
}

#[test]
fn unloading_finishes_what_was_begun() {
    let stage = Stage::new([("a", json!({"mark": "done"}))]);
    let client = stage.serve();
    client.success(LOAD, &of("a"));
    let call = client.begin("a__ask", &json!({"method": "roots/list"}));
    let question = client.peer.expect_request("roots/list");
    let unloading = client.begin(UNLOAD, &of("a"));
    eventually(DEADLINE, || client.loaded("a").is_null());
    let late = client.call("a__mark", &json!({}));
    assert!(
        late.error()["message"]
            .as_str()
            .unwrap()
            .contains("a__mark")
    );
    assert_eq!(client.peer.responses_to(unloading), 0);
    client.peer.respond(&question, &json!({"roots": []}));
    let answer = client.peer.await_response(call).result();
    assert_eq!(
        answer["structuredContent"]["answer"]["result"],
        json!({"roots": []})
    );
    client.succeeded(&client.peer.await_response(unloading));
}

/// Requests for the same server at the same time get the same one.
#[test]
fn a_server_is_loaded_once_for_all_who_ask_at_once() {
    let stage = Stage::new([("a", json!({"start_delay_ms": 100}))]);
    let client = stage.serve();
    let by_name = json!({"server_name": "a", "tool_name": "mark"});
    let loads: Vec<u64> = (0..5).map(|_| client.begin(LOAD, &of("a"))).collect();
    let calls: Vec<u64> = (0..5).map(|_| client.begin(CALL, &by_name)).collect();
    for id in loads {
        let said = client.succeeded(&client.peer.await_response(id));
        assert_eq!(
            (&said["generation"], &said["tool_count"]),
            (&json!(1), &json!(12))
        );
    }
    for id in calls {
        let result = client.peer.await_response(id).result();
        assert!(result["structuredContent"]["pid"].is_u64(), "{result}");
    }
    assert_eq!(servers_of(&client).len(), 1);
    assert_eq!(client.success(LOADED, &json!({}))["count"], 1);
}

/// Loading, reloading and unloading one server does not affect the others.
#[test]
fn other_servers_stay_as_they_are() {
    let stage = Stage::new([("a", json!({})), ("b", json!({}))]);
    let client = stage.serve();
    client.success(LOAD, &of("b"));
    let before = client.pid_of("b__mark");
    for tool in [LOAD, RELOAD, UNLOAD, RELOAD] {
        client.success(tool, &of("a"));
    }
    assert_eq!(client.pid_of("b__mark"), before);
    assert_eq!(client.loaded("b")["generation"], 1);
}

#[test]
fn a_fresh_load_tells_of_no_reload() {
    let stage = Stage::new([("a", json!({"tools": [tool("x", &json!({}))]}))]);
    let client = stage.serve();
    client.success(LOAD, &of("a"));
    let nothing =
        json!({"added": [], "removed": [], "changed": [], "contract": [], "left_out": []});
    for _ in 0..2 {
        let loaded = client.loaded("a");
        assert_eq!(loaded["reloads"], 0);
        assert_eq!(loaded["last_reload_s_ago"], Value::Null);
        assert_eq!(loaded["last_diff"], nothing);
        let details = client.success(AVAILABLE, &json!({}))["details"][0].take();
        assert_eq!(details["last_diff"], nothing);
    }
}
