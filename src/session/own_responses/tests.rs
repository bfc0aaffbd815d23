use serde_json::Value;

use super::*;
use crate::meta_tools::Set;
use crate::session::tests::{MODERN, Stage};

/// Returns the answer to `tools/list` of a client of `era`, if its only server has answered with `page`.
fn listed(page: Result<&str, &str>, set: Set, era: Era) -> String {
    let stage = Stage::new(&["a"], true, set);
    let lists = ListKind::ALL.map(|kind| match page {
        Ok(page) if kind == ListKind::Tools => {
            let mut list = List::default();
            list.add_page(kind, page).unwrap();
            Ok(list)
        }
        Ok(_) => Ok(List::default()),
        Err(error) => Err(error.to_owned()),
    });
    stage.session.fleet.one("a").show(lists);
    let meta = match era {
        Era::Legacy => {
            stage.greet();
            ""
        }
        Era::Modern => MODERN,
    };
    stage.receive(&format!(
        r#"{{"id":1,"method":"tools/list","params":{{"_meta":{{{meta}}}}}}}"#
    ));
    let lines = stage.lines();
    let [answer] = &lines[..] else {
        panic!("one answer");
    };
    let answer = Members::of(answer);
    let answered = answer.get("result").or(answer.get("error"));
    answered.unwrap().to_owned()
}

#[tokio::test]
async fn a_servers_list_is_given_in_the_form_of_the_clients_era() {
    for (page, era, expected) in [
        (
            r#"{ "tools":[{"name":"a","x":1E400}], "x":-0}"#,
            Era::Legacy,
            r#"{ "tools":[{"name":"a","x":1E400}], "x":-0}"#,
        ),
        (
            r#"{"tools":[{"name":"a","x":1E400}],"x":-0}"#,
            Era::Modern,
            r#"{"tools":[{"name":"a","x":1E400}],"x":-0,"resultType":"complete","ttlMs":0,"cacheScope":"private"}"#,
        ),
        (
            r#"{"resultType":"complete", "tools":[],"ttlMs":5,"cacheScope":"public"}"#,
            Era::Modern,
            r#"{"resultType":"complete", "tools":[],"ttlMs":5,"cacheScope":"public"}"#,
        ),
        (
            r#"{"resultType":"complete","tools":[{"name":"a" },{"name":"b","outputSchema":{"type":"array"},"x":1E400}],"ttlMs":5,"cacheScope":"public","x":-0}"#,
            Era::Legacy,
            r#"{"tools":[{"name":"a" },{"name":"b","x":1E400}],"x":-0}"#,
        ),
    ] {
        assert_eq!(listed(Ok(page), Set::None, era), expected, "{page}");
    }
}

#[tokio::test]
async fn the_proxys_tools_follow_those_of_the_server() {
    for (page, expected) in [
        (r#"{"tools":[{"name":"a"}]}"#, &["a"][..]),
        // The proxy's tool is the one that is called.
        (
            r#"{"tools":[{"name":"get_tool_info"},{"name":"b"}]}"#,
            &["b"],
        ),
        (r#"{"tools":[]}"#, &[]),
    ] {
        let list: Value = serde_json::from_str(&listed(Ok(page), Set::Dev, Era::Legacy)).unwrap();
        let tools = list["tools"].as_array().unwrap().iter();
        let names: Vec<&str> = tools.map(|it| it["name"].as_str().unwrap()).collect();
        let own = [
            "reload_mcp_server",
            "get_loaded_servers",
            "get_tool_info",
            "call_dynamic_server_tool",
        ];
        assert_eq!(names, [expected, &own].concat(), "{page}");
    }
}

#[tokio::test]
async fn a_servers_error_is_given_unless_the_proxy_has_tools_to_list() {
    let error = r#"{"code":-32603,"message":"n\u0065in","data":1E400}"#;
    for era in [Era::Legacy, Era::Modern] {
        assert_eq!(listed(Err(error), Set::None, era), error);
        let list = listed(Err(error), Set::Dev, era);
        let tools = Members::of(&list)
            .get("tools")
            .and_then(elements)
            .map(|it| it.len());
        assert_eq!(tools, Some(4), "{list}");
    }
}

#[test]
fn only_the_tools_of_a_list_become_legacy_ones() {
    for (result, expected) in [
        (r#"{"prompts":[{"outputSchema":1}] }"#, None),
        (r#"{"tools":[{"name":"a"}] }"#, None),
        (r#"{"tools":{"outputSchema":1} }"#, None),
        (r#"{"tools":[] }"#, None),
        (
            r#"{"tools":[{"name":"a","outputSchema":{}} , {"x":1E400}],"x":-0 }"#,
            Some(r#"{"tools":[{"name":"a"},{"x":1E400}],"x":-0}"#),
        ),
    ] {
        let given = legacy_tools(result.to_owned());
        assert_eq!(given, expected.unwrap_or(result), "{result}");
    }
}
