//! A server that does not start, crashes or hangs is its own trouble: the others do not notice.

use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use super::{Fleet, Servers, under_load};
use crate::harness::{DEADLINE, eventually, initialize_params};

fn no_start() -> serde_json::Value {
    json!({"exit_at_start": {"code": 3, "stderr": "no module named weather"}})
}

#[test]
fn one_that_never_starts_disturbs_nobody() {
    let fleet = Servers::marked(["a"])
        .with("broken", &no_start())
        .with("c", &json!({"mark": "c"}))
        .text("[proxy]\nstartup_wait = '5m'")
        .dev();
    // Nothing waits for a server that has failed.
    fleet.peer.initialize(&initialize_params()).result();
    fleet.until("broken", "broken", 1);
    assert_eq!(fleet.present(), ["a", "c"]);
    under_load(&fleet, "c__mark", || {
        // A call of it gets the reason as soon as its tools are known.
        fleet.save("broken", &json!({"mark": "mended"}));
        fleet.until_present(&["a", "broken", "c"]);
        assert_eq!(fleet.mark("broken").0, "mended");
        fleet.save("broken", &no_start());
        fleet.until("broken", "broken", 2);
        let answer = fleet.call("broken__mark", &json!({}));
        assert!(
            answer.line.contains("no module named weather"),
            "{}",
            answer.line
        );
        assert_eq!(fleet.present(), ["a", "broken", "c"]);
    });
}

/// A client that calls a tool of a server that has never run is told why there is none.
#[test]
fn a_call_of_one_that_never_started_says_so() {
    let fleet = Servers::marked(["a"]).with("broken", &no_start()).legacy();
    fleet.until("broken", "broken", 1);
    for method in ["tools/call", "prompts/get"] {
        let answer = fleet.peer.ask(method, &json!({"name": "broken__mark"}));
        assert!(
            answer.line.contains("no module named weather"),
            "{}",
            answer.line
        );
    }
}

/// The tool may be in the saved code, which does not run.
#[test]
fn a_call_of_what_only_broken_code_can_have_says_why_that_does_not_run() {
    let fleet = Servers::marked(["a", "b"]).legacy();
    fleet.until_present(&["a", "b"]);
    fleet.save("b", &no_start());
    fleet.until("broken", "b", 1);
    for method in ["tools/call", "prompts/get"] {
        let answer = fleet.peer.ask(method, &json!({"name": "b__new"})).line;
        assert!(answer.contains("no module named weather"), "{answer}");
        let answer = fleet.peer.ask(method, &json!({"name": "a__new"})).line;
        assert!(answer.contains("no loaded server has the"), "{answer}");
    }
}

#[test]
fn one_that_cannot_be_run_at_all_disturbs_nobody() {
    let fleet = Servers::marked(["a"])
        .text("[servers.none]\ncommand = 'no-such-program-anywhere'")
        .text("[servers.wrong]\ncomand = 'x'")
        .with("c", &json!({"mark": "c"}))
        .legacy();
    fleet.until_present(&["a", "c"]);
    let fault = fleet.log.until("config_fault", 1)[0]["text"].to_string();
    assert!(
        fault.contains("comand") && fault.contains("mcp-proxy.toml:"),
        "{fault}"
    );
    assert_eq!(fleet.mark("c").0, "c");
}

#[test]
fn a_crash_is_told_and_the_others_go_on() {
    let crash = json!({"mark": "b", "tools": [{"name": "die", "x-crash": "out of tea"}]});
    let fleet = Servers::marked(["a"]).with("b", &crash).legacy();
    let (_, before) = fleet.mark("b");
    under_load(&fleet, "a__mark", || {
        let answer = fleet.call("b__die", &json!({}));
        assert_eq!(answer.result()["isError"], true);
        assert!(answer.tool_text().contains("out of tea"), "{}", answer.line);
        // By its successor.
        assert_ne!(fleet.mark("b").1, before);
    });
}

/// Stops a server's process without ending it.
pub(super) fn freeze(fleet: &Fleet, name: &str) {
    let (_, pid) = fleet.mark(name);
    let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    kill_process(pid, Signal::STOP).unwrap();
}

#[test]
fn one_that_does_not_read_its_input_blocks_nobody() {
    let fleet = Servers::marked(["a", "frozen"]).legacy();
    freeze(&fleet, "frozen");
    let pad = "x".repeat(1 << 20);
    let mut calls = Vec::new();
    under_load(&fleet, "a__mark", || {
        for _ in 0..30 {
            let call = json!({"name": "frozen__bench", "arguments": {"pad": pad}});
            calls.push(fleet.peer.request("tools/call", &call));
        }
        let refused = || calls.iter().filter(|id| fleet.peer.responses_to(*id) > 0);
        eventually(DEADLINE, || refused().count() > 5);
        let error = fleet.peer.await_response(calls[29]).error().to_string();
        assert!(
            error.contains("`frozen` does not read its input"),
            "{error}"
        );
        // Newer code reads again.
        fleet.reload("frozen", "v2");
        assert_eq!(fleet.mark("frozen").0, "v2");
    });
}

#[test]
fn one_that_does_not_answer_holds_up_no_list_and_no_other() {
    let fleet = Servers::marked(["a"])
        .text("[proxy]\nstartup_wait = '300ms'\nstart_timeout = '5m'")
        .with("silent", &json!({"start_delay_ms": 600_000}))
        .dev();
    let started = Instant::now();
    fleet.peer.initialize(&initialize_params()).result();
    assert!(started.elapsed() < Duration::from_secs(60));
    assert_eq!(fleet.mark("a").0, "a");
    under_load(&fleet, "a__mark", || {
        // Code that starts replaces the process that hangs.
        fleet.save("silent", &json!({"mark": "speaks"}));
        fleet.until_present(&["a", "silent"]);
    });
    assert_eq!(fleet.mark("silent").0, "speaks");
}

/// A name in no list yet may belong to a server that starts.
#[test]
fn requests_before_the_first_lists_wait_for_them() {
    let script = json!({
        "mark": "late", "start_delay_ms": 700, "prompts": [{"name": "p"}],
        "resources": [{"uri": "own://late", "name": "n"}, {"uri": "hidden://late", "name": "n"}],
        "raw": {"resources/list": r#"{"resources":[{"uri":"own://late"}]}"#},
    });
    let fleet = Servers::marked(["a"])
        .text("[proxy]\nstartup_wait = '1ms'")
        .with("late", &script)
        .dev();
    fleet.peer.initialize(&initialize_params()).result();
    let asked = [
        ("tools/call", json!({"name": "late__mark"})),
        ("prompts/get", json!({"name": "late__p"})),
        ("resources/read", json!({"uri": "own://late"})),
        ("resources/read", json!({"uri": "hidden://late"})),
        ("vendor/x", json!({"name": "late__mark", "late": 1})),
        (
            "completion/complete",
            json!({"ref": {"type": "ref/prompt", "name": "late__p"}, "argument": {"late": 1}}),
        ),
    ];
    let asked = asked.map(|(method, params)| fleet.peer.request(method, &params));
    let nobodys = fleet
        .peer
        .request("prompts/get", &json!({"name": "late__other"}));
    // Nobody else waits.
    assert_eq!(fleet.mark("a").0, "a");
    let unknown = fleet.call("a__other", &json!({}));
    assert_eq!(unknown.error()["code"], -32602);
    assert_eq!(asked.map(|id| fleet.peer.responses_to(id)), [0; 6]);
    for id in asked {
        let answer = fleet.peer.await_response(id);
        assert!(answer.result_text().contains("late"), "{}", answer.line);
    }
    assert_eq!(fleet.peer.await_response(nobodys).error()["code"], -32602);
}

#[test]
fn one_that_does_not_answer_keeps_no_other_from_being_read() {
    let hidden = json!({"mark": "b", "resources": [{"uri": "hidden://b", "name": "n"}],
        "raw": {"resources/list": r#"{"resources":[]}"#}});
    let fleet = Servers::marked(["frozen"])
        .text("[proxy]\nhold_timeout = '300ms'")
        .with("b", &hidden)
        .legacy();
    freeze(&fleet, "frozen");
    let read = fleet
        .peer
        .ask("resources/read", &json!({"uri": "hidden://b"}))
        .result();
    assert_eq!(read["contents"][0]["text"], "b");
}

/// As many as may start at a time, and some more, hang at their start.
#[test]
fn those_that_hang_at_their_start_keep_no_other_from_starting() {
    let hang = json!({"start_delay_ms": 600_000});
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let hanging: Vec<String> = (0..(cores * 4).max(8) + 2)
        .map(|n| format!("hang{n}"))
        .collect();
    let servers = hanging
        .iter()
        .fold(Servers::marked(["a"]), |servers, name| {
            servers.with(name, &hang)
        });
    let fleet = servers
        .with("z", &json!({"mark": "z"}))
        .text("[proxy]\nstartup_wait = '100ms'\nstart_timeout = '5m'")
        .dev();
    fleet.peer.initialize(&initialize_params()).result();
    fleet.until("ready", "a", 1);
    let started = Instant::now();
    fleet.save("a", &json!({"mark": "a2"}));
    fleet.until("reloaded", "a", 1);
    // It waits for nobody who starts for the first time.
    assert!(
        started.elapsed() < Duration::from_secs(60),
        "{:?}",
        started.elapsed()
    );
    fleet.until("ready", "z", 1);
    assert_eq!(fleet.mark("z").0, "z");
}
