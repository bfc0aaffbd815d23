//! Clients that accept only one kind of answer, and those that ask at another path.

use serde_json::{Value, json};

use super::Stage;
use crate::harness::http::{Answer, Connection, Legacy, Modern, request};

const TYPE: (&str, &str) = ("Content-Type", "application/json");

/// A server with a tool that says something before it answers.
fn stage() -> Stage {
    Stage::within(
        &json!({"tools": [{"name": "chatty", "x-log": "on it", "x-progress": 2, "x-reply": "done"}]}),
        &["--no-watch"],
    )
}

fn called(stage: &Stage, session: &str, accept: &str) -> Answer {
    let params = json!({"name": "chatty", "arguments": {}, "_meta": {"progressToken": "t"}});
    let headers = [TYPE, ("Accept", accept), ("Mcp-Session-Id", session)];
    let body = request(&json!(7), "tools/call", &params);
    stage.site.ask("POST", &headers, &body)
}

#[test]
fn a_client_of_a_session_gets_the_kind_of_answer_that_it_accepts() {
    let stage = stage();
    for revision in ["2025-03-26", "2025-06-18", "2025-11-25"] {
        let client = Legacy::begin_as(&stage.site, revision);
        for (accept, stream) in [
            ("application/json", false),
            ("application/*;q=0.9, text/html", false),
            ("text/event-stream", true),
            ("application/json, text/event-stream", true),
        ] {
            let answer = called(&stage, &client.id, accept);
            assert_eq!(answer.status(), 200, "{accept} {}", answer.body);
            assert_eq!(answer.is_stream(), stream, "{accept} {revision}");
            assert_eq!(answer.last().result()["content"][0]["text"], "done");
        }
        assert_eq!(called(&stage, &client.id, "text/html").status(), 406);
    }
}

#[test]
fn a_client_that_accepts_only_json_gets_its_answer_though_the_server_asks() {
    for era in ["legacy", "modern"] {
        let stage = Stage::within(&json!({ "eras": [era] }), &["--no-watch"]);
        let client = Legacy::begin_as(&stage.site, "2025-06-18");
        let params = json!({"method": "elicitation/create", "params": {"message": "?"}});
        let params = json!({"name": "ask", "arguments": params});
        let open = |id: &str| {
            let accept = ("Accept", "application/json");
            let headers = [TYPE, accept, ("Mcp-Session-Id", &client.id)];
            let connection = Connection::to(stage.site.address);
            connection.request(
                "POST",
                &headers,
                &request(&json!(id), "tools/call", &params),
            );
            connection
        };
        let unasked = open("a").answer();
        assert_eq!(unasked.status(), 200, "{}", unasked.body);
        assert_eq!(unasked.last().id(), Some("\"a\""));
        for words in ["the client cannot be asked", "text/event-stream", "GET"] {
            assert!(unasked.body.contains(words), "{}", unasked.body);
        }
        let (_, mut stream) = client.stand(None);
        let mut call = open("b");
        let asked = stream.message();
        assert_eq!(asked.method(), Some("elicitation/create"));
        let id: Value = serde_json::from_str(asked.id().unwrap()).unwrap();
        let answer = json!({"jsonrpc": "2.0", "id": id, "result": {"action": "accept"}});
        assert_eq!(client.post(&answer.to_string()).status(), 202);
        let answer = call.answer();
        assert_eq!(answer.last().id(), Some("\"b\""));
        assert!(answer.body.contains("accept"), "{}", answer.body);
    }
}

#[test]
fn a_request_that_stands_alone_gets_the_kind_of_answer_that_it_accepts() {
    let stage = stage();
    let ask = |asked: Modern, accept: &str| {
        let own = asked
            .headers
            .iter()
            .map(|(name, value)| (&**name, &**value));
        let headers: Vec<_> = own.chain([TYPE, ("Accept", accept)]).collect();
        stage.site.ask("POST", &headers, &asked.body.to_string())
    };
    let call = || Modern::call(&json!(1), "chatty", &json!({}));
    let list = || Modern::new(&json!(1), "tools/list", json!({}));
    for asked in [call, list] {
        for (accept, stream) in [("application/json", false), ("text/event-stream", true)] {
            let answer = ask(asked(), accept);
            assert_eq!(
                (answer.status(), answer.is_stream()),
                (200, stream),
                "{accept}"
            );
            answer.last().result();
        }
    }
    let filter = json!({"notifications": {"toolsListChanged": true}});
    let listen = Modern::new(&json!(1), "subscriptions/listen", filter);
    let answer = ask(listen, "application/json");
    assert_eq!(answer.status(), 406);
    assert!(answer.body.contains("text/event-stream"), "{}", answer.body);
}

#[test]
fn the_endpoint_is_found_with_a_slash_and_named_at_other_paths() {
    let stage = stage();
    let client = Legacy::begin(&stage.site);
    let at = |path: &str, method: &str| {
        let mut connection = Connection::to(stage.site.address);
        let own = ("Mcp-Session-Id", client.id.as_str());
        let headers = [TYPE, ("Accept", "*/*"), own];
        let ping = request(&json!(1), "ping", &json!({}));
        connection.request_at(path, method, &headers, &ping);
        connection.answer()
    };
    assert_eq!(at("/mcp/", "POST").status(), 200);
    assert_eq!(at("/mcp/?x=1", "POST").status(), 200);
    for (path, method) in [
        ("/", "POST"),
        ("/sse", "GET"),
        ("/mcp/x", "POST"),
        ("/sse", "GET"),
    ] {
        let answer = at(path, method);
        assert_eq!(answer.status(), 404);
        let said = answer.last().error()["message"].to_string();
        assert!(said.contains("/mcp") && said.contains(path), "{said}");
    }
    assert_eq!(
        at("/.well-known/oauth-protected-resource", "GET").status(),
        404
    );
    let told = stage.site.log.until("wrong_path", 3);
    let paths: Vec<_> = told.iter().map(|it| it["path"].clone()).collect();
    assert_eq!(paths, ["/", "/sse", "/mcp/x"]);
    assert!(told.iter().all(|it| it["endpoint"] == "/mcp"));
}
