//! An installation as the person at the client sees it: one question, and the course after the answer.

use serde_json::{Value, json};

use super::super::client::{Client, Era};
use super::super::{INSTALL, INSTALL_AND_LOAD};
use super::{SERVER, World, told};
use crate::harness::{Message, modern_meta};

const ELICITATION: &str = "elicitation/create";
const DECLINED: &str = "Installation failed: the user declined it";

/// Installs from the repository; gives the question, and the request that waits for its answer.
#[track_caller]
fn asked(world: &World, client: &Client) -> (u64, Message) {
    let call = client.begin(INSTALL_AND_LOAD, &world.arguments(json!({})));
    (call, client.peer.expect_request(ELICITATION))
}

/// A client of the legacy era whose user can be asked.
#[track_caller]
fn asking(world: &World) -> Client {
    World::client(world.proxy("serve"), &json!({"elicitation": {}}))
}

#[track_caller]
fn tells_all(world: &World, params: &Value) {
    let message = params["message"].as_str().unwrap();
    for text in [
        "Install the MCP server `weather` from https://localhost",
        &format!("commit: {}", world.head()),
        "uv venv",
        "uv pip install",
        "start command: ",
        "/.venv/bin/python ",
    ] {
        assert!(message.contains(text), "{text:?} is not in {message:?}");
    }
    let nothing = json!({"type": "object", "properties": {}});
    assert_eq!(params["requestedSchema"], nothing);
}

#[test]
fn a_user_is_asked_once_before_anything_is_run() {
    let world = World::needing("a-package");
    let client = asking(&world);
    let (call, question) = asked(&world, &client);
    tells_all(&world, &question.params());
    assert_eq!(client.peer.responses_to(call), 0);
    assert_eq!(world.config(), World::before());
    assert!(!world.has_environment());
    client
        .peer
        .respond(&question, &json!({"action": "accept", "content": {}}));
    client.succeeded(&client.peer.await_response(call));
    assert_eq!(told(&client, "weather__forecast"), "rain in town");
    // A server that is already installed needs no decision.
    client.success(INSTALL, &world.arguments(json!({})));
    let questions = client.peer.count(|it| it.method() == Some(ELICITATION));
    assert_eq!(questions, 1);
}

#[test]
fn whatever_is_not_a_yes_is_a_no() {
    let world = World::simple();
    let client = asking(&world);
    for action in ["decline", "cancel", "acceptance", ""] {
        let (call, question) = asked(&world, &client);
        client.peer.respond(&question, &json!({ "action": action }));
        let said = client.failed(&client.peer.await_response(call));
        assert_eq!(said["error"], DECLINED);
        world.assert_untouched();
    }
    let (call, question) = asked(&world, &client);
    let id = question.id().unwrap();
    client.peer.send(&format!(
        r#"{{"jsonrpc":"2.0","id":{id},"error":{{"code":-32603,"message":"no screen"}}}}"#
    ));
    client.failed(&client.peer.await_response(call));
    world.assert_untouched();
}

/// Such a client asks by itself, for the annotations.
#[test]
fn a_client_that_cannot_ask_is_not_asked() {
    for capabilities in [json!({}), json!({"elicitation": {"url": {}}})] {
        let world = World::simple();
        let client = World::client(world.proxy("serve"), &capabilities);
        client.success(INSTALL, &world.arguments(json!({})));
        assert_eq!(client.peer.count(|it| it.method() == Some(ELICITATION)), 0);
    }
}

#[test]
fn a_call_that_is_cancelled_withdraws_its_question() {
    let world = World::simple();
    let client = asking(&world);
    let (call, question) = asked(&world, &client);
    client
        .peer
        .notify("notifications/cancelled", &json!({ "requestId": call }));
    let cancelled = client.peer.expect_notification("notifications/cancelled");
    let id = cancelled.params()["requestId"].to_string();
    assert_eq!(Some(&*id), question.id());
    crate::harness::eventually(crate::harness::DEADLINE, || world.left().is_empty());
    // An answer that was on its way is an answer to nothing.
    client.peer.respond(&question, &json!({"action": "accept"}));
    client.peer.ask("ping", &json!({})).result();
    assert_eq!(client.peer.responses_to(call), 0);
    world.assert_untouched();
}

/// A client of the modern era before `serve`.
fn modern(world: &World) -> Client {
    Client {
        peer: world.proxy("serve").spawn(),
        era: Era::Modern,
    }
}

#[track_caller]
fn install_modern(world: &World, client: &Client, more: &Value) -> Message {
    let mut params = json!({"name": INSTALL_AND_LOAD, "arguments": world.arguments(json!({}))});
    for (name, value) in more.as_object().unwrap() {
        params[name] = value.clone();
    }
    client.ask("tools/call", params)
}

/// The state that a question of the modern era has to be answered with.
#[track_caller]
fn asked_modern(world: &World, answer: &Message) -> Value {
    let mut result = answer.result();
    assert_eq!(result["resultType"], "input_required", "{}", answer.line);
    let request = &result["inputRequests"]["confirm"];
    assert_eq!(request["method"], ELICITATION);
    tells_all(world, &request["params"]);
    world.assert_untouched();
    result["requestState"].take()
}

#[test]
fn a_modern_client_brings_the_answer_with_its_next_call() {
    let world = World::needing("a-package");
    let client = modern(&world);
    let state = asked_modern(&world, &install_modern(&world, &client, &json!({})));
    assert!(state.is_string());
    let accept = json!({"confirm": {"action": "accept", "content": {}}});

    // An answer to no question, to another one, and no answer.
    for more in [
        json!({ "inputResponses": accept }),
        json!({"inputResponses": accept, "requestState": "accept"}),
        json!({"inputResponses": {"other": {"action": "accept"}}, "requestState": state}),
        json!({ "requestState": state }),
    ] {
        let answer = install_modern(&world, &client, &more);
        assert_ne!(asked_modern(&world, &answer), state);
    }
    let decline =
        json!({"inputResponses": {"confirm": {"action": "decline"}}, "requestState": state});
    let said = client.failed(&install_modern(&world, &client, &decline));
    assert_eq!(said["error"], DECLINED);
    world.assert_untouched();
    // An answer counts once, and only for its own question.
    let agreed = |state: &Value| json!({"inputResponses": accept, "requestState": state});
    let state = asked_modern(&world, &install_modern(&world, &client, &agreed(&state)));
    let mut other = agreed(&state);
    other["arguments"] = world.arguments(json!({"env_vars": {"CITY": "oslo"}}));
    let state = asked_modern(&world, &install_modern(&world, &client, &other));

    // The repository has changed since the person agreed.
    world
        .repository
        .commit(&[("server.py", &SERVER.replace("town", "rome"))]);
    let answer = install_modern(&world, &client, &agreed(&state));
    let newer = asked_modern(&world, &answer);
    assert_ne!(newer, state);
    client.succeeded(&install_modern(&world, &client, &agreed(&newer)));
    assert_eq!(told(&client, "weather__forecast"), "rain in rome");
}

#[test]
fn a_modern_client_that_cannot_ask_is_not_asked() {
    let world = World::simple();
    let client = modern(&world);
    let mut meta = modern_meta();
    meta["io.modelcontextprotocol/clientCapabilities"] = json!({});
    let params = json!({"name": INSTALL, "arguments": world.arguments(json!({})), "_meta": meta});
    client.succeeded(&client.peer.ask("tools/call", &params));
}

/// The sentences of each notification of progress since `mark`, which belong to `token` and rise.
#[track_caller]
fn progress(client: &Client, mark: usize, token: &Value) -> Vec<String> {
    let lines = client.peer.lines_since(mark);
    let answered = lines.iter().position(|it| it.method().is_none()).unwrap();
    let mut last = 0;
    let mut sentences = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        if line.method() != Some("notifications/progress") {
            continue;
        }
        assert!(at < answered, "progress after the answer: {}", line.line);
        let params = line.params();
        assert_eq!(params["progressToken"], *token);
        let count = params["progress"].as_u64().unwrap();
        assert!(count > last, "{}", line.line);
        last = count;
        sentences.push(params["message"].as_str().unwrap().to_owned());
    }
    sentences
}

#[test]
fn progress_is_shown_to_those_who_want_it() {
    let world = World::needing("a-package");
    let client = world.serve();
    for (name, token) in [("a", json!("p-1")), ("b", json!(7)), ("c", Value::Null)] {
        let mark = client.peer.mark();
        let arguments = world.arguments(json!({"server_name": name}));
        let mut params = json!({"name": INSTALL, "arguments": arguments});
        if !token.is_null() {
            params["_meta"] = json!({ "progressToken": token });
        }
        client.succeeded(&client.ask("tools/call", params));
        let sentences = progress(&client, mark, &token);
        if token.is_null() {
            assert_eq!(sentences, [] as [&str; 0]);
            continue;
        }
        for start in [
            format!("connecting to {}", world.url()),
            format!("refs/heads/main is commit {}", world.head()),
            "running uv venv".to_owned(),
            "running uv pip install".to_owned(),
        ] {
            let is_told = sentences.iter().any(|it| it.starts_with(&start));
            assert!(is_told, "{start:?} is not in {sentences:?}");
        }
    }
}
