//! Configurations: the messages of broken ones, and `dev` with a good one.

use std::path::{MAIN_SEPARATOR, Path, PathBuf};

use serde_json::{Value, json};

use crate::harness::{Project, Proxy, Run, SOURCE, Watched, example, initialize_params};

fn broken_configurations() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/configs");
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|it| it != "txt"))
        .collect();
    files.sort();
    files
}

/// With `MCP_PROXY_BLESS=1` in the environment the texts are written instead of compared.
#[test]
fn each_broken_configuration_says_what_was_approved() {
    let files = broken_configurations();
    assert!(files.len() >= 25, "{files:?}");
    for file in files {
        let project = Project::new();
        let extension = file.extension().unwrap().to_str().unwrap();
        let name = if extension == "toml" {
            "mcp-proxy.toml"
        } else {
            ".mcp.json"
        };
        project.write(name, &std::fs::read_to_string(&file).unwrap());
        let run = Run::within(&project, &["config", "show"]).ended_with(3);
        let root = project.path("");
        let said = run.stderr.replace(root.to_str().unwrap(), "");
        let approved = file.with_extension(format!("{extension}.txt"));
        if std::env::var_os("MCP_PROXY_BLESS").is_some() {
            std::fs::write(&approved, &said).unwrap();
        }
        let approved = std::fs::read_to_string(&approved).unwrap();
        // Each system words its own errors.
        if cfg!(windows) && approved.contains("(os error ") {
            continue;
        }
        assert_eq!(
            said,
            approved,
            "bless it if {} is to change",
            file.display()
        );
    }
}

#[test]
fn effective_values_are_shown_with_their_origin() {
    let project = Project::new();
    project.write(
        ".mcp.json",
        r#"{"mcpServers": {"a": {"command": "x", "env": {"API_KEY": "s3cret"}}}}"#,
    );
    project.write("mcp-proxy.toml", "[servers.a]\nbuild = 'make'\n");
    let shown = Run::within(&project, &["config", "show", "--origin"]).ended_with(0);
    let line = |key: &str| {
        let mut lines = shown.stdout.lines();
        lines.find(|line| line.starts_with(key)).unwrap().to_owned()
    };
    let is_at = |key: &str, place: &str| line(key).ends_with(&format!("{MAIN_SEPARATOR}{place}"));
    assert!(is_at("build = \"make\"", "mcp-proxy.toml:2"));
    assert!(is_at("command = \"x\"", ".mcp.json:1"));
    assert!(line("reload = \"overlap\"").ends_with("# default"));
    assert!(is_at("env.API_KEY = \"***\"", ".mcp.json:1"));

    let shown = Run::within(&project, &["config", "show", "--json"]).ended_with(0);
    let object: Value = serde_json::from_str(&shown.stdout).unwrap();
    assert_eq!(object["servers"]["a"]["build"], "make");
    assert!(!shown.stdout.contains("s3cret"));

    let schema = Run::within(&project, &["config", "schema"]).ended_with(0);
    let schema: Value = serde_json::from_str(&schema.stdout).unwrap();
    assert_eq!(schema["type"], "object");
}

#[test]
fn a_run_without_a_command_or_a_configuration_is_a_usage_error() {
    let project = Project::new();
    let run = Run::within(&project, &["dev"]).ended_with(2);
    assert!(
        run.stderr
            .contains("no configuration file found (mcp-proxy.toml or .mcp.json)"),
        "{run:#?}"
    );
    assert!(run.stdout.is_empty());
}

/// One server of the configuration runs as it is, with its settings and with those options that stand on
/// the command line.
#[test]
fn the_server_of_the_configuration_is_run_watched_and_reloaded() {
    let project = Project::new();
    let server = json!(example("fake_server")).to_string();
    project.write(
        "mcp-proxy.toml",
        &format!(
            "[watch]\nignore = 'src/ignored.json'\n[servers.weather]\ncommand = {server}\n\
             args = ['${{SCRIPT}}']\nwatch = 'src/**'\n[servers.off]\nenabled = false\ncommand = 'no'\n"
        ),
    );
    let nothing: [&str; 0] = [];
    let proxy = Proxy::dev(nothing).env("SCRIPT", SOURCE);
    let options = ["--server", "weather", "--meta-tools", "none"];
    let watched = Watched::of(project, proxy.options(options));
    let ready = watched.until("ready", 1);
    assert_eq!(ready[0]["server"], "weather");
    watched.write("v1");
    watched.one_reload(&[SOURCE]);
    assert_eq!(watched.mark(), "v1");
    watched.project.write("src/ignored.json", "1");
    watched.no_reload();
    let tools = watched.peer.ask("tools/list", &json!({}));
    assert!(tools.line.contains("mark") && !tools.line.contains("reload_mcp_server"));
}

#[test]
fn tools_that_the_configuration_leaves_out_are_neither_listed_nor_called() {
    let project = Project::new();
    let server = json!(example("fake_server")).to_string();
    project.write("script.json", r#"{"mark": "v1"}"#);
    project.write(
        "mcp-proxy.toml",
        &format!(
            "[servers.weather]\ncommand = {server}\nargs = ['script.json']\n\
             tools = {{ allow = ['mark', 'set_*', 'e*'], deny = ['ec*'] }}\n"
        ),
    );
    let nothing: [&str; 0] = [];
    let proxy = Proxy::dev(nothing).options(["--server", "weather"]);
    let peer = proxy.within(&project).spawn();
    peer.initialize(&initialize_params()).result();
    let names = || -> Vec<String> {
        let tools = peer.ask("tools/list", &json!({})).result();
        let tools = tools["tools"].as_array().unwrap().iter();
        let names = tools.map(|tool| tool["name"].as_str().unwrap().to_owned());
        names
            .filter(|name| !name.contains("server") && name != "get_tool_info")
            .collect()
    };
    assert_eq!(names(), ["mark", "set_tools"]);
    assert!(!peer.call("mark", &json!({})).is_error());
    for (tool, arguments) in [
        ("echo", json!({"a": 1})),
        (
            "call_dynamic_server_tool",
            json!({"tool_name": "echo", "parameters": {"a": 1}}),
        ),
        ("get_tool_info", json!({"tool_name": "echo"})),
    ] {
        let refused = peer.call(tool, &arguments);
        assert!(
            refused.line.contains("excluded by `tools` of `weather`"),
            "{}",
            refused.line
        );
    }
    // The same rule applies to additions of the server.
    let added = json!({"tools": [{"name": "eager"}, {"name": "sleepy"}]});
    peer.call("set_tools", &added);
    peer.expect_notification("notifications/tools/list_changed");
    assert_eq!(names(), ["mark", "set_tools", "eager"]);
}

#[test]
fn a_left_out_tool_of_several_servers_is_said_to_be_left_out() {
    let project = Project::new();
    let server = json!(example("fake_server")).to_string();
    project.write("script.json", "{}");
    project.write(
        "mcp-proxy.toml",
        &format!(
            "[servers.weather]\ncommand = {server}\nargs = ['script.json']\ntools.allow = ['state']\n\
             [servers.free]\ncommand = {server}\nargs = ['script.json']\ntools.deny = ['slow']\n\
             [servers.later]\ncommand = {server}\nargs = ['script.json']\ntools.deny = ['slow']\nautostart = false\n"
        ),
    );
    let nothing: [&str; 0] = [];
    let peer = Proxy::dev(nothing).within(&project).spawn();
    peer.initialize(&initialize_params()).result();
    let info = |arguments: &Value| peer.call("get_tool_info", arguments).line;
    for (server, arguments) in [
        ("weather", json!({"tool_name": "weather__echo"})),
        (
            "weather",
            json!({"tool_name": "echo", "server_name": "weather"}),
        ),
        ("free", json!({"tool_name": "free__slow"})),
        ("free", json!({"tool_name": "slow", "server_name": "free"})),
        (
            "later",
            json!({"tool_name": "slow", "server_name": "later"}),
        ),
    ] {
        let said = info(&arguments);
        let reason = format!("excluded by `tools` of `{server}`");
        assert!(
            said.contains(&reason) && !said.contains("inputSchema"),
            "{said}"
        );
    }
    // The other server offers it.
    let said = info(&json!({"tool_name": "echo"}));
    assert!(said.contains("inputSchema"), "{said}");
    let said = info(&json!({"tool_name": "weather__ecko"}));
    assert!(
        said.contains("not found") && !said.contains("weather__echo"),
        "{said}"
    );
    for tool in ["weather__echo", "free__slow"] {
        let by_name = json!({ "tool_name": tool });
        for (called, arguments) in [(tool, &json!({})), ("call_dynamic_server_tool", &by_name)] {
            let said = peer.call(called, arguments).line;
            assert!(said.contains("excluded by `tools` of"), "{said}");
        }
    }
    let by_name = json!({"tool_name": "weather__state", "parameters": {}});
    assert!(!peer.call("call_dynamic_server_tool", &by_name).is_error());
}

#[test]
fn a_left_out_tool_is_not_called_by_a_request_that_parsers_read_differently() {
    let project = Project::new();
    let server = json!(example("fake_server")).to_string();
    project.write("script.json", "{}");
    project.write(
        "mcp-proxy.toml",
        &format!(
            "[servers.weather]\ncommand = {server}\nargs = ['script.json']\ntools.deny = ['slow']\n\
             [servers.free]\ncommand = {server}\nargs = ['script.json']\n"
        ),
    );
    for sole in [true, false] {
        let (prefix, free) = if sole {
            ("", "")
        } else {
            ("weather__", "free__")
        };
        let nothing: [&str; 0] = [];
        let servers = if sole {
            &["--server", "weather"][..]
        } else {
            &[]
        };
        let proxy = Proxy::dev(nothing).options(servers.iter().copied());
        let peer = proxy.within(&project).spawn();
        peer.initialize(&initialize_params()).result();
        let state = format!("{prefix}state");
        assert!(!peer.call(&state, &json!({})).is_error());
        for (at, members) in [
            r#""params":{"name":"PREFIXstate","Name":"slow"}"#,
            r#""params":{"name":"slow","name":"PREFIXstate"}"#,
            r#""params":{"name":"slow","n\u0061me":"PREFIXstate"}"#,
            r#""params":{"name":"slow"},"params":{"name":"PREFIXstate"}"#,
            r#""params":{"name":"PREFIXstate"},"Params":{"name":"slow"}"#,
            r#""params":{"name":"PREFIXstate"},"Method":"tools/call""#,
            "\"params\":{\"name\":\"PREFIXstate\",\"x\":\r{\"id\":1,\"method\":\"tools/call\",\"params\":{\"name\":\"slow\"}}\r}",
        ]
        .into_iter()
        .enumerate()
        {
            let id = 1000 + at;
            let members = members.replace("PREFIX", prefix);
            peer.send(&format!(
                r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call",{members}}}"#
            ));
            let answer = peer.await_response(id);
            assert!(answer.line.contains("-32602"), "{members}: {}", answer.line);
            assert!(answer.line.contains("`tools` of `weather`"), "{}", answer.line);
        }
        peer.send(r#"{"jsonrpc":"2.0","method":"tools/call","params":{"name":"slow"}}"#);
        peer.send(r#"{"jsonrpc":"2.0","Id":7,"method":"x","Method":"tools/call","params":{"name":"slow"}}"#);
        let received = peer.call(&state, &json!({})).line;
        assert!(!received.contains("slow"), "{received}");
        if !sole {
            peer.send(&format!(
                r#"{{"jsonrpc":"2.0","id":2000,"method":"tools/call","params":{{"name":"{free}echo","Name":1,"arguments":{{}}}}}}"#
            ));
            let answer = peer.await_response(2000);
            assert!(!answer.line.contains("-32602"), "{}", answer.line);
        }
    }
}
