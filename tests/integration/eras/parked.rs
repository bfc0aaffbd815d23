//! A modern client in front of a legacy server that requests input by requests of its own.

mod before_calls;
mod reloads;

use serde_json::{Value, json};

use super::{MESSAGE, Pair, tool};
use crate::harness::{DEADLINE, Message, Peer, eventually, initialize_params, modern_meta};

const PROGRESS: &str = "notifications/progress";

/// A legacy server with the tool, the prompt and the resource `t:`, which ask in these rounds; each round is JSON.
fn asking(mark: &str, rounds: &[&str]) -> Value {
    let rounds: Vec<Value> = rounds
        .iter()
        .map(|round| serde_json::from_str(round).unwrap())
        .collect();
    json!({
        "mark": mark,
        "eras": ["legacy"],
        "tools": [tool("t:", &json!({"x-push": rounds, "x-progress": 1}))],
        "prompts": [{"name": "t:", "x-push": rounds}],
        "resources": [{"uri": "t:", "name": "t", "x-push": rounds}],
    })
}

/// A round with one request for the roots.
const ROOTS: &str = r#"[{"method":"roots/list"}]"#;

/// Starts the server behind a client that has said nothing but which server it wants.
#[track_caller]
fn started(script: &Value, options: &[&str]) -> Pair {
    let pair = Pair::start(script, options);
    pair.peer
        .ask("server/discover", &json!({"_meta": meta()}))
        .result();
    pair
}

/// The `_meta` of a client that can give every kind of input.
fn meta() -> Value {
    let mut meta = modern_meta();
    meta["io.modelcontextprotocol/clientCapabilities"]["roots"] = json!({});
    meta
}

/// The params of a request for `t:`, by tool, prompt or resource.
fn params() -> Value {
    json!({"name": "t:", "uri": "t:", "arguments": {"n": 1}, "_meta": meta()})
}

/// The params that repeat a request: they have the state of this result, and these responses.
fn repeated(mut params: Value, result: &Value, responses: Value) -> Value {
    params["requestState"] = result["requestState"].clone();
    params["inputResponses"] = responses;
    params
}

/// Waits for the result of a request, which must request input; returns the result.
#[track_caller]
fn asked(peer: &Peer, id: u64) -> Value {
    let result = peer.await_response(id).result();
    assert_eq!(result["resultType"], "input_required", "{result}");
    result
}

/// The answers that the tool got, as the server's lines.
#[track_caller]
fn answers(answer: &Message) -> Vec<Value> {
    let result = answer.result();
    assert_eq!(result["resultType"], "complete", "{result}");
    let answers = &result["structuredContent"]["answers"];
    answers.as_array().unwrap().clone()
}

/// Repeats a call whose only request is for the roots.
#[track_caller]
fn give_roots(peer: &Peer, result: &Value, root: &Value) -> u64 {
    let requests = result["inputRequests"].as_object().unwrap();
    assert_eq!(requests.len(), 1, "{result}");
    let (key, request) = requests.iter().next().unwrap();
    assert_eq!(*request, json!({"method": "roots/list"}));
    let responses = json!({key: {"roots": [root]}});
    peer.request("tools/call", &repeated(params(), result, responses))
}

#[track_caller]
fn is_invalid_state(answer: &Message) {
    let error = answer.error();
    assert_eq!(error["code"], -32602, "{error}");
    assert_eq!(error["message"], "Invalid or expired requestState");
    assert_eq!(error["data"], json!({"reason": "invalid_request_state"}));
}

#[test]
fn a_client_gives_every_kind_of_input_in_rounds() {
    let form = r#"{"message":"é\"","requestedSchema":{"type":"object","properties":{"n":{"type":"number"}}}}"#;
    let first = format!(
        r#"[{{"method":"elicitation/create","params":{form}}},{{"method":"sampling/createMessage","params":{{"maxTokens":7,"_meta":{{"progressToken":1}}}}}},{{"method":"roots/list"}}]"#
    );
    for method in ["tools/call", "prompts/get", "resources/read"] {
        let pair = started(&asking("m", &[&first, ROOTS]), &[]);
        let peer = &pair.peer;
        let call = peer.request(method, &params());
        let result = asked(peer, call);
        let mode = form.replace(r#""}}}}"#, r#""}}},"mode":"form"}"#);
        let line = peer.await_response(call).line;
        let expected = format!(
            r#""inputRequests":{{"1":{{"method":"elicitation/create","params":{mode}}},"2":{{"method":"sampling/createMessage","params":{{"maxTokens":7}}}},"3":{{"method":"roots/list"}}}},"requestState":"#
        );
        assert!(line.contains(&expected), "{line}");
        assert!(result["_meta"]["io.modelcontextprotocol/serverInfo"].is_object());
        let state = result["requestState"].as_str().unwrap();
        assert_eq!(state.len(), 32, "{state}");

        let given = [
            json!({"action": "decline"}),
            json!({"role": "assistant", "content": {"type": "text", "text": "é"}}),
            json!({"roots": []}),
        ];
        let responses = json!({"1": given[0], "2": given[1], "3": given[2]});
        let again = peer.request(method, &repeated(params(), &result, responses));
        let second = asked(peer, again);
        assert_ne!(second["requestState"], result["requestState"]);
        let responses = json!({"4": {"roots": []}});
        let last = peer.request(method, &repeated(params(), &second, responses));
        let line = peer.await_response(last).line;
        for given in given {
            // Prompts and resources show the answers as text.
            let text = given.to_string();
            let escaped = serde_json::to_string(&text).unwrap();
            let escaped = escaped.trim_matches('"');
            assert!(line.contains(&text) || line.contains(escaped), "{line}");
        }
        assert!(line.contains(r#""resultType":"complete""#), "{line}");
    }
}

#[test]
fn input_that_is_missing_is_requested_again() {
    let two = r#"[{"method":"roots/list"},{"method":"elicitation/create","params":{"mode":"url","url":"u","elicitationId":"e"}}]"#;
    let mut script = asking("m", &[two]);
    script["tools"][0]["x-progress"] = 0.into();
    let pair = started(&script, &[]);
    let peer = &pair.peer;
    let mut params = params();
    params["_meta"]["io.modelcontextprotocol/clientCapabilities"]["elicitation"] =
        json!({"url": {}});
    let result = asked(peer, peer.request("tools/call", &params));
    assert_eq!(
        result["inputRequests"]["2"]["params"],
        json!({"mode": "url", "url": "u"})
    );
    let responses = json!({"2": {"action": "accept"}, "1": null, "5": {}});
    let again = repeated(params.clone(), &result, responses);
    let result = asked(peer, peer.request("tools/call", &again));
    assert_eq!(
        result["inputRequests"],
        json!({"1": {"method": "roots/list"}})
    );
    let mut again = repeated(params.clone(), &result, json!({}));
    again.as_object_mut().unwrap().remove("inputResponses");
    let result = asked(peer, peer.request("tools/call", &again));
    let again = repeated(params, &result, json!({"1": {"roots": []}}));
    let answer = peer.await_response(peer.request("tools/call", &again));
    let given: Vec<Value> = answers(&answer)
        .iter()
        .map(|it| it["result"].clone())
        .collect();
    assert_eq!(given, [json!({"action": "accept"}), json!({"roots": []})]);
}

#[test]
fn a_state_belongs_to_one_call_and_is_valid_once() {
    let pair = started(&asking("m", &[ROOTS]), &[]);
    let peer = &pair.peer;
    let result = asked(peer, peer.request("tools/call", &params()));
    let responses = json!({"1": {"roots": []}});
    let mut other_arguments = params();
    other_arguments["arguments"]["n"] = 2.into();
    let mut other_client = params();
    other_client["_meta"]["io.modelcontextprotocol/clientInfo"]["name"] = "other".into();
    let forged = json!({"requestState": "0123456789abcdef0123456789abcdef"});
    for (params, result) in [
        (other_arguments, &result),
        (other_client, &result),
        (params(), &forged),
    ] {
        let params = repeated(params, result, responses.clone());
        is_invalid_state(&peer.ask("tools/call", &params));
    }
    let again = repeated(params(), &result, responses.clone());
    is_invalid_state(&peer.ask("prompts/get", &again));
    assert_eq!(answers(&peer.ask("tools/call", &again)).len(), 1);
    is_invalid_state(&peer.ask("tools/call", &again));
    // Without a state, the call is a new one.
    let mut anew = again.clone();
    anew["requestState"] = Value::Null;
    asked(peer, peer.request("tools/call", &anew));
}

/// The server does not say during which call it asks: the first one brings the questions of all.
#[test]
fn calls_at_the_same_time_get_their_own_results() {
    let pair = started(&asking("m", &[ROOTS]), &[]);
    let peer = &pair.peer;
    let calls = [0; 3].map(|_| peer.request("tools/call", &params()));
    let mut given: Vec<String> = calls
        .into_iter()
        .map(|id| {
            let answers = answers(&finish(peer, "tools/call", id));
            assert_eq!(answers.len(), 1, "{answers:?}");
            answers[0]["id"].to_string()
        })
        .collect();
    given.sort_unstable();
    given.dedup();
    assert_eq!(given.len(), 3);
}

/// The official clients give up after 10 rounds; the proxy has no limit of its own.
#[test]
fn a_server_may_ask_in_many_rounds() {
    let pair = started(&asking("m", &[ROOTS; 11]), &[]);
    let call = pair.peer.request("tools/call", &params());
    assert_eq!(answers(&finish(&pair.peer, "tools/call", call)).len(), 11);
}

#[test]
fn a_server_asks_only_for_input_that_the_call_declares() {
    let pair = started(&json!({"eras": ["legacy"]}), &[]);
    let state = pair.modern_call("state", &json!({})).result()["structuredContent"].take();
    let declared = json!({"sampling": {}, "elicitation": {}, "roots": {}});
    assert_eq!(state["initialize"]["capabilities"], declared);
    let ask = |params: Value| {
        let arguments = json!({"method": "elicitation/create", "params": params});
        let answer = pair.modern_call("ask", &arguments).result();
        answer["structuredContent"]["answer"]["error"].clone()
    };
    let error = ask(json!({"mode": "url"}));
    assert_eq!(error["code"], -32021);
    let required = &error["data"]["requiredCapabilities"];
    assert_eq!(*required, json!({"elicitation": {"url": {}}}));
    // The capabilities of this call are not those of the handshake.
    let arguments = json!({"method": "elicitation/create"});
    let mut meta = modern_meta();
    meta["io.modelcontextprotocol/clientCapabilities"] = json!({});
    let params = json!({"name": "ask", "arguments": arguments, "_meta": meta});
    let answer = pair.peer.ask("tools/call", &params).result();
    let error = &answer["structuredContent"]["answer"]["error"];
    assert_eq!(error["code"], -32021, "{answer}");
    let arguments = json!({"method": "vendor/ask"});
    let answer = pair.modern_call("ask", &arguments).result();
    let error = &answer["structuredContent"]["answer"]["error"];
    assert_eq!(error["code"], -32601);
    assert!(error["message"].as_str().unwrap().contains("2026-07-28"));
}

#[test]
fn progress_and_logs_follow_the_newest_request() {
    let pair = started(&asking("m", &[ROOTS, ROOTS]), &[]);
    let peer = &pair.peer;
    let mut with_token = params();
    with_token["_meta"]["progressToken"] = "é".into();
    with_token["_meta"]["io.modelcontextprotocol/logLevel"] = "info".into();
    let result = asked(peer, peer.request("tools/call", &with_token));
    let told = peer.expect_notification(PROGRESS).params();
    assert_eq!(
        told,
        json!({"progressToken": "é", "progress": 1, "total": 1})
    );
    with_token["_meta"]["progressToken"] = 7.into();
    let responses = json!({"1": {"roots": []}});
    let again = repeated(with_token, &result, responses);
    let result = asked(peer, peer.request("tools/call", &again));
    let told = peer.expect_notification(PROGRESS).params();
    assert_eq!(told, json!({"progressToken": 7, "progress": 10}));
    assert_eq!(
        peer.expect_notification(MESSAGE).params()["data"],
        "round 0"
    );
    // This repetition wants neither.
    let responses = json!({"2": {"roots": []}});
    let answer = peer.ask("tools/call", &repeated(params(), &result, responses));
    assert_eq!(answers(&answer).len(), 2);
    assert_eq!(
        (peer.notifications(PROGRESS), peer.notifications(MESSAGE)),
        (2, 1)
    );
}

#[test]
fn a_server_may_finish_or_ask_more_while_the_client_has_not_returned() {
    let pair = Pair::start(&json!({"eras": ["legacy"], "record": true}), &[]);
    let peer = &pair.peer;
    peer.modern("server/discover", json!({})).result();
    pair.heard();
    let say = |lines: &[String]| {
        peer.request("vendor/say", &json!({"lines": lines}));
    };
    let ask = |id: &str| format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"roots/list"}}"#);
    let call = peer.request("tools/call", &params());
    let number = pair.heard()[0]["id"].clone();
    say(&[ask("0")]);
    let result = asked(peer, call);
    say(&[
        ask(r#""q""#),
        r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":0}}"#.into(),
        r#"{"jsonrpc":"2.0","method":"notifications/elicitation/complete","params":{}}"#.into(),
    ]);
    let again = repeated(params(), &result, json!({"1": {"roots": []}}));
    let result = asked(peer, peer.request("tools/call", &again));
    let requests = result["inputRequests"].as_object().unwrap();
    assert_eq!(requests.keys().collect::<Vec<_>>(), ["2"]);
    // The TypeScript SDK answers its call when its own request takes too long.
    say(&[format!(
        r#"{{"jsonrpc":"2.0","id":{number},"result":{{"content":[],"n":1E5}}}}"#
    )]);
    let heard: Vec<Value> = {
        let mut heard = Vec::new();
        eventually(DEADLINE, || {
            heard.extend(pair.heard());
            heard.iter().any(|line| line["id"] == "q")
        });
        heard
    };
    let refused = heard.iter().find(|line| line["id"] == "q").unwrap();
    assert!(
        refused["error"]["message"]
            .as_str()
            .unwrap()
            .contains("ended")
    );
    let again = repeated(params(), &result, json!({"2": {"roots": []}}));
    let line = peer.ask("tools/call", &again).line;
    assert!(
        line.contains(r#""result":{"content":[],"n":1E5,"#),
        "{line}"
    );
    assert_eq!(peer.count(|message| message.method().is_some()), 0);
}

#[test]
fn a_client_that_leaves_ends_its_parked_calls() {
    let pair = started(&asking("m", &[ROOTS]), &[]);
    let peer = &pair.peer;
    asked(peer, peer.request("tools/call", &params()));
    let open = peer.request(
        "tools/call",
        &json!({"name": "ask", "arguments": {"method": "roots/list"}, "_meta": meta()}),
    );
    asked(peer, open);
    peer.close_stdin();
    assert!(peer.wait_exit().success());
}

/// A client that uses both eras, as Claude Code does after a failed discovery, is asked by requests.
#[test]
fn a_client_that_has_introduced_itself_in_the_legacy_way_is_asked_by_requests() {
    let pair = started(&json!({"eras": ["legacy"]}), &[]);
    let peer = &pair.peer;
    peer.initialize(&initialize_params()).result();
    let ask = json!({"method": "roots/list"});
    let call = peer.request("tools/call", &json!({"name": "ask", "arguments": ask}));
    let request = peer.expect_request("roots/list");
    peer.respond(&request, &json!({"roots": []}));
    assert!(peer.await_response(call).result()["resultType"].is_null());
}

/// Repeats the request `id` with the roots until it is complete; returns the response.
#[track_caller]
fn finish(peer: &Peer, method: &str, mut id: u64) -> Message {
    loop {
        let answer = peer.await_response(id);
        match repetition(&answer) {
            Some(again) => id = peer.request(method, &again),
            None => return answer,
        }
    }
}

/// The params of the request that repeats a call with the roots; None if `answer` requests no input.
fn repetition(answer: &Message) -> Option<Value> {
    let result = if answer.is_error() {
        Value::Null
    } else {
        answer.result()
    };
    let requests = result["inputRequests"].as_object()?;
    let responses = requests.keys();
    let responses = responses.map(|key| (key.clone(), json!({"roots": []})));
    Some(repeated(params(), &result, responses.collect()))
}
