//! Removes the rest of a failed installation.

use super::store::StoreSlot;

/// Slot that on drop removes all files that its record does not name, and itself if it has no record.
#[derive(Debug)]
pub(super) struct SlotCleanup {
    slot: Option<StoreSlot>,
}

impl SlotCleanup {
    pub(super) fn new(slot: StoreSlot) -> Self {
        Self { slot: Some(slot) }
    }

    pub(super) fn slot(&self) -> &StoreSlot {
        self.slot.as_ref().expect("the slot is held until the end")
    }
}

impl Drop for SlotCleanup {
    fn drop(&mut self) {
        let Some(slot) = self.slot.take() else {
            return;
        };
        let tidied = match slot.record() {
            Some(_) => slot.remove_unrecorded(),
            None => slot.discard().map(drop),
        };
        if let Err(error) = tidied {
            tracing::warn!(%error, "cannot remove the files of a failed installation");
        }
    }
}
