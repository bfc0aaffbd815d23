use std::task::{Context, Poll, Waker};

use super::*;

const PROGRESS: &str = r#"{"jsonrpc":"2.0","method":"notifications/progress"}"#;

/// Returns all messages in a feed, as text.
fn read(feed: &mut MessageReceiver) -> Vec<String> {
    let mut context = Context::from_waker(Waker::noop());
    let mut all = Vec::new();
    while let Poll::Ready(Some(item)) = feed.poll_next(&mut context) {
        all.push(String::from_utf8(item.message.to_vec()).unwrap());
    }
    all
}

/// Begins a request whose response has become a stream; returns the stream's number and feed.
fn begun(room: &SessionStreams, id: &str) -> (u64, MessageReceiver) {
    let (number, feed) = room.open(&[id.into()], false).unwrap();
    room.mark_resumable(number);
    (number, feed)
}

fn answer(room: &SessionStreams, id: &str, size: usize) {
    room.answer(
        id.into(),
        Reply::Result(&format!("\"{}\"", "x".repeat(size))),
    );
}

#[test]
fn a_broken_stream_outlives_read_ones() {
    let room = SessionStreams::new();
    let (standing, feed) = room.open_get_stream().unwrap();
    drop(feed);
    room.reader_gone(standing, false);
    let (broken, feed) = begun(&room, "1");
    drop(feed);
    room.reader_gone(broken, false);
    answer(&room, "1", 6 << 20);
    for id in 2..40 {
        let id = id.to_string();
        let (number, feed) = begun(&room, &id);
        answer(&room, &id, 1 << 20);
        drop(feed);
        room.reader_gone(number, true);
    }
    assert!(room.state().streams.len() < 10);
    let (_, mut feed, answers) = room.resume(&format!("{broken}-0")).unwrap();
    assert_eq!((answers, read(&mut feed).len()), (Some(1), 1));
    assert!(room.resume(&format!("{standing}-0")).is_ok());
}

#[test]
fn forty_broken_answers_are_all_brought_later() {
    let room = SessionStreams::new();
    let begun: Vec<_> = (0..40).map(|id| begun(&room, &id.to_string()).0).collect();
    for (id, number) in begun.iter().enumerate() {
        answer(&room, &id.to_string(), 100);
        room.reader_gone(*number, false);
    }
    for number in begun {
        let (_, mut feed, _) = room.resume(&format!("{number}-0")).unwrap();
        assert_eq!(read(&mut feed).len(), 1);
    }
}

#[test]
fn only_what_was_promised_can_be_resumed() {
    let room = SessionStreams::new();
    let (waiting, _feed) = room.open(&["1".into()], false).unwrap();
    let (promised, _other) = begun(&room, "2");
    for last in [
        format!("{waiting}-0"),
        format!("{promised}-1"),
        format!("{promised}-99999"),
        "7-0".to_owned(),
        "x".to_owned(),
    ] {
        assert_eq!(
            room.resume(&last).err(),
            Some(StreamError::Unknown),
            "{last}"
        );
    }
    assert!(room.resume(&format!("{promised}-0")).is_ok());
}

#[test]
fn a_gap_is_no_secret() {
    let room = SessionStreams::new();
    let (standing, feed) = room.open_get_stream().unwrap();
    for number in 0..=EVENTS {
        let line = format!(r#"{{"jsonrpc":"2.0","method":"vendor/{number}"}}"#);
        room.send(&line, RelatedRequest::Nothing).unwrap();
    }
    drop(feed);
    room.reader_gone(standing, false);
    let gone = room.resume(&format!("{standing}-0")).err();
    assert_eq!(gone, Some(StreamError::Unknown));
    let (_, mut feed) = room.open_get_stream().unwrap();
    assert_eq!(read(&mut feed), ALL_CHANGED);
    // The answer to a request takes precedence over its progress.
    let (number, feed) = begun(&room, "1");
    for _ in 0..=EVENTS {
        room.send(PROGRESS, RelatedRequest::Request("1".into()))
            .unwrap();
    }
    answer(&room, "1", 10);
    drop(feed);
    room.reader_gone(number, false);
    let (_, mut feed, answers) = room.resume(&format!("{number}-0")).unwrap();
    let rest = read(&mut feed);
    assert_eq!((answers, rest.len()), (Some(1), EVENTS));
    assert!(rest.last().unwrap().contains("result"));
}

#[test]
fn the_queue_for_a_stream_is_bounded_and_reports_its_losses() {
    let room = SessionStreams::new();
    let log = r#"{"jsonrpc":"2.0","method":"notifications/message"}"#;
    let changed = r#"{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}"#;
    let question = r#"{"jsonrpc":"2.0","id":1,"method":"elicitation/create"}"#;
    for line in [log, log, changed, changed, question] {
        room.send(line, RelatedRequest::Nothing).unwrap();
    }
    let (_, mut feed) = room.open_get_stream().unwrap();
    assert_eq!(read(&mut feed), [log, log, changed, question]);
    drop(feed);
    for _ in 0..EVENTS {
        room.send(question, RelatedRequest::Nothing).unwrap();
    }
    assert_eq!(
        room.send(question, RelatedRequest::Nothing),
        Err(Undelivered)
    );
    assert_eq!(room.send(log, RelatedRequest::Nothing), Ok(()));
    let (_, mut feed) = room.open_get_stream().unwrap();
    assert_eq!(read(&mut feed).len(), ALL_CHANGED.len() + EVENTS);
}

#[test]
fn progress_of_a_request_goes_nowhere_else() {
    let room = SessionStreams::new();
    let (_, mut standing) = room.open_get_stream().unwrap();
    let (number, feed) = room.open(&["1".into()], false).unwrap();
    drop(feed);
    room.reader_gone(number, false);
    room.send(PROGRESS, RelatedRequest::Request("1".into()))
        .unwrap();
    room.send(PROGRESS, RelatedRequest::Request("unknown".into()))
        .unwrap();
    assert!(read(&mut standing).is_empty());
    let question = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
    room.send(question, RelatedRequest::Request("1".into()))
        .unwrap();
    assert_eq!(read(&mut standing), [question]);
}

#[test]
fn a_response_that_is_json_carries_nothing_but_its_answer() {
    let question = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
    for related in [RelatedRequest::Request("1".into()), RelatedRequest::Nothing] {
        let room = SessionStreams::new();
        let (_, mut feed) = room.open(&["1".into()], true).unwrap();
        // The client waits for its answer, and no stream may follow.
        assert_eq!(room.send(question, related), Err(Undelivered));
        let (_, mut other) = room.open(&["2".into()], false).unwrap();
        room.send(question, related).unwrap();
        assert_eq!(read(&mut other), [question]);
        let (_, mut standing) = room.open_get_stream().unwrap();
        room.send(question, related).unwrap();
        assert_eq!(read(&mut standing), [question]);
        room.send(PROGRESS, RelatedRequest::Request("1".into()))
            .unwrap();
        answer(&room, "1", 1);
        assert_eq!(read(&mut feed).len(), 1);
        assert!(read(&mut other).is_empty() && read(&mut standing).is_empty());
    }
}

#[test]
fn a_request_that_nobody_waits_for_keeps_no_session_busy() {
    let room = SessionStreams::new();
    let (number, feed) = begun(&room, "1");
    let later = Instant::now() + Duration::from_secs(100);
    assert_eq!(room.idle(later), Duration::ZERO);
    drop(feed);
    room.reader_gone(number, false);
    assert!(room.idle(Instant::now() + Duration::from_secs(100)) >= Duration::from_secs(99));
}

#[test]
fn the_end_answers_what_is_open() {
    let room = SessionStreams::new();
    let (_, mut feed) = room.open(&["\"a\"".into()], false).unwrap();
    room.end(r#"{"code":-32603,"message":"over"}"#);
    let said = read(&mut feed);
    assert!(
        said[0].contains(r#""id":"a""#) && said[0].contains("over"),
        "{said:?}"
    );
}
