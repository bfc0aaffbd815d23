//! No limit to raise on Windows: a process may open millions of handles.

/// Returns `limit`.
pub(crate) fn raise(limit: u64) -> u64 {
    limit
}
