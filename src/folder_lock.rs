//! Locks of folders between processes. The system releases them with the process.

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

#[cfg(unix)]
pub(crate) use unix::FolderLock;
#[cfg(windows)]
pub(crate) use windows::FolderLock;
