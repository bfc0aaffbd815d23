//! Locking that outlives a panic.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// The lock. A panic elsewhere does not take it down as well: the data behind the program's mutexes is
/// plain and stays valid at every step.
pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
