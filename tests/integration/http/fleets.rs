//! Several servers and the proxy's own tools, over HTTP: each session has a fleet, and the modern era one for all.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::harness::http::{Legacy, Modern, Site};
use crate::harness::{DEADLINE, Project, Proxy, eventually, example, marked};

const LIST_CHANGED: &str = "notifications/tools/list_changed";
const LOAD: &str = "load_mcp_server_dynamically";

/// The proxy in front of the servers `a` and `b`, whose tool `mark` answers their names.
struct Two {
    site: Site,
    project: Project,
}

impl Two {
    #[track_caller]
    fn start(subcommand: &'static str, options: &[&str]) -> Self {
        let project = Project::new();
        let command = json!(example("fake_server"));
        let mut toml = String::new();
        for name in ["a", "b"] {
            project.write(&format!("{name}.json"), &marked(name));
            let _ = write!(
                toml,
                "[servers.{name}]\ncommand = {command}\nargs = ['{name}.json']\nwatch = ['{name}.json']\n"
            );
        }
        project.write("mcp-proxy.toml", &toml);
        let home = project.path("home");
        let proxy = Proxy::configured(subcommand)
            .options(options.iter().copied())
            .env("HOME", &home)
            .env("XDG_CACHE_HOME", home.join("cache"))
            .within(&project);
        let site = Site::start(proxy);
        Self { site, project }
    }

    #[track_caller]
    fn modern(&self, tool: &str, arguments: &Value) -> Value {
        let answer = Modern::call(&json!(1), tool, arguments).ask(&self.site);
        assert_eq!(answer.status(), 200, "{}", answer.body);
        answer.last().result()["structuredContent"].clone()
    }

    #[track_caller]
    fn names(&self) -> Vec<String> {
        let list = Modern::new(&json!(1), "tools/list", json!({})).ask(&self.site);
        names(&list.last().result())
    }
}

/// The names of the tools `mark` in a list.
fn names(list: &Value) -> Vec<String> {
    let tools = list["tools"].as_array().unwrap().iter();
    let names = tools.map(|tool| tool["name"].as_str().unwrap().to_owned());
    names.filter(|name| name.ends_with("__mark")).collect()
}

fn legacy(client: &Legacy, tool: &str, arguments: &Value) -> Value {
    client.call(tool, arguments).result()["structuredContent"].clone()
}

#[test]
fn a_save_of_one_server_reaches_every_client() {
    let two = Two::start("dev", &["--meta-tools", "none"]);
    let client = Legacy::begin(&two.site);
    let (_, mut stream) = client.stand(None);
    let filter = json!({"notifications": {"toolsListChanged": true}});
    let mut listening = Modern::new(&json!("l"), "subscriptions/listen", filter).open(&two.site);
    listening.head();
    listening.message();
    let both = ["a__mark", "b__mark"];
    eventually(DEADLINE, || two.names() == both);
    let listed = || names(&client.ask("tools/list", &json!({})).result());
    eventually(DEADLINE, || listed() == both);
    let untouched = legacy(&client, "b__mark", &json!({}));
    two.project.save("a.json", &marked("new"));
    while listening.message().method() != Some(LIST_CHANGED) {}
    while stream.message().method() != Some(LIST_CHANGED) {}
    assert_eq!(two.modern("a__mark", &json!({}))["mark"], "new");
    assert_eq!(legacy(&client, "a__mark", &json!({}))["mark"], "new");
    // The other server of the same session is the same process still.
    assert_eq!(legacy(&client, "b__mark", &json!({})), untouched);
}

#[test]
fn servers_loaded_by_a_session_are_its_own() {
    let two = Two::start("serve", &[]);
    let (one, other) = (Legacy::begin(&two.site), Legacy::begin(&two.site));
    let (_, mut stream) = one.stand(None);
    let loaded = legacy(&one, LOAD, &json!({"server_name": "b"}));
    assert_eq!(loaded["success"], true, "{loaded}");
    assert_eq!(stream.message().method(), Some(LIST_CHANGED));
    let listed = |client: &Legacy| names(&client.ask("tools/list", &json!({})).result());
    assert_eq!(listed(&one), ["b__mark"]);
    assert!(listed(&other).is_empty());
    assert!(two.names().is_empty());
    assert_eq!(
        two.modern(LOAD, &json!({"server_name": "a"}))["success"],
        true
    );
    assert_eq!(two.names(), ["a__mark"]);
    assert_eq!(listed(&one), ["b__mark"]);
    let unloaded = legacy(&one, "unload_mcp_server", &json!({"server_name": "b"}));
    assert_eq!(unloaded["success"], true);
    assert!(listed(&one).is_empty());
}

#[test]
fn the_proxys_own_tools_work_in_both_eras() {
    let two = Two::start("dev", &[]);
    let client = Legacy::begin(&two.site);
    two.modern("a__mark", &json!({}));
    legacy(&client, "a__mark", &json!({}));
    for reload in [
        legacy(&client, "reload_mcp_server", &json!({"server_name": "a"})),
        two.modern("reload_mcp_server", &json!({"server_name": "a"})),
    ] {
        assert_eq!(reload["success"], true, "{reload}");
    }
    // Each fleet reloads its own server: both are at their second generation, not the third.
    let reloaded = two.site.log.until("reloaded", 2);
    let generations: Vec<_> = reloaded.iter().map(|it| it["generation"].clone()).collect();
    assert_eq!(generations, [2, 2]);
    let call = json!({"server_name": "b", "tool_name": "mark", "arguments": {}});
    let called = two.modern("call_dynamic_server_tool", &call);
    assert_eq!(called["mark"], "b");
    let called = legacy(&client, "call_dynamic_server_tool", &call);
    assert_eq!(called["mark"], "b");
    // The name in the header is the one that the client sees.
    let unprefixed = Modern::call(&json!(1), "a__mark", &json!({})).with("Mcp-Name", Some("mark"));
    assert_eq!(unprefixed.ask(&two.site).status(), 400);
}
