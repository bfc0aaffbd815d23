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
    fn loaded(&self, files: &LoadedFiles, since: SystemTime);
}

/// Reports the files that a live generation loads, until dropped. `saved` are the files that it was started for.
pub(crate) async fn report_loaded(
    load_log: LoadLog,
    shared: Arc<ServerShared>,
    saved: BTreeSet<PathBuf>,
    events: EventSender,
) {
    let Some(observer) = shared.files_observer() else {
        return;
    };
    if !load_log.wait_complete().await {
        return;
    }
    let mut since = load_log.since;
    let mut known = None;
    let mut saved = Some(saved);
    loop {
        let (size, now) = (load_log.size(), SystemTime::now());
        let (reader, earlier) = (
            load_log.clone(),
            locked(&shared.loaded_files).loaded_late.clone(),
        );
        let read = move || (reader.read(), existing(earlier));
        let Ok((loaded, earlier)) = spawn_blocking(read).await else {
            return;
        };
        if known.as_ref() != Some(&loaded) {
            let mut watched = loaded.clone();
            // A call may load such a file again, and a save may come before that is noted.
            watched.code.extend(earlier.iter().cloned());
            watched.loaded_late.extend(earlier);
            observer.loaded(&watched, since);
            *locked(&shared.loaded_files) = watched;
            if let Some(saved) = saved.take() {
                warn_of_copy(&shared, saved, loaded.clone(), &events).await;
            }
            known = Some(loaded);
        }
        since = now;
        load_log.wait_grown(size).await;
    }
}

/// Returns the files that exist. Reads the file system.
fn existing(mut files: BTreeSet<PathBuf>) -> BTreeSet<PathBuf> {
    files.retain(|path| path.is_file());
    files
}

/// Adds the files that a failed start had loaded: the fault may be in any of them.
pub(crate) async fn add_failed(load_log: Option<LoadLog>, shared: &ServerShared) {
    let (Some(load_log), Some(observer)) = (load_log, shared.files_observer()) else {
        return;
    };
    let since = load_log.since;
    if let Ok(mut loaded) = spawn_blocking(move || load_log.read()).await {
        let mut known = locked(&shared.loaded_files);
        known
            .package_dirs
            .extend(loaded.package_dirs.iter().cloned());
        loaded.add(&known);
        drop(known);
        observer.loaded(&loaded, since);
    }
}

/// Warns once if an installed copy runs in place of the saved files.
async fn warn_of_copy(
    shared: &ServerShared,
    saved: BTreeSet<PathBuf>,
    loaded: LoadedFiles,
    events: &EventSender,
) {
    let spec = shared.spec();
    if saved.is_empty() || shared.is_copy_reported.load(Ordering::Relaxed) {
        return;
    }
    let cwd = spec.cwd.clone();
    let found = spawn_blocking(move || {
        let mut saved = saved.iter();
        saved.find_map(|path| InstalledCopy::of(path, &cwd, &loaded))
    });
    if let Ok(Some(copy)) = found.await {
        shared.is_copy_reported.store(true, Ordering::Relaxed);
        events.send(Event::WatchWarning {
            server: spec.name.clone(),
            message: copy.warning(&spec),
        });
    }
}
