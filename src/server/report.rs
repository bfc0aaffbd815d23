//! What the tasks of a server share, and what they tell its supervisor.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;

use super::Outcome;
use super::call::Client;
use super::connection::Notice;
use super::generation::{Ending, Proof};
use super::handshake::{Hello, Refusal};
use crate::bridge::Identity;
use crate::config::{ServerSpec, Timeouts};
use crate::event::{Events, Failure};
use crate::mcp::{Era, List, ListKind};
use crate::transport::build::BuildFailure;
use crate::transport::reaper::Reaper;

/// What every task of a server needs.
#[derive(Debug, Clone)]
pub(crate) struct Supply {
    pub(crate) spec: Arc<ServerSpec>,
    pub(crate) timeouts: Timeouts,
    pub(crate) events: Events,
    pub(crate) reaper: Reaper,
    /// The longest message in bytes.
    pub(crate) max_message: usize,
    /// The era that the user set for the server.
    pub(crate) era: Option<Era>,
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
    /// The watcher: a file was touched, was touched only, or changed.
    Suspect,
    Unchanged,
    Changed(Vec<PathBuf>),
    /// Somebody wants a reload and its result.
    Reload(oneshot::Sender<Outcome>),
    /// The client wants to hear of other resources, or at another log level.
    WantedChanged,
    /// The client no longer wants the answer to its request of that raw id; raw params.
    Cancel(Arc<dyn Client>, Box<str>, Box<str>),
    /// The build for the generation ended.
    Built(u64, Result<(), BuildFailure>),
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
    /// The proxy ends.
    Stop(oneshot::Sender<()>),
}
