//! Simultaneous requests of several servers to the client, and tasks that carry the same ids.

use serde_json::{Value, json};

use super::{Fleet, Servers};
use crate::harness::{DEADLINE, Message, eventually};

/// A call during which the server asks the client something, in the way of the legacy era.
fn ask(fleet: &Fleet, server: &str, method: &str, params: &Value) -> u64 {
    let arguments = json!({"method": method, "params": params});
    let call = json!({"name": format!("{server}__ask"), "arguments": arguments});
    fleet.peer.request("tools/call", &call)
}

fn answer_of(call: &Message) -> Value {
    call.result()["structuredContent"]["answer"]["result"].clone()
}

/// Both servers count their questions from one, and both use the same progress token.
#[test]
fn questions_of_two_servers_are_told_apart() {
    let fleet = Servers::marked(["a", "b"]).legacy();
    for method in ["sampling/createMessage", "elicitation/create", "roots/list"] {
        let params =
            |server: &str| json!({"from": server, "n": 1.0, "_meta": {"progressToken": "same"}});
        let calls = ["a", "b"].map(|server| ask(&fleet, server, method, &params(server)));
        let mut asked = [
            fleet.peer.expect_request(method),
            fleet.peer.expect_request(method),
        ];
        asked.sort_by_key(|message| message.params()["from"].to_string());
        assert_ne!(asked[0].id(), asked[1].id());
        let tokens = asked
            .each_ref()
            .map(|it| it.params()["_meta"]["progressToken"].clone());
        assert_ne!(tokens[0], tokens[1]);
        // The later question is answered first, and progress is told of the other.
        let progress = json!({"progressToken": tokens[0], "progress": 1});
        fleet.peer.notify("notifications/progress", &progress);
        fleet.peer.respond(&asked[1], &json!({"for": "b"}));
        assert_eq!(
            answer_of(&fleet.peer.await_response(calls[1])),
            json!({"for": "b"})
        );
        fleet.peer.respond(&asked[0], &json!({"for": "a"}));
        assert_eq!(
            answer_of(&fleet.peer.await_response(calls[0])),
            json!({"for": "a"})
        );
        // Too late: nobody waits for it any more.
        fleet.peer.notify("notifications/progress", &progress);
    }
    let told = |server: &str| fleet.state(server)["notifications"].to_string();
    let progress = r#""progressToken":"same""#;
    assert_eq!(told("a").matches(progress).count(), 3, "{}", told("a"));
    assert_eq!(told("a").matches("progressToken").count(), 3);
    assert_eq!(told("b").matches("progressToken").count(), 0);
}

#[test]
fn a_question_that_is_withdrawn_is_the_right_one() {
    let fleet = Servers::marked(["a", "b"]).legacy();
    let calls =
        ["a", "b"].map(|server| ask(&fleet, server, "roots/list", &json!({"from": server})));
    let mut asked = [
        fleet.peer.expect_request("roots/list"),
        fleet.peer.expect_request("roots/list"),
    ];
    asked.sort_by_key(|message| message.params()["from"].to_string());
    let cancel = json!({"method": "notifications/cancelled", "params": {"requestId": "ask-1"}});
    fleet.call("b__notify", &cancel).result();
    let cancelled = fleet.peer.expect_notification("notifications/cancelled");
    assert_eq!(
        cancelled.params()["requestId"].to_string(),
        asked[1].id().unwrap()
    );
    fleet.peer.respond(&asked[0], &json!({"roots": []}));
    assert_eq!(
        answer_of(&fleet.peer.await_response(calls[0])),
        json!({"roots": []})
    );
}

/// In the modern era a server asks by its result, and the answer comes with the next call.
#[test]
fn modern_questions_of_two_servers_are_told_apart() {
    let fleet = Servers::new()
        .with("a", &json!({"mark": "state of a", "eras": ["modern"]}))
        .with("b", &json!({"mark": "state of b", "eras": ["modern"]}))
        .dev();
    let call = |server: &str, more: Value| {
        let arguments = json!({"method": "elicitation/create", "params": {"message": server}});
        let mut params = json!({"name": format!("{server}__ask"), "arguments": arguments});
        params
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        fleet.peer.modern("tools/call", params).result()
    };
    let asked = ["a", "b"].map(|server| call(server, json!({})));
    for (server, asked) in ["a", "b"].iter().zip(&asked) {
        assert_eq!(asked["resultType"], "input_required");
        assert_eq!(
            asked["inputRequests"]["asked"]["params"]["message"],
            *server
        );
    }
    for (server, asked) in ["a", "b"].iter().zip(asked).rev() {
        assert_eq!(asked["requestState"], format!("state of {server}"));
        let responses = json!({"asked": {"action": "accept", "content": {"for": server}}});
        let result = call(
            server,
            json!({"inputResponses": responses, "requestState": asked["requestState"]}),
        );
        assert_eq!(result["structuredContent"]["answer"], responses);
    }
}

/// The servers ask by requests, and the client gets each as the result of its call, also of a call by the proxy's tool.
#[test]
fn a_modern_client_gives_input_to_each_of_two_legacy_servers() {
    let legacy = |mark: &str| json!({"mark": mark, "eras": ["legacy"]});
    let servers = Servers::new()
        .with("a", &legacy("a"))
        .with("b", &legacy("b"));
    let fleet = servers.start("dev");
    let question = |server: &str| json!({"method": "elicitation/create", "params": {"message": server, "requestedSchema": {}}});
    let by_name =
        |server: &str| json!({"name": format!("{server}__ask"), "arguments": question(server)});
    let by_tool = |server: &str| {
        let arguments =
            json!({"tool_name": format!("{server}__ask"), "parameters": question(server)});
        json!({"name": "call_dynamic_server_tool", "arguments": arguments})
    };
    let again = |mut params: Value, asked: &Value, server: &str| {
        let key = asked["inputRequests"].as_object().unwrap().keys().next();
        let given = json!({"action": "accept", "content": {"for": server}});
        params["inputResponses"] = json!({key.unwrap(): given});
        params["requestState"] = asked["requestState"].clone();
        fleet.peer.modern("tools/call", params)
    };
    let calls = [
        ("a", by_name("a")),
        ("b", by_name("b")),
        ("a", by_tool("a")),
        ("b", by_tool("b")),
    ];
    let asked = calls.each_ref().map(|(server, params)| {
        let asked = fleet.peer.modern("tools/call", params.clone()).result();
        assert_eq!(asked["resultType"], "input_required", "{asked}");
        let requests = asked["inputRequests"].as_object().unwrap();
        assert_eq!(requests.len(), 1, "{asked}");
        let request = requests.values().next().unwrap();
        assert_eq!(request["params"]["message"], *server);
        asked
    });
    // The call by the proxy's tool is another one than the call by name.
    let error = again(by_name("a"), &asked[2], "a").error();
    assert_eq!(error["code"], -32602, "{error}");
    for ((server, params), asked) in calls.into_iter().zip(&asked).rev() {
        let answer = again(params, asked, server);
        assert_eq!(answer.result()["resultType"], "complete");
        let expected = json!({"action": "accept", "content": {"for": server}});
        assert_eq!(answer_of(&answer), expected);
    }
}

#[test]
fn a_legacy_client_gives_input_to_each_of_two_modern_servers() {
    let modern = |mark: &str| json!({"mark": mark, "eras": ["modern"]});
    let fleet = Servers::new()
        .with("a", &modern("a"))
        .with("b", &modern("b"))
        .legacy();
    let calls = ["a", "b"].map(|server| {
        ask(
            &fleet,
            server,
            "elicitation/create",
            &json!({"message": server}),
        )
    });
    let asked = [(); 2].map(|()| fleet.peer.expect_request("elicitation/create"));
    for asked in asked.iter().rev() {
        let content = json!({"for": asked.params()["message"]});
        let result = json!({"action": "accept", "content": content});
        fleet.peer.respond(asked, &result);
    }
    for (call, server) in calls.into_iter().zip(["a", "b"]) {
        let answer = fleet.peer.await_response(call).result();
        let input = &answer["structuredContent"]["answer"]["asked"];
        assert_eq!(input["content"]["for"], server);
    }
}

fn tasks() -> Value {
    json!({"mark": "m", "capabilities": {"tools": {"listChanged": true}, "tasks": {"list": {}, "cancel": {}, "requests": {"tools": {"call": {}}}}}})
}

fn task_of(fleet: &Fleet, server: &str) -> String {
    let params =
        json!({"name": format!("{server}__mark"), "arguments": {}, "task": {"ttl": 60000}});
    let created = fleet.peer.ask("tools/call", &params).result();
    created["task"]["taskId"].as_str().unwrap().to_owned()
}

/// The servers number their tasks from one.
#[test]
fn tasks_of_two_servers_are_told_apart() {
    let fleet = Servers::new()
        .with("a", &tasks())
        .with("odd-_1", &tasks())
        .set("b", &tasks(), "prefix = 'x'")
        .with("without", &json!({}))
        .legacy();
    let ids = [task_of(&fleet, "a"), task_of(&fleet, "x")];
    assert_ne!(ids[0], ids[1]);
    let ask = |method: &str, id: &str| fleet.peer.ask(method, &json!({"taskId": id}));
    let pids = ["a", "x"].map(|server| fleet.mark(server).1);
    for (id, pid) in ids.iter().zip(pids) {
        assert_eq!(ask("tasks/get", id).result()["taskId"], **id);
        let result = ask("tasks/result", id).result();
        assert_eq!(result["structuredContent"]["pid"], pid);
        assert_eq!(ask("tasks/cancel", id).result()["taskId"], **id);
    }
    let odd = &task_of(&fleet, "odd-_1");
    assert_eq!(ask("tasks/get", odd).result()["taskId"], **odd);

    let listed = fleet.peer.ask("tasks/list", &json!({})).result();
    let listed: Vec<&Value> = listed["tasks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|task| &task["taskId"])
        .collect();
    assert_eq!(listed, [&json!(ids[0]), &json!(odd), &json!(ids[1])]);
    for unknown in ["task-1", "task-1~nobody", "task-9~a"] {
        assert_eq!(
            ask("tasks/get", unknown).error()["code"],
            -32602,
            "{unknown}"
        );
    }
}

#[test]
fn a_list_of_tasks_that_is_given_up_is_cancelled_at_its_server() {
    let mut silent = tasks();
    silent["silent"] = json!(["tasks/list"]);
    silent["record"] = true.into();
    let fleet = Servers::marked(["a"]).with("b", &silent).legacy();
    let mut heard = String::new();
    let mut has_heard = |method: &str| {
        let lines = fleet.peer.ask("vendor/heard", &json!({"name": "b__mark"}));
        heard += &lines.result().to_string();
        heard.contains(method)
    };
    let listing = fleet.peer.request("tasks/list", &json!({}));
    eventually(DEADLINE, || has_heard("tasks/list"));
    let cancelled = json!({"requestId": listing});
    fleet.peer.notify("notifications/cancelled", &cancelled);
    eventually(DEADLINE, || has_heard("notifications/cancelled"));
    assert_eq!(fleet.peer.responses_to(listing), 0);
}

#[test]
fn notifications_about_equal_task_ids_are_told_apart_too() {
    let fleet = Servers::new()
        .with("a", &tasks())
        .with("b", &tasks())
        .legacy();
    let id = task_of(&fleet, "b");
    let status = json!({"taskId": "task-1", "status": "working"});
    fleet
        .call(
            "b__notify",
            &json!({"method": "notifications/tasks/status", "params": status}),
        )
        .result();
    let told = fleet.peer.expect_notification("notifications/tasks/status");
    assert_eq!(told.params()["taskId"], *id);
    // A task that the client runs for a server keeps the client's id.
    let call = ask(&fleet, "a", "tasks/get", &json!({"taskId": "client-task"}));
    let asked = fleet.peer.expect_request("tasks/get");
    assert_eq!(asked.params()["taskId"], "client-task");
    fleet
        .peer
        .respond(&asked, &json!({"taskId": "client-task"}));
    fleet.peer.await_response(call).result();
}

/// A server that is gone cannot be answered any more: the client is told, and the others' questions stay.
#[test]
fn questions_of_a_server_that_ends_are_withdrawn() {
    let fleet = Servers::marked(["a", "b"]).legacy();
    let calls =
        ["a", "b"].map(|server| ask(&fleet, server, "roots/list", &json!({"from": server})));
    let mut asked = [
        fleet.peer.expect_request("roots/list"),
        fleet.peer.expect_request("roots/list"),
    ];
    asked.sort_by_key(|message| message.params()["from"].to_string());
    fleet.peer.request(
        "tools/call",
        &json!({"name": "b__crash", "arguments": {"code": 1}}),
    );
    let cancelled = fleet.peer.expect_notification("notifications/cancelled");
    assert_eq!(
        cancelled.params()["requestId"].to_string(),
        asked[1].id().unwrap()
    );
    assert_eq!(
        fleet.peer.await_response(calls[1]).result()["isError"],
        true
    );
    fleet.peer.respond(&asked[0], &json!({"roots": [1]}));
    assert_eq!(
        answer_of(&fleet.peer.await_response(calls[0])),
        json!({"roots": [1]})
    );
    eventually(DEADLINE, || fleet.mark("b").0 == "b");
}
