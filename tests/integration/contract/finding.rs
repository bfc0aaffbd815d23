//! Which tools there are, on which servers, and the messages about tools that are gone.

use serde_json::{Value, json};

use super::client::{Client, Era};
use super::stage::{Stage, each, tool};
use super::{ALL_TOOLS, CALL, INFO, LOAD, RELOAD, SEARCH, UNLOAD};
use crate::harness::{DEADLINE, Proxy, eventually};

fn of(server: &str) -> Value {
    json!({ "server_name": server })
}

fn described(name: &str, description: &str) -> Value {
    tool(
        name,
        &json!({ "description": description, "x-reply": description }),
    )
}

fn load(client: &Client, servers: &[&str]) {
    for server in servers {
        client.success(LOAD, &of(server));
    }
}

#[track_caller]
fn search(client: &Client, query: &str) -> Value {
    client.success(SEARCH, &json!({ "query": query }))["tools"].take()
}

/// The best hit, once there is one: tool lists are stored in the background.
#[track_caller]
fn best(client: &Client, query: &str) -> Value {
    let mut best = Value::Null;
    eventually(DEADLINE, || {
        best = search(client, query)
            .get_mut(0)
            .map(Value::take)
            .unwrap_or_default();
        best.is_object()
    });
    best
}

/// Of two tools of the same name one was to be found nowhere: the server that came last had it.
#[test]
fn the_same_tool_of_two_servers_is_there_twice() {
    let stage = Stage::new([
        (
            "north",
            json!({"tools": [described("tides", "Tides of the northern sea.")]}),
        ),
        (
            "south",
            json!({"tools": [described("tides", "Tides of the southern sea.")]}),
        ),
    ]);
    let client = stage.serve();
    load(&client, &["north", "south"]);
    let found = search(&client, "tides");
    assert_eq!(each(&found, "tool")[..2], ["tides", "tides"]);
    let mut servers = each(&found, "server")[..2].to_vec();
    servers.sort_unstable();
    assert_eq!(servers, ["north", "south"]);
    let all = client.success(ALL_TOOLS, &json!({}));
    let of_both = each(&all["tools"], "name");
    assert_eq!(of_both.iter().filter(|name| **name == "tides").count(), 2);

    for tool in [INFO, CALL] {
        let said = client.failure(tool, &json!({"tool_name": "tides"}));
        assert_eq!(
            said["error"],
            "Several servers have a tool 'tides': north, south"
        );
        assert_eq!(said["suggestion"], "name one of them in `server_name`");
    }
    for (server, sea) in [("north", "northern"), ("south", "southern")] {
        let meant = json!({"server_name": server, "tool_name": "tides"});
        let text = format!("Tides of the {sea} sea.");
        assert_eq!(client.success(INFO, &meant)["tool"]["description"], text);
        assert_eq!(client.call(CALL, &meant).tool_text(), text);
        let public = format!("{server}__tides");
        assert_eq!(client.call(&public, &json!({})).tool_text(), text);
        let by_public_name = client.call(CALL, &json!({ "tool_name": public }));
        assert_eq!(by_public_name.tool_text(), text);
    }
}

/// The second page and all after it were never asked for.
#[test]
fn tools_on_later_pages_are_there() {
    let tools: Vec<Value> = (0..50)
        .map(|at| described(&format!("page_tool_{at}"), "x"))
        .collect();
    let stage = Stage::new([("a", json!({"page_size": 7, "tools": tools}))]);
    let client = stage.serve();
    assert_eq!(client.success(LOAD, &of("a"))["tool_count"], 62);
    assert_eq!(client.success(ALL_TOOLS, &json!({}))["count"], 62);
    let info = client.success(INFO, &json!({"tool_name": "page_tool_49"}));
    assert_eq!(info["tool"]["server"], "a");
    client.call("a__page_tool_49", &json!({})).result();
    let listed = client.tools();
    assert!(listed.iter().any(|tool| tool["name"] == "a__page_tool_49"));
}

/// An empty question found everything, each tool as good as an exact name.
#[test]
fn an_empty_question_prefers_nothing() {
    let stage = Stage::new([("a", json!({"tools": [described("forecast", "Weather.")]}))]);
    let client = stage.serve();
    load(&client, &["a"]);
    for query in ["", "   ", "?!"] {
        for found in search(&client, query).as_array().unwrap() {
            assert_eq!(found["score"].as_f64(), Some(0.0), "{query:?}");
        }
    }
    let exact = search(&client, "forecast");
    assert_eq!(exact[0]["tool"], "forecast");
    assert!(exact[0]["score"].as_f64() > Some(0.0));
}

#[test]
fn a_search_finds_as_many_as_are_wanted() {
    let tools: Vec<Value> = (0..20)
        .map(|at| described(&format!("tide_{at}"), "The tide at a place."))
        .collect();
    let stage = Stage::new([("a", json!({ "tools": tools }))]);
    let client = stage.serve();
    load(&client, &["a"]);
    for (max, count) in [
        (json!(1), 1),
        (json!(3), 3),
        (json!(20), 20),
        (Value::Null, 10),
    ] {
        let said = client.success(SEARCH, &json!({"query": "tide", "max_results": max}));
        assert_eq!(said["count"], count);
        let scores: Vec<f64> = said["tools"]
            .as_array()
            .unwrap()
            .iter()
            .map(|found| found["score"].as_f64().unwrap())
            .collect();
        assert_eq!(scores.len(), count);
        assert!(scores.is_sorted_by(|a, b| a >= b), "{scores:?}");
    }
    assert_eq!(
        client.success(SEARCH, &json!({"query": "tide"}))["count"],
        10
    );
}

#[test]
fn arguments_that_make_no_sense_are_explained() {
    let stage = Stage::new([("a", json!({})), ("b", json!({}))]);
    let client = stage.serve();
    let number = "`max_results` must be an integer of at least 1";
    let server = "`server_name` is missing; the servers are: a, b";
    for (tool, arguments, error) in [
        (
            SEARCH,
            json!({}),
            "`query` is missing: give a description of the task",
        ),
        (
            SEARCH,
            json!({"query": 5}),
            "`query` must be a string: a description of the task",
        ),
        (SEARCH, json!({"query": "x", "max_results": "five"}), number),
        (SEARCH, json!({"query": "x", "max_results": "inf"}), number),
        (SEARCH, json!({"query": "x", "max_results": -1}), number),
        (SEARCH, json!({"query": "x", "max_results": 0}), number),
        (SEARCH, json!({"query": "x", "max_results": 1.5}), number),
        (LOAD, json!({}), server),
        (RELOAD, json!({"server_name": null}), server),
        (UNLOAD, json!({}), server),
        (
            LOAD,
            json!({"server_name": ["a"]}),
            "`server_name` must be a string: the name of a server",
        ),
        (
            CALL,
            json!({"server_name": "a"}),
            "`tool_name` is missing: give the name of a tool",
        ),
        (
            CALL,
            json!({"server_name": "a", "tool_name": "echo", "parameters": [1]}),
            "`parameters` must be an object with the tool's arguments",
        ),
        (
            INFO,
            json!({"tool_name": 5}),
            "`tool_name` must be a string: the name of a tool",
        ),
    ] {
        let said = client.failure(tool, &arguments);
        assert_eq!(said["error"], error, "{tool} {arguments}");
    }
    // Numbers of JSON have no kinds.
    client.success(SEARCH, &json!({"query": "x", "max_results": 2.0}));
    assert_eq!(client.success(super::LOADED, &json!({}))["count"], 0);
}

#[test]
fn tools_of_servers_that_are_not_loaded_are_found_in_a_later_run() {
    let stage = Stage::new([
        (
            "weather",
            json!({"tools": [described("forecast", "Tells tomorrow's weather.")]}),
        ),
        (
            "clock",
            json!({"tools": [described("now", "Tells the time.")]}),
        ),
    ]);
    let first = stage.serve();
    assert_eq!(search(&first, "weather"), json!([]));
    load(&first, &["weather", "clock"]);
    assert_eq!(search(&first, "weather")[0]["loaded"], true);
    first.success(UNLOAD, &of("clock"));
    assert_eq!(best(&first, "time")["loaded"], false);
    first.peer.close_stdin();
    assert!(first.peer.wait_exit().success());

    let second = stage.serve();
    load(&second, &["clock"]);
    let found = search(&second, "weather of tomorrow")[0].take();
    assert_eq!(
        (&found["tool"], &found["server"]),
        (&json!("forecast"), &json!("weather"))
    );
    assert_eq!(found["description"], "Tells tomorrow's weather.");
    assert_eq!(found["loaded"], false);
    assert_eq!(search(&second, "time")[0]["loaded"], true);
    assert_eq!(second.loaded("weather"), Value::Null);
    // A tool that was found can be described and called under the name found.
    let arguments = json!({"server_name": found["server"], "tool_name": found["tool"]});
    let called = second.call(CALL, &arguments);
    assert_eq!(called.tool_text(), "Tells tomorrow's weather.");
    assert_eq!(search(&second, "weather")[0]["loaded"], true);
}

#[test]
fn a_tool_that_was_found_is_known_by_its_name_alone() {
    let stage = Stage::new([
        (
            "weather",
            json!({"tools": [described("forecast", "Tells tomorrow's weather.")]}),
        ),
        ("clock", json!({})),
    ]);
    let first = stage.serve();
    load(&first, &["weather"]);
    first.success(UNLOAD, &of("weather"));
    let found = best(&first, "weather");
    assert_eq!(found["loaded"], false);
    let alone = json!({"tool_name": found["tool"]});
    assert_eq!(
        first.call(CALL, &alone).tool_text(),
        "Tells tomorrow's weather."
    );
    first.success(UNLOAD, &of("weather"));
    assert_eq!(first.success(INFO, &alone)["tool"]["server"], "weather");
}

#[test]
fn a_tool_that_the_last_reload_took_away_is_told_of() {
    let stage = Stage::new([
        (
            "a",
            json!({"tools": [described("get_forecast", "x"), described("alerts", "x")]}),
        ),
        ("b", json!({})),
    ]);
    let client = stage.serve();
    load(&client, &["a", "b"]);
    // One renamed a little, one removed, one new.
    let new = json!({"tools": [described("get_forecasts", "x"), described("tides", "x")]});
    stage.save("a", &new);
    client.success(RELOAD, &of("a"));
    let removed = "the last reload of 'a' removed it and added get_forecasts, tides";
    for (arguments, tool) in [
        (
            json!({"server_name": "a", "tool_name": "get_forecast"}),
            "get_forecast",
        ),
        (json!({"tool_name": "get_forecast"}), "get_forecast"),
        (json!({"server_name": "a", "tool_name": "alerts"}), "alerts"),
    ] {
        let said = client.failure(CALL, &arguments);
        let error = said["error"].as_str().unwrap();
        assert!(
            error.contains(&format!("tool '{tool}'")) || error.contains(&format!("Tool '{tool}'")),
            "{error}"
        );
        assert!(error.ends_with(removed), "{error}");
        let suggestion = said["suggestion"].as_str().unwrap();
        assert!(suggestion.contains("get_forecasts"), "{suggestion}");
    }
    let said = client.failure(INFO, &json!({"tool_name": "get_forecast"}));
    assert!(said["error"].as_str().unwrap().ends_with(removed), "{said}");
    let error = client.call("a__get_forecast", &json!({})).error();
    let message = error["message"].as_str().unwrap();
    for text in [
        "the last reload of `a` removed its `get_forecast`",
        "`get_forecasts`, `tides`",
        "did you mean `a__get_forecasts`",
    ] {
        assert!(message.contains(text), "{text}: {message}");
    }
    // A name that never was is not said to have been removed.
    let said = client.failure(
        CALL,
        &json!({"server_name": "a", "tool_name": "get_forcast"}),
    );
    assert_eq!(said["error"], "Server 'a' has no tool 'get_forcast'");
}

/// The moment after a save: requests wait for the saved code, which takes its time to start.
#[test]
fn the_newest_code_answers_right_after_a_save() {
    let stage = Stage::new([
        ("a", json!({"tools": [described("old", "The old tool.")]})),
        ("b", json!({})),
    ]);
    let toml = "[servers.a]\nwatch = 'a.json'\n[servers.b]\nwatch = 'b.json'\n";
    stage.project.write("mcp-proxy.toml", toml);
    let client = stage.dev();
    eventually(DEADLINE, || client.loaded("a")["status"] == "running");
    let bystander = client.pid_of("b__mark");
    for (at, tool) in ["first", "second", "third"].into_iter().enumerate() {
        let text = format!("The {tool} tool.");
        let script = json!({"start_delay_ms": 300, "tools": [described(tool, &text)]});
        stage.save("a", &script);
        stage.log.until("changed", at + 1);
        match at {
            0 => {
                let info = client.success(INFO, &json!({"tool_name": tool}));
                assert_eq!(info["tool"]["description"], text);
                assert_eq!(info["generation"], 2);
            }
            1 => {
                let called = client.call(CALL, &json!({"server_name": "a", "tool_name": tool}));
                assert_eq!(called.tool_text(), text);
            }
            // Nor does anybody have to say which server it is.
            _ => {
                let called = client.call(CALL, &json!({"tool_name": tool}));
                assert_eq!(called.tool_text(), text);
            }
        }
    }
    assert_eq!(client.pid_of("b__mark"), bystander);
}

#[test]
fn the_tools_of_a_name_that_both_want_are_told_apart_in_the_modern_era_too() {
    let stage = Stage::new([("a", json!({})), ("b", json!({}))]);
    let client = stage.client(Era::Modern, Proxy::serve());
    load(&client, &["a", "b"]);
    let said = client.failure(CALL, &json!({"tool_name": "mark"}));
    assert_eq!(said["error"], "Several servers have a tool 'mark': a, b");
    let pids = ["a", "b"].map(|server| {
        let meant = json!({"server_name": server, "tool_name": "mark"});
        client.call(CALL, &meant).result()["structuredContent"]["pid"].take()
    });
    assert_ne!(pids[0], pids[1]);
    assert_eq!(pids[0], client.pid_of("a__mark"));
}

#[test]
fn servers_whose_tools_are_unknown_are_named_until_they_have_run() {
    let forecast = json!({"tools": [described("forecast", "Weather of a city.")]});
    let stage = Stage::new([("weather", forecast), ("clock", json!({"mark": "clock"}))]);
    let client = stage.serve();
    let query = json!({"query": "weather"});
    let found = client.success(SEARCH, &query);
    assert_eq!(found["count"], 0);
    assert_eq!(found["servers_not_searched"], json!(["weather", "clock"]));
    let note = "The tools of these servers are unknown until they are loaded: weather, clock. \
               Use load_mcp_server_dynamically(server_name) to load one and to see its tools";
    assert_eq!(found["note"], note);
    let all = client.success(ALL_TOOLS, &json!({}));
    assert_eq!(all["servers_not_loaded"], json!(["weather", "clock"]));
    assert!(all["note"].as_str().unwrap().contains(LOAD), "{all}");
    for tool in [INFO, CALL] {
        let failure = client.failure(tool, &json!({"tool_name": "forecast"}));
        assert_eq!(failure["note"], note);
    }
    load(&client, &["weather", "clock"]);
    let found = client.success(SEARCH, &query);
    assert_eq!(found["tools"][0]["tool"], "forecast");
    assert_eq!(found.get("servers_not_searched"), None);
    let all = client.success(ALL_TOOLS, &json!({}));
    assert_eq!(all.get("servers_not_loaded"), None);
    // Known from then on, though not loaded.
    client.success(UNLOAD, &of("weather"));
    assert_eq!(best(&client, "weather")["loaded"], false);
    let found = client.success(SEARCH, &query);
    assert_eq!(found.get("servers_not_searched"), None);
    let prefixed = json!({"tool_name": "weather__forecast"});
    assert_eq!(client.success(INFO, &prefixed)["loaded"], false);
    let called = client.call(CALL, &prefixed);
    assert_eq!(called.tool_text(), "Weather of a city.");
}

/// A slow start outlasts the wait for lists, but not that of a call.
#[test]
fn code_that_is_starting_or_does_not_run_is_told() {
    let stage = Stage::new([("a", json!({})), ("b", json!({}))]);
    let toml = "[servers.a]\nwatch = 'a.json'\n[servers.b]\nwatch = 'b.json'\n";
    stage.project.write("mcp-proxy.toml", toml);
    let client = stage.dev();
    eventually(DEADLINE, || client.loaded("a")["status"] == "running");
    let slow = json!({"start_delay_ms": 7000, "tools": [described("new", "The new tool.")]});
    stage.save("a", &slow);
    stage.log.until("changed", 1);
    let mark = json!({"tool_name": "a__mark"});
    let [called, mut told] = [(CALL, &json!({"tool_name": "new"})), (INFO, &mark)]
        .map(|(tool, arguments)| client.begin(tool, arguments));
    for why in [
        "`a` is not ready: calls wait for ",
        "the saved code of `a` does not run: it exited with status 3",
    ] {
        let info = client.succeeded(&client.peer.await_response(told));
        let note = info["note"].as_str().unwrap();
        let expected = format!(
            "this is the definition of generation {}: {why}",
            info["generation"]
        );
        assert!(note.starts_with(&expected), "{note}");
        if info["generation"] == 1 {
            let answer = client.peer.await_response(called);
            assert_eq!(answer.tool_text(), "The new tool.");
            stage.save("a", &json!({"exit_at_start": {"code": 3}}));
            eventually(DEADLINE, || client.loaded("a")["status"] == "broken");
            told = client.begin(INFO, &mark);
        }
    }
    let missing = client.failure(INFO, &json!({"tool_name": "newest"}));
    let note = missing["note"].as_str().unwrap();
    assert!(
        note.contains("the saved code of `a` does not run"),
        "{missing}"
    );
}
