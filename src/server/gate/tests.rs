use std::future::Future;
use std::io::{PipeReader, Read as _};
use std::pin::pin;
use std::sync::Weak;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Waker};

use super::*;
use crate::bridge::Identity;
use crate::server::link::Link;
use crate::server::test_client::{CountingClient, call, client};

const LONG: Duration = Duration::from_secs(3600);
const DEADLINE: Duration = Duration::from_secs(60);

/// Creates a generation whose input goes to the client's own pipe.
fn connection(client: &Arc<CountingClient>) -> Arc<Connection> {
    let (notices, _heard) = tokio::sync::mpsc::unbounded_channel();
    Arc::new(Connection::new(
        "weather".into(),
        1,
        Link::Pipe(client.outbox.clone()),
        client.clone(),
        Identity::default(),
        notices,
    ))
}

fn gate(patience: Duration) -> Gate {
    Gate::new("weather".to_owned(), patience)
}

/// Submits a request whose line has about `size` bytes.
fn submit(gate: &Gate, client: &Arc<CountingClient>, id: usize, size: usize) {
    let pad = "x".repeat(size);
    let line = format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"vendor/x","params":["{pad}"]}}"#);
    let _ = gate.submit(
        call(client.clone(), &id.to_string()),
        &line,
        &Envelope::parse(&line).unwrap(),
    );
}

/// Returns the data of one read, as soon as there is any.
async fn read(reader: &PipeReader) -> String {
    let mut reader = reader.try_clone().unwrap();
    let mut text = vec![0; 4096];
    let reading = tokio::task::spawn_blocking(move || {
        let length = reader.read(&mut text).unwrap();
        text.truncate(length);
        String::from_utf8(text).unwrap()
    });
    tokio::time::timeout(DEADLINE, reading)
        .await
        .unwrap()
        .unwrap()
}

/// Returns the next `count` answers. On Windows, a thread writes them one after the other.
async fn answers(reader: &PipeReader, count: usize) -> String {
    let mut text = String::new();
    while text.lines().count() < count || !text.ends_with('\n') {
        text += &read(reader).await;
    }
    text
}

fn is_pending<F: Future>(future: std::pin::Pin<&mut F>) -> bool {
    future
        .poll(&mut Context::from_waker(Waker::noop()))
        .is_pending()
}

async fn until(gate: &Gate, condition: impl Fn() -> bool) {
    let expiring = async {
        while !condition() {
            gate.expire().await;
        }
    };
    tokio::time::timeout(DEADLINE, expiring).await.unwrap();
}

#[tokio::test]
async fn only_the_first_that_waits_wakes_the_clock() {
    let (gate, (client, _reader)) = (gate(LONG), client());
    let mut empty = pin!(gate.expire());
    assert!(is_pending(empty.as_mut()));
    submit(&gate, &client, 1, 0);
    assert!(!is_pending(empty));
    let mut waiting = pin!(gate.expire());
    assert!(is_pending(waiting.as_mut()));
    submit(&gate, &client, 2, 0);
    assert!(is_pending(waiting));
}

#[tokio::test]
async fn requests_that_wait_too_long_are_answered_in_order() {
    let (gate, (client, reader)) = (gate(Duration::from_millis(20)), client());
    (1..=3).for_each(|id| submit(&gate, &client, id, 0));
    until(&gate, || !gate.holds_any()).await;
    assert_eq!(client.answers.load(Ordering::Relaxed), 3);
    let text = answers(&reader, 3).await;
    let ids: Vec<_> = text.lines().filter_map(Envelope::id_in).collect();
    assert_eq!(ids, ["1", "2", "3"].map(RawId::from), "{text}");
    assert_eq!(gate.lock().queue.size, 0);
}

#[tokio::test]
async fn a_shorter_wait_also_holds_for_the_lines_that_wait() {
    let (gate, (client, reader)) = (gate(LONG), client());
    submit(&gate, &client, 1, 0);
    gate.set_max_wait(Duration::from_millis(20));
    submit(&gate, &client, 2, 0);
    until(&gate, || !gate.holds_any()).await;
    let text = answers(&reader, 2).await;
    let ids: Vec<_> = text.lines().filter_map(Envelope::id_in).collect();
    assert_eq!(ids, ["1", "2"].map(RawId::from), "{text}");
}

#[tokio::test]
async fn a_notification_that_waits_alone_is_forgotten_in_time() {
    let gate = gate(Duration::from_millis(20));
    let told = async {
        // No timer runs while the queue is empty.
        tokio::task::yield_now().await;
        gate.forward_notification(r#"{"jsonrpc":"2.0","method":"vendor/x"}"#);
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = told => {}
        () = until(&gate, || gate.lock().queue.size > 0) => {}
    }
    until(&gate, || !gate.holds_any()).await;
}

#[tokio::test]
async fn too_many_are_turned_away_until_others_have_gone() {
    let (gate, (client, reader)) = (gate(LONG), client());
    let size = MAX_HELD_BYTES / 4;
    (1..=4).for_each(|id| submit(&gate, &client, id, size));
    assert_eq!(client.answers.load(Ordering::Relaxed), 0);
    submit(&gate, &client, 5, 0);
    assert_eq!(client.answers.load(Ordering::Relaxed), 1);
    let text = read(&reader).await;
    assert!(text.contains(r#""id":5"#), "{text}");
    assert!(text.contains("exceeds 64 MiB"), "{text}");
    assert!(text.contains("too_many_waiting"), "{text}");
    let held = gate.lock().queue.size;
    gate.forward_notification(r#"{"jsonrpc":"2.0","method":"vendor/x"}"#);
    assert_eq!(gate.lock().queue.size, held);

    let same: Arc<dyn ResponseSink> = client.clone();
    assert!(gate.cancel(&same, "2".into()));
    assert!(!gate.cancel(&same, "2".into()));
    submit(&gate, &client, 6, 0);
    assert_eq!(client.answers.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn while_a_suspicion_is_unheard_requests_wait_whatever_the_gate_is_told() {
    let (gate, (client, reader)) = (gate(LONG), client());
    let connection = connection(&client);
    gate.open(connection.clone());
    gate.suspect();
    submit(&gate, &client, 1, 0);
    assert!(gate.holds_any(), "it overtakes the suspicion");
    gate.open(connection.clone());
    assert!(gate.holds_any(), "for what may be older code");
    assert_eq!(*gate.status().borrow(), GateStatus::Held);
    gate.suspect_processed();
    gate.open(connection);
    assert!(!gate.holds_any());
    let text = read(&reader).await;
    assert_eq!(text.lines().count(), 1, "{text}");
}

/// Source of one save, which is reported on the first look.
#[derive(Debug)]
struct OneSave {
    gate: Weak<Gate>,
    known: AtomicUsize,
}

impl SaveProbe for OneSave {
    fn report_saves(&self) {
        if self.known.swap(0, Ordering::Relaxed) > 0 {
            self.gate.upgrade().unwrap().suspect();
        }
    }
}

#[tokio::test]
async fn a_save_that_only_the_system_knows_of_is_not_overtaken() {
    type Attempt = fn(&Gate, &Arc<CountingClient>, &Arc<Connection>);
    let attempts: [(&str, bool, Attempt); 4] = [
        ("a request to an open gate", true, |gate, client, _| {
            submit(gate, client, 1, 0);
        }),
        ("a list that asks how it stands", true, |gate, _, _| {
            assert_eq!(*gate.status().borrow(), GateStatus::Held);
        }),
        (
            "what waited for older code",
            false,
            |gate, _, connection| {
                gate.open(connection.clone());
            },
        ),
        ("what waited for a failure", false, |gate, _, _| {
            gate.refuse(&Arc::new(Failure::new(1, String::new())));
        }),
    ];
    for (what, open, attempt) in attempts {
        let (gate, (client, reader)) = (Arc::new(gate(LONG)), client());
        let connection = connection(&client);
        if open {
            gate.open(connection.clone());
        } else {
            submit(&gate, &client, 1, 0);
        }
        gate.set_save_probe(Arc::new(OneSave {
            gate: Arc::downgrade(&gate),
            known: AtomicUsize::new(1),
        }));
        attempt(&gate, &client, &connection);
        assert_eq!(*gate.status().borrow(), GateStatus::Held, "{what}");
        submit(&gate, &client, 2, 0);
        assert!(gate.holds_any(), "{what}");
        assert_eq!(client.answers.load(Ordering::Relaxed), 0, "{what}");
        gate.suspect_processed();
        // The touched file did not change.
        gate.open(connection);
        assert!(!gate.holds_any(), "{what}");
        assert!(!read(&reader).await.is_empty(), "{what}");
    }
}

/// Each write to a pipe in packet mode is one packet.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn all_that_waited_goes_out_in_one_write() {
    use crate::transport::stream::Outbox;
    use rustix::pipe::{PipeFlags, pipe_with};

    let (gate, (client, _reader)) = (gate(LONG), client());
    (1..=3).for_each(|id| submit(&gate, &client, id, 0));
    let (reader, writer) = pipe_with(PipeFlags::DIRECT).unwrap();
    let reader = PipeReader::from(reader);
    let outbox = Outbox::new(writer).unwrap();
    outbox.send([b"first", b"", b""]);
    assert_eq!(read(&reader).await, "first\n");
    let (notices, _heard) = tokio::sync::mpsc::unbounded_channel();
    let connection = Connection::new(
        "weather".into(),
        1,
        Link::Pipe(outbox),
        client,
        Identity::default(),
        notices,
    );
    gate.open(Arc::new(connection));
    let text = read(&reader).await;
    assert_eq!(text.lines().count(), 3, "{text}");
    assert!(!gate.holds_any());
    assert_eq!(gate.lock().queue.size, 0);
}
