//! Folders for the files of a user's programs, by the conventions of the system.

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

#[cfg(unix)]
use unix as system;
#[cfg(windows)]
use windows as system;

pub(crate) use system::{DATA_VARIABLES, STATE_VARIABLES, cache, data, state};
