//! Symbolic links to files and directories.

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

#[cfg(unix)]
pub(super) use unix::link;
#[cfg(windows)]
pub(super) use windows::link;
