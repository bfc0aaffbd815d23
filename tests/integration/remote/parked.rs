//! A remote legacy server that requests input during the calls of a modern client.

use std::collections::HashMap;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};

use serde_json::json;

use super::Stage;
use crate::harness::remote::{Answering, HttpServer, legacy};
use crate::harness::{DEADLINE, eventually, modern_meta};

/// Two calls at the same time, each of which has a stream with a question of its own.
#[test]
fn the_stream_of_a_call_tells_to_which_call_a_request_belongs() {
    // Receivers of the answers, by the ids of the questions.
    let open: Mutex<HashMap<String, Sender<String>>> = Mutex::default();
    let server = HttpServer::start(move |asked, answering| {
        let message = asked.message();
        if asked.method() == "tools/call" {
            let id = message["params"]["arguments"]["text"].as_str().unwrap();
            let (sender, answer) = channel();
            open.lock().unwrap().insert(id.to_owned(), sender);
            answering.stream();
            let params = json!({"message": id, "requestedSchema": {}});
            let ask = json!({"jsonrpc": "2.0", "id": id, "method": "elicitation/create", "params": params});
            answering.event(&ask.to_string());
            let text = format!("{id}: {}", answer.recv().unwrap());
            let result = json!({"content": [{"type": "text", "text": text}]});
            answering.event(&asked.result(&result));
        } else {
            let answered = message["id"]
                .as_str()
                .filter(|_| message["method"].is_null());
            if let Some(sender) = answered.and_then(|id| open.lock().unwrap().remove(id)) {
                let answer = message["result"]["content"]["n"].to_string();
                sender.send(answer).unwrap();
            }
            legacy(asked, answering);
        }
    });
    let stage = Stage::modern(&server);
    let params =
        |text: &str| json!({"name": "echo", "arguments": {"text": text}, "_meta": modern_meta()});
    let calls = ["a", "b"].map(|text| {
        let call = stage.peer.request("tools/call", &params(text));
        let result = stage.peer.await_response(call).result();
        assert_eq!(result["resultType"], "input_required", "{result}");
        let requests = result["inputRequests"].as_object().unwrap();
        assert_eq!(requests.len(), 1);
        let (key, request) = requests.iter().next().unwrap();
        assert_eq!(request["params"]["message"], text);
        (text, key.clone(), result["requestState"].clone())
    });
    for (number, (text, key, state)) in calls.into_iter().enumerate() {
        let mut params = params(text);
        params["requestState"] = state;
        params["inputResponses"] = json!({key: {"action": "accept", "content": {"n": number}}});
        let answer = stage.peer.ask("tools/call", &params);
        assert_eq!(answer.tool_text(), format!("{text}: {number}"));
    }
}

/// The Python SDK sends some requests so.
#[test]
fn a_request_on_the_servers_own_stream_belongs_to_the_open_call() {
    let stream: Arc<Mutex<Option<Answering>>> = Arc::default();
    let own_stream = stream.clone();
    let (sender, answers) = channel();
    let (sender, answers) = (Mutex::new(sender), Mutex::new(answers));
    let server = HttpServer::start(move |asked, answering| {
        let message = asked.message();
        match (&*asked.verb, &*asked.method()) {
            ("GET", _) => {
                answering.stream();
                answering.write(b": there\n\n");
                *own_stream.lock().unwrap() = Some(answering.again());
                answering.until_closed();
            }
            ("POST", "tools/call") => {
                let params = json!({"message": "Who?", "requestedSchema": {}});
                let ask = json!({"jsonrpc": "2.0", "id": 0, "method": "elicitation/create", "params": params});
                let mut stream = own_stream.lock().unwrap();
                stream.as_mut().unwrap().event(&ask.to_string());
                drop(stream);
                let text: String = answers.lock().unwrap().recv().unwrap();
                let result = json!({"content": [{"type": "text", "text": text}]});
                answering.json(&asked.result(&result));
            }
            _ => {
                if message["method"].is_null() && message["id"] == 0 {
                    let text = message["result"]["action"].to_string();
                    sender.lock().unwrap().send(text).unwrap();
                }
                legacy(asked, answering);
            }
        }
    });
    let stage = Stage::modern(&server);
    eventually(DEADLINE, || stream.lock().unwrap().is_some());
    let mut params = json!({"name": "echo", "arguments": {}, "_meta": modern_meta()});
    let result = stage.peer.ask("tools/call", &params).result();
    assert_eq!(result["resultType"], "input_required", "{result}");
    params["requestState"] = result["requestState"].clone();
    params["inputResponses"] = json!({"1": {"action": "decline"}});
    let answer = stage.peer.ask("tools/call", &params);
    assert_eq!(answer.tool_text(), "\"decline\"");
}
