//! Pipes between the proxy and the processes that it starts.

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

#[cfg(unix)]
use unix as system;
#[cfg(windows)]
use windows as system;

pub(crate) use system::input;
pub(super) use system::{ChildReader, ChildWriter, Output, from_child, output, to_child, unread};
#[cfg(windows)]
pub(crate) use windows::named;
