//! Memory limit of this process.

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

#[cfg(unix)]
pub(super) use unix::limit;
#[cfg(windows)]
pub(super) use windows::limit;
