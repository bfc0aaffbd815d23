//! Requests that go to a server, and requests for things that no server has.

use super::*;
use crate::config::ServerSpec;
use crate::mcp::ListKind::{Prompts, Resources, Templates, Tools};

/// Expected end of a request.
enum To {
    /// The server gets a line with these method and params.
    Server(&'static str, &'static str),
    /// The proxy answers with this result.
    Result(&'static str),
    /// The proxy answers with an error of this code, whose message contains these words.
    Error(i64, &'static str),
    /// The session works on it by itself.
    Proxy,
}
use To::{Error, Proxy, Result, Server};

fn two_servers() -> Stage {
    let stage = Stage::new(&["a", "b"], false, Set::Dev);
    let fleet = &stage.session.fleet;
    fleet.list(
        "a",
        &[
            (Tools, "x"),
            (Tools, "only"),
            (Prompts, "p"),
            (Resources, "file:///a"),
        ],
    );
    fleet.list(
        "b",
        &[(Tools, "x"), (Tools, "y.z"), (Templates, "db://{table}")],
    );
    stage.greet();
    stage.sent_to("a");
    stage.sent_to("b");
    stage
}

/// Receives a request with this method and these params, and checks its end.
async fn check(stage: &Stage, method: &str, params: &str, to: &To) {
    let row = format!("{method} {params}");
    stage.receive(&format!(
        r#"{{"jsonrpc":"2.0","id":"i","method":"{method}","params":{params}}}"#
    ));
    let mut lines = stage.lines();
    if let Error(..) = to {
        // A name that no server lists is refused once the servers have confirmed that their lists are read.
        for _ in 0..1_000 {
            tokio::task::yield_now().await;
            lines.extend(stage.lines());
        }
    }
    let servers = &stage.session.fleet.catalog().servers;
    let mut sent = Vec::new();
    for server in servers {
        let name = server.spec().name.clone();
        sent.extend(
            stage
                .sent_to(&name)
                .into_iter()
                .map(|line| (name.clone(), line)),
        );
    }
    match to {
        Server(server, expected) => {
            let [(name, line)] = &sent[..] else {
                panic!("{row}: {sent:?}, {lines:?}");
            };
            assert_eq!(name, server, "{row}");
            assert_eq!(Members::of(line).get("params"), Some(*expected), "{row}");
            assert!(lines.is_empty(), "{row}: {lines:?}");
        }
        Result(result) => {
            assert_eq!(
                lines,
                [format!(r#"{{"jsonrpc":"2.0","id":"i","result":{result}}}"#)]
            );
            assert!(sent.is_empty(), "{row}: {sent:?}");
        }
        Error(code, words) => {
            let [line] = &lines[..] else {
                panic!("{row}: {lines:?}, {sent:?}");
            };
            let line = Members::of(line);
            assert_eq!(line.get("id"), Some(r#""i""#), "{row}");
            let error = line.object("error");
            assert_eq!(error.get("code"), Some(&*code.to_string()), "{row}");
            let message = error.text("message").unwrap();
            assert!(message.contains(words), "{row}: {message}");
            assert!(sent.is_empty(), "{row}: {sent:?}");
        }
        Proxy => {
            assert!(lines.is_empty() && sent.is_empty(), "{row}: {lines:?}");
            assert!(stage.session.state().running_calls.has(r#""i""#), "{row}");
        }
    }
}

#[tokio::test]
async fn a_call_goes_to_the_server_that_has_the_tool() {
    for (method, params, to) in [
        // The name that clients see, or the only tool of that name.
        (
            "tools/call",
            r#"{"name":"a__x","arguments":{"n":1E400}}"#,
            Server("a", r#"{"name":"x","arguments":{"n":1E400}}"#),
        ),
        (
            "tools/call",
            r#"{"x":1,"name":"b__\u0078","x":2}"#,
            Server("b", r#"{"x":1,"name":"x","x":2}"#),
        ),
        (
            "tools/call",
            r#"{"name":"only"}"#,
            Server("a", r#"{"name":"only"}"#),
        ),
        (
            "tools/call",
            r#"{"name":"x"}"#,
            Error(
                -32602,
                "several servers have a tool `x`: call `a__x` or `b__x`",
            ),
        ),
        (
            "tools/call",
            r#"{"name":"a__onyl"}"#,
            Error(-32602, "did you mean `a__only`?"),
        ),
        (
            "tools/call",
            r#"{"name":"a__p"}"#,
            Error(-32602, "no loaded server has the tool `a__p`"),
        ),
        (
            "tools/call",
            "{}",
            Error(-32602, "no loaded server has the tool"),
        ),
        (
            "tools/call",
            r#"["a__x"]"#,
            Error(-32602, "no loaded server has the tool"),
        ),
        ("tools/call", r#"{"name":"reload_mcp_server"}"#, Proxy),
    ] {
        check(&two_servers(), method, params, &to).await;
    }
}

#[tokio::test]
async fn requests_for_prompts_and_resources_go_to_the_server_that_lists_them() {
    for (method, params, to) in [
        // Prompts.
        (
            "prompts/get",
            r#"{"name":"a__p"}"#,
            Server("a", r#"{"name":"p"}"#),
        ),
        (
            "prompts/get",
            r#"{"name":"p"}"#,
            Error(-32602, "no loaded server has the prompt `p`"),
        ),
        // Resources: URIs are the servers' own.
        (
            "resources/read",
            r#"{"uri":"file:\/\/\/a"}"#,
            Server("a", r#"{"uri":"file:\/\/\/a"}"#),
        ),
        (
            "resources/read",
            r#"{"uri":"db://users"}"#,
            Server("b", r#"{"uri":"db://users"}"#),
        ),
        ("resources/read", r#"{"uri":"file:///other"}"#, Proxy),
        (
            "resources/subscribe",
            r#"{"uri":"file:///a"}"#,
            Server("a", r#"{"uri":"file:///a"}"#),
        ),
        (
            "resources/subscribe",
            r#"{"uri":"file:///other"}"#,
            Result("{}"),
        ),
        (
            "resources/unsubscribe",
            r#"{"uri":"file:///other"}"#,
            Result("{}"),
        ),
        // Completions.
        (
            "completion/complete",
            r#"{"ref":{"type":"ref/prompt","name":"a__p"},"argument":{"value":-0}}"#,
            Server(
                "a",
                r#"{"ref":{"type":"ref/prompt","name":"p"},"argument":{"value":-0}}"#,
            ),
        ),
        (
            "completion/complete",
            r#"{"ref":{"type":"ref/resource","uri":"db://{table}"}}"#,
            Server(
                "b",
                r#"{"ref":{"type":"ref/resource","uri":"db://{table}"}}"#,
            ),
        ),
        (
            "completion/complete",
            r#"{"ref":{"name":"q"}}"#,
            Error(-32602, "no loaded server can complete `q`"),
        ),
    ] {
        check(&two_servers(), method, params, &to).await;
    }
}

#[tokio::test]
async fn other_requests_go_to_the_server_that_they_name_or_are_answered() {
    for (method, params, to) in [
        // Settings of the session.
        ("logging/setLevel", r#"{"level":"info"}"#, Result("{}")),
        // Tasks: the id names the server.
        (
            "tasks/get",
            r#"{"taskId":"7~b"}"#,
            Server("b", r#"{"taskId":"7"}"#),
        ),
        (
            "tasks/cancel",
            r#"{"taskId":"\ud83d"}"#,
            Error(-32602, "no loaded server has the task"),
        ),
        (
            "tasks/get",
            r#"{"taskId":"7"}"#,
            Error(-32602, "no loaded server has the task `7`"),
        ),
        (
            "tasks/get",
            r#"{"taskId":"7~c"}"#,
            Error(-32602, "no loaded server has the task `7~c`"),
        ),
        ("tasks/list", "{}", Proxy),
        // Methods that the proxy does not know.
        (
            "vendor/x",
            r#"{"name":"b__x"}"#,
            Server("b", r#"{"name":"x"}"#),
        ),
        (
            "vendor/x",
            r#"{"uri":"file:///a"}"#,
            Server("a", r#"{"uri":"file:///a"}"#),
        ),
        ("vendor/x", r#"{"name":"c"}"#, Error(-32601, "`vendor/x`")),
        // Lists have one page.
        ("tools/list", r#"{"cursor":"2"}"#, Error(-32602, "one page")),
        (
            "prompts/list",
            r#"{"cursor":null}"#,
            Result(r#"{"prompts":[{"name":"a__p"}]}"#),
        ),
        (
            "resources/list",
            "{}",
            Result(r#"{"resources":[{"name":"file:///a"}]}"#),
        ),
        (
            "resources/templates/list",
            "{}",
            Result(r#"{"resourceTemplates":[{"name":"db://{table}"}]}"#),
        ),
    ] {
        check(&two_servers(), method, params, &to).await;
    }
}

#[tokio::test]
async fn an_altered_name_leads_back_to_the_servers_own() {
    let stage = two_servers();
    let catalog = stage.session.fleet.catalog();
    let name = catalog.names_of_own("y.z")[0];
    assert_ne!(name, "b__y.z");
    let params = format!(r#"{{"name":"{name}"}}"#);
    check(
        &stage,
        "tools/call",
        &params,
        &Server("b", r#"{"name":"y.z"}"#),
    )
    .await;
}

#[tokio::test]
async fn a_single_server_gets_every_request_unchanged() {
    for (method, params) in [
        (
            "tools/call",
            r#"{"name":"new","arguments":{"n":1E400,"n":-0}}"#,
        ),
        ("tools/call", r#"{"name":"search_tools"}"#),
        ("tools/call", "[1]"),
        ("prompts/get", r#"{"name":"q"}"#),
        ("resources/read", r#"{"uri":"\ud83d"}"#),
        ("resources/subscribe", r#"{"uri":"file:///b"}"#),
        ("completion/complete", "{}"),
        ("logging/setLevel", r#"{"level":"info"}"#),
        ("tasks/get", r#"{"taskId":"7~b"}"#),
        ("tasks/list", "{}"),
        ("vendor/x", r#"[ 1, "a" ]"#),
    ] {
        let stage = Stage::new(&["a"], true, Set::Dev);
        stage.greet();
        stage.sent_to("a");
        check(&stage, method, params, &Server("a", params)).await;
    }
    let stage = Stage::new(&["a"], true, Set::Dev);
    stage.greet();
    stage.sent_to("a");
    check(
        &stage,
        "tools/call",
        r#"{"name":"get_loaded_servers"}"#,
        &Proxy,
    )
    .await;
}

#[tokio::test]
async fn a_filtered_server_gets_no_request_that_it_may_read_as_another_call() {
    for (params, to) in [
        (r#"{"name":"read"}"#, Server("a", r#"{"name":"read"}"#)),
        (
            r#"{"name":"del"}"#,
            Error(-32602, "excluded by `tools` of `a`"),
        ),
        (
            r#"{"name":"d\u0065l"}"#,
            Error(-32602, "excluded by `tools` of `a`"),
        ),
        (
            r#"{"name":"read","Name":"del"}"#,
            Error(-32602, "has both `name` and `Name`"),
        ),
        (
            r#"{"name":"del","name":"read"}"#,
            Error(-32602, "has a duplicate `name`"),
        ),
        (
            r#"{"name":["del"]}"#,
            Error(-32602, "no string `params.name`"),
        ),
        ("{}", Error(-32602, "no string `params.name`")),
    ] {
        let stage = Stage::new(&["a"], true, Set::None);
        let server = stage.session.fleet.one("a");
        let mut spec = ServerSpec::clone(&server.spec());
        spec.tools.deny = vec!["del".into()];
        server.redefine(Arc::new(spec), Vec::new());
        stage.greet();
        stage.sent_to("a");
        check(&stage, "tools/call", params, &to).await;
    }
}

#[tokio::test]
async fn settings_of_the_session_are_no_methods_of_the_modern_era() {
    for method in ["logging/setLevel", "resources/subscribe"] {
        let stage = two_servers();
        let params = format!(r#"{{"_meta":{{{MODERN}}}}}"#);
        check(&stage, method, &params, &Error(-32601, method)).await;
    }
}

#[tokio::test]
async fn subscriptions_reach_their_servers() {
    let stage = two_servers();
    let wanted = |server: &str| {
        let mut uris = Vec::new();
        stage.session.fleet.one(server).change_settings(|wanted| {
            uris.extend(
                wanted
                    .subscribed
                    .iter()
                    .map(|uri| format!("subscribed {uri}")),
            );
            uris.extend(wanted.followed.iter().map(|uri| format!("followed {uri}")));
        });
        uris
    };
    for uri in ["file:///a", "file:///nobodys"] {
        stage.receive(&format!(
            r#"{{"id":1,"method":"resources/subscribe","params":{{"uri":"{uri}"}}}}"#
        ));
    }
    assert_eq!(
        wanted("a"),
        ["subscribed file:///a", "followed file:///nobodys"]
    );
    assert_eq!(wanted("b"), ["followed file:///nobodys"]);
    for uri in ["file:///a", "file:///nobodys"] {
        stage.receive(&format!(
            r#"{{"id":1,"method":"resources/unsubscribe","params":{{"uri":"{uri}"}}}}"#
        ));
    }
    assert_eq!(wanted("a"), [""; 0]);
    assert_eq!(wanted("b"), [""; 0]);
}
