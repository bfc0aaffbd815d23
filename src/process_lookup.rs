//! Looks up processes of this machine.

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

#[cfg(unix)]
pub(crate) use unix::exists;
#[cfg(windows)]
pub(crate) use windows::exists;
