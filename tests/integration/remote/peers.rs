//! Servers on the official SDKs behind an address, for clients of both eras.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use super::{LIST_CHANGED, Stage};
use crate::harness::{DEADLINE, Peer, Project, ServerOn, eventually, modern_meta};

/// A server of `fixtures/servers` at an address. It ends when this is dropped.
struct Elsewhere {
    process: Child,
    port: u16,
    _project: Project,
}

impl Elsewhere {
    /// At any free port if `port` is 0.
    #[track_caller]
    fn start(on: ServerOn, port: u16) -> Self {
        let project = Project::new();
        let mut words = on.command(&project);
        if matches!(on, ServerOn::PythonMcp | ServerOn::FastMcp) {
            project.copy("fixtures/servers/over_http.py", "over_http.py");
            words.insert(1, project.path("over_http.py").into());
        }
        words.push(port.to_string().into());
        let mut process = Command::new(&words[0])
            .args(&words[1..])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut said = BufReader::new(process.stdout.take().unwrap());
        said.read_line(&mut line).unwrap();
        // Nobody reads on, but a pipe that is closed may end who writes to it.
        std::thread::spawn(move || std::io::copy(&mut said, &mut std::io::sink()));
        Self {
            process,
            port: line.trim().parse().expect("the server says its port"),
            _project: project,
        }
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}/mcp", self.port)
    }
}

impl Drop for Elsewhere {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A client of one of the eras.
struct Client<'a> {
    peer: &'a Peer,
    modern: bool,
}

impl Client<'_> {
    fn send(&self, method: &str, mut params: Value) -> u64 {
        if self.modern {
            let own = params["_meta"].take();
            params["_meta"] = modern_meta();
            if let Value::Object(own) = own {
                params["_meta"].as_object_mut().unwrap().extend(own);
            }
        }
        self.peer.request(method, &params)
    }

    #[track_caller]
    fn ask(&self, method: &str, params: Value) -> Value {
        let id = self.send(method, params);
        self.peer.await_response(id).result()
    }

    #[track_caller]
    fn call(&self, tool: &str, arguments: &Value) -> Value {
        self.ask("tools/call", json!({"name": tool, "arguments": arguments}))
    }
}

#[track_caller]
fn lists_calls_and_reads(client: &Client<'_>) {
    let tools = client.ask("tools/list", json!({}));
    let tools: Vec<_> = tools["tools"]
        .as_array()
        .unwrap()
        .iter()
        .map(super::name)
        .collect();
    assert_eq!(tools, ["echo", "count", "ask", "fail"]);
    assert_eq!(
        client.call("echo", &json!({"text": "ü"}))["content"][0]["text"],
        "echo: ü"
    );
    assert_eq!(client.call("fail", &json!({}))["isError"], true);
    let prompt = json!({"name": "greet", "arguments": {"name": "alice"}});
    let prompt = client.ask("prompts/get", prompt);
    assert_eq!(
        prompt["messages"][0]["content"]["text"],
        "Say hello to alice."
    );
    let note = client.ask("resources/read", json!({"uri": "test://note/x"}));
    assert_eq!(note["contents"][0]["text"], "the note x");
}

#[track_caller]
fn hears_progress(client: &Client<'_>) {
    let arguments = json!({"to": 3});
    let params =
        json!({"name": "count", "arguments": arguments, "_meta": {"progressToken": "mine"}});
    let counted = client.ask("tools/call", params);
    assert_eq!(counted["content"][0]["text"], "counted to 3");
    for number in 1..=3 {
        let progress = client
            .peer
            .expect_notification("notifications/progress")
            .params();
        assert_eq!(
            (
                progress["progressToken"].as_str(),
                progress["progress"].as_f64()
            ),
            (Some("mine"), Some(f64::from(number)))
        );
    }
}

#[track_caller]
fn answers_a_question(client: &Client<'_>, on: ServerOn) {
    let call = client.send(
        "tools/call",
        json!({"name": "ask", "arguments": {"question": "who?"}}),
    );
    let question = client.peer.expect_request("elicitation/create");
    let name = if on == ServerOn::FastMcp {
        "value"
    } else {
        "name"
    };
    let answer = json!({"action": "accept", "content": {name: "bob"}});
    client.peer.respond(&question, &answer);
    assert_eq!(client.peer.await_response(call).tool_text(), "accept: bob");
}

/// The server is killed and started anew while it is called.
#[track_caller]
fn sees_a_restart(client: &Client<'_>, on: ServerOn, server: Elsewhere) {
    let (port, before) = (server.port, client.peer.notifications(LIST_CHANGED));
    drop(server);
    let lost = client.send(
        "tools/call",
        json!({"name": "echo", "arguments": {"text": "lost"}}),
    );
    let server = Elsewhere::start(on, port);
    let answered = client.peer.await_response(lost).result()["content"][0]["text"].clone();
    let answered = answered.as_str().unwrap();
    // The last one where the server takes longer to start than a request waits.
    let told = ["echo: lost", "may have been", "cannot be reached"];
    assert!(
        told.iter().any(|text| answered.contains(text)),
        "{on:?}: {answered}"
    );
    let echoed = || client.call("echo", &json!({"text": "b"}))["content"][0]["text"] == "echo: b";
    if answered.contains("cannot be reached") {
        eventually(DEADLINE, echoed);
    } else {
        assert!(echoed());
    }
    if !client.modern {
        eventually(DEADLINE, || {
            client.peer.notifications(LIST_CHANGED) > before
        });
    }
    drop(server);
}

#[track_caller]
fn uses_everything(on: ServerOn, modern: bool, era: &str) {
    let server = Elsewhere::start(on, 0);
    let stage = Stage::before(&server.url(), "");
    let stage = if modern {
        stage.met_by_modern()
    } else {
        stage.met_by_legacy()
    };
    assert_eq!(stage.log.until("ready", 1)[0]["era"], era, "{on:?}");
    let client = Client {
        peer: &stage.peer,
        modern,
    };

    lists_calls_and_reads(&client);
    hears_progress(&client);
    if !modern && on != ServerOn::TypeScriptV2 {
        answers_a_question(&client, on);
    }
    sees_a_restart(&client, on, server);
}

#[test]
fn a_server_on_the_python_sdk_is_used_in_both_eras() {
    uses_everything(ServerOn::PythonMcp, false, "legacy");
    uses_everything(ServerOn::PythonMcp, true, "modern");
}

#[test]
fn a_server_on_fastmcp_is_used_in_both_eras() {
    uses_everything(ServerOn::FastMcp, false, "legacy");
    uses_everything(ServerOn::FastMcp, true, "modern");
}

#[test]
fn a_server_on_the_typescript_sdk_v1_has_sessions() {
    uses_everything(ServerOn::TypeScriptV1, false, "legacy");
    uses_everything(ServerOn::TypeScriptV1, true, "legacy");
}

#[test]
fn a_server_on_the_typescript_sdk_v2_keeps_nothing_between_requests() {
    uses_everything(ServerOn::TypeScriptV2, false, "legacy");
    uses_everything(ServerOn::TypeScriptV2, true, "modern");
}
