//! Warns of servers that are reloaded for what they write themselves.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::super::echoes::Echo;
use super::Supervisor;
use crate::event::Event;

/// What a call wrote is told as changed this long after its answer at most.
const JUST: Duration = Duration::from_secs(1);

impl Supervisor {
    /// Whether a call is handled, or was answered so shortly ago that it may have written what is now told as changed.
    fn is_called(&self) -> bool {
        let active = self.active.iter().map(|it| &it.running.connection);
        let mut all = active.chain(self.draining.values());
        all.any(|connection| connection.is_busy(JUST))
    }

    /// Warns of these files, once for each save, if they change as no user changes files.
    pub(super) fn count_echo(&mut self, paths: &[PathBuf]) {
        let is_called = self.is_called();
        if let Some(echo) = self.echoes.changed(paths, Instant::now(), is_called) {
            self.warn_of_echo(&echo);
        }
    }

    /// Warns the user, and whoever asks for the server's status from now on.
    fn warn_of_echo(&self, echo: &Echo) {
        let message = match echo {
            Echo::OfStarts(path) => {
                let path = path.display();
                format!(
                    "{path} changes right after each start: if the server or its build writes it, add --watch '!{path}'"
                )
            }
            Echo::OfCalls(path) => {
                let path = path.display();
                format!(
                    "{path} changes during calls, and each time the server is restarted and forgets its state: \
                     if the server writes it, add --watch '!{path}'"
                )
            }
        };
        self.shared
            .describe(|status| status.hint = Some(message.clone()));
        self.supply.means.events.send(Event::WatchWarning {
            server: self.name(),
            message,
        });
    }
}
