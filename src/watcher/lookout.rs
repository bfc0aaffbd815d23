//! Who is told what, and when: shared by the watcher's thread and by those who cannot wait for it.
//!
//! On a busy machine that thread may run late. A caller that must not miss a save reads what the
//! kernel has queued itself: the servers concerned are told of a suspicion at once, on the caller's
//! thread, and the events go on to the watcher's thread, which decides.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::mpsc::Sender;

use super::Notice;
#[cfg(target_os = "linux")]
use super::inotify::{News, Queue};
use super::linked::Linked;
use super::matcher::Matcher;
use super::source::Signal;
#[cfg(target_os = "linux")]
use super::source::Touch;
use crate::lock::locked;

/// What is suspected under one id. The server knows of a suspicion as long as one of the two holds.
#[derive(Debug, Default)]
struct Suspicion {
    /// Batches of events that the thread has not looked at yet.
    coming: usize,
    /// The thread waits for a save to be over.
    gathering: bool,
}

impl Suspicion {
    fn is_raised(&self) -> bool {
        self.coming > 0 || self.gathering
    }
}

/// What is known of one tree.
#[derive(Debug, Default)]
struct Watched {
    /// The ids that are told of it.
    listeners: BTreeSet<u64>,
    /// Picks the events that may matter, with what was ignored when the tree was walked last.
    matcher: Option<Matcher>,
    /// The names in the tree of what lies elsewhere.
    linked: Linked,
}

#[cfg(target_os = "linux")]
impl Watched {
    /// Whether the touched entry may matter, under its own name or under that of a link.
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

/// Sends notices in an order that holds whichever thread sends them.
pub(super) struct Lookout {
    /// Hears of each notice and its id. Never blocks.
    tell: Box<dyn Fn(u64, Notice) + Send + Sync>,
    /// To the watcher's thread.
    pub(super) signals: Sender<Signal>,
    guarded: Mutex<Guarded>,
}

#[derive(Debug, Default)]
struct Guarded {
    /// By the number of the tree.
    watched: BTreeMap<u64, Watched>,
    /// By the id of the listener, which keeps it when it changes to another tree.
    suspicions: BTreeMap<u64, Suspicion>,
    /// There while events are had from it.
    #[cfg(target_os = "linux")]
    queue: Option<Queue>,
}

impl std::fmt::Debug for Lookout {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Lookout")
            .field(&locked(&self.guarded))
            .finish()
    }
}

impl Lookout {
    pub(super) fn new(
        signals: Sender<Signal>,
        tell: impl Fn(u64, Notice) + Send + Sync + 'static,
    ) -> Self {
        Self {
            tell: Box::new(tell),
            signals,
            guarded: Mutex::default(),
        }
    }

    /// Takes only those events for ones of `tree` that concern `matcher`.
    pub(super) fn sift(&self, tree: u64, matcher: Matcher) {
        let mut guarded = locked(&self.guarded);
        guarded.watched.entry(tree).or_default().matcher = Some(matcher);
    }

    /// Takes events at the places that these links lead to for ones of `tree` as well.
    pub(super) fn link(&self, tree: u64, linked: Linked) {
        let mut guarded = locked(&self.guarded);
        guarded.watched.entry(tree).or_default().linked = linked;
    }

    /// Tells `id` of the events that concern `tree` from now on, and of those that the thread has not looked at yet.
    pub(super) fn listen(&self, tree: u64, id: u64) {
        let guarded = &mut *locked(&self.guarded);
        let listeners = &mut guarded.watched.entry(tree).or_default().listeners;
        let suspicions = &guarded.suspicions;
        let is_coming = |peer| suspicions.get(peer).is_some_and(|it| it.coming > 0);
        let are_coming = listeners.iter().any(is_coming);
        listeners.insert(id);
        if are_coming {
            self.suspect(&mut guarded.suspicions, id).coming += 1;
            // Behind those events, which were sent with the lock held.
            let _ = self.signals.send(Signal::Passed([id].into()));
        }
    }

    /// Tells `id` no more of the events that concern `tree`.
    pub(super) fn leave(&self, tree: u64, id: u64) {
        let mut guarded = locked(&self.guarded);
        if let Some(watched) = guarded.watched.get_mut(&tree) {
            watched.listeners.remove(&id);
            if watched.listeners.is_empty() {
                guarded.watched.remove(&tree);
            }
        }
    }

    /// Says nothing more of `id`.
    pub(super) fn forget(&self, id: u64) {
        locked(&self.guarded).suspicions.remove(&id);
    }

    /// A save begins.
    pub(super) fn gather(&self, id: u64) {
        let mut guarded = locked(&self.guarded);
        self.suspect(&mut guarded.suspicions, id).gathering = true;
    }

    /// These files were changed by a save that may not be over.
    pub(super) fn saved(&self, id: u64, paths: Vec<PathBuf>) {
        // With the lock held, so that notices keep their order.
        let _guarded = locked(&self.guarded);
        (self.tell)(id, Notice::Saved(paths));
    }

    /// The save is over.
    pub(super) fn conclude(&self, id: u64, notice: Notice) {
        let mut guarded = locked(&self.guarded);
        let suspicion = guarded.suspicions.entry(id).or_default();
        suspicion.gathering = false;
        (self.tell)(id, notice);
        if suspicion.is_raised() {
            (self.tell)(id, Notice::Suspect);
        }
    }

    /// `id` listens to a tree that was watched before, where a save is `gathering` or not. These files were changed
    /// without its knowledge.
    pub(super) fn catch_up(&self, id: u64, gathering: bool, missed: Vec<PathBuf>) {
        let mut guarded = locked(&self.guarded);
        let suspicion = guarded.suspicions.entry(id).or_default();
        let was_raised = suspicion.is_raised();
        suspicion.gathering = gathering;
        let is_raised = suspicion.is_raised();
        if !was_raised && (is_raised || !missed.is_empty()) {
            (self.tell)(id, Notice::Suspect);
        }
        if !missed.is_empty() {
            (self.tell)(id, Notice::Changed(missed));
            if is_raised {
                (self.tell)(id, Notice::Suspect);
            }
        } else if was_raised && !is_raised {
            (self.tell)(id, Notice::Unchanged);
        }
    }

    /// The thread has looked at a batch of events that might concern `ids`.
    pub(super) fn looked_at(&self, ids: &BTreeSet<u64>) {
        let mut guarded = locked(&self.guarded);
        for id in ids {
            // It may be gone.
            let Some(suspicion) = guarded.suspicions.get_mut(id) else {
                continue;
            };
            let was_raised = suspicion.is_raised();
            suspicion.coming = suspicion.coming.saturating_sub(1);
            if was_raised && !suspicion.is_raised() {
                (self.tell)(*id, Notice::Unchanged);
            }
        }
    }

    /// Tells of everything that the kernel has queued up to now. Does nothing where the system keeps
    /// no queue that can be read.
    pub(super) fn look(&self) {
        #[cfg(target_os = "linux")]
        self.read_queue();
    }

    #[cfg(target_os = "linux")]
    fn read_queue(&self) {
        let guarded = &mut *locked(&self.guarded);
        let Some(News { mut touches, lost }) = guarded.queue.as_mut().and_then(Queue::read) else {
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
            Signal::Rescan
        } else {
            Signal::Touched(touches)
        };
        if !concerned.is_empty() {
            // Nobody listens any more once the watcher is dropped.
            let _ = self.signals.send(signal);
            let _ = self.signals.send(Signal::Passed(concerned));
        }
    }

    /// Tells of a suspicion, unless one is raised already.
    fn suspect<'a>(
        &self,
        suspicions: &'a mut BTreeMap<u64, Suspicion>,
        id: u64,
    ) -> &'a mut Suspicion {
        let suspicion = suspicions.entry(id).or_default();
        if !suspicion.is_raised() {
            (self.tell)(id, Notice::Suspect);
        }
        suspicion
    }

    /// Gives access to the queue, while nobody reads it.
    #[cfg(target_os = "linux")]
    pub(super) fn queue<T>(&self, change: impl FnOnce(&mut Option<Queue>) -> T) -> T {
        change(&mut locked(&self.guarded).queue)
    }
}
