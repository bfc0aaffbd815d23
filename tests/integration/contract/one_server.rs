//! One server of the command line, in both eras: the default server of each tool.

use std::ops::Deref;

use serde_json::{Value, json};

use super::client::{Client, Era};
use super::stage::tool;
use super::{ALL_TOOLS, AVAILABLE, CALL, INFO, INSTALLED, LOAD, LOADED, RELOAD, SEARCH, UNLOAD};
use crate::harness::{Message, Project, Proxy, example, initialize_params};

const DEV: [&str; 4] = [RELOAD, LOADED, INFO, CALL];
const ALL: [&str; 10] = [
    RELOAD, LOADED, LOAD, UNLOAD, AVAILABLE, INSTALLED, INFO, CALL, SEARCH, ALL_TOOLS,
];

/// A client behind whose proxy the fake server `fake` runs.
pub(super) struct Single {
    project: Project,
    client: Client,
}

impl Deref for Single {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

impl Single {
    #[track_caller]
    fn start(era: Era, script: &Value, options: &[&str]) -> Self {
        Self::start_with(era, &script.to_string(), options)
    }

    /// With the text of the script as it is.
    #[track_caller]
    fn start_with(era: Era, script: &str, options: &[&str]) -> Self {
        let project = Project::new();
        project.write("script.json", script);
        let server =
            [example("fake_server").as_os_str(), "script.json".as_ref()].map(ToOwned::to_owned);
        let peer = Proxy::dev(server)
            .options(["--name", "fake"])
            .options(options.iter().copied())
            .within(&project)
            .spawn();
        if era == Era::Legacy {
            peer.initialize(&initialize_params()).result();
        }
        let client = Client { peer, era };
        Self { project, client }
    }

    #[track_caller]
    pub(super) fn save(&self, script: &Value) {
        self.project.save("script.json", &script.to_string());
    }

    #[track_caller]
    fn pid(&self) -> Value {
        self.pid_of("mark")
    }
}

/// A new session of each era, without a watcher.
pub(super) fn in_both_eras(script: &Value, test: impl Fn(&Single)) {
    for era in [Era::Legacy, Era::Modern] {
        test(&Single::start(era, script, &["--no-watch"]));
    }
}

fn names(tools: &[Value]) -> Vec<&str> {
    tools
        .iter()
        .map(|tool| tool["name"].as_str().unwrap())
        .collect()
}

#[test]
fn the_sets_offer_what_they_say() {
    for era in [Era::Legacy, Era::Modern] {
        for (set, offered) in [("all", &ALL[..]), ("dev", &DEV[..])] {
            let client = Single::start(era, &json!({}), &["--meta-tools", set]);
            let tools = client.tools();
            let (theirs, own) = tools.split_at(tools.len() - offered.len());
            assert_eq!(names(own), offered, "{set}");
            assert!(names(theirs).iter().all(|name| !ALL.contains(name)));
        }
        let client = Single::start(era, &json!({}), &["--meta-tools", "none"]);
        let tools = client.tools();
        assert!(names(&tools).iter().all(|name| !ALL.contains(name)));
        // It is the server that does not know the tool.
        let answer = client.call(LOADED, &json!({}));
        assert_eq!(answer.error()["message"], format!("unknown tool {LOADED}"));
    }
}

#[test]
fn a_reload_without_a_change_gives_an_empty_difference() {
    in_both_eras(&json!({}), |client| {
        // The only server is meant by its name, by null and by nothing.
        for (generation, arguments) in [
            (2, json!({})),
            (3, json!({"server_name": null})),
            (4, json!({"server_name": "fake"})),
        ] {
            let before = client.pid();
            let said = client.success(RELOAD, &arguments);
            assert_eq!(said["server_name"], "fake");
            assert_eq!(said["generation"], generation);
            assert!(said["start_ms"].is_u64());
            assert_eq!(
                said["diff"],
                json!({"added": [], "removed": [], "changed": [], "contract": [], "left_out": []})
            );
            assert_eq!(said["tool_count"], 12);
            assert_ne!(client.pid(), before);
        }
        let told = client
            .peer
            .notifications("notifications/tools/list_changed");
        assert_eq!(told, if client.era == Era::Legacy { 3 } else { 0 });
    });
}

#[test]
fn a_reload_tells_what_is_new_gone_and_changed() {
    let old =
        json!({"tools": [tool("alerts", &json!({"description": "a"})), tool("gone", &json!({}))]});
    let new = json!({"tools": [
        tool("alerts", &json!({"description": "b", "title": "A"})),
        tool("forecast", &json!({})),
    ]});
    in_both_eras(&old, |client| {
        client.pid();
        client.save(&new);
        let said = client.success(RELOAD, &json!({}));
        assert_eq!(said["diff"]["added"], json!(["forecast"]));
        assert_eq!(said["diff"]["removed"], json!(["gone"]));
        assert_eq!(said["diff"]["changed"][0]["name"], "alerts");
        let mut members = said["diff"]["changed"][0]["changed"]
            .as_array()
            .unwrap()
            .clone();
        members.sort_by_key(ToString::to_string);
        assert_eq!(members, ["description", "title"]);
        assert_eq!(
            client.success(LOADED, &json!({}))["servers"][0]["last_diff"],
            said["diff"]
        );
    });
}

#[test]
fn a_reload_of_broken_code_says_why_and_the_session_lives() {
    in_both_eras(&json!({"mark": "one"}), |client| {
        client.pid();
        client.save(&json!({"exit_at_start": {"code": 3, "stderr": "line one\nboom"}}));
        let said = client.failure(RELOAD, &json!({}));
        let error = said["error"].as_str().unwrap();
        assert!(
            error.contains("exited with status 3") && error.contains("boom"),
            "{error}"
        );
        assert_eq!(said["stderr"], json!(["line one", "boom"]));

        let server = client.success(LOADED, &json!({}))["servers"][0].take();
        assert_eq!(server["status"], "broken");
        assert_eq!(server["generation"], 1);
        assert!(
            server["last_error"]
                .as_str()
                .unwrap()
                .contains("exited with status 3")
        );
        assert!(names(&client.tools()).contains(&"mark"));

        client.save(&json!({"mark": "two"}));
        client.success(RELOAD, &json!({}));
        let answer = client.call("mark", &json!({})).result();
        assert_eq!(answer["structuredContent"]["mark"], "two");
        assert_eq!(
            client.success(LOADED, &json!({}))["servers"][0]["last_error"],
            Value::Null
        );
    });
}

#[test]
fn the_loaded_server_is_described() {
    in_both_eras(
        &json!({"tools": [tool("forecast", &json!({}))]}),
        |client| {
            client.pid();
            let said = client.success(LOADED, &json!({}));
            assert_eq!(said["count"], 1);
            let server = &said["servers"][0];
            for (member, value) in [
                ("name", json!("fake")),
                ("status", json!("running")),
                ("generation", json!(1)),
                ("tool_count", json!(13)),
                ("reloads", json!(0)),
                ("last_error", Value::Null),
            ] {
                assert_eq!(server[member], value, "{member}");
            }
            let tools = server["tools"].as_array().unwrap();
            assert!(tools.contains(&"forecast".into()) && !tools.contains(&RELOAD.into()));
        },
    );
}

#[test]
fn a_tool_born_by_a_save_is_described_and_callable() {
    for era in [Era::Legacy, Era::Modern] {
        let client = Single::start(era, &json!({"mark": "one"}), &["--watch", "script.json"]);
        let missing = client.failure(INFO, &json!({"tool_name": "forecast"}));
        assert_eq!(missing["error"], "Tool 'forecast' not found");
        let suggestion = missing["suggestion"].as_str().unwrap();
        assert!(suggestion.starts_with("the tools are: "), "{suggestion}");

        let schema =
            json!({"type": "object", "properties": {"city": {"type": "string"}, "days": {}}});
        let forecast = json!({"description": "Weather", "inputSchema": schema, "x-reply": "Rain"});
        client.save(&json!({"tools": [tool("forecast", &forecast)]}));
        client.await_generation("fake", 2);
        let said = client.success(INFO, &json!({"tool_name": "forecast"}));
        assert_eq!(said["generation"], 2);
        assert_eq!(said["tool"]["name"], "forecast");
        assert_eq!(said["tool"]["server"], "fake");
        assert_eq!(said["tool"]["description"], "Weather");
        assert_eq!(said["tool"]["inputSchema"], schema);
        assert_eq!(
            said["call_with"],
            format!("{CALL}(server_name='fake', tool_name='forecast', parameters={{city, days}})")
        );
        let answer = client.call(CALL, &json!({"tool_name": "forecast"}));
        assert_eq!(answer.tool_text(), "Rain");

        // Gone again.
        client.save(&json!({}));
        client.await_generation("fake", 3);
        let said = client.failure(CALL, &json!({"tool_name": "forecast"}));
        let error = "Server 'fake' has no tool 'forecast': the last reload of 'fake' removed it";
        assert_eq!(said["error"], error);
    }
}

#[test]
fn a_call_by_name_gives_the_servers_own_answer() {
    let odd = r#"{"content":[],"structuredContent":{"n":1E400,"d":1,"d":-0,"s":"\ud83d\/"},"isError":true,"x":[ 1 ]}"#;
    let script = json!({"tools": [
        tool("odd", &json!({"x-raw": odd})),
        tool("steps", &json!({"x-progress": 3})),
    ]});
    in_both_eras(&script, |client| {
        let answer = client.call(CALL, &json!({"server_name": "fake", "tool_name": "odd"}));
        assert_eq!(answer.result_text(), odd);

        let parameters = r#"{"n":1E400,"big":1180591620717411303424,"z":-0,"s":"\ud83d"}"#;
        let arguments = format!(r#"{{"tool_name":"bench","parameters":{parameters}}}"#);
        let result = client.call_raw(CALL, &arguments);
        assert!(result.result_text().contains(parameters), "{}", result.line);
        for arguments in [
            json!({"tool_name": "bench"}),
            json!({"tool_name": "bench", "parameters": null}),
        ] {
            let result = client.call(CALL, &arguments).result();
            assert_eq!(result["structuredContent"], json!({}));
        }

        let nowhere = client.failure(CALL, &json!({"tool_name": "step"}));
        assert_eq!(nowhere["error"], "Server 'fake' has no tool 'step'");
        assert!(nowhere["suggestion"].as_str().unwrap().contains("'steps'"));
    });
}

#[test]
fn a_tool_is_described_in_the_servers_own_bytes() {
    let schema = r#"{"type":"object","maximum":1180591620717411303424,"minimum":-0,"default":1E5}"#;
    for era in [Era::Legacy, Era::Modern] {
        let script = format!(r#"{{"tools":[{{"name":"odd","inputSchema":{schema}}}]}}"#);
        let client = Single::start_with(era, &script, &["--no-watch"]);
        let answer = client.call(INFO, &json!({"tool_name": "odd"}));
        client.own(&answer, false);
        let result = answer.result_text();
        assert!(
            result.contains(&format!(r#""inputSchema":{schema}"#)),
            "{result}"
        );
    }
}

#[test]
fn a_call_by_name_keeps_its_progress_token() {
    in_both_eras(
        &json!({"tools": [tool("steps", &json!({"x-progress": 3}))]}),
        |client| {
            let mark = client.peer.mark();
            client.call_raw(CALL, r#"{"tool_name":"steps"}"#).result();
            let told: Vec<Value> = client
                .peer
                .lines_since(mark)
                .iter()
                .filter(|line| line.method() == Some("notifications/progress"))
                .map(Message::params)
                .collect();
            let step = |done| json!({"progressToken": "p-1", "progress": done, "total": 3});
            assert_eq!(told, [step(1), step(2), step(3)]);
        },
    );
}

#[test]
fn a_tool_of_the_server_with_a_reserved_name_is_reached_by_name() {
    let script = json!({"tools": [tool(LOADED, &json!({"x-reply": "mine"}))]});
    in_both_eras(&script, |client| {
        client.pid();
        let tools = client.tools();
        assert_eq!(
            names(&tools).iter().filter(|name| **name == LOADED).count(),
            1
        );
        client.success(LOADED, &json!({}));
        let answer = client.call(CALL, &json!({"tool_name": LOADED}));
        assert_eq!(answer.tool_text(), "mine");
    });
    let client = Single::start(Era::Legacy, &script, &["--meta-tools", "none"]);
    assert_eq!(client.call(LOADED, &json!({})).tool_text(), "mine");
}

#[test]
fn wrong_arguments_are_explained_and_do_nothing() {
    in_both_eras(&json!({}), |client| {
        let before = client.pid();
        let wrong_name = "Server 'other' not found in the configuration";
        let wrong_type = "`server_name` must be a string: the name of a server";
        for (tool, arguments, error) in [
            (RELOAD, json!({"server_name": "other"}), wrong_name),
            (RELOAD, json!({"server_name": 5}), wrong_type),
            (RELOAD, json!({"server_name": ["fake"]}), wrong_type),
            (
                CALL,
                json!({"server_name": "other", "tool_name": "mark"}),
                wrong_name,
            ),
            (
                CALL,
                json!({"server_name": {}, "tool_name": "mark"}),
                wrong_type,
            ),
            (
                CALL,
                json!({}),
                "`tool_name` is missing: give the name of a tool",
            ),
            (
                CALL,
                Value::Null,
                "`tool_name` is missing: give the name of a tool",
            ),
            (
                CALL,
                json!({"tool_name": 5}),
                "`tool_name` must be a string: the name of a tool",
            ),
            (
                CALL,
                json!({"tool_name": "mark", "parameters": "text"}),
                "`parameters` must be an object with the tool's arguments",
            ),
            (
                INFO,
                json!({}),
                "`tool_name` is missing: give the name of a tool",
            ),
            (
                INFO,
                json!([]),
                "`tool_name` is missing: give the name of a tool",
            ),
            (
                INFO,
                json!({"tool_name": null}),
                "`tool_name` must be a string: the name of a tool",
            ),
        ] {
            let said = client.failure(tool, &arguments);
            assert_eq!(said["error"], error, "{tool} {arguments}");
        }
        assert_eq!(client.pid(), before);
    });
}
