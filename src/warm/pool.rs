//! The standbys of all servers of this proxy: how many there may be, and the directory they share.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use crate::lock::locked;
use crate::private;
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
    /// The oldest first.
    seats: Vec<Taken>,
    room: Option<TempDir>,
    last: u64,
}

#[derive(Debug)]
struct Taken {
    number: u64,
    /// A number of the server.
    owner: usize,
    saved: Instant,
    end: CancellationToken,
}

impl Inner {
    /// What a seat is worth: the second one of a server less than anybody's first.
    fn worth(&self, at: usize) -> (bool, Instant) {
        let seat = &self.seats[at];
        (!has_one(&self.seats[..at], seat.owner), seat.saved)
    }
}

fn has_one(seats: &[Taken], owner: usize) -> bool {
    seats.iter().any(|seat| seat.owner == owner)
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

    /// Makes room for a standby of the server `owner` that was saved last at `saved`. A second one of any server has
    /// to go first, then that of the server which was saved least recently, and is told so by its token. Nothing if
    /// that is this one.
    pub(super) fn seat(
        &self,
        owner: usize,
        saved: Instant,
        end: &CancellationToken,
    ) -> Option<Seat> {
        let mut inner = locked(&self.inner);
        if inner.seats.len() >= self.limit {
            let least = (0..inner.seats.len()).min_by_key(|&at| inner.worth(at))?;
            if inner.worth(least) > (!has_one(&inner.seats, owner), saved) {
                return None;
            }
            inner.seats.remove(least).end.cancel();
        }
        inner.last += 1;
        let number = inner.last;
        inner.seats.push(Taken {
            number,
            owner,
            saved,
            end: end.clone(),
        });
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
        let room = private::temporary(PREFIX)?;
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
            .retain(|seat| seat.number != self.number);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Seconds after `now` at which servers were saved, and whether their standbys had to go.
    struct Seats {
        pool: Pool,
        now: Instant,
        taken: Vec<(Option<Seat>, CancellationToken)>,
    }

    impl Seats {
        fn new(limit: usize) -> Self {
            Self {
                pool: Pool::new(limit),
                now: Instant::now(),
                taken: Vec::new(),
            }
        }

        /// Whether the server gets a seat.
        fn take(&mut self, owner: usize, seconds: u64) -> bool {
            let end = CancellationToken::new();
            let saved = self.now + Duration::from_secs(seconds);
            let seat = self.pool.seat(owner, saved, &end);
            self.taken.push((seat, end));
            self.taken.last().unwrap().0.is_some()
        }

        /// The numbers of those that had to go, from 0 in the order in which they came.
        fn gone(&self) -> Vec<usize> {
            let all = 0..self.taken.len();
            all.filter(|&at| self.taken[at].1.is_cancelled()).collect()
        }
    }

    #[test]
    fn the_least_recently_saved_makes_room() {
        let mut seats = Seats::new(2);
        assert!(seats.take(1, 2) && seats.take(2, 1) && seats.take(3, 3));
        assert_eq!(seats.gone(), [1]);
        assert!(!seats.take(4, 0));
        seats.taken[2].0 = None;
        assert!(seats.take(4, 0));
        assert_eq!(seats.gone(), [1]);
    }

    #[test]
    fn a_second_one_never_takes_the_place_of_a_first_and_goes_before_any() {
        let mut seats = Seats::new(2);
        assert!(seats.take(1, 1));
        assert!(seats.take(2, 2));
        assert!(!seats.take(2, 9), "there is no room for a second one");
        seats.taken[0].0 = None;
        assert!(seats.take(2, 9));
        assert!(seats.gone().is_empty());
        assert!(seats.take(3, 0), "however long ago it was saved");
        assert_eq!(seats.gone(), [3]);
        // What is left of two is a first.
        let mut seats = Seats::new(2);
        assert!(seats.take(1, 1) && seats.take(1, 2));
        seats.taken[0].0 = None;
        assert!(seats.take(2, 3));
        assert!(!seats.take(2, 4));
        assert!(seats.take(3, 5));
        assert_eq!(seats.gone(), [1]);
    }
}
