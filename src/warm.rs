//! Warm reload: a save takes effect faster than a cold start of its server.
//!
//! Most of a start is spent loading unchanged packages. A server that is being edited therefore has a *standby*: its
//! own command, started beside the active generation. A *bootstrap* in it (`python`, `node.cjs`) loads the packages
//! that the active generation had loaded, then waits before any code of the user runs. The next save resumes the
//! standby, which becomes the candidate. Each standby is a fresh process without old state. One that is to serve HTTP has
//! a port of its own, which is reserved until it is resumed. A server saved again before the next standby is ready has
//! two of them for a while.
//!
//! Only processes of certain commands note their loaded modules and can have a standby. `preload_list` decides which packages are loaded ahead, `load_log`
//! reports loaded files of the user, `standby` communicates with one process, `slot` keeps it until its use, `pool`
//! limits the number of standbys, `standby_wait` decides how long a save waits for one. Uncertain cases start cold: a
//! server without a standby, and one whose standby differs from a plain start. This module knows nothing of the
//! protocol spoken with a server and decides nothing about generations.

mod bootstrap_dir;
mod channel;
mod load_log;
mod pool;
mod preload_list;
mod slot;
mod stamp;
mod standby;
mod standby_wait;
mod started_process;
mod stderr_buffer;

use std::collections::VecDeque;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use tokio_util::sync::CancellationToken;

use self::bootstrap_dir::BootstrapDir;
use self::preload_list::PreloadList;
use self::slot::{Slot, StandbyRequest};
use self::standby::StandbyError;
use crate::command_line::{CommandLine, Launch, PackageScript, ProgramReader, ScriptCall};
use crate::config::{ServerSpec, StandbyMode};
use crate::event::{Event, EventSender};
use crate::lock::locked;
use crate::package_scripts;
use crate::transport::child::spawn;
use crate::transport::process_port::ProcessPort;
use crate::transport::reaper::Reaper;
use crate::transport::resolve::find;
pub(crate) use load_log::{LoadLog, LoadedFiles};
pub(crate) use pool::StandbyPool;
pub(crate) use started_process::{StandbyUse, StartedProcess};
pub(crate) use stderr_buffer::StderrBuffer;

/// Number of failures without a good warm start in between after which a server always starts cold.
const FAILURES: u32 = 2;
/// Number of consecutive warm starts with a difference after which a server always starts cold.
const DIFFERENCES: u32 = 10;
/// Time during which a server keeps a second standby after saves that came too fast for one.
const SECOND_STANDBY_TIME: Duration = Duration::from_secs(30);
/// Idle time for a generation that has just begun to answer: more saves may follow, and the client requests lists.
const QUIET: Duration = Duration::from_millis(250);
/// Time without a save after which a server keeps no standby.
const IDLE: Duration = Duration::from_secs(30 * 60);

/// Warm reload of one server.
#[derive(Debug)]
pub(crate) struct WarmReload {
    pool: Option<StandbyPool>,
    events: EventSender,
    reaper: Reaper,
    state: Mutex<WarmState>,
}

#[derive(Debug, Default)]
struct WarmState {
    /// Standbys in preparation or ready, oldest first.
    slots: Vec<Slot>,
    /// Folder with the notes of the last started process, until it answers or fails.
    folder: Option<Arc<BootstrapDir>>,
    /// Start of that process; for a standby, time of its hand-over.
    since: Option<SystemTime>,
    /// Notes of the active process and of the previous one, which may still be draining.
    recent_logs: VecDeque<LoadLog>,
    /// Latest notes fit for a standby.
    preload_list: Option<PreloadList>,
    /// Start of the last cold start in progress.
    cold_start: Option<Instant>,
    /// Duration of the last cold start until its generation answered.
    cold_duration: Option<Duration>,
    /// Preparation time of the last standby.
    preparation_time: Option<Duration>,
    failures: u32,
    /// Whether the last start failed, so that the failure of a standby proves nothing about the packages.
    is_broken: bool,
    /// Number of consecutive warm starts that differed from the start before.
    differences: u32,
    /// Incremented by [`WarmReload::forget`] and [`WarmReload::stop`], to detect standbys from before.
    revision: u64,
    /// Time of the last touch of a file.
    last_touch: Option<Instant>,
    /// Interval between the last two touches.
    touch_interval: Option<Duration>,
    /// Time of the last save that came too early for a single standby.
    last_early_save: Option<Instant>,
}

/// Cost of a standby.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StandbyCost {
    /// Time from its start until it was ready.
    pub(crate) took: Duration,
    /// Resident memory in bytes; `None` if unknown.
    pub(crate) memory: Option<u64>,
}

impl WarmState {
    /// Whether recent saves came too fast for one standby.
    fn needs_two_standbys(&self) -> bool {
        self.last_early_save
            .is_some_and(|at| at.elapsed() < SECOND_STANDBY_TIME)
    }

    /// Discards the learned notes and the standbys based on them.
    fn discard_preload_list(&mut self) {
        self.preload_list = None;
        self.slots.clear();
    }
}

impl WarmReload {
    /// Creates the warm reload of a server. Without a pool it always starts cold.
    pub(crate) fn new(pool: Option<StandbyPool>, events: EventSender, reaper: Reaper) -> Self {
        Self {
            pool,
            events,
            reaper,
            state: Mutex::default(),
        }
    }

    /// Starts the process of generation `number`: the standby if there is one, unless `cold`. A process that serves HTTP
    /// is started on `port`, and a standby on the port that it was prepared for. Dropping the unresolved future keeps the
    /// standby for the next start.
    pub(crate) async fn start(
        self: &Arc<Self>,
        spec: &Arc<ServerSpec>,
        port: Option<ProcessPort>,
        number: u64,
        cold: bool,
    ) -> StartedProcess {
        let mut unusable = None;
        // Without the program, the plain start reports the error, although a standby may exist.
        if !cold && find(spec, Path::new(&spec.program)).is_some() {
            match self.prepared_start(spec).await {
                Some(Ok(resumed)) => {
                    let mut state = locked(&self.state);
                    state.folder = Some(Arc::new(resumed.folder));
                    state.cold_start = None;
                    return StartedProcess {
                        child: Ok(resumed.child),
                        port: resumed.port,
                        standby: StandbyUse {
                            stderr: Some(resumed.stderr),
                            unusable: None,
                        },
                    };
                }
                Some(Err(StandbyError::Unfit(reason))) => unusable = Some(reason),
                Some(Err(StandbyError::Outdated)) => locked(&self.state).discard_preload_list(),
                Some(Err(StandbyError::Differs(reason))) => self.differs(spec, reason),
                None => {}
            }
        }
        let started = Instant::now();
        let port = port.map(ProcessPort::release);
        let spec = spec.of_start(port);
        let folder = self.folder(&spec, port).map(Arc::new);
        locked(&self.state).since = Some(SystemTime::now());
        let child = match &folder {
            Some(folder) => spawn(&folder.with_env(&spec), number, &self.events, &self.reaper),
            None => spawn(&spec, number, &self.events, &self.reaper),
        };
        let mut state = locked(&self.state);
        state.folder = folder;
        state.cold_start = Some(started);
        StartedProcess {
            child,
            port,
            standby: StandbyUse {
                stderr: None,
                unusable,
            },
        }
    }

    /// Records the first touch of a file since the last save settled.
    pub(crate) fn touched(&self) {
        let mut state = locked(&self.state);
        let before = state.last_touch.replace(Instant::now());
        state.touch_interval = before.map(|before| before.elapsed());
    }

    /// Whether the next start is likely to be warm.
    pub(crate) fn is_standby_likely(&self) -> bool {
        let state = locked(&self.state);
        let can = !state.slots.is_empty() || state.preload_list.is_some();
        can && state.failures < FAILURES
    }

    /// Records that the last started process answers, or has failed, and requests the next standby. Returns the notes
    /// of the process; `None` if it makes none.
    pub(crate) fn started(
        self: &Arc<Self>,
        spec: &Arc<ServerSpec>,
        answers: bool,
    ) -> Option<LoadLog> {
        let mut state = locked(&self.state);
        let folder = state.folder.take();
        let since = state.since.take();
        let took = state.cold_start.take().map(|started| started.elapsed());
        state.cold_duration = took.filter(|_| answers).or(state.cold_duration);
        let log_parts = folder.clone().zip(since);
        let load_log = log_parts.map(|(folder, since)| LoadLog::new(folder, since));
        if answers {
            state.recent_logs.truncate(1);
            if let Some(load_log) = &load_log {
                state.recent_logs.push_front(load_log.clone());
            }
        }
        state.is_broken = !answers;
        let folder = folder.filter(|folder| answers && folder.allows_standby());
        let is_known = folder.is_some() || state.preload_list.is_some();
        if is_known && state.failures < FAILURES {
            self.request_standbys(spec, &mut state, folder.as_ref());
        }
        load_log
    }

    /// Whether a process of the server has opened this file for writing. Reads the file system.
    pub(crate) fn has_written(&self, path: &Path) -> bool {
        let (starting, logs) = {
            let state = locked(&self.state);
            let starting = state.folder.clone().zip(state.since);
            (starting, state.recent_logs.clone())
        };
        let starting = starting.map(|(folder, since)| LoadLog::new(folder, since));
        let mut all = logs.iter().chain(&starting);
        all.any(|log| log.has_written(path))
    }

    /// Requests missing standbys. They learn from `folder`, if given.
    fn request_standbys(
        self: &Arc<Self>,
        spec: &Arc<ServerSpec>,
        state: &mut WarmState,
        folder: Option<&Arc<BootstrapDir>>,
    ) {
        let count = if state.needs_two_standbys() { 2 } else { 1 };
        state.slots.retain(Slot::is_alive);
        if folder.is_some() {
            // One standby is always prepared from the notes of the active process.
            state.slots.truncate(count - 1);
        }
        while state.slots.len() < count {
            let Some(request) = self.standby_request(spec, folder.cloned(), state) else {
                return;
            };
            state.slots.push(Slot::new(request));
        }
    }

    /// Returns the request for the next standby; `None` if none is due.
    fn standby_request(
        self: &Arc<Self>,
        spec: &Arc<ServerSpec>,
        folder: Option<Arc<BootstrapDir>>,
        state: &WarmState,
    ) -> Option<StandbyRequest> {
        let last_save = state.last_touch.filter(|saved| saved.elapsed() < IDLE);
        let at_once = spec.warm == StandbyMode::AtOnce;
        Some(StandbyRequest {
            warm: self.clone(),
            pool: self.pool.clone()?,
            spec: spec.clone(),
            folder,
            saved: last_save.or_else(|| at_once.then(Instant::now))?,
            max_wait: (!at_once).then_some(IDLE),
            quiet_time: if state.needs_two_standbys() {
                Duration::ZERO
            } else {
                QUIET
            },
        })
    }

    /// Counts an unusable standby or a failed warm start. `reason` is a sentence fragment.
    pub(crate) fn failed(&self, spec: &ServerSpec, reason: String) {
        let mut state = locked(&self.state);
        state.failures += 1;
        self.events.send(Event::Cold {
            server: spec.name.clone(),
            reason,
            for_good: state.failures == FAILURES,
        });
    }

    /// Counts a start that differs from the last one, which is not a failure: the next standby learns from it. A server
    /// with too many consecutive differences always starts cold. `reason` is a sentence fragment.
    pub(crate) fn differs(&self, spec: &ServerSpec, reason: String) {
        let mut state = locked(&self.state);
        state.discard_preload_list();
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

    /// Commits to the last started standby; returns false if its process has ended itself because it differs from a
    /// plain start.
    pub(crate) fn commit_standby(&self) -> bool {
        let mut state = locked(&self.state);
        let is_kept = state.folder.as_ref().is_some_and(|it| it.commit());
        if is_kept {
            state.differences = 0;
            state.failures = 0;
        }
        is_kept
    }

    /// Returns the reason for which the last started process ended itself: the saved code sets up the process in
    /// another way than the code for which the packages were loaded.
    pub(crate) fn difference(&self) -> Option<String> {
        locked(&self.state).folder.as_ref()?.difference()
    }

    /// Records that the server cannot have a standby.
    fn give_up(&self, spec: &ServerSpec, reason: String) {
        {
            let mut state = locked(&self.state);
            state.slots.clear();
            // The second standby may have reported the same.
            if state.failures >= FAILURES {
                return;
            }
            state.failures = FAILURES - 1;
        }
        self.failed(spec, reason);
    }

    /// Resets the state after a change of the server's definition.
    pub(crate) fn forget(&self) {
        let mut state = locked(&self.state);
        let revision = state.revision + 1;
        *state = WarmState {
            revision,
            ..WarmState::default()
        };
    }

    /// Ends the standbys; resolves once their processes are gone.
    pub(crate) async fn stop(&self) {
        let slots = {
            let mut state = locked(&self.state);
            state.revision += 1;
            std::mem::take(&mut state.slots)
        };
        for slot in slots {
            slot.end().await;
        }
    }

    /// Returns the preparation time of the next ready standby and the total memory of all ready standbys.
    pub(crate) fn standby_cost(&self) -> Option<StandbyCost> {
        let state = locked(&self.state);
        let all = state.slots.iter().filter_map(Slot::cost);
        all.reduce(|next, other| StandbyCost {
            memory: next.memory.zip(other.memory).map(|(a, b)| a + b),
            ..next
        })
    }

    /// Marks a standby as `ended`; returns whether its failure counts: no other standby is left, and the server's code
    /// starts.
    fn counts_failure(&self, ended: &CancellationToken) -> bool {
        let state = locked(&self.state);
        ended.cancel();
        !state.is_broken && !state.slots.iter().any(Slot::is_alive)
    }

    /// Ends the second standby, if there are two.
    fn end_second(&self) {
        locked(&self.state).slots.truncate(1);
    }

    /// Creates the folder for a start with these settings and this port; `None` if the process cannot make notes.
    fn folder(&self, spec: &ServerSpec, port: Option<u16>) -> Option<BootstrapDir> {
        let pool = self.pool.as_ref()?;
        if spec.warm == StandbyMode::Off {
            return None;
        }
        let launch = Launch::of(&spec.program, &spec.args, &ProgramLookup(spec))?;
        let can_wait = channel::RUNTIMES.contains(&launch.runtime);
        if !can_wait || bootstrap_dir::has_hooks(launch.runtime, spec) {
            return None;
        }
        let path = pool.folder(&self.reaper);
        let folder = path.and_then(|path| BootstrapDir::new(path, spec, port, &launch));
        // A full disk must not prevent the start.
        folder
            .inspect_err(|error| tracing::debug!(%error, "starts cold"))
            .ok()
    }
}

/// Program lookup as by the server.
struct ProgramLookup<'a>(&'a ServerSpec);

impl ProgramReader for ProgramLookup<'_> {
    fn beginning(&self, program: &str) -> Option<String> {
        let path = find(self.0, Path::new(program))?;
        let mut start = [0; 512];
        let count = File::open(path).ok()?.read(&mut start).ok()?;
        Some(String::from_utf8_lossy(&start[..count]).into_owned())
    }

    fn script(&self, words: &[String]) -> Option<PackageScript> {
        let command = CommandLine {
            base: self.0.cwd.clone(),
            words: words.to_vec(),
        };
        package_scripts::find(&ScriptCall::of(&command)?)
    }
}
