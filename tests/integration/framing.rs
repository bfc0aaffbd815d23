//! Irregular lines from either side: readable ones pass, an unreadable one costs only itself.

#[cfg(unix)]
mod cut;
mod limits;
#[cfg(unix)]
mod programs;

use serde_json::{Value, json};

use crate::harness::{DEADLINE, Peer, Project, Proxy, eventually, example, initialize_params};

fn proxy(script: &Value, options: &[&str]) -> (Project, Peer) {
    let project = Project::new();
    project.write("script.json", &script.to_string());
    let peer = Proxy::dev([example("fake_server"), "script.json".into()])
        .transparent()
        .options(options.iter().copied())
        .within(&project)
        .spawn();
    (project, peer)
}

#[track_caller]
fn initialized(script: &Value, options: &[&str]) -> (Project, Peer) {
    let (project, peer) = proxy(script, options);
    peer.initialize(&initialize_params()).result();
    (project, peer)
}

/// Lets the server write these bytes as lines; the answer to the request `id` is among them.
fn let_say(peer: &Peer, id: u64, lines: &[&str]) {
    peer.send(
        &json!({"jsonrpc": "2.0", "id": id, "method": "vendor/say", "params": {"lines": lines}})
            .to_string(),
    );
}

#[track_caller]
fn still_works(peer: &Peer) {
    assert_eq!(
        peer.call("echo", &json!({"a": 1})).tool_text(),
        r#"{"a":1}"#
    );
}

#[test]
fn a_message_sent_in_pieces_is_one_message() {
    let (_project, peer) = initialized(&json!({}), &[]);
    let line = r#"{"jsonrpc":"2.0","id":"é😀","method":"vendor/x","params":{"text":"é😀"}}"#;
    for byte in line.as_bytes() {
        peer.send_bytes(std::slice::from_ref(byte));
    }
    peer.send_bytes(b"\n");
    let answer = peer.await_response(r#""é😀""#);
    assert_eq!(answer.result_text(), r#"{"text":"é😀"}"#);
}

#[test]
fn a_client_may_use_windows_line_ends_a_byte_order_mark_and_blank_lines() {
    let (_project, peer) = proxy(&json!({}), &[]);
    let initialize =
        json!({"jsonrpc": "2.0", "id": 900, "method": "initialize", "params": initialize_params()});
    let lines = format!(
        "\u{feff}{initialize}\r\n\r\n \t\n\n{}\r\n   {}  \r\n",
        r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#,
        r#"{"jsonrpc":"2.0","id":901,"method":"vendor/x","params":{}}"#
    );
    peer.send_bytes(lines.as_bytes());
    peer.await_response(900).result();
    assert_eq!(peer.await_response(901).result_text(), "{}");
    assert_eq!(peer.mark(), 2, "{}", peer.transcript());
}

#[test]
fn a_last_line_without_an_end_is_a_message() {
    let (_project, peer) = initialized(&json!({}), &[]);
    peer.send_bytes(br#"{"jsonrpc":"2.0","id":901,"method":"vendor/x","params":{}}"#);
    peer.close_stdin();
    assert_eq!(peer.await_response(901).result_text(), "{}");
    assert!(peer.wait_exit().success());
}

#[test]
fn invalid_utf8_of_a_client_is_replaced() {
    let (_project, peer) = initialized(&json!({}), &[]);
    peer.send_bytes(b"{\"jsonrpc\":\"2.0\",\"id\":901,\"method\":\"vendor/x\",\"params\":{\"a\":\"\xff\xc3\"}}\n");
    let answer = peer.await_response(901);
    assert_eq!(answer.result_text(), "{\"a\":\"\u{fffd}\u{fffd}\"}");
}

#[test]
fn lines_that_are_not_messages_get_errors() {
    let (_project, peer) = initialized(&json!({}), &[]);
    let codes = [
        ("hello", -32700),
        (r#"{"jsonrpc":"2.0","id":901,"method":"x""#, -32700),
        ("[]", -32600),
        ("[1]", -32600),
        (r#"{"jsonrpc":"2.0","id":902}"#, -32600),
    ];
    for (line, code) in codes {
        let mark = peer.mark();
        peer.send(line);
        eventually(DEADLINE, || peer.mark() > mark);
        let answer = &peer.lines_since(mark)[0];
        assert_eq!(answer.error()["code"], code, "{line}");
        let id = if line.contains("902") { "902" } else { "null" };
        assert_eq!(answer.id().unwrap_or("null"), id, "{line}");
    }
    still_works(&peer);
}

#[test]
fn each_message_of_a_batch_is_answered() {
    let (_project, peer) = initialized(&json!({}), &[]);
    peer.send(concat!(
        r#" [ {"jsonrpc":"2.0","id":901,"method":"vendor/x","params":{"a":1E5}}, "#,
        r#"{"jsonrpc":"2.0","method":"vendor/note","params":{"n":-0}},"#,
        r#"{"jsonrpc":"2.0","id":"b","method":"ping"},{"jsonrpc":"2.0","id":902,"method":"tools/list"}]"#,
    ));
    assert_eq!(peer.await_response(901).result_text(), r#"{"a":1E5}"#);
    assert_eq!(peer.await_response(r#""b""#).result_text(), "{}");
    peer.await_response(902).result();
    assert_eq!(
        peer.expect_notification("vendor/echo").params_text(),
        r#"{"n":-0}"#
    );
}

#[test]
fn a_client_with_batches_gets_the_answers_in_one_array() {
    let (_project, peer) = proxy(
        &json!({"tools": [{"name": "later", "x-delay-ms": 100}]}),
        &[],
    );
    let mut params = initialize_params();
    params["protocolVersion"] = "2025-03-26".into();
    peer.initialize(&params).result();
    let arrays = |mark: usize| -> Vec<Vec<Value>> {
        let lines = peer.lines_since(mark).into_iter();
        let arrays = lines.filter(|message| message.line.starts_with('['));
        arrays
            .map(|message| serde_json::from_str(&message.line).unwrap())
            .collect()
    };
    let answered = |batch: &str| {
        let mark = peer.mark();
        peer.send(batch);
        eventually(DEADLINE, || !arrays(mark).is_empty());
        let mut answers = arrays(mark).remove(0);
        answers.sort_by_key(|answer| answer["id"].to_string());
        answers
    };
    let answers = answered(concat!(
        r#"[{"jsonrpc":"2.0","id":901,"method":"tools/call","params":{"name":"later"}},7,"#,
        r#"{"jsonrpc":"2.0","method":"vendor/note","params":{"n":-0}},"#,
        r#"{"jsonrpc":"2.0","id":"b","method":"ping"},{"jsonrpc":"2.0","id":902,"method":"vendor/x"}]"#,
    ));
    let ids: Vec<_> = answers.iter().map(|answer| answer["id"].clone()).collect();
    assert_eq!(ids, [json!("b"), json!(901), json!(902), Value::Null]);
    assert_eq!(answers[3]["error"]["code"], -32600);
    assert_eq!(peer.responses_to(901) + peer.responses_to(902), 0);
    let answers = answered("[7]");
    assert_eq!(answers[0]["error"]["code"], -32600);

    // A cancelled request does not keep the others from being answered.
    let answers = answered(concat!(
        r#"[{"jsonrpc":"2.0","id":903,"method":"tools/call","params":{"name":"slow","arguments":{"ms":600000}}},"#,
        r#"{"jsonrpc":"2.0","id":904,"method":"ping"},"#,
        r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":903}}]"#,
    ));
    let ids: Vec<_> = answers.iter().map(|answer| answer["id"].clone()).collect();
    assert_eq!(ids, [json!(904)]);
    still_works(&peer);
}

#[test]
fn a_batch_of_a_server_is_taken_apart() {
    let (_project, peer) = initialized(&json!({}), &[]);
    let_say(
        &peer,
        901,
        &[
            r#" [{"jsonrpc":"2.0","method":"vendor/note","params":{"n":-0}} , {"jsonrpc":"2.0","id":@ID@,"result":{"a":1E5}}]"#,
        ],
    );
    assert_eq!(peer.await_response(901).result_text(), r#"{"a":1E5}"#);
    assert_eq!(
        peer.expect_notification("vendor/note").params_text(),
        r#"{"n":-0}"#
    );
}

#[test]
fn stray_lines_of_a_server_are_told_and_skipped() {
    let stray = json!({"stray": ["Listening on stdio", "{\"level\":\"info\"}", "", "[1,2]", "{"]});
    let (_project, peer) = initialized(&stray, &[]);
    still_works(&peer);
    peer.expect_stderr("Listening on stdio");
    for line in peer.lines_since(0) {
        assert!(line.line.starts_with(r#"{"jsonrpc""#), "{}", line.line);
    }
}

#[test]
fn stray_text_before_a_message_does_not_cost_the_message() {
    let (_project, peer) = initialized(&json!({}), &[]);
    let said = [
        r#"debug: {"jsonrpc":"2.0","id":@ID@,"result":{"a":1E5}}"#,
        r#"step {"a":1} done {"result":{"b":{"c":-0}},"jsonrpc":"2.0","id":@ID@}"#,
    ];
    for (id, (line, result)) in (901..).zip(said.iter().zip([r#"{"a":1E5}"#, r#"{"b":{"c":-0}}"#]))
    {
        let_say(&peer, id, &[line]);
        assert_eq!(peer.await_response(id).result_text(), result);
    }
    peer.expect_stderr("debug:");
}

/// A server in Python writes numbers that JSON lacks. No client could read that response, and the requester would wait.
#[test]
fn an_answer_that_is_no_json_is_an_error_to_who_asked() {
    let (_project, peer) = initialized(&json!({}), &[]);
    let said = [
        (
            r#"{"jsonrpc":"2.0","id":@ID@,"result":{"a":NaN}}"#,
            "unexpected 'N'",
        ),
        (
            r#"{"jsonrpc":"2.0","id":@ID@,"result":{"a":[1}}"#,
            "unexpected '}'",
        ),
        (
            r#"{"id":@ID@,"jsonrpc":"2.0","result":{"a":"#,
            "unexpected end",
        ),
    ];
    for (id, (line, fault)) in (901..).zip(said) {
        let_say(&peer, id, &[line]);
        let answer = peer.await_response(id);
        let message = answer.error_text();
        assert!(
            message.contains("the server's response is not valid JSON: "),
            "{message}"
        );
        assert!(message.contains(fault), "{message}");
    }
    peer.expect_stderr("invalid JSON-RPC message");
    still_works(&peer);
}

/// The line is a message, only of no use: advice about printing to stdout would mislead.
#[test]
fn an_answer_to_nothing_is_called_so() {
    let (_project, peer) = initialized(&json!({}), &[]);
    for answer in [
        r#"{"jsonrpc":"2.0","id":"nobody","result":{}}"#,
        r#"{"jsonrpc":"2.0","id":987654,"error":{"code":-1,"message":"m"}}"#,
    ] {
        let answered = r#"{"jsonrpc":"2.0","id":@ID@,"result":{}}"#;
        let_say(&peer, 901, &[answer, answered]);
        peer.await_response(901);
        peer.expect_stderr(&format!("response with unknown id: {answer}"));
    }
    let stderr = peer.stderr().join("\n");
    assert!(!stderr.contains("not a JSON-RPC message"), "{stderr}");
    still_works(&peer);
}

#[test]
fn a_server_may_use_windows_line_ends_and_a_byte_order_mark() {
    let (_project, peer) = initialized(&json!({}), &[]);
    let_say(
        &peer,
        901,
        &[
            "\u{feff}{\"jsonrpc\":\"2.0\",\"id\":@ID@,\"result\":{}}\r",
            "\r",
            "",
        ],
    );
    assert_eq!(
        peer.await_response(901).line,
        r#"{"jsonrpc":"2.0","id":901,"result":{}}"#
    );
    still_works(&peer);
}

#[test]
fn a_flood_on_stderr_blocks_nothing() {
    // Wine takes long for each line.
    let bytes = if cfg!(windows) { 1_000_000 } else { 10_000_000 };
    let (_project, peer) = initialized(&json!({"stderr_flood": bytes}), &["-q"]);
    still_works(&peer);
}

#[test]
fn a_server_may_send_ids_back_as_strings() {
    let (_project, peer) = initialized(&json!({}), &[]);
    let said = [
        r#"{"jsonrpc":"2.0","id":"@ID@","result":{"a":1E5}}"#,
        r#"{"result":{"a":1E5},"id":"@ID@","jsonrpc":"2.0"}"#,
    ];
    for (id, line) in (901..).zip(said) {
        let_say(&peer, id, &[line]);
        assert_eq!(peer.await_response(id).result_text(), r#"{"a":1E5}"#);
    }
    let_say(
        &peer,
        903,
        &[r#"{"jsonrpc":"2.0","id":"@ID@","error":{"code":1,"message":"x"}}"#],
    );
    assert!(
        peer.await_response(903)
            .line
            .contains(r#""id":903,"error":{"code":1"#)
    );
    still_works(&peer);
}
