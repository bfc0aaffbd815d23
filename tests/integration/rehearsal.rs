//! `--rehearse`: calls that new code answers before it goes live.

use serde_json::{Value, json};

use crate::harness::{Message, Project, SOURCE, Watched};

const FORECAST: &str = r#"forecast {"city":"Oslo"}"#;

/// Returns a tool of the scripted server.
fn tool(name: &str, member: &str, value: impl Into<Value>) -> Value {
    let value = value.into();
    json!({ "name": name, "inputSchema": { "type": "object" }, member: value })
}

/// Returns a tool that answers this structured content.
fn forecast(content: &str) -> Value {
    let text = json!(content);
    let raw = format!(
        r#"{{"resultType":"complete","content":[{{"type":"text","text":{text}}}],"structuredContent":{content}}}"#
    );
    tool("forecast", "x-raw", raw)
}

fn script(mark: &str, tools: &[Value]) -> String {
    json!({ "mark": mark, "tools": tools }).to_string()
}

/// Starts the proxy in front of these tools; `options` begin with a rehearsed call. A busy machine may be slow, so that
/// the calls have a minute unless the options say otherwise.
fn started(tools: &[Value], options: &[&str]) -> Watched {
    const LIMIT: &str = "--rehearse-timeout";
    let project = Project::new();
    project.write(SOURCE, &script("v0", tools));
    let mut all = [&["--watch", "**/*", "--rehearse"][..], options].concat();
    if !options.contains(&LIMIT) {
        all.extend([LIMIT, "1m"]);
    }
    Watched::with(project, &all)
}

/// Saves the script, and waits for the reload number `count`; returns its rehearsed calls.
#[track_caller]
fn reloaded(watched: &Watched, mark: &str, tools: &[Value], count: usize) -> Vec<Value> {
    watched.project.write(SOURCE, &script(mark, tools));
    let events = watched.until("reloaded", count);
    events[count - 1]["rehearsal"]["calls"]
        .as_array()
        .unwrap()
        .clone()
}

fn outcomes(calls: &[Value]) -> Vec<&str> {
    calls
        .iter()
        .map(|it| it["outcome"].as_str().unwrap())
        .collect()
}

fn text_of(watched: &Watched, tool: &str) -> String {
    watched.peer.call(tool, &json!({})).tool_text()
}

#[test]
fn differences_are_told_without_what_varies_by_itself() {
    for era in ["legacy", "modern"] {
        let others = [
            tool("alerts", "x-reply", "none"),
            tool("count", "x-reply", "@COUNT@"),
        ];
        let tools = |max: &str| {
            let forecast = forecast(&format!(r#"{{"days":[{{"max":{max}}}],"now":@NOW@}}"#));
            [&[forecast][..], &others[..]].concat()
        };
        let options = [FORECAST, "--rehearse", "alerts", "--era", era];
        let watched = started(&tools("21"), &options);
        let calls = reloaded(&watched, "v1", &tools(r#""21""#), 1);
        assert_eq!(outcomes(&calls), ["differs", "same"], "{}", watched.log());
        assert_eq!(calls[0]["call"], FORECAST);
        let difference =
            json!({ "place": "forecast.days[0].max", "before": "21", "after": r#""21""# });
        assert_eq!(calls[0]["differences"], json!([difference]));
        assert_eq!(calls[0]["varied"], json!(["forecast.now"]));
        watched.peer.expect_stderr(
            r#"rehearsed 2 calls, 1 differs: forecast.days[0].max 21 → "21" (1 value varies by itself)"#,
        );
        let calls = reloaded(&watched, "v2", &tools(r#""21""#), 2);
        assert_eq!(outcomes(&calls), ["same", "same"], "{}", watched.log());
        assert_eq!(calls[0]["varied"], json!(["forecast.now"]));
        watched
            .peer
            .expect_stderr("rehearsed 2 calls, all as before");
        let answer = watched.peer.call("reload_mcp_server", &json!({}));
        let told = &answer.result()["structuredContent"]["rehearsal"]["calls"];
        assert_eq!(outcomes(told.as_array().unwrap()), ["same", "same"]);
        // Of the tools that are not named, none was called.
        assert_eq!(text_of(&watched, "count"), "1");
    }
}

#[test]
fn a_call_runs_once_on_each_code() {
    let tools = [tool("count", "x-reply", "@COUNT@")];
    let watched = started(&tools, &["count", "--rehearse", "unknown"]);
    // The calls are sent in their order.
    watched.until("rehearsal_warning", 1);
    assert_eq!(text_of(&watched, "count"), "2");
    let calls = reloaded(&watched, "v1", &tools, 1);
    assert_eq!(outcomes(&calls), ["same", "not_compared"]);
    assert_eq!(text_of(&watched, "count"), "2");
}

#[test]
fn a_regression_is_held_back_if_so_wished() {
    let good = [tool("forecast", "x-reply", "mild")];
    let watched = started(&good, &[FORECAST, "--on-regression", "hold"]);
    let error = json!({ "code": -32603, "message": "no data" });
    for (count, member, value, reason) in [
        (1, "x-error", error, "which was answered before: no data"),
        (
            3,
            "x-exit",
            json!(3),
            "exited with status 3 during the rehearsed call",
        ),
    ] {
        let bad = [tool("forecast", member, value)];
        watched.project.write(SOURCE, &script("bad", &bad));
        let broken = watched.until("broken", count);
        let told = broken[count - 1]["failure"]["reason"].as_str().unwrap();
        assert!(told.contains(reason), "{told}\n{}", watched.log());
        let text = text_of(&watched, "mark");
        for part in ["is held back", reason, "on_regression"] {
            assert!(text.contains(part), "{text}");
        }
        let answer = watched.peer.call("reload_mcp_server", &json!({}));
        assert!(answer.tool_text().contains(reason), "{}", answer.line);
    }
    assert!(watched.events("reloaded").is_empty(), "{}", watched.log());
    // Other differences do not hold it back.
    let calls = reloaded(&watched, "v1", &[tool("forecast", "x-reply", "cold")], 1);
    assert_eq!(outcomes(&calls), ["differs"]);
    assert_eq!(watched.mark(), "v1");
}

#[test]
fn code_that_fails_or_is_slow_goes_live_by_default() {
    let tools = |member: &str, value: Value| [tool("forecast", member, value)];
    let good = tools("x-reply", json!("mild"));
    let options = [
        FORECAST,
        "--rehearse",
        "mark",
        "--rehearse-timeout",
        "500ms",
    ];
    let watched = started(&good, &options);
    let error = json!({ "code": -32603, "message": "no data" });
    let calls = reloaded(&watched, "v1", &tools("x-error", error), 1);
    assert_eq!(calls[0]["outcome"], "fails", "{}", watched.log());
    assert_eq!(calls[0]["differences"][0]["after"], r#"error "no data""#);
    reloaded(&watched, "v2", &good, 2);
    // The process ends, and another one goes live.
    let calls = reloaded(&watched, "v3", &tools("x-exit", json!(3)), 3);
    assert_eq!(
        outcomes(&calls),
        ["fails", "unanswered"],
        "{}",
        watched.log()
    );
    assert_eq!(watched.mark(), "v3");
    watched
        .peer
        .expect_stderr("1 fails: forecast a running process → its end");
    // The call that takes too long is cancelled, and the client's call waits no longer for it.
    let slow = script("v4", &tools("x-delay-ms", json!(600_000)));
    watched.project.write(SOURCE, &slow);
    let reloads = watched.until("reloaded", 4);
    let calls = reloads[3]["rehearsal"]["calls"].as_array().unwrap();
    assert_eq!(
        outcomes(calls),
        ["unanswered", "unanswered"],
        "{}",
        watched.log()
    );
    assert_eq!(watched.mark(), "v4");
    let state = watched.peer.call("state", &json!({}));
    assert!(
        state.line.contains("notifications/cancelled"),
        "{}",
        state.line
    );
}

#[test]
fn a_save_ends_the_rehearsal_of_the_code_before() {
    let good = [tool("forecast", "x-reply", "mild")];
    let watched = started(&good, &[FORECAST, "--rehearse-timeout", "10m"]);
    let slow = [tool("forecast", "x-delay-ms", 600_000)];
    watched.project.write(SOURCE, &script("v1", &slow));
    watched.until("spawned", 2);
    let calls = reloaded(&watched, "v2", &good, 1);
    assert_eq!(outcomes(&calls), ["same"]);
    assert_eq!(watched.mark(), "v2");
}

#[test]
fn stop_first_compares_with_remembered_answers() {
    let options = [FORECAST, "--rehearse", "forcast", "--reload", "stop-first"];
    let watched = started(&[forecast(r#"{"max":21}"#)], &options);
    // The answers are remembered in the order of the calls.
    let warnings = watched.until("rehearsal_warning", 1);
    let expected =
        "rehearsed call 2, `forcast`: the server has no tool `forcast`; did you mean `forecast`?";
    assert_eq!(warnings[0]["message"], expected);
    for (count, max, outcome) in [(1, 22, "differs"), (2, 22, "same")] {
        let tools = [forecast(&format!(r#"{{"max":{max}}}"#))];
        let calls = reloaded(&watched, &format!("v{count}"), &tools, count);
        assert_eq!(
            outcomes(&calls),
            [outcome, "not_compared"],
            "{}",
            watched.log()
        );
    }
}

/// Returns `tool` with annotations.
fn hinted(mut tool: Value, annotations: Value) -> Value {
    tool["annotations"] = annotations;
    tool
}

fn told<'a>(calls: &'a [Value], member: &str) -> Vec<&'a str> {
    calls
        .iter()
        .map(|it| it[member].as_str().unwrap())
        .collect()
}

#[test]
fn recorded_calls_without_effects_are_rehearsed() {
    for reload in ["overlap", "stop-first"] {
        let tools = |max: u32| {
            let content = format!(r#"{{"max":{max},"now":@NOW@}}"#);
            [
                hinted(forecast(&content), json!({ "readOnlyHint": true })),
                hinted(
                    tool("drop", "x-reply", "@COUNT@"),
                    json!({ "idempotentHint": true, "destructiveHint": true }),
                ),
                tool("plain", "x-reply", "@COUNT@"),
                tool("named", "x-reply", "named"),
            ]
        };
        let options = ["recorded", "--rehearse-tools", "named", "--reload", reload];
        let watched = started(&tools(21), &options);
        let call = |tool: &str, city: &str| {
            let params = json!({ "city": city });
            watched.peer.call(tool, &params).tool_text()
        };
        // Without a call of the client there is nothing to rehearse.
        watched.project.write(SOURCE, &script("v1", &tools(21)));
        assert!(watched.until("reloaded", 1)[0]["rehearsal"].is_null());
        for (tool, city) in [
            ("forecast", "Oslo"),
            ("plain", "Oslo"),
            ("drop", "Oslo"),
            ("named", "Oslo"),
            ("forecast", "Bergen"),
            ("forecast", "Oslo"),
        ] {
            call(tool, city);
        }
        let calls = reloaded(&watched, "v2", &tools(22), 2);
        let expected = [
            r#"forecast {"city":"Oslo"}"#,
            r#"forecast {"city":"Bergen"}"#,
            r#"named {"city":"Oslo"}"#,
        ];
        assert_eq!(told(&calls, "call"), expected, "{}", watched.log());
        assert_eq!(outcomes(&calls), ["differs", "differs", "same"]);
        let difference = json!({ "place": "forecast.max", "before": "21", "after": "22" });
        assert_eq!(calls[0]["differences"], json!([difference]));
        assert_eq!(calls[0]["varied"], json!(["forecast.now"]));
        assert!(calls.iter().all(|it| it["recorded"] == true));
        let calls = reloaded(&watched, "v3", &tools(22), 3);
        assert_eq!(outcomes(&calls), ["same", "same", "same"]);
        // No tool with effects has run.
        assert_eq!(call("plain", "Oslo") + &call("drop", "Oslo"), "11");
        assert!(watched.events("rehearsal_warning").is_empty());
    }
}

/// Times in seconds could be the reason of the difference.
#[test]
fn a_difference_needs_time_for_a_second_answer_of_a_server_that_stops_first() {
    let tools = |max: u32| {
        let content = format!(r#"{{"max":{max}}}"#);
        [hinted(forecast(&content), json!({ "readOnlyHint": true }))]
    };
    let limit = ["--rehearse-timeout", "1100ms"];
    let options = [&["recorded", "--reload", "stop-first"][..], &limit].concat();
    let watched = started(&tools(21), &options);
    text_of(&watched, "forecast");
    let calls = reloaded(&watched, "v1", &tools(22), 1);
    assert_eq!(outcomes(&calls), ["unconfirmed"], "{}", watched.log());
    assert_eq!(calls[0]["differences"], json!([]));
}

#[test]
fn the_end_of_a_process_at_its_second_answer_is_a_failure_of_that_call() {
    let tools = |reply: &str| {
        ["good", "bad"].map(|name| {
            let reply = if name == "good" { "mild" } else { reply };
            hinted(
                tool(name, "x-reply", reply),
                json!({ "readOnlyHint": true }),
            )
        })
    };
    let watched = started(&tools("mild"), &["recorded", "--reload", "stop-first"]);
    text_of(&watched, "good");
    text_of(&watched, "bad");
    let mut tools = tools("cold");
    tools[1]["x-exit"] = json!(3);
    tools[1]["x-exit-after"] = json!(1);
    let calls = reloaded(&watched, "v1", &tools, 1);
    assert_eq!(told(&calls, "call"), ["bad"], "{}", watched.log());
    assert_eq!(outcomes(&calls), ["fails"]);
}

#[test]
fn a_model_asks_for_a_rehearsal_of_its_call() {
    for reload in ["overlap", "stop-first"] {
        let tools = |max: u32| {
            let content = format!(r#"{{"max":{max}}}"#);
            [
                hinted(forecast(&content), json!({ "readOnlyHint": true })),
                tool("plain", "x-reply", "@COUNT@"),
            ]
        };
        let project = Project::new();
        project.write(SOURCE, &script("v0", &tools(21)));
        let options = [
            "--watch",
            "**/*",
            "--rehearse-timeout",
            "1m",
            "--reload",
            reload,
        ];
        let watched = Watched::with(project, &options);
        let call = |tool: &str, rehearse: bool| {
            let arguments =
                json!({ "tool_name": tool, "parameters": {"city": "Oslo"}, "rehearse": rehearse });
            watched.peer.call("call_dynamic_server_tool", &arguments)
        };
        let refused = call("plain", true);
        assert!(
            refused.tool_text().contains("may have effects"),
            "{}",
            refused.line
        );
        assert_eq!(text_of(&watched, "plain"), "1");
        assert_eq!(
            call("forecast", true).result()["structuredContent"]["max"],
            21
        );
        let calls = reloaded(&watched, "v1", &tools(22), 1);
        assert_eq!(told(&calls, "call"), [FORECAST], "{}", watched.log());
        assert_eq!(outcomes(&calls), ["differs"]);
        let listed = watched.peer.call("get_loaded_servers", &json!({}));
        let server = &listed.result()["structuredContent"]["servers"][0];
        assert_eq!(server["rehearsal"]["calls"], json!(calls));
        // New code whose tool may have effects does not get the call.
        let text = tool("forecast", "x-reply", "@COUNT@");
        watched.project.write(SOURCE, &script("v2", &[text]));
        assert!(watched.until("reloaded", 2)[1]["rehearsal"].is_null());
        assert_eq!(text_of(&watched, "forecast"), "1");
        call("forecast", false).result();
        watched.project.write(SOURCE, &script("v3", &tools(23)));
        assert!(watched.until("reloaded", 3)[2]["rehearsal"].is_null());
    }
}

#[test]
fn recorded_calls_need_a_tool_that_permits_them() {
    let options = ["recorded", "--rehearse-tools", "marks"];
    let watched = started(&[tool("plain", "x-reply", "@COUNT@")], &options);
    let warnings = watched.until("rehearsal_warning", 2);
    let expected = [
        "`rehearse_tools`: the server has no tool `marks`; did you mean `mark`?",
        "no recorded call is rehearsed: no tool declares `readOnlyHint` or `idempotentHint`, and none is named in \
         `rehearse_tools`",
    ];
    assert_eq!(told(&warnings, "message"), expected);
}

/// A rehearsed call must not open a dialog of the client at each save.
#[test]
fn a_rehearsed_call_gets_no_input_from_the_client() {
    for era in ["legacy", "modern"] {
        let ask = json!({
            "method": "elicitation/create",
            "params": { "message": "Sure?", "requestedSchema": { "type": "object", "properties": {} } },
        });
        let tools = [tool("sure", "x-ask", ask)];
        let watched = started(&tools, &["sure", "--era", era]);
        let warnings = watched.until("rehearsal_warning", 1);
        let message = warnings[0]["message"].as_str().unwrap();
        assert!(message.contains("asks the client for input"), "{message}");
        let calls = reloaded(&watched, "v1", &tools, 1);
        assert_eq!(outcomes(&calls), ["same"], "{}", watched.log());
        let asked = |it: &Message| it.method() == Some("elicitation/create");
        assert_eq!(watched.peer.count(asked), 0);
        // The client's own call does.
        let params = json!({ "name": "sure", "arguments": {} });
        let id = watched.peer.request("tools/call", &params);
        let request = watched.peer.expect_request("elicitation/create");
        watched
            .peer
            .respond(&request, &json!({ "action": "accept", "content": {} }));
        watched.peer.await_response(id).result();
    }
}
