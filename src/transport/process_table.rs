//! Facts about all processes of this user: those that proxies started, the descendants of a process, and its memory.

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

#[cfg(unix)]
use unix as system;
#[cfg(windows)]
use windows as system;

pub(crate) use system::{left_processes, resident_memory};
pub(super) use system::{processor_time, tree};
#[cfg(unix)]
pub(super) use unix::{groups_marked, outsiders};
