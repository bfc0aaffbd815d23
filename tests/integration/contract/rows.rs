//! The contract, tool by tool: names, parameters, the members of results and the texts of errors.
//!
//! Each row is a test over rmcp with a session of its own; a session of each official SDK goes through all
//! of them.

use serde_json::{Value, json};

use super::real::Real;
use super::stage::{Stage, each, tool};
use super::{ALL_TOOLS, AVAILABLE, CALL, INFO, INSTALLED, LOAD, LOADED, RELOAD, SEARCH, UNLOAD};

const FORECAST: &str = "Tells tomorrow's weather of a city, and how sure one may be of it, hour by hour, with all its warnings.";

fn weather() -> Value {
    let schema = json!({"type": "object", "properties": {"city": {"type": "string"}}});
    json!({"mark": "weather 1", "tools": [
        tool("forecast", &json!({"description": FORECAST, "inputSchema": schema, "x-reply": "42"})),
        tool("alerts", &json!({"description": "Lists storms.", "x-reply": "none"})),
    ]})
}

fn stage() -> Stage {
    let stage = Stage::new([
        ("weather", weather()),
        (
            "clock",
            json!({"tools": [tool("now", &json!({"description": "Tells the time.", "x-reply": "noon"}))]}),
        ),
        (
            "broken",
            json!({"exit_at_start": {"code": 3, "stderr": "no such table"}}),
        ),
    ]);
    let fake = crate::harness::example("fake_server");
    let definition =
        json!({"command": fake, "args": ["weather.json"], "env": {"API_KEY": "s3cret"}});
    stage.define("weather", definition);
    stage
}

type Row = fn(&Real, &Stage);

/// As at the beginning of a session.
#[track_caller]
fn afresh(client: &Real, stage: &Stage, row: Row) {
    stage.save("weather", &weather());
    for server in each(&client.success(LOADED, &json!({}))["servers"], "name") {
        client.success(UNLOAD, &json!({"server_name": server}));
    }
    row(client, stage);
}

macro_rules! rows {
    ($($row:ident),* $(,)?) => {
        const ROWS: &[Row] = &[$($row),*];

        mod over_rmcp {
            use super::*;

            $(#[test]
            fn $row() {
                let stage = stage();
                super::$row(&Real::rmcp(&stage), &stage);
            })*
        }
    };
}

rows! {
    load, call, loaded, reload, unload, available, installed, search, all_tools, info,
}

#[test]
fn over_the_python_sdk_modern() {
    in_one_session("python/session_mcp.py", "auto");
}

#[test]
fn over_the_typescript_sdk_v1_legacy() {
    in_one_session("node/session_v1.mjs", "legacy");
}

#[test]
fn over_the_typescript_sdk_v2_modern() {
    in_one_session("node/session_v2.mjs", "auto");
}

fn in_one_session(program: &str, era: &str) {
    let stage = stage();
    let client = Real::told(&stage, program, era);
    for row in ROWS {
        afresh(&client, &stage, *row);
    }
}

fn of(server: &str) -> Value {
    json!({ "server_name": server })
}

fn names(tools: &[Value]) -> Vec<&str> {
    let names = tools.iter().map(|tool| tool["name"].as_str().unwrap());
    names.collect()
}

#[track_caller]
fn begins(said: &Value, member: &str, text: &str) {
    let is = said[member].as_str().unwrap_or_default();
    assert!(is.starts_with(text), "{member} of {said}");
}

/// The result of a fresh load.
#[track_caller]
fn tells_the_tools_of_weather(said: &Value) {
    assert_eq!(said["server_name"], "weather");
    let tools = said["tools"].as_array().unwrap();
    assert!(tools.contains(&"forecast".into()) && tools.contains(&"alerts".into()));
    assert_eq!(said["tool_count"], tools.len());
}

fn load(client: &Real, _: &Stage) {
    assert!(!names(&client.list()).contains(&"weather__forecast"));
    let said = client.changing(|| client.success(LOAD, &of("weather")));
    assert_eq!(said["message"], "Server 'weather' loaded successfully");
    tells_the_tools_of_weather(&said);
    // Its tools are tools of the session from now on.
    assert!(names(&client.list()).contains(&"weather__forecast"));
    let result = client.call("weather__forecast", &json!({})).unwrap();
    assert_eq!(result["content"][0]["text"], "42");

    let said = client.success(LOAD, &of("weather"));
    assert_eq!(said["message"], "Server 'weather' already loaded");
    tells_the_tools_of_weather(&said);

    let said = client.failure(LOAD, &of("wether"));
    begins(&said, "error", "Server 'wether' not found");
    assert_eq!(said["suggestion"], "did you mean 'weather'?");
    let said = client.failure(LOAD, &of("broken"));
    begins(&said, "error", "Server 'broken' failed to start: ");
    let error = said["error"].as_str().unwrap();
    assert!(error.contains("exited with status 3") && error.contains("no such table"));
    assert_eq!(said["stderr"], json!(["no such table"]));
}

fn call(client: &Real, _: &Stage) {
    // It loads the server by itself.
    let echo =
        json!({"server_name": "weather", "tool_name": "echo", "parameters": {"a": [1, "2"]}});
    let result = client.changing(|| client.call(CALL, &echo)).unwrap();
    assert_eq!(result["structuredContent"], json!({"a": [1, "2"]}));
    let result = client
        .call(
            CALL,
            &json!({"server_name": "weather", "tool_name": "forecast"}),
        )
        .unwrap();
    assert_eq!(result["content"], json!([{"type": "text", "text": "42"}]));
    assert_eq!(result["structuredContent"], Value::Null);

    let said = client.failure(
        CALL,
        &json!({"server_name": "weather", "tool_name": "forcast"}),
    );
    begins(&said, "error", "Server 'weather' has no tool 'forcast'");
    assert_eq!(said["suggestion"], "did you mean 'forecast'?");
    let said = client.failure(CALL, &json!({"server_name": "nowhere", "tool_name": "x"}));
    begins(&said, "error", "Server 'nowhere' not found");
    begins(
        &said,
        "suggestion",
        "the servers are: weather, clock, broken",
    );
    let said = client.failure(CALL, &json!({"server_name": "broken", "tool_name": "x"}));
    begins(&said, "error", "Server 'broken' failed to start: ");
}

fn loaded(client: &Real, _: &Stage) {
    let said = client.success(LOADED, &json!({}));
    assert_eq!((&said["servers"], &said["count"]), (&json!([]), &json!(0)));
    client.success(LOAD, &of("clock"));
    client.success(LOAD, &of("weather"));
    client.failure(LOAD, &of("broken"));
    let said = client.success(LOADED, &json!({}));
    assert_eq!(said["count"], 3);
    assert_eq!(
        each(&said["servers"], "name"),
        ["weather", "clock", "broken"]
    );
    assert_eq!(
        each(&said["servers"], "status"),
        ["running", "running", "broken"]
    );
    let weather = &said["servers"][0];
    let tools = weather["tools"].as_array().unwrap();
    assert!(tools.contains(&"forecast".into()));
    assert_eq!(weather["tool_count"], tools.len());
    assert_eq!(weather["generation"], 1);
    assert_eq!(weather["last_error"], Value::Null);
    assert!(weather["uptime_s"].is_u64() && weather["watch"].is_array());
    let broken = &said["servers"][2];
    assert_eq!(
        (&broken["tools"], &broken["tool_count"]),
        (&json!([]), &json!(0))
    );
    assert!(
        broken["last_error"]
            .as_str()
            .unwrap()
            .contains("exited with status 3")
    );
}

fn reload(client: &Real, stage: &Stage) {
    // A server that is not loaded is loaded.
    let said = client.success(RELOAD, &of("weather"));
    tells_the_tools_of_weather(&said);
    let mut new = weather();
    new["tools"][1] = tool("storms", &json!({}));
    stage.save("weather", &new);
    let said = client.changing(|| client.success(RELOAD, &of("weather")));
    assert_eq!(said["server_name"], "weather");
    assert_eq!(said["generation"], 2);
    assert_eq!(said["tool_count"], said["tools"].as_array().unwrap().len());
    assert_eq!(
        said["diff"],
        json!({
            "added": ["storms"], "removed": ["alerts"], "changed": [],
            "contract": [{"class": "breaking", "kind": "tool", "name": "alerts", "text": "is gone"}],
            "left_out": [],
        })
    );
    let tools = client.list();
    let tools = names(&tools);
    assert!(tools.contains(&"weather__storms") && !tools.contains(&"weather__alerts"));

    // Code that does not start leaves the old code running, and the result says so.
    stage.save(
        "weather",
        &json!({"exit_at_start": {"code": 9, "stderr": "oh"}}),
    );
    let said = client.failure(RELOAD, &of("weather"));
    assert!(
        said["error"]
            .as_str()
            .unwrap()
            .contains("exited with status 9")
    );
    assert_eq!(said["stderr"], json!(["oh"]));
    let tools = client.list();
    assert!(names(&tools).contains(&"weather__storms"));
    let said = client.failure(RELOAD, &of("nowhere"));
    begins(&said, "error", "Server 'nowhere' not found");
}

fn unload(client: &Real, _: &Stage) {
    client.success(LOAD, &of("weather"));
    let said = client.changing(|| client.success(UNLOAD, &of("weather")));
    assert_eq!(said["message"], "Server 'weather' unloaded successfully");
    assert_eq!(client.success(LOADED, &json!({}))["count"], 0);
    assert!(!names(&client.list()).contains(&"weather__forecast"));
    let error = client.call("weather__forecast", &json!({})).unwrap_err();
    assert!(error.contains("no loaded server has the tool"), "{error}");
    for name in ["weather", "nowhere"] {
        let said = client.failure(UNLOAD, &of(name));
        assert_eq!(said["error"], format!("Server '{name}' not loaded"));
    }
}

fn available(client: &Real, _: &Stage) {
    client.success(LOAD, &of("clock"));
    let said = client.success(AVAILABLE, &json!({}));
    assert_eq!(said["servers"], json!(["weather", "clock", "broken"]));
    assert_eq!(said["count"], 3);
    assert_eq!(
        each(&said["details"], "name"),
        ["weather", "clock", "broken"]
    );
    let status = each(&said["details"], "status");
    assert_eq!(status, ["not loaded", "running", "not loaded"]);
}

fn installed(client: &Real, stage: &Stage) {
    let said = client.success(INSTALLED, &json!({}));
    assert_eq!(said["count"], 3);
    let file = said["config_file"].as_str().unwrap();
    assert!(
        file.contains(stage.project.path(".mcp.json").to_str().unwrap()),
        "{file}"
    );
    let weather = &said["servers"][0];
    assert_eq!(weather["name"], "weather");
    assert_eq!(weather["path"], "weather.json");
    assert!(
        weather["command"]
            .as_str()
            .unwrap()
            .ends_with("fake_server")
    );
    assert_eq!(weather["env_vars"], json!(["API_KEY"]));
    assert!(!said.to_string().contains("s3cret"), "{said}");
}

fn search(client: &Real, _: &Stage) {
    client.success(LOAD, &of("weather"));
    client.success(LOAD, &of("clock"));
    let said = client.success(SEARCH, &json!({"query": "weather of a city tomorrow"}));
    assert_eq!(said["query"], "weather of a city tomorrow");
    assert_eq!(said["count"], said["tools"].as_array().unwrap().len());
    let first = &said["tools"][0];
    assert_eq!(
        (&first["tool"], &first["server"]),
        (&json!("forecast"), &json!("weather"))
    );
    assert_eq!(first["description"], FORECAST);
    assert!(first["score"].as_f64().unwrap() > 0.0);
    let tip = "Use call_dynamic_server_tool(server_name, tool_name, parameters) to call any of these \
               tools";
    assert_eq!(said["tip"], tip);
    let said = client.success(SEARCH, &json!({"query": "Tells", "max_results": 1}));
    assert_eq!(said["count"], 1);
}

fn all_tools(client: &Real, _: &Stage) {
    client.success(LOAD, &of("weather"));
    client.success(LOAD, &of("clock"));
    let said = client.success(ALL_TOOLS, &json!({}));
    assert_eq!(
        (&said["servers"], &said["server_count"]),
        (&json!(["weather", "clock"]), &json!(2))
    );
    let tools = said["tools"].as_array().unwrap();
    assert_eq!(said["count"], tools.len());
    let names = each(&said["tools"], "name");
    assert!(names.is_sorted(), "{names:?}");
    let forecast = tools
        .iter()
        .find(|tool| tool["name"] == "forecast")
        .unwrap();
    assert_eq!(forecast["server"], "weather");
    assert_eq!(forecast["description"], FORECAST[..100]);
}

fn info(client: &Real, _: &Stage) {
    client.success(LOAD, &of("weather"));
    let said = client.success(INFO, &json!({"tool_name": "forecast"}));
    let tool = &said["tool"];
    assert_eq!(
        (&tool["name"], &tool["server"]),
        (&json!("forecast"), &json!("weather"))
    );
    assert_eq!(tool["description"], FORECAST);
    assert_eq!(tool["inputSchema"]["properties"]["city"]["type"], "string");
    assert_eq!(
        said["call_with"],
        "call_dynamic_server_tool(server_name='weather', tool_name='forecast', parameters={city})"
    );
    let by_public_name = client.success(INFO, &json!({"tool_name": "weather__forecast"}));
    assert_eq!(by_public_name, said);
    let said = client.failure(INFO, &json!({"tool_name": "xyzzy"}));
    assert_eq!(said["error"], "Tool 'xyzzy' not found");
    let suggestion = "Use search_tools() or list_all_tools() to find available tools";
    assert_eq!(said["suggestion"], suggestion);
}
