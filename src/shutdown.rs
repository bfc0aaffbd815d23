//! Signals that ask for the end.

use std::io;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// What the signals have asked for so far.
#[derive(Debug, Clone, Default)]
pub(crate) struct Shutdown {
    /// The first signal: end in good order.
    pub(crate) asked: CancellationToken,
    /// The second one: end now.
    pub(crate) urgent: CancellationToken,
}

impl Shutdown {
    /// Listens to SIGINT, SIGTERM and SIGHUP from now on.
    pub(crate) fn listen() -> io::Result<Self> {
        let shutdown = Self::default();
        let heard = shutdown.clone();
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let mut hang_up = signal(SignalKind::hangup())?;
        tokio::spawn(async move {
            for token in [heard.asked, heard.urgent] {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                    _ = hang_up.recv() => {}
                }
                token.cancel();
            }
        });
        Ok(shutdown)
    }
}
