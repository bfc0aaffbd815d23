//! Configurations: the effect of definitions, and the messages for faulty ones.

use std::fs;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::stage::{Stage, each};
use super::{AVAILABLE, CALL, INSTALLED, LOAD};
use crate::harness::{DEADLINE, Proxy, eventually, example};

fn of(server: &str) -> Value {
    json!({ "server_name": server })
}

#[track_caller]
fn has(said: &Value, texts: &[&str]) {
    let error = said["error"].as_str().unwrap();
    for text in texts {
        assert!(error.contains(text), "{text}: {error}");
    }
}

/// `cwd` was ignored and `${VAR}` was taken as it stands.
#[test]
fn a_server_runs_where_and_with_what_its_definition_says() {
    let stage = Stage::new([]);
    stage.project.write(
        "below/script.json",
        &json!({"mark": "in its place"}).to_string(),
    );
    let fake = example("fake_server");
    stage.define(
        "placed",
        json!({"command": fake, "args": ["script.json"], "cwd": "below"}),
    );
    stage.define(
        "named",
        json!({"command": "${FAKE}", "args": ["${SCRIPT:-below/script.json}"]}),
    );
    let line = r#"printf '{"mark":"%s"}' "$GREETING" > made.json; exec "$0" made.json"#;
    let env = json!({"GREETING": "hello ${WHO}"});
    stage.define(
        "told",
        json!({"command": "sh", "args": ["-c", line, fake], "env": env}),
    );
    let proxy = Proxy::serve().env("FAKE", &fake).env("WHO", "world");
    let client = stage.client(super::client::Era::Legacy, proxy);
    for (server, mark) in [
        ("placed", "in its place"),
        ("named", "in its place"),
        ("told", "hello world"),
    ] {
        client.success(LOAD, &of(server));
        let said = client.call(&format!("{server}__mark"), &json!({})).result();
        assert_eq!(said["structuredContent"]["mark"], mark, "{server}");
    }
}

/// They were errors of the program's inside: `expected str, bytes or os.PathLike object, not NoneType`.
#[test]
fn a_definition_that_cannot_be_used_says_where_and_why() {
    let stage = Stage::new([("good", json!({}))]);
    stage.define("unset", json!({"command": "x", "args": ["${NOWHERE_SET}"]}));
    stage.define("neither", json!({"args": ["x"]}));
    stage.define("elsewhere", json!({"command": "x", "cwd": "no/such/place"}));
    let client = stage.serve();
    for (server, texts) in [
        ("unset", [".mcp.json:1:", "NOWHERE_SET"]),
        ("neither", [".mcp.json:1:", "command"]),
        ("elsewhere", [".mcp.json:1:", "no/such/place"]),
    ] {
        let start = format!("Server '{server}' cannot be loaded");
        has(&client.failure(LOAD, &of(server)), &texts);
        has(
            &client.failure(CALL, &json!({"server_name": server, "tool_name": "x"})),
            &[&start],
        );
    }
    // The others are none the worse for it.
    client.success(LOAD, &of("good"));
    let said = client.success(AVAILABLE, &json!({}));
    assert_eq!(said["servers"], json!(["good"]));
    assert_eq!(said["faults"].as_array().unwrap().len(), 3);
}

/// Scripts and synchronised folders empty or move a file before they write it anew.
#[test]
fn a_file_that_is_empty_or_gone_for_a_moment_stops_no_server() {
    let stage = Stage::new([]);
    stage.save("a", &json!({}));
    stage.define_shell("a", "exec FAKE a.json");
    let client = stage.serve();
    client.success(LOAD, &of("a"));
    let pid = client.pid_of("a__mark");
    let file = stage.project.path(".mcp.json");
    let text = stage.project.read(".mcp.json");
    let servers = || client.success(AVAILABLE, &json!({}))["servers"].clone();
    for empty in [true, false] {
        if empty {
            fs::write(&file, "").unwrap();
        } else {
            fs::remove_file(&file).unwrap();
        }
        let start = Instant::now();
        while start.elapsed() < Duration::from_millis(700) {
            assert_eq!(servers(), json!(["a"]));
        }
        fs::write(&file, &text).unwrap();
        assert_eq!(client.pid_of("a__mark"), pid);
    }

    fs::remove_file(&file).unwrap();
    eventually(DEADLINE, || servers() == json!([]));
}

/// Without `mcpServers` an internal error once came, and a misplaced comma failed every request with
/// nothing but the parser's message.
#[test]
fn a_file_that_says_nothing_or_nonsense_is_explained_and_can_be_mended() {
    let stage = Stage::new([]);
    stage.project.write(".mcp.json", "{}");
    let client = stage.serve();
    let said = client.success(AVAILABLE, &json!({}));
    assert_eq!((&said["servers"], &said["count"]), (&json!([]), &json!(0)));
    assert_eq!(client.success(INSTALLED, &json!({}))["count"], 0);
    let said = client.failure(LOAD, &of("a"));
    has(&said, &["Server 'a' not found"]);
    assert!(said["suggestion"].as_str().unwrap().contains(".mcp.json"));

    stage.save("a", &json!({}));
    stage.define_shell("a", "exec FAKE a.json");
    client.success(LOAD, &of("a"));
    let pid = client.pid_of("a__mark");

    let good = stage.project.read(".mcp.json");
    stage
        .project
        .save(".mcp.json", "{\"mcpServers\": {\n  \"a\": }\n}");
    has(
        &client.failure(LOAD, &of("b")),
        &[".mcp.json:2:", "Server 'b' cannot be loaded"],
    );
    let said = client.success(AVAILABLE, &json!({}));
    assert!(
        said["faults"][0].as_str().unwrap().contains(".mcp.json:2:"),
        "{said}"
    );
    // The previous configuration stays in force.
    assert_eq!(said["servers"], json!(["a"]));
    client.success(LOAD, &of("a"));
    assert_eq!(client.pid_of("a__mark"), pid);

    stage.project.save(".mcp.json", &good);
    stage.save("b", &json!({}));
    stage.define_shell("b", "exec FAKE b.json");
    client.success(LOAD, &of("b"));
    assert_eq!(client.success(AVAILABLE, &json!({})).get("faults"), None);
    assert_eq!(client.pid_of("a__mark"), pid);
}

/// The first start of the proxy may find the file broken: there is a session all the same.
#[test]
fn a_session_begins_with_a_broken_file() {
    let stage = Stage::new([]);
    stage.project.write(".mcp.json", "{\"mcpServers\": ");
    let client = stage.serve();
    has(&client.failure(LOAD, &of("a")), &[".mcp.json:1:"]);
    stage.save("a", &json!({}));
    stage.define_shell("a", "exec FAKE a.json");
    client.success(LOAD, &of("a"));
}

/// The proxy loaded itself, and itself again. It also read the file of its own clone, not of the project.
#[test]
fn the_proxy_does_not_load_itself() {
    let stage = Stage::new([("a", json!({}))]);
    stage.define(
        "proxy",
        json!({"command": Proxy::program(), "args": ["serve"]}),
    );
    stage.define(
        "by-npx",
        json!({"command": "npx", "args": ["-y", "mcp-proxy-dev", "dev"]}),
    );
    let client = stage.serve();
    let said = client.success(AVAILABLE, &json!({}));
    assert_eq!(said["servers"], json!(["a"]));
    assert_eq!(
        each(&client.success(INSTALLED, &json!({}))["servers"], "name"),
        ["a"]
    );
    client.failure(LOAD, &of("proxy"));
    client.failure(CALL, &json!({"server_name": "by-npx", "tool_name": "x"}));
}

/// A server that was added, or defined otherwise, after the proxy began is there when it is asked for.
#[test]
fn the_configuration_is_read_anew_when_it_is_asked_for() {
    let stage = Stage::new([("a", json!({"mark": "old"}))]);
    let client = stage.client(
        super::client::Era::Legacy,
        Proxy::serve().option("--no-watch"),
    );
    client.success(LOAD, &of("a"));
    stage.save("b", &json!({"mark": "new"}));
    stage.define_shell("b", "exec FAKE b.json");
    let called = client.call(CALL, &json!({"server_name": "b", "tool_name": "mark"}));
    assert_eq!(called.result()["structuredContent"]["mark"], "new");
    stage.define_shell("a", "exec FAKE b.json");
    client.success(super::RELOAD, &of("a"));
    let said = client.call("a__mark", &json!({})).result();
    assert_eq!(said["structuredContent"]["mark"], "new");
}
