//! No memory limit: a process of Windows cannot limit itself without `unsafe`.

/// Does nothing.
pub(crate) fn limit(_bytes: u64) {}
