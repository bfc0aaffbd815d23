//! Input that a legacy server needs before it executes a call: the roots, and URLs that its user must open.

use serde_json::{Value, json};

use super::{asked, params, repeated};
use crate::eras::Pair;
use crate::harness::{DEADLINE, eventually};

/// A server that records its messages and says only what the test lets it say, and its client.
struct Recording {
    pair: Pair,
    heard: Vec<Value>,
}

impl Recording {
    #[track_caller]
    fn start() -> Self {
        let pair = Pair::start(&json!({"eras": ["legacy"], "record": true}), &[]);
        let discover = json!({"_meta": url_params()["_meta"]});
        pair.peer.ask("server/discover", &discover).result();
        pair.heard();
        let heard = Vec::new();
        Self { pair, heard }
    }

    /// Lets the server send this line.
    fn say(&mut self, line: &str) {
        let lines = json!({"lines": [line]});
        self.pair.peer.request("vendor/say", &lines);
        // The server handles its messages one after another.
        self.listen();
    }

    /// Reads the messages that the server has got.
    fn listen(&mut self) {
        let is_told = |line: &Value| {
            let method = line["method"].as_str().unwrap_or_default();
            method != "vendor/say" && !method.ends_with("/list")
        };
        let heard = self.pair.heard().into_iter();
        self.heard.extend(heard.filter(is_told));
    }

    /// Waits until the server has got `count` messages; returns them.
    #[track_caller]
    fn take(&mut self, count: usize) -> Vec<Value> {
        eventually(DEADLINE, || {
            self.listen();
            self.heard.len() >= count
        });
        assert_eq!(self.heard.len(), count, "{:?}", self.heard);
        std::mem::take(&mut self.heard)
    }

    /// Lets the server answer the request in this message with this result.
    fn answer(&mut self, request: &Value, result: &Value) {
        let id = &request["id"];
        self.say(&format!(
            r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#
        ));
    }
}

/// The params of a call by a client that gives every kind of input.
fn url_params() -> Value {
    let mut params = params();
    params["_meta"]["io.modelcontextprotocol/clientCapabilities"]["elicitation"] =
        json!({"form": {}, "url": {}});
    params
}

#[test]
fn a_call_is_made_again_after_its_user_has_opened_urls() {
    let mut server = Recording::start();
    let url = r#"{"mode":"url","message":"é\"\ud83d","url":"u","elicitationId":"e1"}"#;
    let data = format!(r#"{{"elicitations":[{url}]}}"#);
    let mut required = |params: &Value| {
        let call = server.pair.peer.request("tools/call", params);
        let number = server.take(1)[0]["id"].clone();
        let error = format!(r#"{{"code":-32042,"message":"log in","data":{data}}}"#);
        server.say(&format!(
            r#"{{"jsonrpc":"2.0","id":{number},"error":{error}}}"#
        ));
        let line = server.pair.peer.await_response(call).line;
        let request = r#""inputRequests":{"1":{"method":"elicitation/create","params":{"mode":"url","message":"é\"\ud83d","url":"u"}}}"#;
        assert!(line.contains(request), "{line}");
        let state = line.split_once(r#""requestState":""#).unwrap().1;
        json!({"requestState": state[..32]})
    };
    let refused = required(&url_params());
    let accepted = required(&url_params());
    let peer = &server.pair.peer;
    let decline = json!({"1": {"action": "decline"}});
    let refusal = peer.ask("tools/call", &repeated(url_params(), &refused, decline));
    // Its bytes are those of the server, which no parser of the test reads.
    assert!(
        refusal.line.contains(r#""code":-32600"#),
        "{}",
        refusal.line
    );
    assert!(refusal.line.contains(&data), "{}", refusal.line);

    let accept = json!({"1": {"action": "accept"}});
    let again = repeated(url_params(), &accepted, accept);
    let call = peer.request("tools/call", &again);
    server.say(
        r#"{"jsonrpc":"2.0","method":"notifications/elicitation/complete","params":{"elicitationId":"e1"}}"#,
    );
    let sent = server.take(1).remove(0);
    assert!(sent["params"]["requestState"].is_null(), "{sent}");
    assert!(sent["params"]["inputResponses"].is_null(), "{sent}");
    server.answer(&sent, &json!({"content": []}));
    let peer = &server.pair.peer;
    let answer = peer.await_response(call).result();
    assert_eq!(answer["resultType"], "complete");
    // Nothing but responses has reached the client.
    assert_eq!(peer.count(|message| message.method().is_some()), 0);
}

#[test]
fn a_client_gives_the_roots_that_its_server_requests_before_any_call() {
    let mut server = Recording::start();
    let ask = |id: &str| format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"roots/list"}}"#);
    server.say(&ask("0"));
    let peer = &server.pair.peer;
    let mut without = params();
    without["_meta"]["io.modelcontextprotocol/clientCapabilities"] = json!({"elicitation": {}});
    let calls = [&without, &url_params()].map(|params| peer.request("prompts/get", params));
    let result = asked(peer, calls[1]);
    let requests = &result["inputRequests"];
    assert_eq!(*requests, json!({"1": {"method": "roots/list"}}));
    let responses = json!({"1": {"roots": [{"uri": "file:///work"}]}});
    let again = repeated(url_params(), &result, responses.clone());
    let call = peer.request("prompts/get", &again);
    let heard = server.take(3);
    // The call of the client that declares no roots has not waited for them.
    assert_eq!(heard[0]["method"], "prompts/get");
    let roots = &responses["1"];
    assert_eq!(
        heard[1],
        json!({"jsonrpc": "2.0", "id": 0, "result": roots})
    );
    assert_eq!(heard[2]["method"], "prompts/get");
    for sent in [&heard[0], &heard[2]] {
        server.answer(sent, &json!({"messages": []}));
    }
    let peer = &server.pair.peer;
    peer.await_response(calls[0]).result();
    peer.await_response(call).result();
    // The proxy knows the roots now.
    server.say(&ask("\"q\""));
    let heard = server.take(1);
    assert_eq!(
        heard[0],
        json!({"jsonrpc": "2.0", "id": "q", "result": roots})
    );
}
