//! What a server is and how it is run: plain data, read by every layer, changed by none.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

/// One configured MCP server: a command that speaks MCP on its stdin and stdout.
#[derive(Debug, Clone)]
pub(crate) struct ServerSpec {
    /// The name in log lines and meta-tools.
    pub(crate) name: String,
    /// The program as the user wrote it; resolved with the server's own `PATH` and `cwd`.
    pub(crate) program: OsString,
    /// Its arguments.
    pub(crate) args: Vec<OsString>,
    /// An existing absolute directory; globs are relative to it.
    pub(crate) cwd: PathBuf,
    /// Variables added to the inherited environment.
    pub(crate) env: Vec<(OsString, OsString)>,
    /// Ordered watch globs, `!` excludes, last match wins; empty means "by the command's language".
    pub(crate) watch: Vec<String>,
    /// A shell command that must succeed before a generation is started.
    pub(crate) build: Option<String>,
    /// How a new generation replaces the old one.
    pub(crate) reload: Reload,
    /// What answers calls while the saved code does not run.
    pub(crate) on_broken: OnBroken,
}

/// How a new generation replaces the old one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Reload {
    /// The candidate starts beside the active generation, which lives until the candidate has proved itself.
    #[default]
    Overlap,
    /// The active generation drains and stops first, for servers that own a port or a lock.
    StopFirst,
}

/// What answers calls while the saved code does not run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum OnBroken {
    /// An error that says why the saved code does not run.
    #[default]
    Report,
    /// The last generation that worked.
    ServeLastGood,
}

/// How long each kind of waiting may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Timeouts {
    /// `initialize` and `server/discover` wait this long for a server's first start.
    pub(crate) startup_wait: Duration,
    /// A candidate that has not proved itself by then is broken.
    pub(crate) start: Duration,
    /// A call waits at most this long for a reload.
    pub(crate) hold: Duration,
    /// A list waits at most this long for a reload, then shows the last good one.
    pub(crate) list_hold: Duration,
    /// Requests in flight on a replaced generation are given up after this.
    pub(crate) drain: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            startup_wait: Duration::from_secs(5),
            start: Duration::from_secs(30),
            hold: Duration::from_secs(30),
            list_hold: Duration::from_secs(5),
            drain: Duration::from_secs(60),
        }
    }
}
