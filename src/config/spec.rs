//! What a server is and how it is run, resolved: nothing in here has to be looked up any more.

use std::borrow::Cow;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use globset::{Glob, GlobSet, GlobSetBuilder};

use super::Remote;
use super::secrets::shown_words;

/// One configured MCP server: a command that speaks MCP on its stdin and stdout, or an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ServerSpec {
    /// The name in log lines and meta-tools.
    pub(crate) name: String,
    /// Where it is reached if it does not run here; `program`, `args` and `env` are empty then.
    pub(crate) remote: Option<Remote>,
    /// The program as the user wrote it; resolved with the server's own `PATH` and `cwd`.
    pub(crate) program: OsString,
    /// Its arguments.
    pub(crate) args: Vec<OsString>,
    /// Program and arguments as they were written, without secrets, for people and models.
    pub(crate) shown: Vec<String>,
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
    /// How long its starts, reloads and drains may take.
    pub(crate) timeouts: Timeouts,
    /// What its tools' names begin with where there are several servers.
    pub(crate) prefix: String,
    /// Whether it starts with the session.
    pub(crate) autostart: bool,
    /// Which of its tools are offered.
    pub(crate) tools: ToolFilter,
    /// Whether its next start is prepared.
    pub(crate) warm: Warmth,
}

impl ServerSpec {
    /// A command, with the defaults of everything else.
    pub(crate) fn new(name: String, program: OsString, args: Vec<OsString>, cwd: PathBuf) -> Self {
        let words = std::iter::once(&program).chain(&args);
        let words: Vec<Cow<'_, str>> = words.map(|word| word.to_string_lossy()).collect();
        Self {
            shown: shown_words(words.iter().map(Cow::as_ref)),
            prefix: name.clone(),
            name,
            remote: None,
            program,
            args,
            cwd,
            env: Vec::new(),
            watch: Vec::new(),
            build: None,
            reload: Reload::default(),
            on_broken: OnBroken::default(),
            timeouts: Timeouts::default(),
            autostart: true,
            tools: ToolFilter::default(),
            warm: Warmth::default(),
        }
    }
}

impl ServerSpec {
    /// Whether what is started or reached by `other` would be the same, and show the same. Names, watching
    /// and waiting are the proxy's own affair.
    pub(crate) fn runs_like(&self, other: &Self) -> bool {
        let mut other = other.clone();
        other.prefix.clone_from(&self.prefix);
        other.watch.clone_from(&self.watch);
        (other.autostart, other.timeouts) = (self.autostart, self.timeouts);
        (other.on_broken, other.warm) = (self.on_broken, self.warm);
        *self == other
    }
}

/// Globs over tool names. What is denied is not offered, though it is allowed as well.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct ToolFilter {
    /// Empty allows every tool.
    pub(crate) allow: Vec<String>,
    pub(crate) deny: Vec<String>,
}

impl ToolFilter {
    /// Whether it leaves any tool out.
    pub(crate) fn leaves_out(&self) -> bool {
        !self.allow.is_empty() || !self.deny.is_empty()
    }

    /// The filter, ready for use. Its globs were found valid when the configuration was read; one
    /// that is not admits nothing.
    pub(crate) fn compile(&self) -> Admission {
        let set = |globs: &[String]| {
            let mut set = GlobSetBuilder::new();
            for glob in globs.iter().filter_map(|glob| Glob::new(glob).ok()) {
                set.add(glob);
            }
            set.build().unwrap_or_default()
        };
        Admission {
            allow: (!self.allow.is_empty()).then(|| set(&self.allow)),
            deny: set(&self.deny),
        }
    }
}

/// Which tools of a server a client may see and call.
#[derive(Debug, Clone)]
pub(crate) struct Admission {
    allow: Option<GlobSet>,
    deny: GlobSet,
}

impl Admission {
    /// Whether the tool `name` is offered.
    pub(crate) fn admits(&self, name: &str) -> bool {
        self.allow.as_ref().is_none_or(|allow| allow.is_match(name)) && !self.deny.is_match(name)
    }
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

/// Whether a process that has loaded a server's packages waits for the next save.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Warmth {
    /// Never.
    Off,
    /// While the server is being edited.
    #[default]
    Auto,
    /// From its first start on.
    AtOnce,
}

/// How long each kind of waiting may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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

impl Timeouts {
    /// The longest wait of a list for a server's first start. After it the last-known lists are shown.
    pub(crate) fn first_list(&self) -> Duration {
        self.list_hold.max(self.startup_wait)
    }
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

/// Which of the proxy's own tools a client is offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum MetaTools {
    /// All there are.
    All,
    /// Those that help while a server is being written.
    #[default]
    Dev,
    /// None: the client cannot tell the proxy from the server.
    None,
}
