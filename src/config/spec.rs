//! Resolved settings of a server: variables are expanded and defaults applied.

use std::borrow::Cow;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use globset::{Glob, GlobSet, GlobSetBuilder};

use super::secrets::shown_words;
use super::{HiddenValues, ProcessAddress, RehearsalItem, RehearsedCall, Remote};

/// Configured MCP server: a command that speaks MCP on stdin and stdout or over HTTP, or an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ServerSpec {
    /// Name in log lines and meta-tools.
    pub(crate) name: String,
    /// Address of a remote server; then `program`, `args` and `env` are empty.
    pub(crate) remote: Option<Remote>,
    /// Address on which the command serves HTTP; `None` if it speaks MCP on stdin and stdout.
    pub(crate) listens: Option<ProcessAddress>,
    /// Program as configured, with variables expanded; looked up with the server's own `PATH` and `cwd`.
    pub(crate) program: OsString,
    /// Arguments of the program.
    pub(crate) args: Vec<OsString>,
    /// Program and arguments as written, without secrets, for people and models.
    pub(crate) shown: Vec<String>,
    /// Values of variables in the command, in `env` and in `cwd`, and secrets in the command.
    pub(crate) hidden: HiddenValues,
    /// Existing absolute directory, base of relative globs.
    pub(crate) cwd: PathBuf,
    /// Variables added to the inherited environment.
    pub(crate) env: Vec<(OsString, OsString)>,
    /// Ordered watch globs: `!` excludes, the last match wins. Inferred from the command if none includes.
    pub(crate) watch: Vec<String>,
    /// Shell command that must succeed before a generation is started.
    pub(crate) build: Option<String>,
    /// How a new generation replaces the old one.
    pub(crate) reload: ReloadMode,
    /// Protocol era to speak with the server.
    pub(crate) era: EraChoice,
    /// Response to calls while the saved code does not run.
    pub(crate) on_broken: OnBroken,
    /// Treatment of tools that would cost the client other tools.
    pub(crate) on_bad_tool: OnBadTool,
    /// Calls that new code answers before it goes live, in this order.
    pub(crate) rehearse: Vec<RehearsalItem>,
    /// Tools whose calls by clients new code may repeat, whatever the tools declare.
    pub(crate) rehearse_tools: Vec<String>,
    /// Reaction to an error in place of an earlier answer.
    pub(crate) on_regression: OnRegression,
    /// Maximum durations of starts, reloads and drains.
    pub(crate) timeouts: Timeouts,
    /// Prefix of tool names if there are several servers.
    pub(crate) prefix: String,
    /// Whether the server starts with the session.
    pub(crate) autostart: bool,
    /// Filter for offered tools.
    pub(crate) tools: ToolFilter,
    /// Use of standbys for the next start.
    pub(crate) warm: StandbyMode,
}

impl ServerSpec {
    /// Returns the values that must not be shown: those of variables and of `env`, and secrets in the command. Reads the file system.
    pub(crate) fn hidden_values(&self) -> HiddenValues {
        let mut hidden = self.hidden.clone();
        hidden.add_env(&self.env, &self.cwd);
        hidden
    }

    /// Creates the settings of a command, with defaults otherwise.
    pub(crate) fn new(name: String, program: OsString, args: Vec<OsString>, cwd: PathBuf) -> Self {
        let words = std::iter::once(&program).chain(&args);
        let words: Vec<Cow<'_, str>> = words.map(|word| word.to_string_lossy()).collect();
        let words = || words.iter().map(Cow::as_ref);
        let (shown, mut hidden) = (shown_words(words()), HiddenValues::default());
        hidden.add_words(words(), &shown, &cwd);
        Self {
            shown,
            hidden,
            prefix: name.clone(),
            name,
            remote: None,
            listens: None,
            program,
            args,
            cwd,
            env: Vec::new(),
            watch: Vec::new(),
            build: None,
            reload: ReloadMode::default(),
            era: EraChoice::default(),
            on_broken: OnBroken::default(),
            on_bad_tool: OnBadTool::default(),
            rehearse: Vec::new(),
            rehearse_tools: Vec::new(),
            on_regression: OnRegression::default(),
            timeouts: Timeouts::default(),
            autostart: true,
            tools: ToolFilter::default(),
            warm: StandbyMode::default(),
        }
    }
}

impl ServerSpec {
    /// Returns the calls that new code answers, except recent ones of clients.
    pub(crate) fn rehearsed_calls(&self) -> Vec<RehearsedCall> {
        let items = self.rehearse.iter();
        let calls = items.filter_map(|item| match item {
            RehearsalItem::Call(call) => Some(call.clone()),
            RehearsalItem::Recorded => None,
        });
        calls.collect()
    }

    /// Whether new code answers recent calls of clients.
    pub(crate) fn rehearses_recorded(&self) -> bool {
        self.rehearse.contains(&RehearsalItem::Recorded)
    }

    /// Whether a change to `other` needs no restart. Disregards prefix, watch globs, `autostart`, timeouts, `on_broken`,
    /// `rehearse`, `rehearse_tools`, `on_regression` and `warm`, which concern only the proxy.
    pub(crate) fn runs_like(&self, other: &Self) -> bool {
        let mut other = other.clone();
        other.prefix.clone_from(&self.prefix);
        other.watch.clone_from(&self.watch);
        (other.autostart, other.timeouts) = (self.autostart, self.timeouts);
        (other.on_broken, other.warm) = (self.on_broken, self.warm);
        other.rehearse.clone_from(&self.rehearse);
        other.rehearse_tools.clone_from(&self.rehearse_tools);
        other.on_regression = self.on_regression;
        *self == other
    }
}

/// Globs over tool names; `deny` takes precedence over `allow`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct ToolFilter {
    /// Empty allows every tool.
    pub(crate) allow: Vec<String>,
    pub(crate) deny: Vec<String>,
}

impl ToolFilter {
    /// Whether the filter contains any glob and so may exclude tools.
    pub(crate) fn leaves_out(&self) -> bool {
        !self.allow.is_empty() || !self.deny.is_empty()
    }

    /// Compiles the globs, which were validated when the configuration was read. Denies every tool if they cannot be
    /// compiled together, because they are too many.
    pub(crate) fn compile(&self) -> CompiledToolFilter {
        let set = |globs: &[String]| -> Result<GlobSet, globset::Error> {
            let mut set = GlobSetBuilder::new();
            for glob in globs {
                set.add(Glob::new(glob)?);
            }
            set.build()
        };
        let (Ok(allow), Ok(deny)) = (set(&self.allow), set(&self.deny)) else {
            return CompiledToolFilter {
                allow: Some(GlobSet::empty()),
                deny: GlobSet::empty(),
            };
        };
        CompiledToolFilter {
            allow: (!self.allow.is_empty()).then_some(allow),
            deny,
        }
    }
}

/// Compiled tool filter of a server.
#[derive(Debug, Clone)]
pub(crate) struct CompiledToolFilter {
    allow: Option<GlobSet>,
    deny: GlobSet,
}

impl CompiledToolFilter {
    /// Whether the tool `name` is offered.
    pub(crate) fn admits(&self, name: &str) -> bool {
        self.allow.as_ref().is_none_or(|allow| allow.is_match(name)) && !self.deny.is_match(name)
    }
}

/// Replacement of the active generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum ReloadMode {
    /// The candidate starts beside the active generation, which runs until the candidate is ready.
    #[default]
    Overlap,
    /// The active generation drains and stops first, for servers that own a port or a lock.
    StopFirst,
}

/// Protocol era to speak with a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum EraChoice {
    /// Era that the client would negotiate with the server directly.
    #[default]
    Auto,
    /// Revisions up to 2025-11-25.
    Legacy,
    /// Revision 2026-07-28.
    Modern,
}

/// Response to calls while the saved code does not run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum OnBroken {
    /// Error that reports why the saved code does not run.
    #[default]
    Report,
    /// Response of the last generation that worked.
    ServeLastGood,
}

/// Treatment of a tool for which the connected client drops all tools of the server, or fails altogether.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum OnBadTool {
    /// The tool is reported.
    #[default]
    Report,
    /// The tool is reported, and left out of the list.
    LeaveOut,
}

/// Reaction to a candidate that answers a rehearsed call with an error although the code before did not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum OnRegression {
    /// The difference is reported.
    #[default]
    Report,
    /// The candidate does not go live.
    Hold,
}

/// When to keep a standby, a process with the server's packages loaded, for the next save.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum StandbyMode {
    /// Never.
    Off,
    /// While the server is being edited.
    #[default]
    Auto,
    /// From the first start of the server.
    AtOnce,
}

/// Maximum durations of waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Timeouts {
    /// Wait of `initialize` and `server/discover` for a server's first start.
    pub(crate) startup_wait: Duration,
    /// Time until a candidate must be ready; otherwise it is broken.
    pub(crate) start: Duration,
    /// Wait of a call for a reload.
    pub(crate) hold: Duration,
    /// Wait of a list for a reload; afterwards the last good list is returned.
    pub(crate) list_hold: Duration,
    /// Time for requests in flight on a replaced generation; afterwards they are abandoned.
    pub(crate) drain: Duration,
    /// Maximum delay of a reload by its rehearsed calls.
    pub(crate) rehearsal: Duration,
}

impl Timeouts {
    /// Returns the wait of a list for a server's first start; afterwards the last-known lists are returned.
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
            rehearsal: Duration::from_secs(1),
        }
    }
}

/// Choice of meta-tools to offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum MetaToolSet {
    /// All meta-tools.
    All,
    /// Meta-tools for the development of a server.
    #[default]
    Dev,
    /// None: the client cannot tell the proxy from the server.
    None,
}
