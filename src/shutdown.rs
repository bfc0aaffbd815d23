//! Turns termination signals into cancellation tokens.

use std::io;
use std::time::{Duration, Instant};

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Time after the first signal within which further signals count as copies of it.
///
/// A terminal sends Ctrl-C to every process of its foreground group, and a wrapper such as `npx` or `uv run` forwards it
/// once more, a few milliseconds later. Otherwise the copy would force the exit, and no server would end in an orderly
/// way. A person who presses Ctrl-C again rarely does so within this time, and can repeat it.
const COPIES_TIME: Duration = Duration::from_millis(300);

/// Shutdown requests received so far.
#[derive(Debug, Clone, Default)]
pub(crate) struct Shutdown {
    /// Cancelled by the first signal: shut down in an orderly way.
    pub(crate) requested: CancellationToken,
    /// Cancelled by the second signal that is no copy of the first: exit immediately.
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
            let mut received = async || {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                    _ = hang_up.recv() => {}
                }
            };
            received().await;
            heard.requested.cancel();
            let first = Instant::now();
            loop {
                received().await;
                if first.elapsed() >= COPIES_TIME {
                    break;
                }
            }
            heard.forced.cancel();
        });
        Ok(shutdown)
    }
}
