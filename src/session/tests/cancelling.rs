//! Requests that their clients cancel, wherever they are.

use tokio_util::sync::CancellationToken;

use super::*;

/// The line of a call.
const CALL: &str = r#"{"id":7,"method":"tools/call","params":{"name":"t"}}"#;

#[tokio::test]
async fn work_that_begins_other_work_for_its_request_leaves_it_to_that() {
    let stage = Stage::new(&["a"], true, Set::None);
    let dropped = CancellationToken::new();
    let (session, guard) = (stage.session.clone(), dropped.clone().drop_guard());
    stage.session.run("7".into(), async move {
        session.run("7".into(), async move {
            let _guard = guard;
            std::future::pending::<()>().await;
        });
    });
    // The first work has ended once its task has let another one run.
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    assert!(stage.session.state().running_calls.has("7"));
    stage.session.cancel("7".into(), "{}");
    stage.session.wait_until_idle().await;
    assert!(dropped.is_cancelled());
    assert!(stage.session.state().running_calls.is_empty());
}

#[cfg(unix)]
#[tokio::test]
async fn a_request_that_is_cancelled_while_it_is_sent_on_is_not_sent() {
    let stage = Stage::new(&["a"], true, Set::None);
    stage.greet();
    stage.sent_to("a");
    for is_cancelled in [true, false] {
        stage.session.fleet.one("a").hold_gate();
        let session = stage.session.clone();
        stage.session.run("7".into(), async move {
            if is_cancelled {
                session.cancel("7".into(), "{}");
            }
            session.receive(CALL.as_bytes());
        });
        while !stage.session.state().running_calls.is_empty() {
            tokio::task::yield_now().await;
        }
        tokio::task::yield_now().await;
        stage.connect("a");
        assert_eq!(stage.sent_to("a").is_empty(), is_cancelled);
    }
}

#[tokio::test]
async fn the_end_of_a_session_begins_nothing() {
    let stage = Stage::new(&[], false, Set::All);
    stage.receive(r#"{"id":0,"method":"initialize","params":{}}"#);
    stage.receive(r#"{"id":1,"method":"tools/call","params":{"name":"get_loaded_servers"}}"#);
    stage.session.end().await;
    assert!(stage.session.state().running_calls.is_empty());
    let lines = stage.lines();
    assert!(lines[0].contains("the session ended before"), "{lines:?}");
}
