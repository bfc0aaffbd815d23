//! `serve`: servers are loaded when they are needed, and unloaded.

use rustix::process::Signal;
use serde_json::{Value, json};

use super::{Fleet, Servers, under_load};
use crate::harness::{DEADLINE, eventually, initialize_params, processes_with_tag};

/// A legacy client of `serve`.
#[track_caller]
fn served(servers: Servers) -> Fleet {
    let fleet = servers.start("serve");
    let result = fleet.peer.initialize(&initialize_params()).result();
    let instructions = result["instructions"].as_str().unwrap();
    assert!(instructions.contains("a, b"), "{instructions}");
    fleet
}

/// The result of a meta-tool, which must say this of its success.
#[track_caller]
fn meta(fleet: &Fleet, success: bool, tool: &str, arguments: &Value) -> Value {
    let result = fleet.call(tool, arguments).result();
    assert_eq!(result["structuredContent"]["success"], success, "{result}");
    assert_eq!(result["isError"] == true, !success, "{result}");
    result["structuredContent"].clone()
}

fn named(name: &str) -> Value {
    json!({ "server_name": name })
}

const LOAD: &str = "load_mcp_server_dynamically";
const UNLOAD: &str = "unload_mcp_server";

#[test]
fn nothing_runs_until_it_is_asked_for() {
    let fleet = served(Servers::marked(["a", "b"]));
    assert_eq!(fleet.present(), [] as [&str; 0]);
    assert!(
        fleet
            .names("tools/list")
            .contains(&"search_tools".to_owned())
    );
    for list in ["prompts/list", "resources/list"] {
        assert_eq!(fleet.list(list), [] as [Value; 0]);
    }
    let there = meta(&fleet, true, "list_available_servers", &json!({}));
    assert_eq!(there["servers"], json!(["a", "b"]));
    assert_eq!(fleet.running(), []);
    // No file of a server is watched either.
    let error = fleet.call("a__mark", &json!({})).error().to_string();
    assert!(error.contains("`a` is not loaded"), "{error}");
    assert_eq!(fleet.running(), []);
}

#[test]
fn a_server_is_loaded_called_and_unloaded() {
    let fleet = served(Servers::marked(["a", "b"]));
    let told = fleet.told();
    let loaded = meta(&fleet, true, LOAD, &named("b"));
    assert!(
        loaded["tools"].as_array().unwrap().contains(&json!("mark")),
        "{loaded}"
    );
    fleet.told_again(told);
    assert_eq!(fleet.present(), ["b"]);
    let (mark, pid) = fleet.mark("b");
    assert_eq!(mark, "b");
    under_load(&fleet, "b__mark", || {
        // The order is that of the configuration, not that of loading.
        meta(&fleet, true, LOAD, &named("a"));
        assert_eq!(fleet.present(), ["a", "b"]);
        let told = fleet.told();
        meta(&fleet, true, UNLOAD, &named("a"));
        fleet.told_again(told);
        assert_eq!(fleet.present(), ["b"]);
        assert_eq!(fleet.call("a__mark", &json!({})).error()["code"], -32602);
    });
    // Loading a loaded server changes nothing.
    meta(&fleet, true, LOAD, &named("b"));
    assert_eq!(fleet.mark("b").1, pid);
    meta(&fleet, true, UNLOAD, &named("b"));
    fleet.until("unloaded", "b", 1);
    let alive = processes_with_tag(fleet.peer.tag());
    assert!(
        alive.iter().all(|(it, _)| u64::from(*it) != pid),
        "{alive:?}"
    );
    meta(&fleet, false, UNLOAD, &named("b"));
    // And again.
    meta(&fleet, true, LOAD, &named("b"));
    assert_ne!(fleet.mark("b").1, pid);
}

#[test]
fn a_call_by_name_loads_its_server() {
    let fleet = served(Servers::marked(["a", "b"]));
    let told = fleet.told();
    let call = json!({"server_name": "b", "tool_name": "bench", "parameters": {"n": 1}});
    let answer = fleet.call("call_dynamic_server_tool", &call);
    assert_eq!(
        answer.result_text(),
        r#"{"content":[],"structuredContent":{"n":1}}"#
    );
    fleet.told_again(told);
    assert_eq!(fleet.present(), ["b"]);
    fleet.spawned(1);
}

/// In `dev` as well a server may wait until it is needed; from then on its sources are watched.
#[test]
fn a_server_that_does_not_start_with_the_session_is_loaded_by_a_call() {
    let fleet = Servers::marked(["a"])
        .set("b", &json!({"mark": "b"}), "autostart = false")
        .start("dev");
    fleet.peer.initialize(&initialize_params()).result();
    assert_eq!(fleet.present(), ["a"]);
    assert_eq!(fleet.running().len(), 1);
    let call = json!({"server_name": "b", "tool_name": "mark", "parameters": {}});
    let answer = fleet.call("call_dynamic_server_tool", &call).result();
    assert_eq!(answer["structuredContent"]["mark"], "b");
    fleet.until_present(&["a", "b"]);
    fleet.reload("b", "v2");
    assert_eq!(fleet.mark("b").0, "v2");
}

/// Calls that come while the server starts wait for it; it is started once.
#[test]
fn many_calls_at_once_load_a_server_once() {
    let slow = json!({"mark": "b", "start_delay_ms": 300});
    let fleet = served(Servers::marked(["a"]).with("b", &slow));
    let call = json!({"name": "call_dynamic_server_tool",
        "arguments": {"server_name": "b", "tool_name": "mark", "parameters": {}}});
    let calls: Vec<u64> = (0..50)
        .map(|_| fleet.peer.request("tools/call", &call))
        .collect();
    for id in &calls {
        let result = fleet.peer.await_response(id).result();
        assert_eq!(result["structuredContent"]["mark"], "b");
        assert_eq!(fleet.peer.responses_to(id), 1);
    }
    fleet.spawned(1);
}

#[test]
fn a_failed_load_says_why() {
    let broken = json!({"exit_at_start": {"code": 3, "stderr": "no module named weather"}});
    let fleet = served(Servers::marked(["a"]).with("b", &broken).set(
        "off",
        &json!({}),
        "enabled = false",
    ));
    let error = meta(&fleet, false, LOAD, &named("b")).to_string();
    assert!(error.contains("no module named weather"), "{error}");
    let error = meta(&fleet, false, LOAD, &named("aa")).to_string();
    assert!(error.contains("'a'"), "{error}");
    let error = meta(&fleet, false, LOAD, &named("off")).to_string();
    assert!(error.contains("disabled"), "{error}");
    let call = json!({"server_name": "b", "tool_name": "mark", "parameters": {}});
    let error = fleet.call("call_dynamic_server_tool", &call);
    assert!(
        error.line.contains("no module named weather"),
        "{}",
        error.line
    );
    // Nothing is watched: it is tried anew when it is asked for again.
    fleet.save("b", &json!({"mark": "mended"}));
    meta(&fleet, true, LOAD, &named("b"));
    assert_eq!(fleet.mark("b").0, "mended");
    meta(&fleet, true, LOAD, &named("a"));
}

/// The configuration is followed though no source is watched: a new server can be loaded, a removed one goes.
#[test]
fn the_configuration_is_followed_without_starting_anything() {
    let fleet = served(Servers::marked(["a", "b"]));
    meta(&fleet, true, LOAD, &named("a"));
    let text = fleet.project.read("mcp-proxy.toml");
    fleet.save("c", &json!({"mark": "c"}));
    fleet.project.save(
        "mcp-proxy.toml",
        &format!("{text}\n{}", super::servers::section("c", "")),
    );
    let there = meta(&fleet, true, "list_available_servers", &json!({}));
    assert_eq!(there["servers"], json!(["a", "b", "c"]));
    fleet.log.until("reconfigured", 1);
    fleet.spawned(1);
    meta(&fleet, true, LOAD, &named("c"));
    assert_eq!(fleet.present(), ["a", "c"]);
    let told = fleet.told();
    fleet
        .project
        .save("mcp-proxy.toml", &super::servers::section("c", ""));
    fleet.told_again(told);
    fleet.until_present(&["c"]);
    fleet.until("unloaded", "a", 1);
}

fn both_loaded() -> Fleet {
    let fleet = served(Servers::marked(["a", "b"]));
    for name in ["a", "b"] {
        meta(&fleet, true, LOAD, &named(name));
    }
    fleet
}

#[test]
fn the_end_of_input_leaves_no_process() {
    let fleet = both_loaded();
    fleet.peer.close_stdin();
    assert!(fleet.peer.wait_exit().success());
    eventually(DEADLINE, || processes_with_tag(fleet.peer.tag()).is_empty());
}

#[test]
fn a_signal_leaves_no_process() {
    let fleet = both_loaded();
    let call = json!({"name": "a__slow", "arguments": {"ms": 600_000}});
    fleet.peer.request("tools/call", &call);
    fleet.peer.signal(Signal::TERM);
    assert_eq!(fleet.peer.wait_exit().code(), Some(130));
    eventually(DEADLINE, || processes_with_tag(fleet.peer.tag()).is_empty());
}

#[test]
fn no_secret_of_a_command_line_is_told_to_a_model() {
    let fleet = served(
        Servers::marked(["a"])
            .text("[servers.b]\ncommand = 'b'\nargs = ['b.py', '--token', 'geheim', '--api-key=geheim', '-v']"),
    );
    let told = meta(&fleet, true, "list_installed_mcp_servers", &json!({}));
    let expected = ["b.py", "--token", "***", "--api-key=***", "-v"];
    assert_eq!(told["servers"][1]["args"], json!(expected));
    assert!(!told.to_string().contains("geheim"), "{told}");
}

#[test]
fn a_search_delays_no_request() {
    let tools: Vec<Value> = (0..3000)
        .map(|number| json!({"name": format!("tool_{number}"), "description": "finds what is lost in a house"}))
        .collect();
    let fleet = served(
        Servers::new()
            .with("a", &json!({"tools": tools}))
            .with("b", &json!({})),
    );
    meta(&fleet, true, LOAD, &named("a"));
    let search = json!({"name": "search_tools", "arguments": {"query": "lost in a house"}});
    let search = fleet.peer.request("tools/call", &search);
    fleet.peer.ask("ping", &json!({})).result();
    assert_eq!(fleet.peer.responses_to(search), 0);
    fleet.peer.await_response(search).result();
}

#[test]
fn servers_start_with_the_session_if_no_tool_loads_them() {
    let fleet = Servers::marked(["a"])
        .set("b", &json!({"mark": "b"}), "autostart = false")
        .option("--meta-tools")
        .option("none")
        .start("serve");
    fleet.peer.initialize(&initialize_params()).result();
    fleet.until_present(&["a"]);
    assert_eq!(fleet.mark("a").0, "a");
    let error = fleet.call("b__mark", &json!({})).error().to_string();
    assert!(error.contains("`autostart` is false"), "{error}");
    assert!(!error.contains("call_dynamic_server_tool"), "{error}");
    // As always with `serve`, the sources are not watched, and the configuration is.
    fleet.save("a", &json!({"mark": "a2"}));
    fleet.save("c", &json!({"mark": "c"}));
    let whole = fleet.project.read("mcp-proxy.toml");
    let text = format!("{whole}\n{}", super::servers::section("c", ""));
    fleet.project.save("mcp-proxy.toml", &text);
    fleet.until_present(&["a", "c"]);
    assert_eq!(fleet.mark("a").0, "a");
}

/// The server reports its new tools before it answers the call that added them.
#[test]
fn a_tool_added_by_a_call_is_known_after_its_response() {
    let fleet = Servers::marked(["a", "b"]).start("dev");
    fleet.peer.initialize(&initialize_params()).result();
    fleet.until_present(&["a", "b"]);
    let add = |name: &str| {
        let tool = json!({"name": name, "inputSchema": {"type": "object"}});
        fleet
            .call("a__set_tools", &json!({"tools": [tool]}))
            .result();
    };
    add("first");
    assert_eq!(fleet.call("a__first", &json!({})).tool_text(), "a");
    add("second");
    let second = json!({"server_name": "a", "tool_name": "second"});
    let answer = fleet.call("call_dynamic_server_tool", &second);
    assert_eq!(answer.tool_text(), "a");
    add("third");
    let third = json!({"server_name": "a", "tool_name": "third"});
    let answer = fleet.call("get_tool_info", &third).result();
    assert_ne!(answer["isError"], true, "{answer}");

    // A name that no server has is refused at once.
    let answer = fleet.call("a__fourth", &json!({}));
    assert_eq!(answer.error()["code"], -32602);
}
