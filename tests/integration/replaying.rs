//! Recordings as tests and as servers: `replay` and `mock`.

use serde_json::{Value, json};

use crate::harness::{Peer, Project, Proxy, Run, example, initialize_params, marked, modern_meta};

/// Name of the recording.
pub(crate) const FILE: &str = "messages.ndjson";

/// A `dev` in front of the fake server `weather`, which records in [`FILE`].
pub(crate) fn dev(project: &Project) -> Proxy {
    project.write("weather.json", &marked("v0"));
    Proxy::dev([example("fake_server"), "weather.json".into()])
        .options(["--name", "weather", "--watch", "weather.json"])
        .options(["--record", FILE])
        .within(project)
}

#[test]
fn a_recorded_session_is_replayed() {
    let project = Project::new();
    let peer = dev(&project).spawn();
    peer.initialize(&initialize_params()).result();
    let slow = peer.request(
        "tools/call",
        &json!({"name": "slow", "arguments": {"ms": 200}}),
    );
    peer.call("echo", &json!({"a": [1, 2]})).result();
    assert_eq!(peer.responses_to(slow), 0);
    peer.await_response(slow).result();
    let ask = json!({"name": "ask", "arguments": {"method": "roots/list"}});
    let asking = peer.request("tools/call", &ask);
    let question = peer.expect_request("roots/list");
    peer.respond(&question, &json!({"roots": [{"uri": "file:///a"}]}));
    peer.await_response(asking).result();
    peer.close_stdin();
    peer.wait_exit();

    let server = example("fake_server").display().to_string();
    let replay = |options: &[&str], code| {
        let command = ["--", &server, "weather.json"];
        let words = [&["replay", FILE], options, &command].concat();
        Run::within(&project, &words).ended_with(code).stdout
    };
    let table = replay(&[], 0);
    let rows: Vec<_> = table.lines().map(|it| it.split_whitespace()).collect();
    assert_eq!(rows.len(), 6, "{table}");
    let row: Vec<_> = rows[4].clone().collect();
    assert_eq!(
        (&row[..2], row.last()),
        (&["tools/call", "ask"][..], Some(&"same"))
    );
    assert!(
        table.ends_with("\n4 requests, 0 with another response\n"),
        "{table}"
    );

    project.write("weather.json", &marked("v1"));
    let table = replay(&[], 1);
    let difference = r#"result.content[0].text: "v0" → "v1""#;
    assert_eq!(table.matches(difference).count(), 1, "{table}");
    let path = "result.content[*].text";
    let object: Value = serde_json::from_str(&replay(&["--json", "--ignore", path], 0)).unwrap();
    assert_eq!(object["ok"], true);
    assert_eq!(
        object["sessions"][0]["requests"][1]["request"],
        "tools/call slow"
    );
    let xml = replay(&["--format", "junit"], 1);
    for part in [
        r#"<testsuites name="mcp-proxy replay" tests="4" failures="1" errors="0""#,
        r#"name="4 tools/call ask""#,
        "v0&quot; → &quot;v1&quot;",
    ] {
        assert!(xml.contains(part), "{xml}");
    }
    // A folder of recordings.
    std::fs::create_dir(project.path("sessions")).unwrap();
    for name in ["b.ndjson", "a.ndjson"] {
        std::fs::copy(project.path(FILE), project.path("sessions").join(name)).unwrap();
    }
    project.write("sessions/notes.txt", "");
    let of_folder = |options: &[&str], code| {
        let command = ["--", &server, "weather.json"];
        let words = [&["replay", "sessions"], options, &command].concat();
        Run::within(&project, &words).ended_with(code).stdout
    };
    of_folder(&["--update"], 0);
    let object: Value = serde_json::from_str(&of_folder(&["--json"], 0)).unwrap();
    let sessions = object["sessions"].as_array().unwrap();
    let names = sessions.iter().map(|it| it["session"].as_str().unwrap());
    let names: Vec<&str> = names.map(|it| it.split(' ').next().unwrap()).collect();
    assert_eq!(names, ["a", "b"]);
}

/// The state of a request for input is valid in one run only.
#[test]
fn a_replayed_call_goes_on_with_the_input_of_its_client() {
    let project = Project::new();
    let dev = dev(&project);
    let push = json!([[{"method": "roots/list"}], [{"method": "roots/list"}]]);
    let tool = json!({"name": "t", "inputSchema": {"type": "object"}, "x-push": push});
    let script = json!({"eras": ["legacy"], "tools": [tool]});
    project.write("weather.json", &script.to_string());
    let peer = dev.spawn();
    let mut meta = modern_meta();
    meta["io.modelcontextprotocol/clientCapabilities"]["roots"] = json!({});
    peer.ask("server/discover", &json!({"_meta": meta}))
        .result();
    let mut params = json!({"name": "t", "arguments": {}, "_meta": meta});
    for _ in 0..2 {
        let result = peer.ask("tools/call", &params).result();
        assert_eq!(result["resultType"], "input_required", "{result}");
        let key = result["inputRequests"].as_object().unwrap().keys().next();
        params["inputResponses"] = json!({key.unwrap(): {"roots": []}});
        params["requestState"] = result["requestState"].clone();
    }
    let result = peer.ask("tools/call", &params).result();
    assert_eq!(result["resultType"], "complete", "{result}");
    peer.close_stdin();
    peer.wait_exit();

    let server = example("fake_server").display().to_string();
    let words = ["replay", FILE, "--", &server, "weather.json"];
    let table = Run::within(&project, &words).ended_with(0).stdout;
    let varying = "same (1 part varies by itself)";
    assert_eq!(table.matches(varying).count(), 2, "{table}");
    assert!(table.ends_with("\n4 requests, 0 with another response\n"));
}

#[test]
fn a_recording_is_served_to_a_client() {
    let project = Project::new();
    for era in ["legacy", "modern"] {
        let _ = std::fs::remove_file(project.path(FILE));
        let peer = dev(&project).spawn();
        let is_modern = era == "modern";
        let call = |peer: &Peer, text: &str| {
            let params = json!({ "name": "echo", "arguments": { "text": text } });
            if is_modern {
                peer.modern("tools/call", params)
            } else {
                peer.ask("tools/call", &params)
            }
        };
        if !is_modern {
            peer.initialize(&initialize_params()).result();
        }
        let recorded = call(&peer, "a");
        peer.close_stdin();
        peer.wait_exit();
        let mock = Proxy::configured("mock")
            .option(FILE)
            .within(&project)
            .spawn();
        if !is_modern {
            mock.initialize(&initialize_params()).result();
        }
        assert_eq!(call(&mock, "a").result(), recorded.result());
        let unknown = call(&mock, "b");
        assert!(
            unknown.line.contains("only with the params"),
            "{}",
            unknown.line
        );
        mock.close_stdin();
        mock.wait_exit();
    }
}

#[test]
fn a_replay_leaves_out_varying_parts_and_messages_of_the_proxy() {
    let project = Project::new();
    let dev = dev(&project);
    let script = |more: &[&str]| {
        let tool = |name: &&str| json!({"name": name, "inputSchema": {"type": "object"}, "x-reply": "v0 at @NOW@"});
        let mut tools: Vec<Value> = ["now"].iter().chain(more).map(tool).collect();
        tools.push(
            json!({"name": "add", "inputSchema": {"type": "object"}, "x-reply": r#"{"id":@NOW@}"#}),
        );
        project.write(
            "weather.json",
            &json!({"mark": "v0", "tools": tools}).to_string(),
        );
    };
    script(&[]);
    let peer = dev.spawn();
    peer.initialize(&initialize_params()).result();
    peer.call("now", &json!({})).result();
    script(&["later"]);
    peer.expect_notification("notifications/tools/list_changed");
    peer.call("now", &json!({})).result();
    peer.call("get_loaded_servers", &json!({})).result();
    let added: Value = serde_json::from_str(&peer.call("add", &json!({})).tool_text()).unwrap();
    peer.call("echo", &added).result();
    peer.close_stdin();
    peer.wait_exit();

    let server = example("fake_server").display().to_string();
    let words = ["replay", FILE, "--", &server, "weather.json"];
    let table = Run::within(&project, &words).ended_with(0).stdout;
    // The call of `echo` has the new id.
    assert!(
        table.contains("\n1 value of a request was replaced by ids"),
        "{table}"
    );
    for (same, count) in [
        ("1 part varies by itself", 3),
        ("2 parts vary by themselves", 1),
    ] {
        assert_eq!(table.matches(same).count(), count, "{table}");
    }
    let own = "answered by mcp-proxy itself";
    assert_eq!(table.matches(own).count(), 1, "{table}");
    assert!(!table.contains("list_changed"), "{table}");
}
