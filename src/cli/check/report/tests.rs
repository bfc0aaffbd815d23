use super::*;
use crate::app::visit::CallError;
use crate::contract::{Change, Class, lint};
use crate::mcp::List;

/// Returns a list with a tool that has only its name.
pub(super) fn tools() -> List {
    let mut list = List::default();
    list.add_page(ListKind::Tools, r#"{"tools":[{"name":"forecast"}]}"#)
        .unwrap();
    list
}

/// Returns a report with problems of all kinds but a failed start.
pub(super) fn faulty(tools: &List) -> ServerReport<'_> {
    let findings = lint("weather", tools, &["codex".parse().unwrap()]).into_iter();
    let change = |kind, name: &str, class, text: &str| {
        let (name, text) = (name.to_owned(), text.to_owned());
        FoundChange::from(Change {
            kind,
            name,
            class,
            text,
        })
    };
    ServerReport {
        name: "weather",
        start_ms: Some(412),
        tools: tools.entries.iter().map(|it| &*it.name).collect(),
        list_errors: vec![ListError {
            method: "prompts/list",
            error: raw(r#"{"code":1,"message":"a <b> & \"c\""}"#),
        }],
        calls: vec![CallReport {
            tool: "forecast",
            ms: 3,
            result: raw(r#"{"isError":true,"content":[{"text":"no"}]}"#),
            ..CallReport::default()
        }],
        lint: Some(findings.map(LintReport::from).collect()),
        changes: Some(vec![
            change(ListKind::Tools, "old", Class::Breaking, "is gone"),
            change(ListKind::Prompts, "greet", Class::Harmless, "is new"),
        ]),
        ..ServerReport::default()
    }
}

#[test]
fn a_result_keeps_its_bytes_and_is_shown_in_short() {
    let called = |answer| CallResult {
        tool: "t".to_owned(),
        took: Duration::from_millis(3),
        requested: Vec::new(),
        response: answer,
    };
    let result = r#"{"content":[{"type":"text","text":"one\ntwo"}],"n":1E400}"#;
    let done = called(Ok(RawResponse::Result(result.to_owned())));
    let call = CallReport::new(&done);
    assert_eq!(call.in_short(), "one …");
    assert_eq!(
        serde_json::to_string(&call).unwrap(),
        format!(r#"{{"tool":"t","ok":true,"ms":3,"result":{result}}}"#)
    );
    let error = r#"{"code":-32602,"message":"no\u001b[31m such"}"#;
    let refused = called(Ok(RawResponse::Error(error.to_owned())));
    assert_eq!(
        CallReport::new(&refused).in_short(),
        "error -32602: no such"
    );
    let silent = called(Err(CallError::NotSent));
    let call = CallReport::new(&silent);
    assert!(!call.ok && call.in_short() == CallError::NotSent.to_string());
}
