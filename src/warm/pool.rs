//! The standbys of all servers of this proxy: how many there may be, and the directory they share.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use crate::lock::locked;
use crate::transport::reaper::Reaper;

/// What the private directory's name begins with.
const PREFIX: &str = "mcp-proxy-warm-";

/// Shared by all servers. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Pool {
    /// As many standbys there may be at a time.
    limit: usize,
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug, Default)]
struct Inner {
    seats: Vec<(u64, Instant, CancellationToken)>,
    room: Option<TempDir>,
    last: u64,
}

/// The right to keep a standby, until it is dropped.
#[derive(Debug)]
pub(super) struct Seat {
    number: u64,
    inner: Arc<Mutex<Inner>>,
}

impl Pool {
    /// For `limit` standbys at a time.
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            limit,
            inner: Arc::default(),
        }
    }

    /// Makes room for a standby of a server that was saved last at `saved`: of all, that of the server
    /// which was saved least recently has to go, and is told so by its token. Nothing if that is this one.
    pub(super) fn seat(&self, saved: Instant, end: &CancellationToken) -> Option<Seat> {
        let mut inner = locked(&self.inner);
        if inner.seats.len() >= self.limit {
            let oldest = (0..inner.seats.len()).min_by_key(|&at| inner.seats[at].1)?;
            if inner.seats[oldest].1 > saved {
                return None;
            }
            inner.seats.swap_remove(oldest).2.cancel();
        }
        inner.last += 1;
        let number = inner.last;
        inner.seats.push((number, saved, end.clone()));
        Some(Seat {
            number,
            inner: self.inner.clone(),
        })
    }

    /// The path of a new folder in the private directory, which goes with the proxy.
    pub(super) fn folder(&self, reaper: &Reaper) -> io::Result<PathBuf> {
        let mut inner = locked(&self.inner);
        inner.last += 1;
        let name = inner.last.to_string();
        if let Some(room) = &inner.room {
            return Ok(room.path().join(name));
        }
        let room = TempDir::with_prefix(PREFIX)?;
        reaper.remove(room.path());
        let path = room.path().join(name);
        inner.room = Some(room);
        Ok(path)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        locked(&self.inner)
            .seats
            .retain(|seat| seat.0 != self.number);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_least_recently_saved_makes_room() {
        let pool = Pool::new(2);
        let now = Instant::now();
        let tokens: Vec<_> = (0..4).map(|_| CancellationToken::new()).collect();
        let gone = || {
            tokens
                .iter()
                .map(CancellationToken::is_cancelled)
                .collect::<Vec<_>>()
        };
        let at = |seconds| now + Duration::from_secs(seconds);
        let _first = pool.seat(at(2), &tokens[0]).unwrap();
        let _second = pool.seat(at(1), &tokens[1]).unwrap();
        let third = pool.seat(at(3), &tokens[2]).unwrap();
        assert_eq!(gone(), [false, true, false, false]);
        assert!(pool.seat(at(0), &tokens[3]).is_none());
        drop(third);
        assert!(pool.seat(at(0), &tokens[3]).is_some());
        assert_eq!(gone(), [false, true, false, false]);
    }
}
