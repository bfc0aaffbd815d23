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
use super::inotify::{EventBatch, InotifyQueue};
use super::matcher::Matcher;
#[cfg(target_os = "linux")]
use super::messages::Touch;
use super::messages::WatcherMessage;
use super::symlinks::TreeSymlinks;
use crate::lock::locked;

/// Pending suspicion of one id. The server has an open `Suspect` while `pending_batches` or `is_saving` is set.
#[derive(Debug, Default)]
struct Suspicion {
    /// Number of event batches that the watcher thread has not processed yet.
    pending_batches: usize,
    /// Whether the watcher thread waits for the end of a save.
    is_saving: bool,
}

impl Suspicion {
    fn is_raised(&self) -> bool {
        self.pending_batches > 0 || self.is_saving
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
    symlinks: TreeSymlinks,
}

#[cfg(target_os = "linux")]
impl TreeFilter {
    /// Whether the touched entry is relevant under its own name or under a symlink's name, or is a symlink that may
    /// lead to selected files. The system reports a symlink to a directory as a file.
    fn is_affected_by(&self, touch: &Touch) -> bool {
        let Some(matcher) = &self.matcher else {
            return false;
        };
        let is_new_link = || {
            let may_lead = touch.moved && !touch.is_dir && matcher.may_lead_to_files(&touch.path);
            may_lead && touch.path.is_symlink()
        };
        matcher.is_relevant(touch)
            || self.symlinks.depend_on(&touch.path)
            || is_new_link()
            || self
                .symlinks
                .names(&touch.path)
                .into_iter()
                .any(|path| matcher.is_relevant(&Touch { path, ..*touch }))
    }
}

/// Sends notices in a consistent order from any thread.
pub(super) struct NoticeDispatcher {
    /// Receives each id and notice. Never blocks.
    notify: Box<dyn Fn(u64, WatchNotice) + Send + Sync>,
    /// Channel to the watcher thread.
    pub(super) messages: Sender<WatcherMessage>,
    state: Mutex<DispatcherState>,
}

#[derive(Debug, Default)]
struct DispatcherState {
    /// By tree number.
    filters: BTreeMap<u64, TreeFilter>,
    /// By listener id, which stays the same when the listener moves to another tree.
    suspicions: BTreeMap<u64, Suspicion>,
    /// Present while inotify is the event source.
    #[cfg(target_os = "linux")]
    queue: Option<InotifyQueue>,
}

impl std::fmt::Debug for NoticeDispatcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("NoticeDispatcher")
            .field(&locked(&self.state))
            .finish()
    }
}

impl NoticeDispatcher {
    pub(super) fn new(
        messages: Sender<WatcherMessage>,
        notify: impl Fn(u64, WatchNotice) + Send + Sync + 'static,
    ) -> Self {
        Self {
            notify: Box::new(notify),
            messages,
            state: Mutex::default(),
        }
    }

    /// Limits the events of `tree` to those relevant for `matcher`.
    pub(super) fn set_matcher(&self, tree: u64, matcher: Matcher) {
        let mut state = locked(&self.state);
        state.filters.entry(tree).or_default().matcher = Some(matcher);
    }

    /// Also assigns events at the targets of these symlinks to `tree`.
    pub(super) fn set_symlinks(&self, tree: u64, symlinks: TreeSymlinks) {
        let mut state = locked(&self.state);
        state.filters.entry(tree).or_default().symlinks = symlinks;
    }

    /// Subscribes `id` to the events of `tree`, including events that the watcher thread has not processed yet.
    pub(super) fn listen(&self, tree: u64, id: u64) {
        let state = &mut *locked(&self.state);
        let listeners = &mut state.filters.entry(tree).or_default().listeners;
        let suspicions = &state.suspicions;
        let has_pending_batch = |peer| {
            suspicions
                .get(peer)
                .is_some_and(|it| it.pending_batches > 0)
        };
        let are_pending = listeners.iter().any(has_pending_batch);
        listeners.insert(id);
        if are_pending {
            self.suspect(&mut state.suspicions, id).pending_batches += 1;
            // Follows those events in the channel, since they were sent under the lock.
            let _ = self.messages.send(WatcherMessage::BatchEnd([id].into()));
        }
    }

    /// Unsubscribes `id` from the events of `tree`.
    pub(super) fn leave(&self, tree: u64, id: u64) {
        let mut state = locked(&self.state);
        if let Some(filter) = state.filters.get_mut(&tree) {
            filter.listeners.remove(&id);
            if filter.listeners.is_empty() {
                state.filters.remove(&tree);
            }
        }
    }

    /// Ends all notices for `id`.
    pub(super) fn forget(&self, id: u64) {
        locked(&self.state).suspicions.remove(&id);
    }

    /// Records the beginning of a save.
    pub(super) fn begin_save(&self, id: u64) {
        let mut state = locked(&self.state);
        self.suspect(&mut state.suspicions, id).is_saving = true;
    }

    /// Reports files changed by a possibly unfinished save.
    pub(super) fn saved(&self, id: u64, paths: Vec<PathBuf>) {
        // Holds the lock to keep the order of notices.
        let _state = locked(&self.state);
        (self.notify)(id, WatchNotice::Saved(paths));
    }

    /// Reports the result of a finished save.
    pub(super) fn end_save(&self, id: u64, notice: WatchNotice) {
        let mut state = locked(&self.state);
        let suspicion = state.suspicions.entry(id).or_default();
        suspicion.is_saving = false;
        (self.notify)(id, notice);
        if suspicion.is_raised() {
            (self.notify)(id, WatchNotice::Suspect);
        }
    }

    /// Brings `id` up to date after it joined a watched tree. `is_saving` tells whether a save is in progress; `missed`
    /// are files changed before.
    pub(super) fn catch_up(&self, id: u64, is_saving: bool, missed: Vec<PathBuf>) {
        let mut state = locked(&self.state);
        let suspicion = state.suspicions.entry(id).or_default();
        let was_raised = suspicion.is_raised();
        suspicion.is_saving = is_saving;
        let is_raised = suspicion.is_raised();
        if !was_raised && (is_raised || !missed.is_empty()) {
            (self.notify)(id, WatchNotice::Suspect);
        }
        if !missed.is_empty() {
            (self.notify)(id, WatchNotice::Changed(missed));
            if is_raised {
                (self.notify)(id, WatchNotice::Suspect);
            }
        } else if was_raised && !is_raised {
            (self.notify)(id, WatchNotice::Unchanged);
        }
    }

    /// Records that the watcher thread has processed a batch of events that may affect `ids`.
    pub(super) fn batch_processed(&self, ids: &BTreeSet<u64>) {
        let mut state = locked(&self.state);
        for id in ids {
            // The listener may be gone.
            let Some(suspicion) = state.suspicions.get_mut(id) else {
                continue;
            };
            let was_raised = suspicion.is_raised();
            suspicion.pending_batches = suspicion.pending_batches.saturating_sub(1);
            if was_raised && !suspicion.is_raised() {
                (self.notify)(*id, WatchNotice::Unchanged);
            }
        }
    }

    /// Reports all events in the kernel queue. Does nothing on systems without a readable queue.
    #[cfg_attr(
        not(target_os = "linux"),
        expect(
            clippy::unused_self,
            reason = "only Linux has a queue that can be read"
        )
    )]
    pub(super) fn report_queued(&self) {
        #[cfg(target_os = "linux")]
        self.read_queue();
    }

    /// Reports all events in the kernel queue; returns false if the queue has failed.
    #[cfg(target_os = "linux")]
    pub(super) fn read_queue(&self) -> bool {
        let state = &mut *locked(&self.state);
        let batch = match state.queue.as_mut().map(InotifyQueue::read) {
            None | Some(Ok(None)) => return true,
            Some(Ok(Some(batch))) => batch,
            Some(Err(error)) => {
                state.queue = None;
                let _ = self.messages.send(WatcherMessage::EventsFailed(error));
                return false;
            }
        };
        let EventBatch { mut touches, lost } = batch;
        let filters = state.filters.values().filter(|it| it.matcher.is_some());
        let all = filters.filter(|_| lost).flat_map(|it| &it.listeners);
        let mut affected: BTreeSet<u64> = all.copied().collect();
        touches.retain(|touch| {
            let mut is_relevant = false;
            for filter in state.filters.values() {
                if filter.is_affected_by(touch) {
                    is_relevant = true;
                    affected.extend(&filter.listeners);
                }
            }
            is_relevant
        });
        for id in &affected {
            self.suspect(&mut state.suspicions, *id).pending_batches += 1;
        }
        let message = if lost {
            WatcherMessage::Rescan
        } else {
            WatcherMessage::Touched(touches)
        };
        if !affected.is_empty() {
            // The receiver is gone once the watcher is dropped.
            let _ = self.messages.send(message);
            let _ = self.messages.send(WatcherMessage::BatchEnd(affected));
        }
        true
    }

    /// Sends `Suspect`, unless one is open.
    fn suspect<'a>(
        &self,
        suspicions: &'a mut BTreeMap<u64, Suspicion>,
        id: u64,
    ) -> &'a mut Suspicion {
        let suspicion = suspicions.entry(id).or_default();
        if !suspicion.is_raised() {
            (self.notify)(id, WatchNotice::Suspect);
        }
        suspicion
    }

    /// Runs `change` on the queue with the lock held.
    #[cfg(target_os = "linux")]
    pub(super) fn queue<T>(&self, change: impl FnOnce(&mut Option<InotifyQueue>) -> T) -> T {
        change(&mut locked(&self.state).queue)
    }
}
