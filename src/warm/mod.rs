//! Warm reload: a save goes live faster than its server can start.
//!
//! Nearly all of a start is loading packages that did not change. So a server that is being edited has a
//! *standby*: its own command, started beside the generation that answers, in which a *bootstrap*
//! (`python`, `node.cjs`) loads what that generation had loaded from its packages, and then waits before any
//! code of the user runs. At the next save it is told to go on, and is the candidate. It is a fresh process each
//! time, so nothing old lives on in it.
//!
//! A server that is saved again before the next standby is ready has two of them for a while.
//!
//! `command` tells of which commands that can be done, `learned` what to load and when not to, `notes` what a
//! process has loaded of the user's own, `standby` talks with one process, `slot` keeps it until it is used, `pool` bounds how many
//! there are, `waiting` decides how long a save waits for one. What is not certain starts cold: that is
//! what a server without a standby does, and one whose standby turns out to be unlike a plain start.
//! Knows nothing of what is spoken with a server, and decides nothing about generations.

mod command;
mod learned;
mod notes;
mod pool;
mod room;
mod slot;
mod stamp;
mod standby;
mod voice;
mod waiting;

use std::collections::VecDeque;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use tokio_util::sync::CancellationToken;

use self::command::Files;
use self::learned::Learned;
use self::room::Folder;
use self::slot::{Order, QUIET, Slot};
use self::standby::Unfit;
use crate::config::{ServerSpec, Warmth};
use crate::event::{Event, Events};
use crate::lock::locked;
use crate::transport::child::{Child, spawn};
use crate::transport::reaper::Reaper;
use crate::transport::resolve::{SpawnError, find};
pub(crate) use notes::{Noted, Notes};
pub(crate) use pool::Pool;
pub(crate) use voice::Voice;

/// After so many failures a server starts cold for good.
const FAILURES: u32 = 2;
/// After so many prepared starts in a row that were not like the one before, too.
const DIFFERENCES: u32 = 10;
/// A server whose saves came too fast for one standby keeps a second one for so long.
const PRESSED: Duration = Duration::from_secs(30);
/// A server that was not saved for this long keeps no standby.
const IDLE: Duration = Duration::from_secs(30 * 60);

/// Warm reload of one server.
#[derive(Debug)]
pub(crate) struct Warm {
    pool: Option<Pool>,
    events: Events,
    reaper: Reaper,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Standbys that are being prepared or are ready, the oldest first.
    slots: Vec<Slot>,
    /// Where the process that was started last notes what it loads.
    folder: Option<Arc<Folder>>,
    /// When that was started.
    since: Option<SystemTime>,
    /// The notes of the process that answers and of the one before, which may still be at work.
    kept: VecDeque<Notes>,
    /// What was learned last.
    learned: Option<Learned>,
    /// When the last cold start began, until its generation answers.
    begun: Option<Instant>,
    /// How long the last cold start took until its generation answered.
    cold: Option<Duration>,
    /// How long the last standby took until it was ready.
    took: Option<Duration>,
    failures: u32,
    /// How many prepared starts in a row were not like the start before.
    differences: u32,
    /// Counts how often all of this was given up.
    age: u64,
    /// When a file was touched last.
    touched: Option<Instant>,
    /// And how long that was after the time before.
    rhythm: Option<Duration>,
    /// The time of the last save that came before one standby alone could be ready.
    pressed: Option<Instant>,
}

/// What a standby cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Prepared {
    /// From its start until it was ready.
    pub(crate) took: Duration,
    /// In bytes, where the system tells.
    pub(crate) memory: Option<u64>,
}

/// A process that has been started.
#[derive(Debug)]
pub(crate) struct Start {
    pub(crate) child: Result<Child, SpawnError>,
    /// Of a process that was a standby: what it says is kept until its generation is known to be good.
    pub(crate) voice: Option<Voice>,
}

impl State {
    /// Whether saves have lately come too fast for one standby.
    fn is_pressed(&self) -> bool {
        self.pressed.is_some_and(|at| at.elapsed() < PRESSED)
    }

    /// What was learned does not hold any more, nor does what was prepared by it.
    fn unlearn(&mut self) {
        self.learned = None;
        self.slots.clear();
    }
}

impl Warm {
    /// For a server; without a pool it always starts cold.
    pub(crate) fn new(pool: Option<Pool>, events: Events, reaper: Reaper) -> Self {
        Self {
            pool,
            events,
            reaper,
            state: Mutex::default(),
        }
    }

    /// Starts the process of generation `number`: the standby if there is one, unless it is to be `cold`.
    /// Dropping the future before it has resolved keeps the standby for the next start.
    pub(crate) async fn start(
        self: &Arc<Self>,
        spec: &Arc<ServerSpec>,
        number: u64,
        cold: bool,
    ) -> Start {
        // One that was started could be started; whether that is still so is for a plain start to tell.
        if !cold && find(spec, Path::new(&spec.program)).is_some() {
            match self.prepared_start(spec).await {
                Some(Ok((child, voice, folder))) => {
                    let mut state = locked(&self.state);
                    state.folder = Some(Arc::new(folder));
                    state.begun = None;
                    return Start {
                        child: Ok(child),
                        voice: Some(voice),
                    };
                }
                Some(Err(Unfit::Unlike(reason))) => self.failed(spec, reason),
                Some(Err(Unfit::Outdated)) => locked(&self.state).unlearn(),
                Some(Err(Unfit::Differs(reason))) => self.differs(spec, reason),
                None => {}
            }
        }
        let begun = Instant::now();
        let folder = self.folder(spec).map(Arc::new);
        locked(&self.state).since = Some(SystemTime::now());
        let child = match &folder {
            Some(folder) => spawn(&folder.found_by(spec), number, &self.events, &self.reaper),
            None => spawn(spec, number, &self.events, &self.reaper),
        };
        let mut state = locked(&self.state);
        state.folder = folder;
        state.begun = Some(begun);
        Start { child, voice: None }
    }

    /// A file of the server was touched, for the first time since what was touched before has settled.
    pub(crate) fn touched(&self) {
        let mut state = locked(&self.state);
        let before = state.touched.replace(Instant::now());
        state.rhythm = before.map(|before| before.elapsed());
    }

    /// Whether the next start is expected to be a prepared one.
    pub(crate) fn is_likely(&self) -> bool {
        let state = locked(&self.state);
        let can = !state.slots.is_empty() || state.learned.is_some();
        can && state.failures < FAILURES
    }

    /// The process that was started last answers from now on, or was no use: time to prepare the next one. Returns
    /// its notes, if it makes any.
    pub(crate) fn started(
        self: &Arc<Self>,
        spec: &Arc<ServerSpec>,
        answers: bool,
    ) -> Option<Notes> {
        let mut state = locked(&self.state);
        let folder = state.folder.take();
        let since = state.since.take();
        let took = state.begun.take().map(|begun| begun.elapsed());
        state.cold = took.filter(|_| answers).or(state.cold);
        let noted = folder.clone().zip(since);
        let notes = noted.map(|(folder, since)| Notes::new(folder, since));
        if answers {
            state.kept.truncate(1);
            if let Some(notes) = &notes {
                state.kept.push_front(notes.clone());
            }
        }
        let folder = folder.filter(|folder| answers && folder.is_for_standbys());
        let is_known = folder.is_some() || state.learned.is_some();
        if is_known && state.failures < FAILURES {
            self.fill(spec, &mut state, folder.as_ref());
        }
        notes
    }

    /// Whether a process of the server itself has opened this file for writing. Reads the file system.
    pub(crate) fn has_written(&self, path: &Path) -> bool {
        let (starting, kept) = {
            let state = locked(&self.state);
            let starting = state.folder.clone().zip(state.since);
            (starting, state.kept.clone())
        };
        let starting = starting.map(|(folder, since)| Notes::new(folder, since));
        let mut all = kept.iter().chain(&starting);
        all.any(|notes| notes.have_written(path))
    }

    /// Orders as many standbys as there should be, which learn from `folder` if there is one.
    fn fill(
        self: &Arc<Self>,
        spec: &Arc<ServerSpec>,
        state: &mut State,
        folder: Option<&Arc<Folder>>,
    ) {
        let wanted = if state.is_pressed() { 2 } else { 1 };
        state.slots.retain(Slot::is_alive);
        if folder.is_some() {
            // One is always prepared by what answers now.
            state.slots.truncate(wanted - 1);
        }
        while state.slots.len() < wanted {
            let Some(order) = self.order(spec, folder.cloned(), state) else {
                return;
            };
            state.slots.push(Slot::new(order));
        }
    }

    /// What is to be prepared next for a server, if anything is.
    fn order(
        self: &Arc<Self>,
        spec: &Arc<ServerSpec>,
        folder: Option<Arc<Folder>>,
        state: &State,
    ) -> Option<Order> {
        let recently = state.touched.filter(|saved| saved.elapsed() < IDLE);
        let at_once = spec.warm == Warmth::AtOnce;
        Some(Order {
            warm: self.clone(),
            pool: self.pool.clone()?,
            spec: spec.clone(),
            folder,
            saved: recently.or_else(|| at_once.then(Instant::now))?,
            patience: (!at_once).then_some(IDLE),
            pause: if state.is_pressed() {
                Duration::ZERO
            } else {
                QUIET
            },
        })
    }

    /// A start was not what it should have been. `reason` is a sentence fragment.
    pub(crate) fn failed(&self, spec: &ServerSpec, reason: String) {
        let mut state = locked(&self.state);
        state.failures += 1;
        self.events.send(Event::Cold {
            server: spec.name.clone(),
            reason,
            for_good: state.failures == FAILURES,
        });
    }

    /// This start is not like the last one, which is no fault: the next one is prepared by it. A server whose starts
    /// all differ starts cold for good.
    pub(crate) fn differs(&self, spec: &ServerSpec, reason: String) {
        let mut state = locked(&self.state);
        state.unlearn();
        state.differences += 1;
        let for_good = state.differences >= DIFFERENCES;
        if for_good {
            state.failures = FAILURES;
        }
        self.events.send(Event::Cold {
            server: spec.name.clone(),
            reason,
            for_good,
        });
    }

    /// Decides that the prepared process that was started last serves; false if it has ended itself, since it differs
    /// from a plain start.
    pub(crate) fn keeps(&self) -> bool {
        let mut state = locked(&self.state);
        let keeps = state.folder.as_ref().is_some_and(|it| it.keep());
        if keeps {
            state.differences = 0;
        }
        keeps
    }

    /// Returns why the process that was started last ended itself: the saved code sets the process up otherwise than
    /// the code did that the packages were loaded for.
    pub(crate) fn difference(&self) -> Option<String> {
        locked(&self.state).folder.as_ref()?.difference()
    }

    /// Nothing can be prepared for this server.
    fn give_up(&self, spec: &ServerSpec, reason: String) {
        {
            let mut state = locked(&self.state);
            state.slots.clear();
            // The other one may have found the same.
            if state.failures >= FAILURES {
                return;
            }
            state.failures = FAILURES - 1;
        }
        self.failed(spec, reason);
    }

    /// The server is run differently from now on.
    pub(crate) fn forget(&self) {
        let mut state = locked(&self.state);
        let age = state.age + 1;
        *state = State {
            age,
            ..State::default()
        };
    }

    /// Ends the standbys; resolves when they are gone.
    pub(crate) async fn stop(&self) {
        let slots = {
            let mut state = locked(&self.state);
            state.age += 1;
            std::mem::take(&mut state.slots)
        };
        for slot in slots {
            slot.end().await;
        }
    }

    /// The standbys that wait: how long the next one took, and the memory of all.
    pub(crate) fn prepared(&self) -> Option<Prepared> {
        let state = locked(&self.state);
        let all = state.slots.iter().filter_map(Slot::prepared);
        all.reduce(|next, other| Prepared {
            memory: next.memory.zip(other.memory).map(|(a, b)| a + b),
            ..next
        })
    }

    /// A standby is `over`; whether no other one is left.
    fn was_last(&self, over: &CancellationToken) -> bool {
        let state = locked(&self.state);
        over.cancel();
        !state.slots.iter().any(Slot::is_alive)
    }

    /// Ends the second standby, if there are two.
    fn end_second(&self) {
        locked(&self.state).slots.truncate(1);
    }

    /// A folder for a start of this server, if its process is one that can make notes.
    fn folder(&self, spec: &ServerSpec) -> Option<Folder> {
        let pool = self.pool.as_ref()?;
        if spec.warm == Warmth::Off {
            return None;
        }
        let launch = command::understand(&spec.program, &spec.args, &Found(spec))?;
        if room::has_hooks(launch.runtime, spec) {
            return None;
        }
        let path = pool.folder(&self.reaper);
        let folder = path.and_then(|path| Folder::new(path, spec, &launch));
        // A full disk is no reason not to start.
        folder
            .inspect_err(|error| tracing::debug!(%error, "starts cold"))
            .ok()
    }
}

/// Programs as a server finds them.
struct Found<'a>(&'a ServerSpec);

impl Files for Found<'_> {
    fn beginning(&self, program: &str) -> Option<String> {
        let path = find(self.0, Path::new(program))?;
        let mut start = [0; 512];
        let count = File::open(path).ok()?.read(&mut start).ok()?;
        Some(String::from_utf8_lossy(&start[..count]).into_owned())
    }
}
