//! Bodies, event streams and websockets that pass through.

use crate::harness::http::{Connection, Legacy};

use super::{SiteOn, Stage};

#[test]
fn a_websocket_lasts_while_its_generation_drains() {
    for on in [SiteOn::FastMcp, SiteOn::Express] {
        let stage = Stage::start(on, &["--drain-timeout", "10s"]);
        let mut old = stage.websocket(&[]);
        assert_eq!(old.line(), "open", "{on:?}");
        assert_eq!(old.say("one"), "v0 one", "{on:?}");
        stage.save("v0", "v1");
        stage.site.log.until("reloaded", 1);
        assert_eq!(old.say("two"), "v0 two", "{on:?}");
        let mut new = stage.websocket(&[]);
        assert_eq!(new.line(), "open", "{on:?}");
        assert_eq!(new.say("three"), "v1 three", "{on:?}");
        assert_eq!(old.line(), "closed", "{on:?}");
        stage.site.log.until("stopped", 1);
        assert_eq!(new.say("four"), "v1 four", "{on:?}");
    }
}

#[test]
fn a_closed_websocket_lets_its_generation_stop() {
    let stage = Stage::start(SiteOn::FastMcp, &["--drain-timeout", "1h"]);
    let mut old = stage.websocket(&[]);
    assert_eq!(old.line(), "open");
    stage.save("v0", "v1");
    stage.site.log.until("reloaded", 1);
    assert_eq!(old.say("one"), "v0 one");
    drop(old);
    stage.site.log.until("stopped", 1);
}

#[test]
fn an_open_stream_does_not_delay_a_server_that_makes_room() {
    let options = ["--drain-timeout", "1h", "--reload", "stop-first"];
    let stage = Stage::start(SiteOn::FastMcp, &options);
    let client = Legacy::begin(&stage.site);
    let mut stream = Connection::to(stage.site.address);
    stream.request_at("/ticks", "GET", &[], "");
    assert_eq!(stream.head().status, 200);
    assert_eq!(stream.event().unwrap().data, "v0");
    stage.save("v0", "v1");
    assert!(stage.get("/").body.ends_with("v1"));
    while let Some(event) = stream.event() {
        assert_eq!(event.data, "v0");
    }
    assert_eq!(client.end().status(), 200);
}

#[test]
fn an_event_stream_ends_with_its_generation() {
    let stage = Stage::start(SiteOn::FastMcp, &["--drain-timeout", "10s"]);
    let mut stream = Connection::to(stage.site.address);
    stream.request_at("/ticks", "GET", &[("Accept", "text/event-stream")], "");
    assert_eq!(stream.head().status, 200);
    assert_eq!(stream.event().unwrap().data, "v0");
    stage.save("v0", "v1");
    stage.site.log.until("reloaded", 1);
    assert!(stage.site.log.events("stopped").is_empty());
    while let Some(event) = stream.event() {
        assert_eq!(event.data, "v0");
    }
    stage.site.log.until("stopped", 1);
}

#[test]
fn bodies_pass_both_ways_as_they_arrive() {
    let stage = Stage::start(SiteOn::FastMcp, &[]);
    let mut connection = Connection::to(stage.site.address);
    let chunked = [("Transfer-Encoding", "chunked")];
    connection.request_at("/repeat", "POST", &chunked, "");
    connection.send(b"5\r\nfirst\r\n");
    assert_eq!(connection.head().status, 200);
    assert_eq!(connection.chunk(), Some(b"first".to_vec()));
    connection.send(b"6\r\nsecond\r\n");
    assert_eq!(connection.chunk(), Some(b"second".to_vec()));
    connection.send(b"0\r\n\r\n");
    assert_eq!(connection.chunk(), None);
    // The connection serves the next request.
    connection.request_at("/", "GET", &[], "");
    assert_eq!(connection.answer().status(), 200);
}

#[test]
fn a_client_that_does_not_read_slows_the_server_down() {
    let stage = Stage::start(SiteOn::FastMcp, &[]);
    let mut slow = Connection::to(stage.site.address);
    slow.request_at("/flood", "GET", &[], "");
    assert_eq!(slow.head().status, 200);
    let produced = || stage.get("/produced").body.parse::<usize>().unwrap();
    let (mut last, mut same) = (0, 0);
    while same < 50 {
        let now = produced();
        same = if now == last { same + 1 } else { 0 };
        last = now;
    }
    assert!(last < 48 << 20, "{last}");
    assert_eq!(slow.skip(96 << 20), 96 << 20);
    assert_eq!(produced(), 96 << 20);
}
