//! Passes on what a generation has loaded, so that it is watched although no glob names it, and warns if an installed
//! copy runs in place of the files that are saved.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::SystemTime;

use tokio::task::spawn_blocking;

use super::Shared;
use super::installed_copy::InstalledCopy;
use crate::event::{Event, Events};
use crate::lock::locked;
use crate::warm::{Noted, Notes};

/// Hears what the process of a server has loaded.
pub(crate) trait Onlooker: Debug + Send + Sync {
    /// Takes all that is known. Those of the files that were changed after `since` may not be as the process has
    /// them. Never blocks.
    fn loaded(&self, noted: &Noted, since: SystemTime);
}

/// Follows what a generation that answers loads, until dropped. `saved` are the files that it was started for.
pub(crate) async fn follow(
    notes: Notes,
    shared: Arc<Shared>,
    saved: BTreeSet<PathBuf>,
    events: Events,
) {
    let Some(onlooker) = shared.onlooker() else {
        return;
    };
    if !notes.told().await {
        return;
    }
    let mut since = notes.since;
    let mut known = None;
    let mut saved = Some(saved);
    loop {
        let (size, now) = (notes.size(), SystemTime::now());
        let (reading, earlier) = (notes.clone(), locked(&shared.noted).late.clone());
        let read = move || (reading.read(), existing(earlier));
        let Ok((noted, earlier)) = spawn_blocking(read).await else {
            return;
        };
        if known.as_ref() != Some(&noted) {
            let mut watched = noted.clone();
            // A call may load it again, and a save may come before that is noted.
            watched.code.extend(earlier.iter().cloned());
            watched.late.extend(earlier);
            onlooker.loaded(&watched, since);
            *locked(&shared.noted) = watched;
            if let Some(saved) = saved.take() {
                warn_of_copy(&shared, saved, noted.clone(), &events).await;
            }
            known = Some(noted);
        }
        since = now;
        notes.grown(size).await;
    }
}

/// Those of the files that are there. Reads the file system.
fn existing(mut files: BTreeSet<PathBuf>) -> BTreeSet<PathBuf> {
    files.retain(|path| path.is_file());
    files
}

/// Adds what a start that failed had loaded: the fault may be in any of it.
pub(crate) async fn add_failed(notes: Option<Notes>, shared: &Shared) {
    let (Some(notes), Some(onlooker)) = (notes, shared.onlooker()) else {
        return;
    };
    let since = notes.since;
    if let Ok(mut noted) = spawn_blocking(move || notes.read()).await {
        let mut known = locked(&shared.noted);
        known.places.extend(noted.places.iter().cloned());
        noted.add(&known);
        drop(known);
        onlooker.loaded(&noted, since);
    }
}

/// Warns once if what was saved is not what runs.
async fn warn_of_copy(shared: &Shared, saved: BTreeSet<PathBuf>, noted: Noted, events: &Events) {
    let spec = shared.spec();
    if saved.is_empty() || shared.told_of_copy.load(Ordering::Relaxed) {
        return;
    }
    let cwd = spec.cwd.clone();
    let found = spawn_blocking(move || {
        let mut saved = saved.iter();
        saved.find_map(|path| InstalledCopy::of(path, &cwd, &noted))
    });
    if let Ok(Some(copy)) = found.await {
        shared.told_of_copy.store(true, Ordering::Relaxed);
        events.send(Event::WatchWarning {
            server: spec.name.clone(),
            message: copy.warning(&spec),
        });
    }
}
