//! Everything worth telling a human or a log reader, as plain data. `output` turns events into
//! lines or NDJSON; nobody else prints.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError};
use std::time::Duration;

/// Number of events that may wait for a slow reader of stderr before new ones are dropped and counted.
pub(crate) const EVENT_BACKLOG: usize = 1024;

/// Something that happened. `server` is the server's name, `generation` counts from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Event {
    /// The watch has begun: how much of what is watched.
    Watching {
        server: String,
        files: usize,
        directories: usize,
        globs: Vec<String>,
    },
    /// The watch is not what the user may think: a glob without a match, polling instead of events.
    WatchWarning { server: String, message: String },
    /// Something about the watch that is as it should be, and good to know.
    WatchNote { server: String, message: String },
    /// Content of watched files changed; paths are relative to the server's cwd where they lie below it.
    Changed { server: String, paths: Vec<PathBuf> },
    /// The build command was started.
    Building { server: String, command: String },
    /// One line that the build command wrote.
    BuildOutput { server: String, line: String },
    /// A generation's process was started; its pid.
    Spawned {
        server: String,
        generation: u64,
        pid: u32,
    },
    /// A generation of a server that runs elsewhere is being introduced there; the address, without secrets.
    Connecting {
        server: String,
        generation: u64,
        url: String,
    },
    /// A generation proved itself and answers from now on, though none was active before.
    Ready {
        server: String,
        generation: u64,
        took: Duration,
        era: &'static str,
        tools: usize,
        prompts: usize,
        resources: usize,
    },
    /// A generation proved itself and replaced the active one.
    Reloaded {
        server: String,
        generation: u64,
        took: Duration,
        diff: ToolDiff,
    },
    /// The saved code does not run.
    Broken {
        server: String,
        failure: Failure,
        serving_last_good: bool,
    },
    /// The active generation ended by itself.
    Exited {
        server: String,
        generation: u64,
        status: String,
        stderr: Vec<String>,
    },
    /// It will be started again after `delay`.
    Restarting { server: String, delay: Duration },
    /// It ended too often and is not started again before a file changes.
    Flapping {
        server: String,
        exits: u32,
        within: Duration,
    },
    /// A process for the server's next start is ready: how long that took, and its memory in bytes.
    Standby {
        server: String,
        took: Duration,
        memory: Option<u64>,
    },
    /// A start could not be prepared: the server starts cold, this time or from now on.
    Cold {
        server: String,
        reason: String,
        for_good: bool,
    },
    /// A generation runs without a port, such as that of a debugger, which its predecessor still had; its own line.
    PortMissed { server: String, line: String },
    /// Requests of a replaced generation were given up at the end of the drain time.
    DrainAbandoned {
        server: String,
        generation: u64,
        requests: usize,
    },
    /// A generation's process is gone.
    Stopped { server: String, generation: u64 },
    /// One line that the server wrote on stderr.
    Stderr {
        server: String,
        generation: u64,
        line: String,
    },
    /// The server sent something that nobody can use; `count` is how many times so far.
    Stray {
        server: String,
        generation: u64,
        line: String,
        count: u64,
        kind: StrayKind,
    },
    /// The server changed its own lists without a reload.
    ListsChanged { server: String, diff: ToolDiff },
    /// How far the server is with a call of the command line.
    Progress { server: String, text: String },
    /// The server logged something while it worked for the command line.
    LogMessage {
        server: String,
        level: String,
        text: String,
    },
    /// A server is no longer run: it was unloaded, or is not configured any more.
    Unloaded { server: String },
    /// The configuration changed and is in force: the names of the servers that differ.
    Reconfigured {
        added: Vec<String>,
        changed: Vec<String>,
        removed: Vec<String>,
    },
    /// The configuration has a fault: a text of several lines that shows its place.
    ConfigFault { text: String },
    /// The `tool` or `prompt` of the server cannot be offered: another server has one of that name.
    NameTaken {
        server: String,
        kind: &'static str,
        name: String,
        holder: String,
    },
    /// The `tool` of a server elsewhere cannot be offered: what its definition says of headers is wrong.
    ToolLeftOut {
        server: String,
        tool: String,
        reason: String,
    },
    /// The server's answers to the list request `method` have no end; they were read only so far.
    ListCut {
        server: String,
        method: &'static str,
        reason: &'static str,
    },
    /// The server says again and again that the list of `method` has changed, and it is the same.
    ListUnchanged {
        server: String,
        method: &'static str,
    },
    /// The server's answer to the list request `method` has this name twice; the first entry counts.
    ListedTwice {
        server: String,
        method: &'static str,
        name: String,
    },
    /// The server has a list that is asked for by `method`, but does not declare its `capability`.
    ListUndeclared {
        server: String,
        method: &'static str,
        capability: &'static str,
    },
    /// The server does not answer the list request `method`, and is live without that list.
    ListSilent {
        server: String,
        method: &'static str,
        waited: Duration,
    },
    /// Clients can come in by HTTP at this address.
    Listening { url: String },
    /// A request came by HTTP to a path that is not the endpoint's.
    WrongPath { path: String, endpoint: String },
    /// A client said who it is.
    ClientConnected {
        name: String,
        version: String,
        era: &'static str,
    },
    /// One of several sessions is over.
    SessionEnded { reason: String },
    /// The client closed its side, or a signal asked for the end.
    Ending { reason: String },
}

/// How a server's tools differ from those of the generation before, by name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct ToolDiff {
    /// New names.
    pub(crate) added: Vec<String>,
    /// Names that are gone.
    pub(crate) removed: Vec<String>,
    /// Names whose definition differs, with the members that differ (`inputSchema`, `description`, …).
    pub(crate) changed: Vec<(String, Vec<String>)>,
}

/// Why a generation, or the build before it, did not come to work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    /// The generation that failed.
    pub(crate) generation: u64,
    /// A sentence fragment: `exited with status 1 before it answered "initialize"`.
    pub(crate) reason: String,
    /// What to do about it, if the proxy knows.
    pub(crate) advice: Option<String>,
    /// The last lines of stderr (or of the build's output).
    pub(crate) stderr: Vec<String>,
    /// The files whose change led to it, relative to cwd where possible.
    pub(crate) files: Vec<PathBuf>,
    /// It is the way to a server elsewhere that does not work, not its code.
    pub(crate) remote: bool,
    /// Its time ran out: the next call may find it in better health.
    pub(crate) late: bool,
}

impl Failure {
    /// The failure to reach a remote server, for a reason that may say what to do about it.
    pub(crate) fn of_remote(generation: u64, reason: String) -> Self {
        let denied = ["HTTP 401", "HTTP 403"];
        let denied = denied.iter().any(|status| reason.contains(status));
        let advice = if denied {
            "check the `headers` of the server in the configuration: it wants others, such as Authorization"
        } else {
            "it is tried again by itself; the session goes on"
        };
        Self {
            generation,
            reason,
            advice: Some(advice.to_owned()),
            stderr: Vec::new(),
            files: Vec::new(),
            remote: true,
            late: false,
        }
    }
}

/// Why nobody can use what a server sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StrayKind {
    /// A process wrote a line to stdout that is not a JSON-RPC message.
    Line,
    /// A remote server sent text that is not a JSON-RPC message.
    Text,
    /// The response has an id that no request had.
    Answer,
}

/// Where events go: to a thread that prints them. Cheap to clone; never blocks the sender, because
/// a client that does not read the proxy's stderr must not stop the protocol.
#[derive(Debug, Clone)]
pub(crate) struct Events {
    sender: SyncSender<Event>,
    dropped: Arc<AtomicU64>,
}

impl Events {
    /// Sends to `sender`, made by `sync_channel(EVENT_BACKLOG)`; what does not fit is counted in `dropped`.
    pub(crate) fn new(sender: SyncSender<Event>, dropped: Arc<AtomicU64>) -> Self {
        Self { sender, dropped }
    }

    /// Tells nobody.
    #[cfg(test)]
    pub(crate) fn silent() -> Self {
        Self::new(std::sync::mpsc::sync_channel(0).0, Arc::default())
    }

    /// Sends one event, or drops and counts it when the printer is [`EVENT_BACKLOG`] events behind.
    pub(crate) fn send(&self, event: Event) {
        if let Err(TrySendError::Full(_)) = self.sender.try_send(event) {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}
