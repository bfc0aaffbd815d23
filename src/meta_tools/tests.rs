use serde_json::from_str;

use super::*;
use crate::event::ContractChange;
use crate::mcp::ListKind;

fn caller(era: Era) -> Caller {
    Caller::new(era, ConsentChannel::Impossible, None)
}

/// Returns a fleet with two loaded servers and one that is not.
fn fleet() -> Fleet {
    let fleet = Fleet::configured(&["a", "b", "c"], false, None);
    fleet.add_unstarted("a");
    fleet.add_unstarted("b");
    fleet.list("a", &[(ListKind::Tools, "find_city")]);
    fleet.list("b", &[(ListKind::Tools, "send_mail")]);
    for server in ["a", "b"] {
        // Otherwise the start of the server would be awaited.
        fleet.one(server).close_gate();
    }
    fleet
}

#[test]
fn a_result_says_the_same_to_a_program_and_to_a_model() {
    for (outcome, content) in [
        (
            Ok(r#"{"tool":{"n":1E400,"s":"\ud83d\n"},"x":-0}"#.to_owned()),
            r#"{"success":true,"tool":{"n":1E400,"s":"\ud83d\n"},"x":-0}"#,
        ),
        (
            Ok(r#"{"nested":{"a":{}}}"#.to_owned()),
            r#"{"success":true,"nested":{"a":{}}}"#,
        ),
        (
            Err(json!({ "error": "a \"b\"", "suggestion": "c" })),
            r#"{"success":false,"error":"a \"b\"","suggestion":"c"}"#,
        ),
    ] {
        let failed = outcome.is_err();
        let raw = result(outcome, Era::Legacy);
        let result = Members::of(&raw);
        assert_eq!(result.get("structuredContent"), Some(content));
        let block = format!(r#"[{{"type":"text","text":{}}}]"#, quoted(content));
        assert_eq!(result.get("content"), Some(&*block));
        assert_eq!(result.get("isError"), Some(&*failed.to_string()));
    }
}

#[test]
fn a_result_has_the_form_of_its_era() {
    for (era, kind) in [(Era::Legacy, None), (Era::Modern, Some(r#""complete""#))] {
        for outcome in [Ok(r#"{"a":1}"#.to_owned()), Err(json!({ "error": "a" }))] {
            let raw = result(outcome, era);
            assert_eq!(Members::of(&raw).get("resultType"), kind, "{raw}");
        }
    }
}

#[test]
fn differences_are_named() {
    let diff = ToolDiff {
        added: vec!["a".into()],
        removed: vec!["b".into()],
        changed: vec![("c".into(), vec!["description".into()])],
        contract: vec![ContractChange {
            kind: "tool",
            name: "c".into(),
            is_breaking: true,
            text: "`x` is required".into(),
        }],
        left_out: vec!["c".into()],
    };
    assert_eq!(
        diff_value(&diff),
        json!({
            "added": ["a"], "removed": ["b"],
            "changed": [{ "name": "c", "changed": ["description"] }],
            "contract": [{ "class": "breaking", "kind": "tool", "name": "c", "text": "`x` is required" }],
            "left_out": ["c"],
        })
    );
}

#[tokio::test]
async fn results_have_the_members_of_their_definitions() {
    let (fleet, offer) = (fleet(), OfferedMetaTools::new(Set::All, true, None, false));
    for (name, arguments) in [
        (LOADED, "{}"),
        (AVAILABLE, "{}"),
        (INSTALLED, "{}"),
        (ALL_TOOLS, "{}"),
        (SEARCH, r#"{"query":"find a city"}"#),
        (INFO, r#"{"tool_name":"a__find_city"}"#),
    ] {
        let raw = run(&offer, name, arguments, &fleet, &caller(Era::Legacy)).await;
        let result: Value = from_str(&raw).unwrap();
        assert_eq!(result["isError"], false, "{raw}");
        let entry = offer.entries().iter().find(|it| it.name == name).unwrap();
        let definition: Value = from_str(&entry.raw).unwrap();
        let members = definition["outputSchema"]["properties"].as_object();
        for (member, schema) in members.unwrap().iter().filter(|(name, _)| *name != "error") {
            let value = &result["structuredContent"][member];
            let kind = match value {
                Value::Bool(_) => "boolean",
                Value::Number(_) => "integer",
                Value::String(_) => "string",
                Value::Array(_) => "array",
                Value::Object(_) => "object",
                Value::Null => "null",
            };
            assert_eq!(schema["type"], kind, "{name}: {member}");
        }
    }
}

#[tokio::test]
async fn servers_are_shown_in_the_order_of_the_configuration() {
    let (fleet, offer) = (fleet(), OfferedMetaTools::new(Set::All, true, None, false));
    let raw = run(&offer, AVAILABLE, "{}", &fleet, &caller(Era::Legacy)).await;
    let result: Value = from_str(&raw).unwrap();
    let content = &result["structuredContent"];
    assert_eq!(content["servers"], json!(["a", "b", "c"]));
    assert_eq!(content["details"][1]["tools"], json!(["send_mail"]));
    assert_eq!(content["details"][2]["status"], "not loaded");
    let raw = run(&offer, LOADED, "{}", &fleet, &caller(Era::Legacy)).await;
    let result: Value = from_str(&raw).unwrap();
    assert_eq!(result["structuredContent"]["count"], 2);
}

#[tokio::test]
async fn failures_say_what_to_do_next() {
    let fleet = fleet();
    let dev = OfferedMetaTools::new(Set::Dev, true, None, false);
    let all = OfferedMetaTools::new(Set::All, true, None, false);
    let with = Some(ConfigContext::default());
    let open = OfferedMetaTools::new(Set::All, true, with, true);
    for (offer, name, arguments, error) in [
        (&dev, SEARCH, "{}", "`search_tools` is not a meta-tool"),
        (&all, INSTALL, "{}", "is not a meta-tool"),
        (&all, "weather", "{}", "`weather` is not a meta-tool"),
        (&all, SEARCH, "{}", "`query` is missing"),
        (
            &all,
            SEARCH,
            r#"{"query":"a","max_results":0}"#,
            "must be an integer of at least 1",
        ),
        (&all, RELOAD, "{}", "the servers are: a, b, c"),
        (
            &all,
            UNLOAD,
            r#"{"server_name":"c"}"#,
            "Server 'c' not loaded",
        ),
        (&all, INFO, r#"{"tool_name":"send_mial"}"#, "did you mean"),
        (
            &all,
            INFO,
            r#"{"tool_name":"x","server_name":"c"}"#,
            "Tool 'x' of server 'c' is unknown",
        ),
        (
            &all,
            LOAD,
            r#"{"server_name":"d","verbose":1}"#,
            "nothing was done",
        ),
        (&open, INSTALL, r#"{"git_url":"a/b"}"#, "--token-file"),
        (&open, UNINSTALL, r#"{"server_name":"a"}"#, "--token-file"),
    ] {
        for era in [Era::Legacy, Era::Modern] {
            let raw = run(offer, name, arguments, &fleet, &caller(era)).await;
            let result: Value = from_str(&raw).unwrap();
            assert_eq!(result["isError"], true, "{name}: {raw}");
            assert_eq!(result["structuredContent"]["success"], false, "{raw}");
            let content = result["structuredContent"].to_string();
            assert!(content.contains(error), "{name}: {content}");
        }
    }
}

#[test]
fn a_model_is_offered_only_the_tools_of_the_set() {
    for (set, name, expected) in [
        (Set::None, CALL, false),
        (Set::Dev, CALL, true),
        (Set::Dev, SEARCH, false),
        (Set::All, SEARCH, true),
        (Set::All, "Search_Tools", false),
        (Set::All, "", false),
    ] {
        let offer = OfferedMetaTools::new(set, true, None, false);
        assert_eq!(offer.has(name), expected, "{name}");
    }
}
