//! Turns termination signals into cancellation tokens.

use std::io;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Shutdown requests received so far.
#[derive(Debug, Clone, Default)]
pub(crate) struct Shutdown {
    /// Cancelled by the first signal: shut down in an orderly way.
    pub(crate) requested: CancellationToken,
    /// Cancelled by the second signal: exit immediately.
    pub(crate) forced: CancellationToken,
}

impl Shutdown {
    /// Installs handlers for SIGINT, SIGTERM and SIGHUP.
    pub(crate) fn listen() -> io::Result<Self> {
        let shutdown = Self::default();
        let heard = shutdown.clone();
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let mut hang_up = signal(SignalKind::hangup())?;
        tokio::spawn(async move {
            for token in [heard.requested, heard.forced] {
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
