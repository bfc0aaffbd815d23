//! The client that started the proxy, on stdin and stdout.

use std::sync::Arc;

use crate::jsonrpc::Frame;
use crate::server::{Connection, ServerHandle};
use crate::session::Session;
use crate::transport::stream::{Lines, Outbox};

/// A client is not read while more bytes than this wait for it to read them.
const UNREAD: usize = 16 * 1024 * 1024;

/// Brings the client's lines to its session, which answers by `out`, until the client closes its side.
/// `limit` is the longest message in bytes, for the error about longer ones.
pub(crate) async fn serve(mut lines: Lines, out: &Outbox, session: Arc<Session>, limit: usize) {
    loop {
        room(&session, out).await;
        if !matches!(lines.fill().await, Ok(true)) {
            break;
        }
        let _cork = lines
            .several()
            .then(|| (session.fleet().corks(), out.cork()));
        while let Some(frame) = lines.next() {
            match frame {
                Frame::Line(line) => session.receive(line),
                Frame::TooLong { head, tail } => session.receive_too_long(head, tail, limit),
            }
        }
    }
    if let Some(rest) = lines.rest() {
        session.receive(rest);
    }
}

/// Waits until what the client says next has somewhere to go.
async fn room(session: &Session, out: &Outbox) {
    // What the proxy answers itself piles up before a client that writes without reading. Nobody
    // but the client can end this wait, and it is no new deadlock: a client that will not read
    // before it has written everything hangs at any server without a proxy too, and there as soon
    // as a pipe is full. Servers are read up to a much lower mark, so they alone never bring it
    // about, save by one huge message.
    out.ready_beyond(UNREAD).await;
    // A server that reads slowly slows its client down, as it would without a proxy. One that hangs
    // does so only until newer code takes its place. One of several must not slow down the others:
    // the session refuses what it does not take.
    let catalog = session.fleet().catalog();
    let Some(gate) = catalog.sole().map(ServerHandle::gate) else {
        return;
    };
    let keeps_up = |connection: &Connection| connection.link().backlog() == 0;
    if gate.connection().is_none_or(|it| keeps_up(&it)) {
        return;
    }
    let mut standing = gate.standing();
    loop {
        standing.borrow_and_update();
        let Some(connection) = gate.connection() else {
            return;
        };
        tokio::select! {
            biased;
            () = connection.link().ready() => return,
            Ok(()) = standing.changed() => {}
        }
    }
}
