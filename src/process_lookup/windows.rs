//! Processes of Windows.

/// Returns `None`: the list of processes needs `unsafe`.
pub(crate) fn exists(_pid: u32) -> Option<bool> {
    None
}
