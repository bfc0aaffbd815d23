//! Paths as git stores them.

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

#[cfg(unix)]
pub(super) use unix::from_bytes;
#[cfg(windows)]
pub(super) use windows::from_bytes;
