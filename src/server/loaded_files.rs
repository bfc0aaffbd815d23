//! Reports the files that a generation has loaded, so that they are watched even if no glob matches them. Warns if an
//! installed copy runs in place of the saved files.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::SystemTime;

use tokio::task::spawn_blocking;

use super::ServerShared;
use super::installed_copy::InstalledCopy;
use crate::event::{Event, EventSender};
use crate::lock::locked;
use crate::warm::{LoadLog, LoadedFiles};

/// Observer of the files that a server's process has loaded.
pub(crate) trait LoadedFilesObserver: Debug + Send + Sync {
    /// Takes the complete current set of files. The process may have an older content of files that changed after
    /// `since`. Never blocks.
    fn loaded(&self, noted: &LoadedFiles, since: SystemTime);
}

/// Reports the files that a live generation loads, until dropped. `saved` are the files that it was started for.
pub(crate) async fn follow(
    notes: LoadLog,
    shared: Arc<ServerShared>,
    saved: BTreeSet<PathBuf>,
    events: EventSender,
) {
    let Some(onlooker) = shared.onlooker() else {
        return;
    };
    if !notes.wait_complete().await {
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
            // A call may load such a file again, and a save may come before that is noted.
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

/// Returns the files that exist. Reads the file system.
fn existing(mut files: BTreeSet<PathBuf>) -> BTreeSet<PathBuf> {
    files.retain(|path| path.is_file());
    files
}

/// Adds the files that a failed start had loaded: the fault may be in any of them.
pub(crate) async fn add_failed(notes: Option<LoadLog>, shared: &ServerShared) {
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

/// Warns once if an installed copy runs in place of the saved files.
async fn warn_of_copy(
    shared: &ServerShared,
    saved: BTreeSet<PathBuf>,
    noted: LoadedFiles,
    events: &EventSender,
) {
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
