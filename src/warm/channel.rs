//! Channel between the proxy and a standby: single letters to it, lines from it.

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

#[cfg(unix)]
use unix as system;
#[cfg(windows)]
use windows as system;

pub(super) use system::{RUNTIMES, StandbyChannel};
