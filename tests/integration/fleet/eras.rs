//! Clients of both eras in front of servers of both: the joined handshake, and calls.

use serde_json::{Value, json};

use super::servers::section;
use super::{Fleet, Servers};
use crate::harness::{initialize_params, modern_meta};

fn pair() -> Servers {
    let old = json!({"mark": "old", "eras": ["legacy"], "instructions": "Use the old one.",
        "capabilities": {"tools": {}, "prompts": {}, "resources": {}, "tasks": {"list": {}}, "extensions": {"vendor/e": {"old": true}}, "experimental": {"x": {"a": 1}}},
        "prompts": [{"name": "p"}], "resources": [{"uri": "own://old", "name": "n"}]});
    let new = json!({"mark": "new", "eras": ["modern"], "instructions": "Use the new one.",
        "capabilities": {"tools": {"listChanged": true}, "prompts": {}, "resources": {}, "extensions": {"vendor/e": {"new": true}, "io.modelcontextprotocol/tasks": {}}, "experimental": {"x": {"b": 1E5}}},
        "prompts": [{"name": "p"}], "resources": [{"uri": "own://new", "name": "n"}]});
    Servers::new()
        .with("old", &old)
        .with("new", &new)
        .with("quiet", &json!({}))
}

const INSTRUCTIONS: &str = "## old\n\nUse the old one.\n\n## new\n\nUse the new one.";

fn always() -> Value {
    json!({"tools": {"listChanged": true}, "prompts": {"listChanged": true},
        "resources": {"subscribe": true, "listChanged": true}, "logging": {}, "completions": {},
        "extensions": {"vendor/e": {"old": true, "new": true}},
        "experimental": {"x": {"a": 1, "b": 1E5}}})
}

#[test]
fn a_legacy_client_is_introduced_to_all_servers_at_once() {
    let fleet = pair().dev();
    let result = fleet.peer.initialize(&initialize_params()).result();
    assert_eq!(result["protocolVersion"], "2025-11-25");
    assert_eq!(result["serverInfo"]["name"], "mcp-proxy");
    assert_eq!(result["instructions"], INSTRUCTIONS);
    let mut expected = always();
    expected["tasks"] = json!({"list": {}});
    assert_eq!(result["capabilities"], expected);
}

#[test]
fn a_modern_client_is_introduced_to_all_servers_at_once() {
    let fleet = pair().dev();
    let result = fleet.peer.modern("server/discover", json!({})).result();
    assert_eq!(result["supportedVersions"], json!(["2026-07-28"]));
    assert_eq!(
        result["_meta"]["io.modelcontextprotocol/serverInfo"]["name"],
        "mcp-proxy"
    );
    assert_eq!(
        (&result["instructions"], &result["ttlMs"]),
        (&json!(INSTRUCTIONS), &json!(0))
    );
    let mut expected = always();
    expected["extensions"]["io.modelcontextprotocol/tasks"] = json!({});
    assert_eq!(result["capabilities"], expected);
}

/// A result in the form of its reader's era.
#[track_caller]
fn ask(fleet: &Fleet, modern: bool, method: &str, mut params: Value) -> Value {
    if modern {
        params["_meta"] = modern_meta();
    }
    let result = fleet.peer.ask(method, &params).result();
    let complete = result["resultType"] == "complete";
    assert_eq!(complete, modern, "{method}: {result}");
    result
}

#[track_caller]
fn all_pass(fleet: &Fleet, modern: bool) {
    let lists = |method, member: &str, key: &str| -> Vec<String> {
        let result = ask(fleet, modern, method, json!({}));
        assert_eq!(result.get("ttlMs").is_some(), modern);
        let entries = result[member].as_array().unwrap().iter();
        entries
            .map(|entry| entry[key].as_str().unwrap().to_owned())
            .collect()
    };
    let tools = lists("tools/list", "tools", "name");
    let marks: Vec<&String> = tools
        .iter()
        .filter(|name| name.ends_with("__mark"))
        .collect();
    assert_eq!(marks, ["old__mark", "new__mark", "quiet__mark"]);
    assert_eq!(
        lists("prompts/list", "prompts", "name"),
        ["old__p", "new__p"]
    );
    assert_eq!(
        lists("resources/list", "resources", "uri"),
        ["own://old", "own://new"]
    );
    for server in ["old", "new"] {
        let call = json!({"name": format!("{server}__mark"), "arguments": {}});
        let result = ask(fleet, modern, "tools/call", call);
        assert_eq!(result["structuredContent"]["mark"], server);
        let result = ask(
            fleet,
            modern,
            "prompts/get",
            json!({"name": format!("{server}__p")}),
        );
        assert_eq!(result["messages"][0]["content"]["text"], server);
        let result = ask(
            fleet,
            modern,
            "resources/read",
            json!({"uri": format!("own://{server}")}),
        );
        assert_eq!(result["contents"][0]["text"], server);
    }
    let nobody = json!({"uri": "nobody://x", "_meta": modern_meta()});
    let nobody = if modern {
        nobody
    } else {
        json!({"uri": "nobody://x"})
    };
    let code = if modern { -32602 } else { -32002 };
    assert_eq!(
        fleet.peer.ask("resources/read", &nobody).error()["code"],
        code
    );
}

#[test]
fn a_legacy_client_uses_servers_of_both_eras() {
    let fleet = pair().legacy();
    all_pass(&fleet, false);
    fleet.reload("new", "v2");
    assert_eq!(fleet.mark("new").0, "v2");
}

#[test]
fn a_modern_client_uses_servers_of_both_eras() {
    let fleet = pair().dev();
    all_pass(&fleet, true);
}

/// Claude Code introduces itself in the legacy way after it has discovered: both go on beside each other.
#[test]
fn both_eras_interleave_on_one_pipe() {
    let fleet = pair().dev();
    all_pass(&fleet, true);
    fleet.peer.initialize(&initialize_params()).result();
    all_pass(&fleet, false);
    all_pass(&fleet, true);
}

/// The era that a client would have agreed upon with each server itself.
#[test]
fn each_server_is_spoken_to_in_the_clients_era_if_it_can() {
    assert_eq!(eras(&pair().legacy()), ["legacy", "modern", "legacy"]);
    let fleet = pair().dev();
    fleet.peer.modern("server/discover", json!({})).result();
    assert_eq!(eras(&fleet), ["legacy", "modern", "modern"]);
}

/// The eras in which the three servers started.
#[track_caller]
fn eras(fleet: &Fleet) -> Vec<Value> {
    let names = ["old", "new", "quiet"];
    for name in names {
        fleet.until("ready", name, 1);
    }
    let events = fleet.log.events("ready");
    let of = |name: &str| events.iter().find(|it| it["server"] == name).unwrap()["era"].clone();
    names.map(of).to_vec()
}

#[test]
fn the_configuration_sets_the_era_of_each_server() {
    let chosen = || {
        Servers::new()
            .set("old", &json!({}), "era = 'legacy'")
            .set("new", &json!({}), "era = 'modern'")
            .with("quiet", &json!({}))
    };
    let discovered = |servers: Servers| {
        let fleet = servers.dev();
        fleet.peer.modern("server/discover", json!({})).result();
        eras(&fleet)
    };
    assert_eq!(discovered(chosen()), ["legacy", "modern", "modern"]);
    let forced = |era| discovered(chosen().option("--era").option(era));
    assert_eq!(forced("legacy"), ["legacy"; 3]);
    assert_eq!(forced("auto"), ["modern"; 3]);

    // A change of it restarts the server.
    let fleet = chosen().legacy();
    assert_eq!(eras(&fleet), ["legacy", "modern", "legacy"]);
    let sections = [
        ("old", "era = 'modern'"),
        ("new", "era = 'modern'"),
        ("quiet", ""),
    ];
    let text: Vec<_> = sections
        .map(|(name, settings)| section(name, settings))
        .into();
    fleet.project.save("mcp-proxy.toml", &text.join("\n"));
    fleet.until("reloaded", "old", 1);
    assert!(fleet.state("old")["initialize"].is_null());
}
