//! Serves the client that started the proxy, on stdin and stdout.

use std::sync::Arc;

use crate::jsonrpc::Frame;
use crate::session::Session;
use crate::transport::stream::{LineReader, MAX_UNREAD, Outbox};

/// Passes the client's lines to its session, which answers on `outbox`, until the client closes its side. `limit` is
/// the maximum message length in bytes, for the error about longer messages.
pub(crate) async fn serve(
    mut lines: LineReader,
    outbox: &Outbox,
    session: Arc<Session>,
    limit: usize,
) {
    loop {
        // The proxy's own answers queue up for a client that writes without reading. Only the client can end this
        // wait, but it is not a new deadlock: a client that reads only after writing everything hangs at any server
        // without a proxy too, as soon as a pipe is full. The proxy stops reading servers at a much lower backlog, so
        // they alone cannot cause this wait, except by one huge message.
        outbox.ready_beyond(MAX_UNREAD).await;
        session.ready().await;
        if !matches!(lines.fill().await, Ok(true)) {
            break;
        }
        let _cork = lines
            .has_several()
            .then(|| (session.fleet().corks(), outbox.cork()));
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
