//! A person stands in for clients that lack capabilities.

use super::asked::eventually;
use super::*;

const FORM: &str = r#"{"method":"elicitation/create","params":{"message":"é\ud83d"}}"#;
const SAMPLING: &str = r#"{"method":"sampling/createMessage","params":{"maxTokens":1E2}}"#;
const URL: &str = r#"{"mode":"url","message":"m","url":"u","elicitationId":"e"}"#;
const ACCEPTED: &str = r#"{"action":"accept"}"#;

/// A person who stands in for clients.
fn person() -> Arc<StandIn> {
    let stand_in = StandIn::new(String::new(), tokio::sync::watch::Sender::new(()));
    stand_in.switch(true);
    stand_in
}

/// Returns the line of a modern call of `client`, which declares these capabilities.
fn call_of(client: &str, id: &str, capabilities: &str, more: &str) -> String {
    let info = format!(r#""io.modelcontextprotocol/clientInfo":{{"name":"{client}"}}"#);
    let capabilities = format!(r#""io.modelcontextprotocol/clientCapabilities":{capabilities}"#);
    let meta = format!(r#""_meta":{{{MODERN},{info},{capabilities}}}"#);
    format!(r#"{{"id":{id},"method":"tools/call","params":{{{meta},"name":"t"{more}}}}}"#)
}

fn call(id: &str, capabilities: &str, more: &str) -> String {
    call_of("c", id, capabilities, more)
}

fn member(line: &str, name: &str) -> String {
    let message = Members::of(line);
    message.get(name).unwrap_or_default().to_owned()
}

/// Returns the line of the newest call at the server.
async fn sent(stage: &Stage) -> String {
    let lines = eventually(|| stage.sent_to("a")).await;
    assert_eq!(lines.len(), 1, "{lines:?}");
    lines.concat()
}

/// Answers the call that was `sent` by a result that requests this input.
fn requires(connection: &Arc<Connection>, sent: &str, requests: &str, state: &str) {
    let number = member(sent, "id");
    let line = format!(
        r#"{{"id":{number},"result":{{"x":-0,"resultType":"input_required","inputRequests":{{{requests}}},"requestState":{state}}}}}"#
    );
    connection.receive(&line, None).unwrap();
}

/// Answers the call that was `sent` by the error that requires a URL.
fn requires_url(connection: &Arc<Connection>, sent: &str) {
    let number = member(sent, "id");
    let error =
        format!(r#"{{"code":-32042,"message":"log in","data":{{"elicitations":[{URL}]}}}}"#);
    let line = format!(r#"{{"id":{number},"error":{error}}}"#);
    connection.receive(&line, None).unwrap();
}

/// Waits until the person is asked the question `number`.
async fn is_asked(person: &StandIn, number: u64) {
    while person.question(number).is_none() {
        tokio::task::yield_now().await;
    }
}

/// Waits until the person is asked the question `number`; answers it.
async fn answer(person: &StandIn, number: u64, answer: &str) {
    is_asked(person, number).await;
    assert!(person.answer(number, Ok(answer.to_owned())));
}

/// Returns the next message to the client.
async fn heard(stage: &Stage) -> String {
    let lines = eventually(|| stage.lines()).await;
    assert_eq!(lines.len(), 1, "{lines:?}");
    lines.concat()
}

#[tokio::test]
async fn a_modern_client_gets_the_requests_that_it_can_answer_and_the_person_the_others() {
    let person = person();
    let stage = Stage::helped(&person, false);
    let connection = stage.connect("a");
    connection.set_era(Era::Modern, None);
    let declared = r#"{"elicitation":{},"x":1E2}"#;
    stage.receive(&call("7", declared, ""));
    let all = r#"{"elicitation":{"form":{},"url":{}},"x":1E2,"sampling":{}}"#;
    let told = sent(&stage).await;
    assert_eq!(told, call("1", all, ""));
    let requests = format!(r#""f":{FORM},"s":{SAMPLING}"#);
    requires(&connection, &told, &requests, r#""\u00e9""#);
    answer(&person, 1, r#"{"n":1E2}"#).await;
    let result = member(&heard(&stage).await, "result");
    let state = member(&result, "requestState");
    let rest = format!(
        r#"{{"x":-0,"resultType":"input_required","inputRequests":{{"f":{FORM}}},"requestState":{state}}}"#
    );
    assert_eq!(result, rest);
    assert_eq!((connection.in_flight(), person.state().0), (0, 0));

    let responses = format!(r#"{{"f":{ACCEPTED},"s":{{"n":2}}}}"#);
    let more = format!(r#","inputResponses":{responses},"requestState":{state}"#);
    stage.receive(&call("8", declared, &more));
    let told = sent(&stage).await;
    let responses = format!(r#"{{"f":{ACCEPTED},"s":{{"n":1E2}}}}"#);
    let more = format!(r#","inputResponses":{responses},"requestState":"\u00e9""#);
    assert_eq!(told, call("2", all, &more));
    // The client can answer this one alone, and the state of the server is its own.
    requires(&connection, &told, &format!(r#""f":{FORM}"#), "\"2\"");
    let result = member(&heard(&stage).await, "result");
    assert_eq!(member(&result, "requestState"), "\"2\"");
    let again = format!(r#","requestState":{state}"#);
    stage.receive(&call("9", declared, &again));
    assert_eq!(sent(&stage).await, call("3", all, &again));

    // The person is not asked in vain.
    stage.receive(&call("10", declared, ""));
    let requests = format!(r#""s":{SAMPLING},"r":{{"method":"roots/list"}}"#);
    requires(&connection, &sent(&stage).await, &requests, "\"3\"");
    let line = heard(&stage).await;
    let is_refused = member(&line, "id") == "10" && line.contains("does not declare");
    assert!(is_refused && person.question(2).is_none(), "{line}");
}

#[tokio::test]
async fn a_modern_client_without_capabilities_gets_only_the_last_result() {
    let person = person();
    let stage = Stage::helped(&person, false);
    let connection = stage.connect("a");
    connection.set_era(Era::Modern, None);
    stage.receive(&call("7", "{}", r#","requestState":"0""#));
    let requests = format!(r#""f":{FORM},"s":{SAMPLING}"#);
    requires(&connection, &sent(&stage).await, &requests, "\"1\"");
    answer(&person, 2, r#"{"n":1E2}"#).await;
    answer(&person, 1, ACCEPTED).await;
    let told = sent(&stage).await;
    let responses = format!(r#"{{"f":{ACCEPTED},"s":{{"n":1E2}}}}"#);
    let more = format!(r#","inputResponses":{responses},"requestState":"1""#);
    let all = r#"{"elicitation":{"form":{},"url":{}},"sampling":{}}"#;
    assert_eq!(told, call("2", all, &more));
    // Roots are the client's own, declared or not.
    let roots = r#""r":{"method":"roots/list"}"#;
    requires(&connection, &told, roots, "\"2\"");
    let line = heard(&stage).await;
    assert!(
        line.starts_with(r#"{"id":7,"#) && line.contains(roots),
        "{line}"
    );

    stage.receive(&call("8", "{}", ""));
    let form = format!(r#""f":{FORM}"#);
    requires(&connection, &sent(&stage).await, &form, "\"3\"");
    is_asked(&person, 3).await;
    person.switch(false);
    let line = heard(&stage).await;
    assert!(line.contains("does not stand in"), "{line}");
    assert!(
        line.contains(r#""isError":true,"resultType":"complete""#),
        "{line}"
    );
    // Off, the bytes pass.
    stage.receive(&call("9", "{}", ""));
    let told = sent(&stage).await;
    assert_eq!(told, call("4", "{}", ""));
    requires(&connection, &told, &form, "\"4\"");
    assert!(heard(&stage).await.contains(&form));
}

#[tokio::test]
async fn a_call_is_sent_again_once_the_person_has_opened_its_url() {
    for (is_legacy, code) in [(true, "-32042"), (false, "-32600")] {
        let person = person();
        let stage = Stage::helped(&person, false);
        let connection = stage.connect("a");
        let line = if is_legacy {
            stage.greet();
            r#"{"id":7,"method":"tools/call","params":{"name":"t"}}"#.to_owned()
        } else {
            call("7", r#"{"elicitation":{}}"#, "")
        };
        stage.receive(&line);
        let first = sent(&stage).await;
        // The server's question ends with this round of its call.
        let line = r#"{"id":9,"method":"sampling/createMessage"}"#;
        connection.receive(line, None).unwrap();
        is_asked(&person, 1).await;
        requires_url(&connection, &first);
        answer(&person, 2, ACCEPTED).await;
        let lines = eventually(|| stage.sent_to("a")).await;
        let [refused, again] = &lines[..] else {
            panic!("{lines:?}");
        };
        assert_eq!(member(refused, "id"), "9");
        assert!(refused.contains("has ended meanwhile"), "{refused}");
        assert_eq!(*again, first.replace(r#""id":1"#, r#""id":2"#));
        requires_url(&connection, again);
        answer(&person, 3, r#"{"action":"cancel"}"#).await;
        let error = member(&heard(&stage).await, "error");
        assert_eq!(member(&error, "code"), code);
        assert!(error.contains(URL), "{error}");
        assert_eq!((connection.in_flight(), person.state().0), (0, 0));
    }
}

#[tokio::test]
async fn the_declaration_of_one_client_does_not_count_for_another() {
    let person = person();
    let stage = Stage::helped(&person, true);
    let connection = stage.connect("a");
    stage.receive(&call_of("x", "7", r#"{"elicitation":{}}"#, ""));
    let number = member(&sent(&stage).await, "id");
    stage.receive(&call_of("y", "8", "{}", ""));
    sent(&stage).await;
    let ask = |id: u64| {
        let line = format!(r#"{{"id":{id},"method":"elicitation/create"}}"#);
        connection.receive(&line, None).unwrap();
    };
    // It may belong to the client that declares it.
    ask(1);
    let error = sent(&stage).await;
    assert!(error.contains("several clients"), "{error}");
    let line = format!(r#"{{"id":{number},"result":{{"content":[]}}}}"#);
    connection.receive(&line, None).unwrap();
    ask(2);
    answer(&person, 1, ACCEPTED).await;
    assert_eq!(member(&sent(&stage).await, "result"), ACCEPTED);
}
