//! The names under which a client sees the tools of several servers.

use serde_json::{Value, json};

use super::{Fleet, LIST_CHANGED, Servers};
use crate::harness::initialize_params;

/// Definitions that a typed model would damage; `@NAME@` is the name's value. White space around members and
/// line breaks are the fixture's to keep.
const ENTRIES: [&str; 8] = [
    r#"{"name":@NAME@}"#,
    r#"{"title":"t","name":@NAME@,"inputSchema":{"type":"object","properties":{"name":{"const":1e400}},"$schema":"https:\/\/json-schema.org"}}"#,
    r#"{"annotations":{"name":"inner","priority":1.0},"name":@NAME@,"execution":{"taskSupport":"optional","foo":1}}"#,
    r#"{"name":@NAME@,"foo":"\ud83d","foo":-0,"big":1180591620717411303424}"#,
    r#"{"description":"\"name\":\"x\"","name":@NAME@,"_meta":{"ui":{"resourceUri":"ui:\/\/a"},"name":null}}"#,
    r#"{"\u0066oo":1E5,"name":@NAME@,"list":[{"name":"x"}],"text":"\u00e9\u0000é😀"}"#,
    r#"{"name":@NAME@,"outputSchema":{"type":"object"},"icons":[{"src":"a","theme":"dark"}],"title":"@NAME"}"#,
    r#"{"name":@NAME@,"vendor":null,"list":[],"object":{},"no":false}"#,
];

/// A server whose `tools/list` is this text.
fn listing(entries: &[String]) -> Value {
    let list = format!(r#"{{"tools":[{}]}}"#, entries.join(","));
    json!({"raw": {"tools/list": list}})
}

fn named(prefix: &str) -> Vec<String> {
    let entries = ENTRIES.iter().enumerate();
    let named = entries
        .map(|(number, entry)| entry.replace("@NAME@", &format!(r#""{prefix}tool_{number}""#)));
    named.collect()
}

#[test]
fn only_the_names_differ_and_the_order_is_that_of_the_configuration() {
    let slow = json!({"start_delay_ms": 300});
    let mut first = listing(&named(""));
    first["start_delay_ms"] = slow["start_delay_ms"].clone();
    let fleet = Servers::new()
        .with("zebra", &first)
        .with("ape", &listing(&named("")))
        .set("bare", &listing(&named("bare_")), "prefix = ''")
        .set("cow", &listing(&named("")), "prefix = 'bull'")
        .legacy();
    let expected: Vec<String> = ["zebra__", "ape__", "bare_", "bull__"]
        .into_iter()
        .flat_map(named)
        .collect();
    let tools = fleet.peer.ask("tools/list", &json!({}));
    let expected = format!(r#"{{"tools":[{}]}}"#, expected.join(","));
    assert_eq!(tools.result_text(), expected);
}

#[test]
fn a_call_reaches_the_server_of_its_name() {
    let fleet = Servers::new()
        .with("a", &json!({"mark": "a"}))
        .set("b", &json!({"mark": "b"}), "prefix = ''")
        .set("c", &json!({"mark": "c"}), "prefix = 'x'")
        .legacy();
    for (tool, mark) in [("a__mark", "a"), ("mark", "b"), ("x__mark", "c")] {
        let answer = fleet.call(tool, &json!({})).result();
        assert_eq!(answer["structuredContent"]["mark"], mark);
    }
    // Names of servers that go by others, or have none at all.
    for tool in ["b__mark", "c__mark", "a__a__mark", "__mark", ""] {
        let error = fleet.call(tool, &json!({})).error();
        assert_eq!(error["code"], -32602, "{tool}: {error}");
    }
    let error = fleet.call("a__mrak", &json!({})).error().to_string();
    assert!(error.contains("a__mark"), "{error}");
}

/// A name that a client would refuse or cut is made to fit, and still leads to its tool.
#[test]
fn long_and_odd_names_fit_and_lead_to_their_tools() {
    let long = "a_name_that_is_much_longer_than_any_client_would_take_it";
    let odd = ["get.time", "get time", "get_time", "時計", "get/time"];
    let names = [long, &format!("{long}2")]
        .into_iter()
        .chain(odd)
        .map(ToOwned::to_owned)
        .collect::<Vec<_>>();
    let tools: Vec<Value> = names
        .iter()
        .map(|name| json!({"name": name, "x-reply": format!("reply of {name}")}))
        .collect();
    let script = json!({ "tools": tools });
    for (max_name, settings) in [(48, ""), (20, "[proxy]\nmax_name = 20")] {
        let fleet = Servers::new()
            .text(settings)
            .with("clock", &script)
            .with("other", &json!({}))
            .legacy();
        let listed = fleet.names("tools/list");
        let listed: Vec<&String> = listed
            .iter()
            .filter(|name| name.starts_with("clock"))
            .collect();
        let scripted = &listed[listed.len() - names.len()..];
        let allowed = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        for (public, own) in scripted.iter().zip(&names) {
            assert!(
                public.len() <= max_name && public.chars().all(allowed),
                "{public}"
            );
            let answer = fleet.call(public, &json!({}));
            assert_eq!(answer.tool_text(), format!("reply of {own}"));
        }
    }
}

fn taken(fleet: &Fleet) -> Vec<Value> {
    let events = fleet.log.events("name_taken").into_iter();
    let parts = events.map(|it| json!([it["kind"], it["name"], it["server"], it["holder"]]));
    parts.collect()
}

#[test]
fn a_uri_that_two_servers_have_is_told() {
    let script = |own: &str| {
        json!({"resources": [{"uri": format!("own://{own}"), "name": own}, {"uri": "both://x", "name": "x"}, {"uri": "both://y", "name": "y"}],
            "raw": {"resources/templates/list": r#"{"resourceTemplates":[{"uriTemplate":"both://{id}","name":"t"}]}"#}})
    };
    let fleet = Servers::new()
        .with("a", &script("a"))
        .with("b", &script("b"))
        .legacy();
    fleet.log.until("name_taken", 2);
    let mut told = taken(&fleet);
    told.sort_by_key(Value::to_string);
    let resource = json!(["resource", "both://x", "b", "a"]);
    let template = json!(["resource template", "both://{id}", "b", "a"]);
    assert_eq!(told, [template, resource]);
}

#[test]
fn a_name_that_two_servers_want_stays_with_the_first() {
    let one = json!({"raw": {"tools/list": r#"{"tools":[{"name":"b__c"},{"name":"only"}]}"#},
        "tools": [{"name": "b__c", "x-reply": "first"}], "prompts": [{"name": "p"}]});
    let other = json!({"raw": {"tools/list": r#"{"tools":[{"name":"c"},{"name":"d"}]}"#},
        "tools": [{"name": "c", "x-reply": "second"}, {"name": "d", "x-reply": "d"}]});
    let third = json!({"raw": {"tools/list": r#"{"tools":[]}"#}, "prompts": [{"name": "p"}]});
    let fleet = Servers::new()
        .with("a", &one)
        .with("a__b", &other)
        .set("third", &third, "prefix = 'a'")
        .legacy();
    let names = fleet.names("tools/list");
    assert_eq!(names, ["a__b__c", "a__only", "a__b__d"]);
    assert_eq!(fleet.call("a__b__c", &json!({})).tool_text(), "first");
    assert_eq!(fleet.call("a__b__d", &json!({})).tool_text(), "d");
    let tool = json!(["tool", "a__b__c", "a__b", "a"]);
    let prompt = json!(["prompt", "a__p", "third", "a"]);
    fleet.log.until("name_taken", 2);
    assert!(taken(&fleet).contains(&tool) && taken(&fleet).contains(&prompt));

    // It is told once, and the name is free when the first has no use for it any more.
    fleet.reload("third", "v2");
    let again = taken(&fleet).into_iter().filter(|it| *it == tool).count();
    assert_eq!(again, 1, "{}", fleet.log.text());
    let told = fleet.told();
    fleet.save("a", &json!({"raw": {"tools/list": r#"{"tools":[]}"#}}));
    fleet.told_again(told);
    assert_eq!(fleet.call("a__b__c", &json!({})).tool_text(), "second");
}

#[test]
fn two_sessions_see_the_same() {
    let servers = |slow: &str| {
        let delay = |name: &str| if name == slow { 200 } else { 0 };
        let mut servers = Servers::new();
        for name in ["a", "b", "c"] {
            let script = json!({"start_delay_ms": delay(name), "tools": [{"name": "x.y"}]});
            servers = servers.set(name, &script, "prefix = 'same'");
        }
        servers.legacy()
    };
    let lists = ["a", "c"].map(|slow| {
        let fleet = servers(slow);
        let list = fleet.peer.ask("tools/list", &json!({}));
        list.result_text().to_owned()
    });
    assert_eq!(lists[0], lists[1]);
}

/// A tool that is added at run time comes under its server's name, in its server's place.
#[test]
fn a_tool_born_at_run_time_has_its_servers_name() {
    let fleet = Servers::marked(["a", "b"]).legacy();
    let added = json!({"tools": [{"name": "new"}]});
    fleet.call("a__set_tools", &added).result();
    fleet.peer.expect_notification(LIST_CHANGED);
    let names = fleet.names("tools/list");
    let place = |name: &str| names.iter().position(|it| it == name);
    assert!(place("a__new") < place("b__echo"), "{names:?}");
    assert_eq!(fleet.call("a__new", &json!({})).tool_text(), "a");
    fleet.peer.initialize(&initialize_params()).result();
}

#[test]
fn a_bare_name_is_the_tool_of_the_one_server_that_has_it() {
    let tool = |names: &[&str]| {
        let tools: Vec<Value> = names
            .iter()
            .map(|name| json!({"name": name, "inputSchema": {"type": "object"}}))
            .collect();
        json!({"tools": tools})
    };
    let fleet = Servers::new()
        .with("a", &tool(&["forecast", "both"]))
        .with("b", &tool(&["tides", "both", "dotted.name"]))
        .legacy();
    for name in ["forecast", "tides", "dotted.name"] {
        let answer = fleet.call(name, &json!({})).line;
        assert!(!answer.contains("no loaded server"), "{answer}");
    }
    let message = |name: &str| {
        fleet.call(name, &json!({})).error()["message"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    let both = message("both");
    assert!(
        both.contains("several servers have a tool `both`: call `a__both` or `b__both`"),
        "{both}"
    );
    for (wrong, right) in [("forcast", "a__forecast"), ("tide", "b__tides")] {
        let error = message(wrong);
        assert!(
            error.contains(&format!("did you mean `{right}`?")),
            "{error}"
        );
    }
}
