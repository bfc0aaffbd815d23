//! Calls whose server ends, is replaced or does not start: each is answered, once.

use serde_json::json;

use super::{Session, TOOLS_CHANGED, quiet};
use crate::harness::{Peer, Project, Proxy, example, initialize_params};

#[test]
fn a_crash_ends_a_call_with_its_reason_and_repeats_what_may_be_repeated() {
    let crashing = json!({
        "mark": "v1",
        "tools": [{"name": "boom", "inputSchema": {"type": "object"}, "x-delay-ms": 300, "x-crash": "the sky fell"}],
        "prompts": [{"name": "p", "x-reply": "fine"}],
    });
    let session = Session::legacy(&crashing, &[]);
    let peer = &session.peer;
    let calls = [
        peer.request("tools/call", &json!({"name": "boom"})),
        peer.request(
            "tools/call",
            &json!({"name": "slow", "arguments": {"ms": 60000}}),
        ),
    ];
    for call in calls {
        let answer = peer.await_response(call);
        assert_eq!(answer.result()["isError"], true);
        let text = answer.tool_text();
        assert!(
            text.contains("signal") && text.contains("the sky fell"),
            "{text}"
        );
        assert!(text.contains("not retried"), "{text}");
    }
    // Held until the restart.
    assert_eq!(
        peer.ask("prompts/get", &json!({"name": "p"})).result()["messages"][0]["content"]["text"],
        "fine"
    );
    for call in calls {
        assert_eq!(peer.responses_to(call), 1);
    }
}

#[test]
fn requests_unanswered_by_a_crash_are_sent_once_more_at_most() {
    let session = Session::legacy(&json!({"record": true}), &[]);
    let peer = &session.peer;
    let ids = [
        peer.request("prompts/get", &json!({"name": "p"})),
        peer.request("resources/read", &json!({"uri": "a:b"})),
        peer.request("completion/complete", &json!({"ref": {"type": "ref/prompt", "name": "p"}, "argument": {"name": "a", "value": ""}})),
    ];
    let once = peer.request("vendor/x", &json!({}));
    let heard = || -> Vec<String> {
        serde_json::from_str(peer.ask("vendor/heard", &json!({})).result_text()).unwrap()
    };
    assert_eq!(
        heard()
            .iter()
            .filter(|line| line.contains("prompts/get"))
            .count(),
        1
    );
    kill_server(peer);
    let error = peer.await_response(once).error();
    assert_eq!(error["data"]["reason"], "server_restarted");
    let again = heard();
    for method in ["prompts/get", "resources/read", "completion/complete"] {
        assert!(
            again.iter().any(|line| line.contains(method)),
            "{method}: {again:?}"
        );
    }
    assert!(!again.iter().any(|line| line.contains("vendor/x")));
    kill_server(peer);
    for id in ids {
        assert_eq!(
            peer.await_response(id).error()["data"]["reason"],
            "server_restarted"
        );
        assert_eq!(peer.responses_to(id), 1);
    }
}

/// Kills the server behind the proxy.
fn kill_server(peer: &Peer) {
    let servers = crate::harness::processes_with_tag(peer.tag());
    for (pid, command) in servers {
        if command.starts_with(example("fake_server").to_str().unwrap()) {
            let pid = rustix::process::Pid::from_raw(pid.try_into().unwrap()).unwrap();
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
    }
}

#[test]
fn a_call_that_does_not_end_is_given_up_with_its_generation() {
    let session = Session::legacy(&json!({"mark": "v1"}), &["--drain-timeout", "200ms"]);
    let peer = &session.peer;
    let call = peer.request(
        "tools/call",
        &json!({"name": "slow", "arguments": {"ms": 60000}}),
    );
    quiet(&session);
    session.reload(&json!({"mark": "v2"}));
    let answer = peer.await_response(call);
    assert_eq!(answer.result()["isError"], true);
    assert!(
        answer.tool_text().contains("replaced by newer code"),
        "{}",
        answer.tool_text()
    );
    assert_eq!(
        peer.call("mark", &json!({})).result()["structuredContent"]["mark"],
        "v2"
    );
    assert_eq!(peer.responses_to(call), 1);
}

#[test]
fn a_call_that_waits_too_long_is_told_for_what() {
    let session = Session::legacy(&json!({"mark": "v1"}), &["--hold-timeout", "300ms"]);
    let peer = &session.peer;
    session.save(&json!({"mark": "v2", "start_delay_ms": 60_000}));
    peer.expect_stderr("changed");
    let call = peer.call("mark", &json!({}));
    assert_eq!(call.result()["isError"], true);
    assert!(
        call.tool_text().contains("waited for its start"),
        "{}",
        call.tool_text()
    );
    let read = peer.ask("resources/read", &json!({"uri": "a:b"}));
    assert_eq!(read.error()["data"]["reason"], "reload_timeout");
}

#[test]
fn the_session_goes_on_when_the_first_start_fails() {
    let session = Session::start(
        &json!({"exit_at_start": {"code": 3, "stderr": "no luck"}}),
        &[],
    );
    let peer = &session.peer.initialize(&initialize_params());
    assert_eq!(peer.result()["protocolVersion"], "2025-11-25");
    let peer = &session.peer;
    let call = peer.call("mark", &json!({}));
    assert!(call.tool_text().contains("no luck") && call.tool_text().contains('3'));
    session.reload(&json!({"mark": "v2"}));
    assert_eq!(
        peer.call("mark", &json!({})).result()["structuredContent"]["mark"],
        "v2"
    );
    assert_eq!(peer.notifications(TOOLS_CHANGED), 1);
}

#[test]
fn requests_waiting_for_a_start_are_answered_when_the_proxy_ends() {
    let project = Project::new();
    let script = json!({"start_delay_ms": 1_000_000});
    project.write("script.json", &script.to_string());
    let peer = Proxy::dev([example("fake_server"), "script.json".into()])
        .within(&project)
        .spawn();
    peer.request("initialize", &initialize_params());
    let call = peer.request("tools/call", &json!({"name": "mark"}));
    let read = peer.request("resources/read", &json!({"uri": "a:b"}));
    // Answered behind them, so the proxy has them.
    peer.ask("ping", &json!({})).result();
    peer.signal(rustix::process::Signal::TERM);
    let text = peer.await_response(call).tool_text();
    assert!(text.contains("was stopped, by the end"), "{text}");
    assert!(text.contains("was not executed"), "{text}");
    let error = peer.await_response(read).error();
    assert_eq!(error["data"]["reason"], "server_restarted");
    peer.wait_exit();
}

/// A client that closes its side, as in `printf … | mcp-proxy`, still gets its responses.
#[test]
fn the_end_of_input_leaves_the_old_code_time_to_answer() {
    let session = Session::legacy(&json!({"mark": "v1"}), &[]);
    let peer = &session.peer;
    let slow = json!({"name": "slow", "arguments": {"ms": 3000}});
    let calls = [
        peer.request("tools/call", &slow),
        peer.request("tools/call", &slow),
    ];
    quiet(&session);
    session.reload(&json!({"mark": "v2"}));
    peer.close_stdin();
    for call in calls {
        let answer = peer.await_response(call);
        assert_ne!(answer.result()["isError"], true, "{}", answer.line);
    }
    assert!(peer.wait_exit().success());
}
