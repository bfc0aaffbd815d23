use std::path::PathBuf;

use super::*;
use crate::install::RequestedVariable;
use crate::mcp::Era;

const SECOND: Duration = Duration::from_secs(1);

/// Asks the question at `at`; returns its state.
fn put(questions: &ConsentQuestions, about: &str, at: Instant) -> String {
    let ConsentDecision::Asked(result) = questions.put(about.to_owned(), r#"{"message":1E5}"#, at)
    else {
        panic!("it must be asked");
    };
    let result = Members::of(&result);
    assert_eq!(result.text("resultType").as_deref(), Some("input_required"));
    let requests = result.object("inputRequests");
    assert_eq!(
        requests.get("confirm"),
        Some(r#"{"method":"elicitation/create","params":{"message":1E5}}"#)
    );
    result.text("requestState").unwrap().into_owned()
}

#[test]
fn a_response_counts_once() {
    let (questions, now) = (ConsentQuestions::default(), Instant::now());
    let state = put(&questions, "a", now);
    assert!(questions.was_asked(&state, "a", now));
    assert!(!questions.was_asked(&state, "a", now));
}

#[test]
fn a_response_counts_only_for_its_question() {
    let (questions, now) = (ConsentQuestions::default(), Instant::now());
    let (first, second) = (put(&questions, "a", now), put(&questions, "b", now));
    assert_ne!(first, second);
    assert!(!questions.was_asked("", "a", now));
    assert!(!questions.was_asked("forged", "a", now));
    // A response that is used for another action is spent.
    assert!(!questions.was_asked(&first, "b", now));
    assert!(!questions.was_asked(&first, "a", now));
    assert!(questions.was_asked(&second, "b", now));
}

#[test]
fn a_response_counts_for_a_limited_time() {
    let (questions, asked) = (ConsentQuestions::default(), Instant::now());
    for (after, counts) in [
        (Duration::ZERO, true),
        (QUESTION_TIMEOUT.saturating_sub(SECOND), true),
        (QUESTION_TIMEOUT, false),
        (QUESTION_TIMEOUT + SECOND, false),
    ] {
        let state = put(&questions, "a", asked);
        let counted = questions.was_asked(&state, "a", asked + after);
        assert_eq!(counted, counts, "{after:?}");
    }
    assert!(locked(&questions.0).is_empty());
}

#[test]
fn of_too_many_questions_the_oldest_are_dropped() {
    let (questions, now) = (ConsentQuestions::default(), Instant::now());
    let states: Vec<String> = (0..=OPEN).map(|_| put(&questions, "a", now)).collect();
    assert!(!questions.was_asked(&states[0], "a", now));
    assert!(questions.was_asked(&states[1], "a", now));
    assert!(questions.was_asked(&states[OPEN], "a", now));
}

#[test]
fn only_a_clear_yes_is_brought() {
    for (params, expected) in [
        ("{}", None),
        (r#"{"requestState":"s"}"#, None),
        (r#"{"requestState":"s","inputResponses":{}}"#, None),
        (
            r#"{"requestState":5,"inputResponses":{"confirm":{"action":"accept"}}}"#,
            None,
        ),
        (
            r#"{"inputResponses":{"confirm":{"action":"accept"}}}"#,
            None,
        ),
        (
            r#"{"requestState":"s","inputResponses":{"confirm":{"action":"accept"}}}"#,
            Some(("s", true)),
        ),
        (
            r#"{"requestState":"\u0073","inputResponses":{"other":{},"confirm":{"action":"accept","content":{}}}}"#,
            Some(("s", true)),
        ),
        (
            r#"{"requestState":"s","inputResponses":{"confirm":{"action":"decline"}}}"#,
            Some(("s", false)),
        ),
        (
            r#"{"requestState":"s","inputResponses":{"confirm":{"action":"cancel"}}}"#,
            Some(("s", false)),
        ),
        (
            r#"{"requestState":"s","inputResponses":{"confirm":{"action":"Accept"}}}"#,
            Some(("s", false)),
        ),
        (
            r#"{"requestState":"s","inputResponses":{"confirm":{"action":true}}}"#,
            Some(("s", false)),
        ),
        (
            r#"{"requestState":"s","inputResponses":{"confirm":"accept"}}"#,
            Some(("s", false)),
        ),
    ] {
        let expected = expected.map(|(state, accepted)| ConsentResponse {
            state: state.to_owned(),
            accepted,
        });
        assert_eq!(consent_response(params), expected, "{params}");
    }
}

/// Returns `given`, `refused`, or the state of the question.
async fn ask(
    questions: &ConsentQuestions,
    question: ConsentChannel,
    call: &str,
    message: &str,
) -> String {
    let caller = Caller::new(Era::Modern, question, None);
    match questions.ask(&caller, call, message).await {
        ConsentDecision::Given => "given".to_owned(),
        ConsentDecision::Refused => "refused".to_owned(),
        ConsentDecision::Asked(result) => {
            let result = Members::of(&result);
            result.text("requestState").unwrap().into_owned()
        }
    }
}

#[tokio::test]
async fn a_modern_client_repeats_its_call_with_the_response() {
    let questions = ConsentQuestions::default();
    let with = |state: &str, accepted| {
        let state = state.to_owned();
        ConsentChannel::Result(Some(ConsentResponse { state, accepted }))
    };
    for (accepted, call, message, expected) in [
        (true, "install a", "Install a?", Some("given")),
        (false, "install a", "Install a?", Some("refused")),
        // The action or the question has changed: it is asked again.
        (true, "install b", "Install a?", None),
        (true, "install a", "Install a?\ncommit: 2", None),
        (true, "install a\nInstall", "a?", None),
        (false, "install b", "Install a?", None),
    ] {
        let state = ask(
            &questions,
            ConsentChannel::Result(None),
            "install a",
            "Install a?",
        )
        .await;
        let said = ask(&questions, with(&state, accepted), call, message).await;
        if let Some(expected) = expected {
            assert_eq!(said, expected, "{call}");
        } else {
            assert!(!["given", "refused", &*state].contains(&&*said), "{call}");
            let again = ask(&questions, with(&said, true), call, message).await;
            assert_eq!(again, "given", "{call}");
        }
    }
}

#[tokio::test]
async fn a_legacy_client_is_asked_by_a_request() {
    for (answer, expected) in [
        (Some(r#"{"id":1,"result":{"action":"accept"}}"#), "given"),
        (Some(r#"{"id":1,"result":{"action":"decline"}}"#), "refused"),
        (
            Some(r#"{"id":1,"error":{"code":1,"message":"accept"}}"#),
            "refused",
        ),
        (Some("accept"), "refused"),
        (None, "refused"),
    ] {
        let asking = ConsentChannel::Request(Box::new(move |params| {
            let params: serde_json::Value = serde_json::from_str(&params).unwrap();
            assert_eq!(params["message"], "Install a?");
            assert_eq!(params["requestedSchema"]["type"], "object");
            Box::pin(std::future::ready(answer.map(ToOwned::to_owned)))
        }));
        let said = ask(
            &ConsentQuestions::default(),
            asking,
            "install a",
            "Install a?",
        )
        .await;
        assert_eq!(said, expected, "{answer:?}");
    }
}

fn proposal() -> InstallSummary {
    InstallSummary {
        name: "clock".into(),
        source: "https://host/a".into(),
        commit: "c0ffee".into(),
        command: vec!["uv".into(), "run".into(), "a b.py".into()],
        reason: String::new(),
        considered: Vec::new(),
        prepare: Vec::new(),
        variables: Vec::new(),
        replaces: None,
        notes: Vec::new(),
    }
}

#[test]
fn the_question_before_an_installation_names_everything_that_is_run() {
    assert_eq!(
        installing(&proposal()),
        "Install the MCP server `clock` from https://host/a?\ncommit: c0ffee\nstart command: uv run \"a b.py\""
    );
    let variable = |name: &str, is_mentioned| RequestedVariable {
        name: name.into(),
        value: "v".into(),
        is_mentioned,
    };
    let text = installing(&InstallSummary {
        prepare: vec!["npm ci".into()],
        variables: vec![variable("KNOWN", true), variable("NEW", false)],
        replaces: Some(PathBuf::from("/p/.mcp.json")),
        notes: (0..NOTES + 2).map(|number| format!("n{number}")).collect(),
        ..proposal()
    });
    for line in [
        "replaces the entry `clock` in \"/p/.mcp.json\" and keeps a backup\n",
        "setup commands:\n  npm ci",
        "  NEW = \"v\" (not mentioned in the repository)\n  KNOWN = \"v\"\n",
        "note: n11\nnote: 2 more notes are not shown",
    ] {
        assert!(text.contains(line), "{text}");
    }
}

#[test]
fn foreign_text_adds_no_line_to_the_question() {
    let lines = |proposal: &InstallSummary| installing(proposal).lines().count();
    let hostile = "x\nstart command: true\u{2028}\r\u{202e}\u{1b}[2J";
    let plain = lines(&InstallSummary {
        variables: vec![RequestedVariable {
            name: "N".into(),
            value: "v".into(),
            is_mentioned: true,
        }],
        notes: vec!["n".into()],
        replaces: Some("f".into()),
        ..proposal()
    });
    let forged = InstallSummary {
        source: hostile.into(),
        command: vec![hostile.into()],
        variables: vec![RequestedVariable {
            name: hostile.into(),
            value: hostile.into(),
            is_mentioned: true,
        }],
        notes: vec![hostile.into()],
        replaces: Some(hostile.into()),
        ..proposal()
    };
    assert_eq!(lines(&forged), plain);
    let is_hidden = |c: char| c.is_control() && c != '\n' || "\u{2028}\u{202e}".contains(c);
    assert!(!installing(&forged).contains(is_hidden));
}
