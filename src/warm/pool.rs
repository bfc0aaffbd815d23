//! Pool of standbys of all servers: limits their number and holds their private directory.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use crate::lock::locked;
use crate::private_files;
use crate::transport::reaper::Reaper;

/// Prefix of the private directory's name.
const PREFIX: &str = "mcp-proxy-warm-";

/// Shared pool; clones are cheap.
#[derive(Debug, Clone)]
pub(crate) struct StandbyPool {
    /// Maximum number of standbys at a time.
    limit: usize,
    inner: Arc<Mutex<PoolInner>>,
}

#[derive(Debug, Default)]
struct PoolInner {
    /// Oldest first.
    holders: Vec<PermitHolder>,
    directory: Option<TempDir>,
    last: u64,
}

#[derive(Debug)]
struct PermitHolder {
    number: u64,
    /// Identifies the server.
    owner: usize,
    saved: Instant,
    end: CancellationToken,
}

impl PoolInner {
    /// Returns the eviction rank of a standby: a server's second one ranks below the first one of any server; then the
    /// time of the last save counts.
    fn rank(&self, at: usize) -> (bool, Instant) {
        let holder = &self.holders[at];
        (!has_one(&self.holders[..at], holder.owner), holder.saved)
    }
}

fn has_one(holders: &[PermitHolder], owner: usize) -> bool {
    holders.iter().any(|holder| holder.owner == owner)
}

/// Permission to keep a standby, until dropped.
#[derive(Debug)]
pub(super) struct StandbyPermit {
    number: u64,
    inner: Arc<Mutex<PoolInner>>,
}

impl StandbyPool {
    /// Creates a pool for `limit` standbys at a time.
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            limit,
            inner: Arc::default(),
        }
    }

    /// Reserves a permit for a standby of the server `owner`, last saved at `saved`. If the pool is full, evicts a
    /// second standby of any server, else the standby of the least recently saved server, by cancelling its token.
    /// Returns `None` if the new standby itself ranks lowest.
    pub(super) fn reserve(
        &self,
        owner: usize,
        saved: Instant,
        end: &CancellationToken,
    ) -> Option<StandbyPermit> {
        let mut inner = locked(&self.inner);
        if inner.holders.len() >= self.limit {
            let lowest = (0..inner.holders.len()).min_by_key(|&at| inner.rank(at))?;
            if inner.rank(lowest) > (!has_one(&inner.holders, owner), saved) {
                return None;
            }
            inner.holders.remove(lowest).end.cancel();
        }
        inner.last += 1;
        let number = inner.last;
        inner.holders.push(PermitHolder {
            number,
            owner,
            saved,
            end: end.clone(),
        });
        Some(StandbyPermit {
            number,
            inner: self.inner.clone(),
        })
    }

    /// Returns the canonical path of a new folder in the private directory, which is removed with the proxy. Node.js
    /// resolves symlinks in the paths that it loads, and on macOS the folder for temporary files is below one.
    pub(super) fn folder(&self, reaper: &Reaper) -> io::Result<PathBuf> {
        let mut inner = locked(&self.inner);
        inner.last += 1;
        let name = inner.last.to_string();
        if let Some(directory) = &inner.directory {
            return Ok(dunce::canonicalize(directory.path())?.join(name));
        }
        let directory = private_files::temporary(PREFIX)?;
        reaper.remove(directory.path());
        let path = dunce::canonicalize(directory.path())?.join(name);
        inner.directory = Some(directory);
        Ok(path)
    }
}

impl Drop for StandbyPermit {
    fn drop(&mut self) {
        locked(&self.inner)
            .holders
            .retain(|holder| holder.number != self.number);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Permits of a pool; `take` gives the time of a server's last save in seconds after `now`.
    struct Permits {
        pool: StandbyPool,
        now: Instant,
        taken: Vec<(Option<StandbyPermit>, CancellationToken)>,
    }

    impl Permits {
        fn new(limit: usize) -> Self {
            Self {
                pool: StandbyPool::new(limit),
                now: Instant::now(),
                taken: Vec::new(),
            }
        }

        /// Returns whether the server gets a permit.
        fn take(&mut self, owner: usize, seconds: u64) -> bool {
            let end = CancellationToken::new();
            let saved = self.now + Duration::from_secs(seconds);
            let permit = self.pool.reserve(owner, saved, &end);
            self.taken.push((permit, end));
            self.taken.last().unwrap().0.is_some()
        }

        /// Returns the indexes of evicted standbys, in order of arrival from 0.
        fn evicted(&self) -> Vec<usize> {
            let all = 0..self.taken.len();
            all.filter(|&at| self.taken[at].1.is_cancelled()).collect()
        }
    }

    #[test]
    fn the_least_recently_saved_makes_room() {
        let mut permits = Permits::new(2);
        assert!(permits.take(1, 2) && permits.take(2, 1) && permits.take(3, 3));
        assert_eq!(permits.evicted(), [1]);
        assert!(!permits.take(4, 0));
        permits.taken[2].0 = None;
        assert!(permits.take(4, 0));
        assert_eq!(permits.evicted(), [1]);
    }

    #[test]
    fn a_second_one_never_takes_the_place_of_a_first_and_goes_before_any() {
        let mut permits = Permits::new(2);
        assert!(permits.take(1, 1));
        assert!(permits.take(2, 2));
        assert!(!permits.take(2, 9), "there is no room for a second one");
        permits.taken[0].0 = None;
        assert!(permits.take(2, 9));
        assert!(permits.evicted().is_empty());
        assert!(permits.take(3, 0), "however long ago it was saved");
        assert_eq!(permits.evicted(), [3]);
        // The remaining standby of two is a first one.
        let mut permits = Permits::new(2);
        assert!(permits.take(1, 1) && permits.take(1, 2));
        permits.taken[0].0 = None;
        assert!(permits.take(2, 3));
        assert!(!permits.take(2, 4));
        assert!(permits.take(3, 5));
        assert_eq!(permits.evicted(), [1]);
    }
}
