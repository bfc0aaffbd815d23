//! Commands of the page that send a request again with curl.

use std::process::Command;

use serde_json::{Value, json};

use super::Paged;
use crate::harness::http::{Answer, Connection};
use crate::harness::remote::{self, HttpServer};
use crate::harness::{
    DEADLINE, Project, Proxy, Run, eventually, example, initialize_params, marked, require,
};

/// Text that a shell would change.
const TEXT: &str = "it's $HOME `id` \"x\" \\ é";

impl Paged {
    /// Waits for the response to the only call of a tool; returns the commands to copy from its detail.
    #[track_caller]
    fn commands(&self) -> Vec<String> {
        let cookie = self.cookie();
        let own = [("Cookie", &*cookie)];
        let mut number = Value::Null;
        eventually(DEADLINE, || {
            let rows = self.get("/messages/rows?about=tools%2Fcall", &own).body;
            let rows: Value = serde_json::from_str(&rows).unwrap();
            number = rows["rows"][0]["n"].clone();
            rows["rows"][0]["state"] == "good"
        });
        let Answer { body, .. } = self.get(&format!("/messages/{number}"), &own);
        let copied = body.split("data-copy=\"").skip(1);
        let copied = copied.map(|it| it.split('"').next().unwrap());
        let text = |markup: &str| {
            let text = markup.replace("&quot;", "\"").replace("&lt;", "<");
            text.replace("&gt;", ">").replace("&amp;", "&")
        };
        copied.map(text).filter(|it| it.contains("curl ")).collect()
    }
}

/// Runs commands with a POSIX shell that has this variable.
#[track_caller]
fn sh(commands: &str, (name, value): (&str, &str)) -> Value {
    require("curl", "install curl");
    let mut shell = Command::new("sh");
    shell.args(["-c", commands]).env(name, value);
    let done = Run::of(shell).ended_with(0);
    assert_eq!(done.stderr, "", "{commands}");
    // The front of the proxy responds with an event.
    let json = done
        .stdout
        .lines()
        .find_map(|line| line.strip_prefix("data: {"));
    let json = json.map_or_else(|| done.stdout.clone(), |rest| format!("{{{rest}"));
    serde_json::from_str(&json).unwrap_or_else(|error| panic!("{error}: {}", done.stdout))
}

#[test]
fn a_call_of_a_remote_server_is_sent_again_without_secrets() {
    type Kind = fn(&remote::Asked, &mut remote::Answering);
    for (kind, handshakes) in [(remote::legacy as Kind, 1), (remote::modern as Kind, 0)] {
        let server = HttpServer::start(kind);
        let project = Project::new();
        let headers = "headers = { Authorization = \"Bearer kanarie-1234567\" }";
        let toml = format!("[servers.far]\nurl = \"{}\"\n{headers}\n", server.url());
        project.write("mcp-proxy.toml", &toml);
        let options = ["--page", "--server", "far", "--meta-tools", "none"];
        let paged = Paged::behind(Proxy::configured("dev").options(options), project);
        paged.meet();
        paged.peer.call("echo", &json!({ "text": TEXT })).result();
        let commands = paged.commands();
        let [commands] = &commands[..] else {
            panic!("{commands:#?}")
        };
        assert!(!commands.contains("kanarie"), "{commands}");
        let before = server.asked_for("initialize").len();
        let response = sh(commands, ("AUTHORIZATION", "Bearer other"));
        assert_eq!(
            response["result"]["content"][0]["text"],
            format!("echo: {TEXT}")
        );
        let calls = server.asked_for("tools/call");
        assert_eq!(calls.len(), 2);
        assert_eq!(calls[0].message(), calls[1].message());
        assert_eq!(calls[1].header("authorization"), Some("Bearer other"));
        assert_eq!(calls[0].header("mcp-method"), calls[1].header("mcp-method"));
        assert_eq!(
            calls[0].header("mcp-session-id"),
            calls[1].header("mcp-session-id")
        );
        assert_eq!(server.asked_for("initialize").len() - before, handshakes);
    }
}

#[test]
fn a_call_of_a_server_on_stdin_is_sent_to_the_http_front_if_there_is_one() {
    let paged = Paged::start();
    paged.meet();
    paged.peer.call("echo", &json!({})).result();
    assert_eq!(paged.commands(), [""; 0]);

    let project = Project::new();
    project.write("weather.json", &marked("v0"));
    project.write("a token", "kanarie-1234567\n");
    let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(project.path("a token"), private).unwrap();
    let proxy = Proxy::dev([example("fake_server"), "weather.json".into()])
        .options(["--name", "weather", "--page", "--http", "127.0.0.1:0"])
        .options(["--token-file", "a token"]);
    let paged = Paged::behind(proxy, project);
    let url = paged.log.until("listening", 1)[0]["url"].clone();
    let address = url.as_str().unwrap().strip_prefix("http://").unwrap();
    let address = address.strip_suffix("/mcp").unwrap().parse().unwrap();
    let mut session = String::new();
    let mut post = |id: u64, method: &str, params: &Value| {
        let mut connection = Connection::to(address);
        let headers = [
            ("Content-Type", "application/json"),
            ("Accept", "application/json, text/event-stream"),
            ("Authorization", "Bearer kanarie-1234567"),
            ("Mcp-Session-Id", &session),
        ];
        let headers = &headers[..3 + usize::from(!session.is_empty())];
        let body = json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params });
        connection.request("POST", headers, &body.to_string());
        let answer = connection.answer();
        assert_eq!(answer.status(), 200, "{}", answer.body);
        session = answer
            .head
            .header("mcp-session-id")
            .unwrap_or(&session)
            .to_owned();
    };
    post(1, "initialize", &initialize_params());
    post(
        2,
        "tools/call",
        &json!({ "name": "echo", "arguments": { "text": TEXT } }),
    );
    let commands = paged.commands();
    let [commands] = &commands[..] else {
        panic!("{commands:#?}")
    };
    assert!(!commands.contains("kanarie"), "{commands}");
    let response = sh(commands, ("UNUSED", ""));
    assert!(response["result"].to_string().contains("id"), "{response}");
    // The session of the commands ends with them, and its server.
    paged.log.until("stopped", 1);
}
