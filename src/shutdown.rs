//! Turns termination signals into cancellation tokens.

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

use std::io;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

#[cfg(unix)]
use self::unix::Signals;
#[cfg(windows)]
use self::windows::Signals;

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
    /// Installs handlers for the signals that end a program.
    pub(crate) fn listen() -> io::Result<Self> {
        let shutdown = Self::default();
        let heard = shutdown.clone();
        let mut signals = Signals::listen()?;
        tokio::spawn(async move {
            signals.received().await;
            heard.requested.cancel();
            let first = Instant::now();
            loop {
                signals.received().await;
                if first.elapsed() >= COPIES_TIME {
                    break;
                }
            }
            heard.forced.cancel();
        });
        Ok(shutdown)
    }
}
