//! Cleans up after the one exit that the proxy cannot handle itself: its own kill.

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

#[cfg(unix)]
use unix as system;
#[cfg(windows)]
use windows as system;

pub(crate) use system::{Reaper, main};
#[cfg(unix)]
pub(super) use unix::MARK;
