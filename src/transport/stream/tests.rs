use std::future::Future;
use std::io::{PipeReader, Read as _};
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use super::*;

/// Returns a link that is ready for writing; the writing task does not run before the next await.
async fn link() -> (Outbox, PipeReader) {
    let (reader, writer) = io::pipe().unwrap();
    let outbox = Outbox::new(writer.into()).unwrap();
    let sink = locked(&outbox.0.queue).sink.clone().unwrap();
    sink.writable().await.unwrap();
    (outbox, reader)
}

fn poll<F: Future>(future: std::pin::Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

/// Reads `count` bytes on the other side.
async fn take(outbox: &Outbox, reader: &mut PipeReader, count: usize) {
    let mut part = [0; 4096];
    for _ in 0..count / part.len() {
        reader.read_exact(&mut part).unwrap();
        let sink = locked(&outbox.0.queue).sink.clone().unwrap();
        sink.writable().await.unwrap();
        outbox.flush();
    }
}

fn backlog(outbox: &Outbox) -> usize {
    locked(&outbox.0.queue).backlog()
}

#[tokio::test]
async fn a_queue_that_is_never_empty_does_not_grow() {
    let (outbox, mut reader) = link().await;
    let message = [b'x'; 8191];
    let send = || outbox.send([&message, b"", b""]);
    (0..100).for_each(|_| send());
    let waiting = backlog(&outbox);
    assert!(waiting > 0);
    for _ in 0..1000 {
        send();
        take(&outbox, &mut reader, 8192).await;
        let stored = locked(&outbox.0.queue).bytes.len();
        assert!(
            stored <= 2 * waiting + 2 * STALE,
            "{stored} for {waiting} bytes"
        );
    }
}

#[tokio::test]
async fn a_sender_goes_on_before_the_queue_is_empty() {
    let (outbox, mut reader) = link().await;
    outbox.send([&vec![b'x'; 3 * HIGH_WATER], b"", b""]);
    let mut ready = pin!(outbox.ready());
    assert!(poll(ready.as_mut()).is_pending());
    take(&outbox, &mut reader, HIGH_WATER).await;
    assert!(poll(ready.as_mut()).is_pending());
    take(&outbox, &mut reader, HIGH_WATER).await;
    assert!((1..=HIGH_WATER).contains(&backlog(&outbox)));
    assert!(poll(ready.as_mut()).is_ready());
}

#[tokio::test]
async fn a_sender_may_have_a_limit_of_its_own() {
    let (outbox, _reader) = link().await;
    outbox.send([&vec![b'x'; 3 * HIGH_WATER], b"", b""]);
    assert!(poll(pin!(outbox.ready_beyond(4 * HIGH_WATER))).is_ready());
    assert!(poll(pin!(outbox.ready_beyond(2 * HIGH_WATER))).is_pending());
}

#[tokio::test]
async fn only_the_other_side_deserts() {
    let (outbox, reader) = link().await;
    drop(reader);
    outbox.reader_closed().await;

    let (outbox, reader) = link().await;
    outbox.close();
    outbox.closed().await;
    drop(reader);
    assert!(poll(pin!(outbox.reader_closed())).is_pending());
}
