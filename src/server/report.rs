//! What the tasks of a server share, and what they tell its supervisor.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;

use super::Outcome;
use super::call::{Asker, Call, Client};
use super::connection::{Connection, Notice};
use super::generation::{Ending, Proof};
use super::handshake::{Hello, Refusal};
use super::outputs::Outputs;
use super::packages::Installed;
use super::turns::Turns;
use crate::bridge::Identity;
use crate::config::ServerSpec;
use crate::event::{Events, Failure};
use crate::lock::locked;
use crate::mcp::{Era, List, ListKind};
use crate::transport::build::BuildFailure;
use crate::transport::http::{self, Fate};
use crate::transport::reaper::Reaper;
use crate::warm::Pool;

/// What all servers are run with.
#[derive(Debug, Clone)]
pub(crate) struct Means {
    pub(crate) events: Events,
    pub(crate) reaper: Reaper,
    /// The longest message in bytes.
    pub(crate) max_message: usize,
    /// The era that the user set for the servers.
    pub(crate) era: Option<Era>,
    /// What servers elsewhere are reached by.
    pub(crate) http: Arc<http::Sender>,
    /// The servers' files are watched.
    pub(crate) watched: bool,
    /// Whose turn it is to start.
    pub(crate) turns: Turns,
    /// See [`Self::build_site`].
    pub(super) builds: Arc<Mutex<BuildSites>>,
    /// Where next starts are prepared, if they are.
    pub(crate) warm: Option<Pool>,
}

/// By working directory and command.
type BuildSites = HashMap<(PathBuf, String), Arc<BuildSite>>;

/// What the servers of several sessions share that have the same build.
#[derive(Debug, Default)]
pub(super) struct BuildSite {
    /// Whose turn it is: they would write the same files.
    pub(super) turn: tokio::sync::Mutex<()>,
    pub(super) outputs: Mutex<Outputs>,
}

impl Means {
    /// `max_message` is in bytes.
    pub(crate) fn new(events: Events, max_message: usize, era: Option<Era>) -> Self {
        Self {
            events,
            reaper: Reaper::new(),
            max_message,
            era,
            http: Arc::default(),
            watched: true,
            turns: Turns::default(),
            builds: Arc::default(),
            warm: None,
        }
    }

    /// For the build `command` in a directory.
    pub(super) fn build_site(&self, directory: &Path, command: &str) -> Arc<BuildSite> {
        let key = (directory.to_owned(), command.to_owned());
        locked(&self.builds).entry(key).or_default().clone()
    }
}

/// What every task of a server needs.
#[derive(Debug, Clone)]
pub(crate) struct Supply {
    pub(crate) spec: Arc<ServerSpec>,
    pub(crate) means: Means,
    /// To the supervisor. Unbounded: its senders are tasks of this server, a few at a time.
    pub(crate) reports: UnboundedSender<Report>,
    /// As `reports`, for what connections hear.
    pub(crate) notices: UnboundedSender<Notice>,
}

/// A list, or the server's error for it, or why there is neither.
pub(crate) type Relisted = (ListKind, Result<Result<List, String>, Refusal>);

/// Everything that a supervisor hears of.
#[derive(Debug)]
pub(crate) enum Report {
    /// A client introduces itself; the number counts introductions.
    Hello(Box<Hello>, Arc<dyn Client>, u64),
    /// The client describes itself otherwise than before, which needs no new handshake.
    Identity(Box<Identity>),
    /// The watcher: a file was touched; it changed, and more may follow; it was touched only; or it changed.
    Suspect,
    Saved(Vec<PathBuf>),
    Unchanged,
    Changed(Vec<PathBuf>),
    /// Something was installed while the server was broken.
    Installed(Installed),
    /// Its definition changed, in these files.
    Redefined(Arc<ServerSpec>, Vec<PathBuf>),
    /// Somebody wants to know when all that was reported before has been taken in.
    Heard(oneshot::Sender<()>),
    /// Somebody wants to know the connections of the generations that drain.
    Draining(oneshot::Sender<Vec<Arc<Connection>>>),
    /// Somebody wants a reload and its result.
    Reload(oneshot::Sender<Outcome>),
    /// The client wants to hear of other resources, or at another log level.
    WantedChanged,
    /// The client no longer wants the answer to its request of that raw id; raw params.
    Cancel(Arc<dyn Asker>, Box<str>, Box<str>),
    /// The build for the generation ended.
    Built(u64, Result<(), BuildFailure>),
    /// A remote server does not answer this call; a sentence fragment says why.
    Unanswered(Box<Call>, Fate, String),
    /// It refuses this call of the generation, since its headers do not fit.
    Mismatched(u64, Box<Call>),
    /// The generation's own stream was cut and is there again.
    Resumed(u64),
    /// A candidate has proved itself, or failed and is gone.
    Proved(u64, Box<Proof>),
    Failed(u64, Box<Failure>),
    /// A generation's process ended, whoever wanted it.
    Ended(u64, Ending),
    /// A generation or candidate that was to end has ended.
    Gone(u64),
    /// A list that the server changed by itself was read anew.
    Relisted(u64, ListKind, Vec<Relisted>),
    /// A modern generation has ended this stream on which it told what changes.
    StreamEnded(u64, u64),
    /// It is to end; calls in flight may take this long to finish.
    Stop(Duration, oneshot::Sender<()>),
}
