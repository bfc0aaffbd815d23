//! Events for a person or a log reader, as plain data. `output` turns events into lines or NDJSON; no other module
//! prints them.

mod rehearsal;

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

use crate::config::HiddenValues;
use crate::lock::locked;
pub(crate) use rehearsal::{AnswerDifference, RehearsalOutcome, RehearsalReport, RehearsedAnswer};

/// Number of events that may wait for a slow reader of stderr before new ones are dropped and counted.
pub(crate) const EVENT_BACKLOG: usize = 1024;

/// One event. `server` is the name of the server; `generation` counts from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Event {
    /// The watch of a server has started, with these numbers of files and directories.
    Watching {
        server: String,
        files: usize,
        directories: usize,
        globs: Vec<String>,
    },
    /// The watch differs from the probable intention: a glob matches nothing, or files are polled.
    WatchWarning { server: String, message: String },
    /// Harmless information about the watch and the reload.
    WatchNote { server: String, message: String },
    /// The server has sent a request for input by `method`, which a person must answer at the address `page`.
    InputAwaited {
        server: String,
        method: String,
        page: String,
    },
    /// The content of watched files changed. Paths below the server's cwd are relative to it.
    Changed { server: String, paths: Vec<PathBuf> },
    /// The build command started.
    Building { server: String, command: String },
    /// One line of the build command's output.
    BuildOutput { server: String, line: String },
    /// The process of a generation started.
    Spawned {
        server: String,
        generation: u64,
        pid: u32,
    },
    /// A generation of a remote server connects; the URL contains no secrets.
    Connecting {
        server: String,
        generation: u64,
        url: String,
    },
    /// A generation completed its handshake and lists, and became active while no other was.
    Ready {
        server: String,
        generation: u64,
        took: Duration,
        era: &'static str,
        tools: usize,
        prompts: usize,
        resources: usize,
    },
    /// A generation completed its handshake and lists, and replaced the active one.
    Reloaded {
        server: String,
        generation: u64,
        took: Duration,
        diff: ToolDiff,
        /// Answers to the rehearsed calls, if there are any.
        rehearsal: Option<RehearsalReport>,
    },
    /// A rehearsed call tells nothing about new code, for the reason in `message`.
    RehearsalWarning { server: String, message: String },
    /// The saved code does not run.
    Broken {
        server: String,
        failure: Failure,
        serving_last_good: bool,
    },
    /// The active generation exited without a request of the proxy.
    Exited {
        server: String,
        generation: u64,
        status: String,
        stderr: Vec<String>,
    },
    /// The server restarts after `delay`.
    Restarting { server: String, delay: Duration },
    /// The server exited too often and is not restarted until a file changes.
    Flapping {
        server: String,
        exits: u32,
        within: Duration,
    },
    /// A standby process is ready for the server's next start; `took` is its preparation time, `memory` its size in
    /// bytes.
    Standby {
        server: String,
        took: Duration,
        memory: Option<u64>,
    },
    /// No standby process can be prepared: the server starts cold, this time or (`for_good`) from now on.
    Cold {
        server: String,
        reason: String,
        for_good: bool,
    },
    /// A generation runs without a port (such as a debugger's) that its predecessor still held; `line` is its own
    /// message about it.
    PortMissed { server: String, line: String },
    /// The server sends its client requests that exist only in the legacy era, on a connection of the modern era.
    EraUnsuitable { server: String },
    /// Requests of a replaced generation were abandoned at the drain timeout.
    DrainAbandoned {
        server: String,
        generation: u64,
        requests: usize,
    },
    /// The process of a generation has ended.
    Stopped { server: String, generation: u64 },
    /// One line of the server's stderr.
    Stderr {
        server: String,
        generation: u64,
        line: String,
    },
    /// The server sent a line that is no usable message; `count` is the number of such lines so far.
    Stray {
        server: String,
        generation: u64,
        line: String,
        count: u64,
        kind: StrayKind,
    },
    /// The server's lists changed without a reload.
    ListsChanged { server: String, diff: ToolDiff },
    /// Progress of a call from the command line.
    Progress { server: String, text: String },
    /// Log message of a server during a call from the command line.
    LogMessage {
        server: String,
        level: String,
        text: String,
    },
    /// A server was stopped because it was unloaded or removed from the configuration.
    Unloaded { server: String },
    /// A changed configuration is in force; names the servers that differ.
    Reconfigured {
        added: Vec<String>,
        changed: Vec<String>,
        removed: Vec<String>,
    },
    /// The configuration has a fault. The text may have several lines that show the place.
    ConfigFault { text: String },
    /// An entry of this `kind` (tool, prompt, resource, …) is not offered: the server `holder` has one of the same name
    /// or URI.
    NameTaken {
        server: String,
        kind: &'static str,
        name: String,
        holder: String,
    },
    /// A tool is not offered: its header parameters are invalid, or the client would drop others with it.
    ToolLeftOut {
        server: String,
        tool: String,
        reason: String,
    },
    /// The connected client rejects tools that it is offered; `places` says which, where and why.
    ToolsRejected {
        server: String,
        client: String,
        places: Vec<String>,
    },
    /// A tool gave a result that clients reject or cut.
    ResultFaulty {
        server: String,
        tool: String,
        reason: String,
    },
    /// The server's pages of the list request `method` do not end; the list was read only partly.
    ListCut {
        server: String,
        method: &'static str,
        reason: &'static str,
    },
    /// The server keeps announcing changes of the list `method`, but the list stays the same.
    ListUnchanged {
        server: String,
        method: &'static str,
    },
    /// The server's list `method` contains a name twice; the first entry is used.
    ListedTwice {
        server: String,
        method: &'static str,
        name: String,
    },
    /// The server answers the list request `method` but does not declare the `capability` for it.
    ListUndeclared {
        server: String,
        method: &'static str,
        capability: &'static str,
    },
    /// The server did not answer the list request `method` in time and became active without that list.
    ListSilent {
        server: String,
        method: &'static str,
        waited: Duration,
    },
    /// The HTTP front listens on this URL.
    Listening { url: String },
    /// The page for the browser is at this link; `warning` says why the browser was not opened, or why the
    /// link has another address than the user named.
    Page {
        url: String,
        warning: Option<String>,
    },
    /// An HTTP request named a path other than the endpoint.
    WrongPath { path: String, endpoint: String },
    /// A client identified itself.
    ClientConnected {
        name: String,
        version: String,
        era: &'static str,
    },
    /// One of several sessions ended.
    SessionEnded { reason: String },
    /// The proxy shuts down: the client disconnected, or a signal requested it.
    Ending { reason: String },
    /// The proxy ends with this error.
    Failed { reason: String },
    /// Other commands cannot see this proxy: the user's state is unusable.
    NotRecorded { reason: String },
    /// Messages are not recorded any more, for this reason.
    RecordingEnded { reason: String },
}

/// Difference between a server's tools and those of the previous generation, by name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct ToolDiff {
    /// Names of new tools.
    pub(crate) added: Vec<String>,
    /// Names of removed tools.
    pub(crate) removed: Vec<String>,
    /// Names of changed tools, with the members that differ (`inputSchema`, `description`, …).
    pub(crate) changed: Vec<(String, Vec<String>)>,
    /// Changes of tools, prompts and resources that concern callers, the gravest first.
    pub(crate) contract: Vec<ContractChange>,
    /// Names of the tools that the connected client is not offered, because it would drop others with them.
    pub(crate) left_out: Vec<String>,
}

/// Change of one entry of a list that concerns callers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ContractChange {
    /// `tool`, `prompt`, `resource` or `resource template`.
    pub(crate) kind: &'static str,
    /// Name, URI or URI template of the entry.
    pub(crate) name: String,
    /// True if something that was valid is invalid now; otherwise the change is worth a look.
    pub(crate) is_breaking: bool,
    /// Change, in words.
    pub(crate) text: String,
}

impl ContractChange {
    /// Returns the change as a JSON object.
    pub(crate) fn value(&self) -> Value {
        json!({ "class": self.class(), "kind": self.kind, "name": self.name, "text": self.text })
    }

    /// Returns the class of the change for JSON.
    fn class(&self) -> &'static str {
        if self.is_breaking { "breaking" } else { "look" }
    }
}

/// Reason why a generation, or the build before it, failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    /// Generation that failed.
    pub(crate) generation: u64,
    /// Reason as a sentence fragment: `exited with status 1 before it answered "initialize"`.
    pub(crate) reason: String,
    /// Advice for the user, if the proxy knows a remedy.
    pub(crate) advice: Option<String>,
    /// Last lines of stderr, or of the build's output.
    pub(crate) stderr: Vec<String>,
    /// Files whose change led to the failure, relative to cwd where possible.
    pub(crate) files: Vec<PathBuf>,
    /// True if a remote server cannot be reached; false if its code is at fault.
    pub(crate) remote: bool,
    /// True if the code runs, but failed a rehearsed call.
    pub(crate) held: bool,
    pub(crate) next_try: NextTry,
}

/// Event after which a failed start may succeed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NextTry {
    /// A save: the code is at fault.
    Save,
    /// The next call: the cause may pass by itself, such as a port that another process has.
    Call,
    /// The next call, with more time.
    LongerCall,
}

impl Failure {
    /// Creates a failure of a generation's own code, without further details.
    pub(crate) fn new(generation: u64, reason: String) -> Self {
        Self {
            generation,
            reason,
            advice: None,
            stderr: Vec::new(),
            files: Vec::new(),
            remote: false,
            held: false,
            next_try: NextTry::Save,
        }
    }

    /// Returns true if the next call tries again, without a save.
    pub(crate) fn may_pass(&self) -> bool {
        self.next_try != NextTry::Save
    }

    /// Hides values in all its texts.
    pub(crate) fn hide(&mut self, hidden: &HiddenValues) {
        let texts = std::iter::once(&mut self.reason).chain(&mut self.advice);
        for text in texts.chain(&mut self.stderr) {
            *text = hidden.hide_in_json(text);
        }
        for file in &mut self.files {
            *file = hidden.hide(file.display().to_string()).into();
        }
    }
}

/// Reason why a server's output is unusable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StrayKind {
    /// A process wrote a line to stdout that is not a JSON-RPC message.
    Line,
    /// A remote server sent text that is not a JSON-RPC message, or a process wrote a JSON-RPC message with invalid
    /// JSON.
    Text,
    /// A response has an id that belongs to no request.
    Answer,
    /// A message exceeded the size limit and was skipped; the text in its place names the limit.
    TooLong,
}

/// Event with the session that it belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SessionEvent {
    /// Number of the session; `None` if the event concerns all.
    pub(crate) session: Option<u64>,
    pub(crate) event: Event,
}

/// Sender of events to the printing thread. Cheap to clone. Never blocks, because a client that does not read the
/// proxy's stderr must not stop the protocol.
#[derive(Debug, Clone)]
pub(crate) struct EventSender {
    // A channel allocates space for all messages that it may hold, so that messages should be small.
    sender: SyncSender<Box<SessionEvent>>,
    /// Number of the session that the events belong to.
    session: Option<u64>,
    dropped: Arc<AtomicU64>,
    hidden: Arc<Mutex<HiddenValues>>,
}

impl EventSender {
    /// Creates a sender on a channel of `sync_channel(EVENT_BACKLOG)`; events that do not fit are counted in `dropped`.
    pub(crate) fn new(sender: SyncSender<Box<SessionEvent>>, dropped: Arc<AtomicU64>) -> Self {
        Self {
            sender,
            session: None,
            dropped,
            hidden: Arc::default(),
        }
    }

    /// Returns a sender whose events go nowhere.
    #[cfg(test)]
    pub(crate) fn silent() -> Self {
        Self::new(std::sync::mpsc::sync_channel(0).0, Arc::default())
    }

    /// Returns a sender of events of the session with this number; `None` stands for all sessions.
    pub(crate) fn of_session(&self, session: Option<u64>) -> Self {
        Self {
            session,
            ..self.clone()
        }
    }

    /// Returns the number of the session that the events belong to.
    pub(crate) fn session(&self) -> Option<u64> {
        self.session
    }

    /// Hides these values from now on, in events of all servers.
    pub(crate) fn hide(&self, hidden: &HiddenValues) {
        locked(&self.hidden).add(hidden);
    }

    /// Returns the values that must not be shown.
    pub(crate) fn hidden(&self) -> Arc<Mutex<HiddenValues>> {
        self.hidden.clone()
    }

    /// Sends an event, or drops and counts it if the printer is [`EVENT_BACKLOG`] events behind.
    pub(crate) fn send(&self, event: Event) {
        let session = self.session;
        let event = Box::new(SessionEvent { session, event });
        if let Err(TrySendError::Full(_)) = self.sender.try_send(event) {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}
