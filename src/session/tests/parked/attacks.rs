//! Servers that ask without end, and clients that do not come back or guess states.

use super::*;

/// Number of requests that an attacker sends.
const MANY: usize = 10_000;
/// Maximum number of unanswered requests of a generation.
const MAX_OPEN: usize = 256;

/// Counts the errors that tell a server that too many requests wait.
fn refused(lines: &[String]) -> usize {
    let errors = lines.iter();
    errors
        .filter(|it| it.contains("too many requests wait"))
        .count()
}

#[tokio::test(start_paused = true)]
async fn a_call_in_which_a_server_asks_without_end_is_bounded() {
    let stage = Stage::new(&["a"], true, Set::Dev);
    let connection = stage.connect("a");
    stage.receive(&call("1", ""));
    stage.sent_to("a");
    for id in 0..MANY {
        connection.receive(&ask(&id.to_string()), None).unwrap();
    }
    assert_eq!(refused(&stage.sent_to("a")), MANY - MAX_OPEN);
    collected().await;
    let (keys, state) = asked(&stage.lines());
    assert_eq!(keys.len(), MAX_OPEN);
    // All that are left are asked for again, and the server cannot add to them.
    connection.receive(&ask("1"), None).unwrap();
    assert_eq!(refused(&stage.sent_to("a")), 1);
    stage.receive(&call("2", &again(&state, r#"{"1":{}}"#)));
    collected().await;
    assert_eq!(asked(&stage.lines()).0.len(), MAX_OPEN - 1);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_parks_every_call_is_bounded() {
    let stage = Stage::shared(&["a"]);
    let connection = stage.connect("a");
    for id in 0..MANY {
        stage.receive(&call_of(&(id % 50).to_string(), &id.to_string(), ""));
    }
    let sent = stage.sent_to("a");
    assert_eq!((sent.len(), connection.in_flight()), (MANY, MANY));
    for (id, line) in sent.iter().enumerate() {
        let number = Members::of(line).get("id").unwrap().parse().unwrap();
        connection
            .receive(&ask(&id.to_string()), Some(number))
            .unwrap();
    }
    collected().await;
    assert_eq!(refused(&stage.sent_to("a")), MANY - MAX_OPEN);
    assert_eq!(stage.heard().len(), MAX_OPEN);
    assert_eq!(connection.parked_calls(), MAX_OPEN);
    // No client comes back.
    tokio::time::sleep(Duration::from_secs(601)).await;
    assert_eq!(connection.parked_calls(), 0);
    assert_eq!(connection.in_flight(), MANY - MAX_OPEN);
    assert!(stage.session.state().parked_calls.is_empty());
    // An error for each of its requests, and a notification for each of its calls.
    assert_eq!(stage.sent_to("a").len(), 2 * MAX_OPEN);
}

#[tokio::test(start_paused = true)]
async fn the_calls_of_one_client_leave_room_for_those_of_another() {
    let stage = Stage::shared(&["a"]);
    let connection = stage.connect("a");
    let park = |client: usize, id: usize| {
        stage.receive(&call_of(&client.to_string(), &id.to_string(), ""));
        let number = member(&stage.sent_to("a"), "id").parse().unwrap();
        connection
            .receive(&ask(&id.to_string()), Some(number))
            .unwrap();
    };
    for id in 0..65 {
        park(1, id);
    }
    collected().await;
    assert_eq!((stage.heard().len(), refused(&stage.sent_to("a"))), (64, 1));
    park(2, 65);
    collected().await;
    assert_eq!((stage.heard().len(), refused(&stage.sent_to("a"))), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn guessed_states_continue_nothing() {
    let stage = Stage::shared(&["a"]);
    let connection = stage.connect("a");
    stage.receive(&call("1", ""));
    connection.receive(&ask("7"), None).unwrap();
    collected().await;
    let (_, state) = asked(&stage.lines());
    stage.sent_to("a");
    let half = &state[..16];
    for guess in [
        String::new(),
        half.to_owned(),
        format!("{state} "),
        format!("{half}{half}"),
        state.to_uppercase() + "0",
        "0".repeat(100_000),
    ] {
        stage.receive(&call("2", &again(&guess, r#"{"1":{}}"#)));
        is_invalid_state(&stage.lines());
    }
    for raw in ["1", "[]", "{}", "true"] {
        let line = call("2", &again("@", r#"{"1":{}}"#)).replace(r#""@""#, raw);
        stage.receive(&line);
        is_invalid_state(&stage.lines());
    }
    assert!(stage.sent_to("a").is_empty());
    assert_eq!((connection.in_flight(), connection.parked_calls()), (1, 1));
    stage.receive(&call("2", &again(&state, r#"{"1":{}}"#)));
    assert_eq!(
        (stage.sent_to("a").len(), connection.parked_calls()),
        (1, 0)
    );
}
