//! Passes on what a generation has loaded, so that it is watched although no glob names it.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::SystemTime;

use tokio::task::spawn_blocking;

use super::Shared;
use crate::lock::locked;
use crate::warm::{Noted, Notes};

/// Hears what the process of a server has loaded.
pub(crate) trait Onlooker: Debug + Send + Sync {
    /// Takes all that is known. Those of the files that were changed after `since` may not be as the process has
    /// them. Never blocks.
    fn loaded(&self, noted: &Noted, since: SystemTime);
}

/// Follows what a generation that answers loads, until dropped.
pub(crate) async fn follow(notes: Notes, shared: Arc<Shared>) {
    let Some(onlooker) = shared.onlooker() else {
        return;
    };
    if !notes.told().await {
        return;
    }
    let mut since = notes.since;
    let mut known = None;
    loop {
        let (size, now) = (notes.size(), SystemTime::now());
        let reading = notes.clone();
        let Ok(noted) = spawn_blocking(move || reading.read()).await else {
            return;
        };
        if known.as_ref() != Some(&noted) {
            onlooker.loaded(&noted, since);
            *locked(&shared.noted) = noted.clone();
            known = Some(noted);
        }
        since = now;
        notes.grown(size).await;
    }
}

/// Adds what a start that failed had loaded: the fault may be in any of it.
pub(crate) async fn add_failed(notes: Option<Notes>, shared: &Shared) {
    let (Some(notes), Some(onlooker)) = (notes, shared.onlooker()) else {
        return;
    };
    let since = notes.since;
    if let Ok(mut noted) = spawn_blocking(move || notes.read()).await {
        noted.add(&locked(&shared.noted));
        onlooker.loaded(&noted, since);
    }
}
