//! Delivery of notices, shared by the watcher thread and by callers that need an immediate answer.
//!
//! On a busy machine the watcher thread may run late. A caller that must not miss a save reads the kernel queue itself:
//! it sends `Suspect` for the affected servers on its own thread and forwards the events to the watcher thread, which
//! makes the comparison.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::mpsc::Sender;

use super::WatchNotice;
#[cfg(target_os = "linux")]
use super::file_events::Touch;
use super::file_events::WatcherMessage;
#[cfg(target_os = "linux")]
use super::inotify::{EventBatch, InotifyQueue};
use super::matcher::Matcher;
use super::symlinks::TreeSymlinks;
use crate::lock::locked;

/// Pending suspicion of one id. The server has an open `Suspect` while `coming` or `gathering` is set.
#[derive(Debug, Default)]
struct Suspicion {
    /// Number of event batches that the watcher thread has not processed yet.
    coming: usize,
    /// Whether the watcher thread waits for the end of a save.
    gathering: bool,
}

impl Suspicion {
    fn is_raised(&self) -> bool {
        self.coming > 0 || self.gathering
    }
}

/// Event filter and listeners of one tree.
#[derive(Debug, Default)]
struct TreeFilter {
    /// Ids of the listeners.
    listeners: BTreeSet<u64>,
    /// Filter for relevant events, with the ignore rules of the last walk.
    matcher: Option<Matcher>,
    /// Names in the tree of files outside of it.
    linked: TreeSymlinks,
}

#[cfg(target_os = "linux")]
impl TreeFilter {
    /// Whether the touched entry is relevant under its own name or under a symlink's name.
    fn is_concerned_by(&self, touch: &Touch) -> bool {
        let Some(matcher) = &self.matcher else {
            return false;
        };
        matcher.concerns(touch)
            || self
                .linked
                .names(&touch.path)
                .into_iter()
                .any(|path| matcher.concerns(&Touch { path, ..*touch }))
    }
}

/// Sends notices in a consistent order from any thread.
pub(super) struct NoticeDispatcher {
    /// Receives each id and notice. Never blocks.
    tell: Box<dyn Fn(u64, WatchNotice) + Send + Sync>,
    /// Channel to the watcher thread.
    pub(super) signals: Sender<WatcherMessage>,
    guarded: Mutex<DispatcherState>,
}

#[derive(Debug, Default)]
struct DispatcherState {
    /// By tree number.
    watched: BTreeMap<u64, TreeFilter>,
    /// By listener id, which stays the same when the listener moves to another tree.
    suspicions: BTreeMap<u64, Suspicion>,
    /// Present while inotify is the event source.
    #[cfg(target_os = "linux")]
    queue: Option<InotifyQueue>,
}

impl std::fmt::Debug for NoticeDispatcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("NoticeDispatcher")
            .field(&locked(&self.guarded))
            .finish()
    }
}

impl NoticeDispatcher {
    pub(super) fn new(
        signals: Sender<WatcherMessage>,
        tell: impl Fn(u64, WatchNotice) + Send + Sync + 'static,
    ) -> Self {
        Self {
            tell: Box::new(tell),
            signals,
            guarded: Mutex::default(),
        }
    }

    /// Limits the events of `tree` to those relevant for `matcher`.
    pub(super) fn sift(&self, tree: u64, matcher: Matcher) {
        let mut guarded = locked(&self.guarded);
        guarded.watched.entry(tree).or_default().matcher = Some(matcher);
    }

    /// Also assigns events at the targets of these symlinks to `tree`.
    pub(super) fn link(&self, tree: u64, linked: TreeSymlinks) {
        let mut guarded = locked(&self.guarded);
        guarded.watched.entry(tree).or_default().linked = linked;
    }

    /// Subscribes `id` to the events of `tree`, including events that the watcher thread has not processed yet.
    pub(super) fn listen(&self, tree: u64, id: u64) {
        let guarded = &mut *locked(&self.guarded);
        let listeners = &mut guarded.watched.entry(tree).or_default().listeners;
        let suspicions = &guarded.suspicions;
        let is_coming = |peer| suspicions.get(peer).is_some_and(|it| it.coming > 0);
        let are_coming = listeners.iter().any(is_coming);
        listeners.insert(id);
        if are_coming {
            self.suspect(&mut guarded.suspicions, id).coming += 1;
            // Follows those events in the channel, since they were sent under the lock.
            let _ = self.signals.send(WatcherMessage::Passed([id].into()));
        }
    }

    /// Unsubscribes `id` from the events of `tree`.
    pub(super) fn leave(&self, tree: u64, id: u64) {
        let mut guarded = locked(&self.guarded);
        if let Some(watched) = guarded.watched.get_mut(&tree) {
            watched.listeners.remove(&id);
            if watched.listeners.is_empty() {
                guarded.watched.remove(&tree);
            }
        }
    }

    /// Ends all notices for `id`.
    pub(super) fn forget(&self, id: u64) {
        locked(&self.guarded).suspicions.remove(&id);
    }

    /// Records the beginning of a save.
    pub(super) fn gather(&self, id: u64) {
        let mut guarded = locked(&self.guarded);
        self.suspect(&mut guarded.suspicions, id).gathering = true;
    }

    /// Reports files changed by a possibly unfinished save.
    pub(super) fn saved(&self, id: u64, paths: Vec<PathBuf>) {
        // Holds the lock to keep the order of notices.
        let _guarded = locked(&self.guarded);
        (self.tell)(id, WatchNotice::Saved(paths));
    }

    /// Reports the result of a finished save.
    pub(super) fn conclude(&self, id: u64, notice: WatchNotice) {
        let mut guarded = locked(&self.guarded);
        let suspicion = guarded.suspicions.entry(id).or_default();
        suspicion.gathering = false;
        (self.tell)(id, notice);
        if suspicion.is_raised() {
            (self.tell)(id, WatchNotice::Suspect);
        }
    }

    /// Brings `id` up to date after it joined a watched tree. `gathering` tells whether a save is in progress; `missed`
    /// are files changed before.
    pub(super) fn catch_up(&self, id: u64, gathering: bool, missed: Vec<PathBuf>) {
        let mut guarded = locked(&self.guarded);
        let suspicion = guarded.suspicions.entry(id).or_default();
        let was_raised = suspicion.is_raised();
        suspicion.gathering = gathering;
        let is_raised = suspicion.is_raised();
        if !was_raised && (is_raised || !missed.is_empty()) {
            (self.tell)(id, WatchNotice::Suspect);
        }
        if !missed.is_empty() {
            (self.tell)(id, WatchNotice::Changed(missed));
            if is_raised {
                (self.tell)(id, WatchNotice::Suspect);
            }
        } else if was_raised && !is_raised {
            (self.tell)(id, WatchNotice::Unchanged);
        }
    }

    /// Records that the watcher thread has processed a batch of events that may affect `ids`.
    pub(super) fn batch_processed(&self, ids: &BTreeSet<u64>) {
        let mut guarded = locked(&self.guarded);
        for id in ids {
            // The listener may be gone.
            let Some(suspicion) = guarded.suspicions.get_mut(id) else {
                continue;
            };
            let was_raised = suspicion.is_raised();
            suspicion.coming = suspicion.coming.saturating_sub(1);
            if was_raised && !suspicion.is_raised() {
                (self.tell)(*id, WatchNotice::Unchanged);
            }
        }
    }

    /// Reports all events in the kernel queue. Does nothing on systems without a readable queue.
    pub(super) fn look(&self) {
        #[cfg(target_os = "linux")]
        self.read_queue();
    }

    #[cfg(target_os = "linux")]
    fn read_queue(&self) {
        let guarded = &mut *locked(&self.guarded);
        let Some(EventBatch { mut touches, lost }) =
            guarded.queue.as_mut().and_then(InotifyQueue::read)
        else {
            return;
        };
        let sifted = guarded.watched.values().filter(|it| it.matcher.is_some());
        let all = sifted.filter(|_| lost).flat_map(|it| &it.listeners);
        let mut concerned: BTreeSet<u64> = all.copied().collect();
        touches.retain(|touch| {
            let mut matters = false;
            for watched in guarded.watched.values() {
                if watched.is_concerned_by(touch) {
                    matters = true;
                    concerned.extend(&watched.listeners);
                }
            }
            matters
        });
        for id in &concerned {
            self.suspect(&mut guarded.suspicions, *id).coming += 1;
        }
        let signal = if lost {
            WatcherMessage::Rescan
        } else {
            WatcherMessage::Touched(touches)
        };
        if !concerned.is_empty() {
            // The receiver is gone once the watcher is dropped.
            let _ = self.signals.send(signal);
            let _ = self.signals.send(WatcherMessage::Passed(concerned));
        }
    }

    /// Sends `Suspect`, unless one is open.
    fn suspect<'a>(
        &self,
        suspicions: &'a mut BTreeMap<u64, Suspicion>,
        id: u64,
    ) -> &'a mut Suspicion {
        let suspicion = suspicions.entry(id).or_default();
        if !suspicion.is_raised() {
            (self.tell)(id, WatchNotice::Suspect);
        }
        suspicion
    }

    /// Runs `change` on the queue with the lock held.
    #[cfg(target_os = "linux")]
    pub(super) fn queue<T>(&self, change: impl FnOnce(&mut Option<InotifyQueue>) -> T) -> T {
        change(&mut locked(&self.guarded).queue)
    }
}
