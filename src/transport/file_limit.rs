//! Limit of open files. Many connections need more than the system's default.

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

#[cfg(unix)]
pub(super) use unix::grant_as_before;
#[cfg(unix)]
pub(crate) use unix::raise;
#[cfg(windows)]
pub(crate) use windows::raise;
