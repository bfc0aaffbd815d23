//! Calls through several servers: everything but the name is as with one server.

use serde_json::{Value, json};

use super::{Fleet, Servers};
use crate::harness::{DEADLINE, eventually, modern_meta};

/// Bytes that a typed model in the middle would damage.
const ARGUMENTS: [&str; 12] = [
    "{}",
    r#"{"n":1180591620717411303424}"#,
    r#"{"n":1E5,"m":1e+05,"k":100000.0}"#,
    r#"{"n":-0,"m":-0.0,"o":1e400}"#,
    r#"{"a":1,"a":2,"b":{"c":1,"c":null}}"#,
    r#"{"text":"\ud83d"}"#,
    r#"{"\ud83d":1,"\u0061":2}"#,
    r#"{"url":"https:\/\/example.com\/a"}"#,
    r#"{"text":"\u00e9\u0000\u001f\b\f\n\r\t\"\\ é 😀"}"#,
    r#"{  "spaced"  :  [ 1 ,  2 ]  ,  "tab":	true  }"#,
    r#"{"name":"b__echo","uri":"x","taskId":"1~b","_meta":{"progressToken":1.0}}"#,
    r#"{"id":1,"method":"x","jsonrpc":"1.0","params":{"id":2},"result":{},"error":{}}"#,
];

/// Ids that a number or a plain string type would change.
const IDS: [&str; 9] = [
    "7000",
    "1.0",
    "-0",
    "1E5",
    "1180591620717411303424",
    r#""""#,
    r#""a\/b""#,
    r#""\ud83d""#,
    r#""é😀""#,
];

#[test]
fn ids_arguments_and_results_pass_as_they_were() {
    let fleet = Servers::marked(["a", "b"]).legacy();
    for (number, arguments) in ARGUMENTS.iter().enumerate() {
        let id = IDS[number % IDS.len()];
        for server in ["a", "b"] {
            let mark = fleet.peer.mark();
            fleet.peer.send(&format!(
                r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"{server}__bench","arguments":{arguments}}}}}"#
            ));
            eventually(DEADLINE, || fleet.peer.mark() > mark);
            let expected = format!(
                r#"{{"jsonrpc":"2.0","id":{id},"result":{{"content":[],"structuredContent":{arguments}}}}}"#
            );
            assert_eq!(fleet.peer.lines_since(mark)[0].line, expected);
        }
    }
}

/// Requests that a server keeps, with the name that the client uses. `@ID@` is the id.
const REQUESTS: [&str; 8] = [
    r#"{"jsonrpc":"2.0","id":@ID@,"method":"tools/call","params":{"name":"@SERVER@t","arguments":{},"task":{"ttl":60000,"vendor":1}}}"#,
    r#"{"jsonrpc":"2.0","id":@ID@,"method":"tools/call","params":{"arguments":null,"name":"@SERVER@t"}}"#,
    r#"{"jsonrpc":"2.0","id":@ID@,"method":"tools/call","params":{"arguments":{"name":"@SERVER"},"name":"@SERVER@t","foo":1e400}}"#,
    r#"{"jsonrpc":"2.0","id":@ID@,"method":"tools/call","params":{"name":"@SERVER@t","inputResponses":{"a":{"x":-0}},"requestState":"\/s"}}"#,
    r#"{"jsonrpc":"2.0","id":@ID@,"method":"prompts/get","params":{"name":"@SERVER@p","arguments":{"a":"\ud83d"},"foo":{}}}"#,
    r#"{"params":{"name":"@SERVER@t","_meta":{"traceparent":"00-1","x":1E5}},"method":"tools/call","vendor":[1],"id":@ID@,"jsonrpc":"2.0"}"#,
    r#"{ "jsonrpc" : "2.0" ,	"id" : @ID@ , "method" : "tools/call" , "params" : { "name" : "@SERVER@t" } }"#,
    r#"{"jsonrpc":"2.0","id":@ID@,"method":"vendor/x","params":{"name":"@SERVER@t","n":1.0}}"#,
];

#[test]
fn a_server_gets_its_own_name_and_all_else_as_it_was_sent() {
    let script = json!({"record": true, "raw": {
        "tools/list": r#"{"tools":[{"name":"t"}]}"#, "prompts/list": r#"{"prompts":[{"name":"p"}]}"#}});
    let fleet = Servers::new()
        .with("a", &script)
        .with("b", &script)
        .legacy();
    let heard = |server: &str| -> Vec<String> {
        let params = json!({"name": format!("{server}__t")});
        let answer = fleet.peer.ask("vendor/heard", &params);
        serde_json::from_str(answer.result_text()).unwrap()
    };
    for server in ["b", "a"] {
        heard(server);
        for (number, request) in REQUESTS.iter().enumerate() {
            let line = request.replace("@SERVER@", &format!("{server}__"));
            fleet.peer.send(&line.replace("@ID@", IDS[number]));
        }
        let heard = heard(server);
        // The last one is the question itself.
        assert_eq!(heard.len(), REQUESTS.len() + 1, "{heard:#?}");
        for (line, request) in heard.iter().zip(REQUESTS) {
            let own = request.replace("@SERVER@", "");
            let (before, after) = own.split_once("@ID@").unwrap();
            let id = line
                .strip_prefix(before)
                .and_then(|rest| rest.strip_suffix(after));
            let id = id.unwrap_or_else(|| panic!("damaged\n sent {own}\n came {line}"));
            assert!(id.parse::<u64>().is_ok(), "{id}");
        }
    }
}

fn progress_of(fleet: &Fleet, token: &Value) -> Vec<Value> {
    let lines = fleet.peer.lines_since(0).into_iter();
    let progress = lines.filter(|line| line.method() == Some("notifications/progress"));
    let params = progress.map(|line| line.params());
    let of = params.filter(|params| params["progressToken"] == *token);
    of.map(|params| params["progress"].clone()).collect()
}

#[test]
fn progress_and_cancellation_belong_to_their_calls() {
    let script = json!({"tools": [
        {"name": "steps", "x-progress": 3, "x-delay-ms": 50},
        {"name": "forever", "x-progress": 1, "x-delay-ms": 600_000},
    ]});
    let fleet = Servers::new()
        .with("a", &script)
        .with("b", &script)
        .legacy();
    let call = |tool: &str, token: &Value| {
        let params = json!({"name": tool, "arguments": {}, "_meta": {"progressToken": token}});
        fleet.peer.request("tools/call", &params)
    };
    let (one, two) = (json!("same"), json!(1));
    let calls = [call("a__steps", &one), call("b__steps", &two)];
    for id in calls {
        fleet.peer.await_response(id).result();
    }
    for token in [&one, &two] {
        assert_eq!(progress_of(&fleet, token), [1, 2, 3]);
    }
    let endless = [
        call("a__forever", &json!("a")),
        call("b__forever", &json!("b")),
    ];
    eventually(DEADLINE, || {
        ["a", "b"]
            .iter()
            .all(|token| progress_of(&fleet, &json!(token)).len() == 1)
    });
    fleet
        .peer
        .notify("notifications/cancelled", &json!({"requestId": endless[1]}));
    let cancelled = |server: &str| {
        fleet.state(server)["notifications"]
            .to_string()
            .contains("cancelled")
    };
    eventually(DEADLINE, || cancelled("b"));
    assert!(!cancelled("a"));
    fleet
        .peer
        .notify("notifications/cancelled", &json!({"requestId": endless[0]}));
    eventually(DEADLINE, || cancelled("a"));
    assert_eq!(endless.map(|id| fleet.peer.responses_to(id)), [0, 0]);
}

#[test]
fn errors_of_a_server_pass_as_they_were() {
    let broken = r#"{"isError":true,"content":[{"type":"text","text":"\ud83d"}],"n":1E5}"#;
    let script = json!({"tools": [{"name": "t", "x-raw": broken}]});
    let fleet = Servers::new()
        .with("a", &json!({}))
        .with("b", &script)
        .legacy();
    assert_eq!(fleet.call("b__t", &json!({})).result_text(), broken);
    let refused = fleet.call("b__slow", &json!({"ms": "x"})).error();
    assert_eq!(refused["code"], -32602);
    assert!(
        refused["message"]
            .as_str()
            .unwrap()
            .contains("invalid type")
    );
}

/// Answers come in the order in which they are ready: a slow server holds up nobody.
#[test]
fn a_slow_call_does_not_hold_up_another_servers() {
    let fleet = Servers::marked(["a", "b"]).legacy();
    let slow = fleet.peer.request(
        "tools/call",
        &json!({"name": "a__slow", "arguments": {"ms": 600_000}}),
    );
    for _ in 0..100 {
        fleet.mark("b");
    }
    assert_eq!(fleet.peer.responses_to(slow), 0);
    fleet
        .peer
        .notify("notifications/cancelled", &json!({"requestId": slow}));
}

/// A request of the modern era is the same with several servers, the name apart.
#[test]
fn modern_calls_pass_as_well() {
    let fleet = Servers::marked(["a", "b"]).dev();
    let meta = modern_meta();
    for server in ["a", "b"] {
        for (number, arguments) in ARGUMENTS.iter().enumerate() {
            let id = 1000 + number;
            let mark = fleet.peer.mark();
            fleet.peer.send(&format!(
                r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"_meta":{meta},"name":"{server}__bench","arguments":{arguments}}}}}"#
            ));
            eventually(DEADLINE, || fleet.peer.mark() > mark);
            let expected = format!(
                r#"{{"jsonrpc":"2.0","id":{id},"result":{{"resultType":"complete","content":[],"structuredContent":{arguments}}}}}"#
            );
            assert_eq!(fleet.peer.lines_since(mark)[0].line, expected);
        }
    }
}
