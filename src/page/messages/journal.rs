//! Journal of the changes of exchanges, so that a tab fetches only those that have changed since its last fetch.

use std::collections::{BTreeSet, VecDeque};

/// Maximum number of changes. A call has about four, and a tab fetches several times a second.
const MAX_CHANGES: usize = 10_000;

/// The last changes, the newest at the end.
#[derive(Debug, Default)]
pub(super) struct ChangeJournal {
    /// Numbers of changes, each with the number of an exchange.
    changes: VecDeque<(u64, u64)>,
    /// Newest change that the journal has no longer.
    forgotten: u64,
}

impl ChangeJournal {
    /// Adds a change, which is not older than those before it.
    pub(super) fn add(&mut self, change: u64, exchange: u64) {
        self.changes.push_back((change, exchange));
        if self.changes.len() > MAX_CHANGES
            && let Some((forgotten, _)) = self.changes.pop_front()
        {
            self.forgotten = forgotten;
        }
    }

    /// Returns the numbers of the exchanges that have changed after the change `since`; `None` if the journal does not
    /// reach back to it.
    pub(super) fn since(&self, since: u64) -> Option<BTreeSet<u64>> {
        let first = self.changes.partition_point(|(change, _)| *change <= since);
        let changed = self.changes.range(first..).map(|(_, exchange)| *exchange);
        (since >= self.forgotten).then(|| changed.collect())
    }
}
