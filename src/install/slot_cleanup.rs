//! Removes the rest of a failed installation.

use super::store::StoreSlot;

/// Slot that on drop removes all files that its record does not name, and itself if it has no record.
#[derive(Debug)]
pub(super) struct SlotCleanup {
    pub(super) slot: StoreSlot,
}

impl Drop for SlotCleanup {
    fn drop(&mut self) {
        let tidied = match self.slot.record() {
            Some(_) => self.slot.remove_unrecorded(),
            None => self.slot.discard().map(drop),
        };
        if let Err(error) = tidied {
            tracing::warn!(%error, "cannot remove the files of a failed installation");
        }
    }
}
