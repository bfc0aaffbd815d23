use std::cell::RefCell;
use std::collections::BTreeMap;

use crate::fleet::FleetClient as _;
use crate::jsonrpc::Envelope;
use crate::mcp::{ListKind, meta};
use crate::meta_tools::Set;
use crate::session::tests::{MODERN, Stage};

/// Opens a listen request with this id and these raw notifications, under the key `key`.
fn listen(stage: &Stage, key: &str, id: &str, notifications: &str) {
    let line = format!(
        r#"{{"id":{id},"method":"subscriptions/listen","params":{{"notifications":{notifications},"_meta":{{{MODERN}}}}}}}"#
    );
    let envelope = Envelope::parse(&line).unwrap();
    stage.session.take_request(&line, &envelope, key.into());
}

/// Returns the notification about a listen request as the client hears it.
fn told(key: &str, id: &str, method: &str, params: &str) -> (String, String) {
    let tag = meta::SUBSCRIPTION_ID;
    let comma = if params.is_empty() { "" } else { "," };
    let line = format!(
        r#"{{"jsonrpc":"2.0","method":"notifications/{method}","params":{{{params}{comma}"_meta":{{"{tag}":{id}}}}}}}"#
    );
    (format!("listen {key}"), line)
}

#[tokio::test]
async fn a_stream_is_acknowledged_with_the_changes_it_will_hear() {
    for (notifications, honoured) in [
        ("{}", "{}"),
        (
            r#"{"toolsListChanged":true}"#,
            r#"{"toolsListChanged":true}"#,
        ),
        (
            r#"{"resourcesListChanged":true,"promptsListChanged":true,"vendor":true}"#,
            r#"{"promptsListChanged":true,"resourcesListChanged":true}"#,
        ),
        (r#"{"toolsListChanged":false,"promptsListChanged":1}"#, "{}"),
        (
            r#"{"resourceSubscriptions":["a", "\ud83d"]}"#,
            r#"{"resourceSubscriptions":["a", "\ud83d"]}"#,
        ),
        ("[]", "{}"),
    ] {
        let stage = Stage::new(&["a"], true, Set::Dev);
        listen(&stage, "k", "1.0", notifications);
        let params = format!(r#""notifications":{honoured}"#);
        let expected = told("k", "1.0", "subscriptions/acknowledged", &params);
        assert_eq!(stage.heard(), [expected], "{notifications}");
    }
}

#[tokio::test]
async fn each_server_gets_the_filters_of_its_own_tasks() {
    let stage = Stage::new(&["a", "b"], false, Set::Dev);
    listen(
        &stage,
        "k",
        "1",
        r#"{"taskIds":["1~a","2~b","3~c","4"],"vendor":[1]}"#,
    );
    listen(&stage, "k2", "2", r#"{"taskIds":["5~a","1~a"]}"#);
    for (server, ids) in [("a", r#"["1","5"]"#), ("b", r#"["2"]"#)] {
        let sent = RefCell::new(BTreeMap::new());
        stage.session.fleet.change_settings(|it, settings| {
            if it.spec().name == server {
                sent.borrow_mut().clone_from(&settings.extensions);
            }
        });
        let expected = [("taskIds", ids), ("vendor", "[1]")];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(sent.into_inner(), expected.into(), "{server}");
    }
    stage.heard();
    let params = r#"{"taskId":"5~a"}"#;
    let lines = stage
        .session
        .state()
        .subscriptions
        .of_extension("notifications/tasks", params);
    assert_eq!(lines.len(), 1);
}

#[tokio::test]
async fn each_stream_hears_the_lists_it_asked_for() {
    let stage = Stage::new(&["a"], true, Set::Dev);
    listen(&stage, "k1", r#""\ud83d""#, r#"{"toolsListChanged":true}"#);
    listen(
        &stage,
        "k2",
        "2",
        r#"{"toolsListChanged":true,"resourcesListChanged":true}"#,
    );
    stage.heard();
    for (kind, expected) in [
        (
            ListKind::Tools,
            vec![
                told("k1", r#""\ud83d""#, "tools/list_changed", ""),
                told("k2", "2", "tools/list_changed", ""),
            ],
        ),
        (ListKind::Prompts, vec![]),
        (
            ListKind::Templates,
            vec![told("k2", "2", "resources/list_changed", "")],
        ),
    ] {
        stage.session.lists_changed(&[kind], false);
        assert_eq!(stage.heard(), expected, "{kind:?}");
    }
    // The lists of the first start are the ones that the client reads.
    stage.session.lists_changed(&[ListKind::Tools], true);
    assert!(stage.heard().is_empty());
    stage.session.state().is_answered_early = true;
    stage.session.lists_changed(&[ListKind::Tools], true);
    assert_eq!(stage.heard().len(), 2);
}

#[tokio::test]
async fn an_update_reaches_the_streams_that_follow_the_resource() {
    let stage = Stage::new(&["a"], true, Set::Dev);
    listen(
        &stage,
        "k1",
        "1",
        r#"{"resourceSubscriptions":["file:///a"]}"#,
    );
    listen(
        &stage,
        "k2",
        "2",
        r#"{"resourceSubscriptions":["file:///b","c"]}"#,
    );
    stage.heard();
    for (params, expected) in [
        (r#""uri":"file:\/\/\/a","x":1E400"#, Some(("k1", "1"))),
        (r#""uri":"file:///a/part""#, Some(("k1", "1"))),
        (r#""uri":"c""#, Some(("k2", "2"))),
        (r#""uri":"file:///ab""#, None),
        ("", None),
    ] {
        stage.session.resource_updated(&format!("{{{params}}}"));
        let expected = expected.map(|(key, id)| told(key, id, "resources/updated", params));
        assert_eq!(stage.heard(), Vec::from_iter(expected), "{params}");
    }
}

#[tokio::test]
async fn a_stream_ends_once_and_then_hears_nothing() {
    let stage = Stage::new(&["a"], true, Set::Dev);
    listen(&stage, "k1", "1", r#"{"toolsListChanged":true}"#);
    listen(&stage, "k2", "2", r#"{"toolsListChanged":true}"#);
    stage.heard();
    assert!(!stage.session.end_listen("1".into()));
    stage.session.cancel("k1".into(), "{}");
    assert!(!stage.session.end_listen("k1".into()));
    stage.session.lists_changed(&[ListKind::Tools], false);
    assert_eq!(stage.heard(), [told("k2", "2", "tools/list_changed", "")]);
    // A cancelled stream has no response; the others get theirs when the session ends.
    stage.session.close_listens();
    let tag = meta::SUBSCRIPTION_ID;
    let answer = format!(
        r#"{{"jsonrpc":"2.0","id":k2,"result":{{"resultType":"complete","_meta":{{"{tag}":2}}}}}}"#
    );
    assert_eq!(stage.heard(), [("answer".to_owned(), answer)]);
    stage.session.close_listens();
    assert!(stage.heard().is_empty());
}

#[tokio::test]
async fn a_legacy_client_hears_without_the_tag_of_a_stream() {
    let stage = Stage::new(&["a"], true, Set::Dev);
    stage.greet();
    stage.session.state().subscriptions.set("file:///a", true);
    stage.heard();
    let tag = meta::SUBSCRIPTION_ID;
    stage.session.resource_updated(&format!(
        r#"{{"uri":"file:///a","_meta":{{"{tag}":1,"k":-0}}}}"#
    ));
    stage.session.lists_changed(&[ListKind::Prompts], false);
    let bare = |line: &str| ("nothing".to_owned(), line.to_owned());
    assert_eq!(
        stage.heard(),
        [
            bare(
                r#"{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{"uri":"file:///a","_meta":{"k":-0}}}"#
            ),
            bare(r#"{"jsonrpc":"2.0","method":"notifications/prompts/list_changed"}"#),
        ]
    );
}

#[tokio::test]
async fn renewed_resources_are_those_of_the_server_and_those_of_nobody() {
    let stage = Stage::new(&["a", "b"], false, Set::Dev);
    let fleet = &stage.session.fleet;
    fleet.list("a", &[(ListKind::Resources, "file:///a")]);
    fleet.list("b", &[(ListKind::Resources, "file:///b")]);
    listen(
        &stage,
        "k",
        "1",
        r#"{"resourceSubscriptions":["file:///b","file:///a","file:///c"]}"#,
    );
    stage.heard();
    for (server, expected) in [
        ("a", ["file:///a", "file:///c"]),
        ("b", ["file:///b", "file:///c"]),
    ] {
        stage.session.resources_updated_of(server);
        let expected = expected.map(|uri| {
            let params = format!(r#""uri":"{uri}""#);
            told("k", "1", "resources/updated", &params)
        });
        assert_eq!(stage.heard(), expected, "{server}");
    }
}
