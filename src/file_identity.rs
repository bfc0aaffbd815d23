//! Identity of a file, which tells it from another file that has taken its name.

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

#[cfg(unix)]
pub(crate) use unix::FileIdentity;
#[cfg(windows)]
pub(crate) use windows::FileIdentity;
