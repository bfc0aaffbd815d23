//! Process prepared for the next start.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use super::bootstrap_dir::BootstrapDir;
use super::channel::StandbyChannel;
use super::preload_list::PreloadList;
use super::stamp::Stamp;
use super::stderr_buffer::StderrBuffer;
use crate::config::ServerSpec;
use crate::event::EventSender;
use crate::file_identity::DirectoryIdentity;
use crate::transport::child::{Child, spawn_with_stderr};
use crate::transport::process_port::ProcessPort;
use crate::transport::process_table::resident_memory;
use crate::transport::reaper::Reaper;

/// Reason against the use of a standby.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum StandbyError {
    /// A loaded file has changed since, or the working directory was replaced; a new standby will do.
    Outdated,
    /// Unusable this time, for example because the saved code loads packages at another point. Contains a sentence
    /// fragment.
    Differs(String),
    /// The process differs from a plain start. Contains a sentence fragment.
    Unfit(String),
}

/// Progress of a standby.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum StandbyStage {
    /// The server process has not sent a message yet.
    Started,
    /// Loads packages.
    Loading,
    /// Waits.
    Ready,
    /// Runs its command.
    Running,
}

/// Standby process. Dropping it kills its process group; nothing is lost, since it has not served anything.
#[derive(Debug)]
pub(super) struct Standby {
    child: Child,
    folder: BootstrapDir,
    /// Port on which it is to serve HTTP.
    port: Option<ProcessPort>,
    preload_list: PreloadList,
    /// State of the packages before the start of the process.
    stamp: Stamp,
    /// Working directory, and its identity at the start of the process.
    cwd: PathBuf,
    cwd_identity: Option<DirectoryIdentity>,
    stderr: StderrBuffer,
    /// Number of stderr lines from tools that ran before the server process.
    preface_lines: usize,
    /// Number of stdout bytes from such tools, for example the command that `npm run` prints.
    preface_output: u64,
    channel: StandbyChannel,
    received: Vec<u8>,
    stage: StandbyStage,
    /// Process id of the server process, which a tool may have started.
    pid: Option<u32>,
}

/// Former standby, which runs its command.
#[derive(Debug)]
pub(super) struct ResumedStandby {
    pub(super) child: Child,
    pub(super) stderr: StderrBuffer,
    pub(super) folder: BootstrapDir,
    /// Port on which it serves HTTP.
    pub(super) port: Option<u16>,
}

impl Standby {
    /// Starts the process with `folder`, and on `port` if it serves HTTP; `stamp` must be the stamp of `preload_list` from
    /// before.
    pub(super) fn start(
        spec: &ServerSpec,
        port: Option<ProcessPort>,
        folder: BootstrapDir,
        preload_list: PreloadList,
        stamp: Stamp,
        events: &EventSender,
        reaper: &Reaper,
    ) -> io::Result<Self> {
        let cwd_identity = DirectoryIdentity::of(&spec.cwd);
        let channel = folder.prepare(&preload_list.text)?;
        let stderr = StderrBuffer::new(spec.name.clone(), events.clone());
        let sink = stderr.clone();
        let child = spawn_with_stderr(&folder.with_env(spec), move |line| sink.push(line), reaper)
            .map_err(io::Error::other)?;
        Ok(Self {
            child,
            folder,
            port,
            preload_list,
            stamp,
            cwd: spec.cwd.clone(),
            cwd_identity,
            stderr,
            preface_lines: 0,
            preface_output: 0,
            channel,
            received: Vec::new(),
            stage: StandbyStage::Started,
            pid: None,
        })
    }

    /// Waits until the process reaches `stage`. Cancel safe.
    pub(super) async fn wait_for_stage(&mut self, stage: StandbyStage) -> Result<(), StandbyError> {
        let reached = self.follow_stages(stage).await;
        // A process without its directory fails in many ways.
        reached.map_err(|error| {
            if self.is_displaced() {
                StandbyError::Outdated
            } else {
                error
            }
        })
    }

    /// Returns true if the working directory of the process was removed, even if another one has taken its name.
    fn is_displaced(&self) -> bool {
        DirectoryIdentity::of(&self.cwd) != self.cwd_identity
    }

    async fn follow_stages(&mut self, stage: StandbyStage) -> Result<(), StandbyError> {
        let mut exited = self.child.exited();
        while self.stage < stage {
            let Some(end) = self.received.iter().position(|byte| *byte == b'\n') else {
                tokio::select! {
                    read = self.channel.receive(&mut self.received) => read.map_err(|error| unfit(&error))?,
                    status = exited.wait() => return Err(StandbyError::Unfit(format!("exited early with {status}"))),
                };
                continue;
            };
            let line: Vec<u8> = self.received.drain(..=end).collect();
            self.take(String::from_utf8_lossy(&line).trim_end())?;
        }
        Ok(())
    }

    fn take(&mut self, line: &str) -> Result<(), StandbyError> {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        self.stage = match word {
            "claimed" => {
                self.pid = rest.parse().ok();
                self.preface_lines = self.stderr.lines();
                self.preface_output = self.child.unread_output();
                self.send(b'i')?;
                StandbyStage::Loading
            }
            "ready" => StandbyStage::Ready,
            "runs" => StandbyStage::Running,
            "differs" => return Err(StandbyError::Differs(rest.to_owned())),
            _ => return Err(StandbyError::Unfit(rest.to_owned())),
        };
        Ok(())
    }

    fn send(&self, letter: u8) -> Result<(), StandbyError> {
        self.channel.send(letter).map_err(|error| unfit(&error))
    }

    /// Makes the process run its command. From then on the process equals one from a plain start.
    pub(super) async fn resume(mut self) -> Result<ResumedStandby, StandbyError> {
        self.wait_for_stage(StandbyStage::Ready).await?;
        let (preload_list, stamp) = (self.preload_list.clone(), self.stamp.clone());
        let same = tokio::task::spawn_blocking(move || preload_list.stamp() == stamp);
        if !same.await.unwrap_or(false) || self.is_displaced() {
            return Err(StandbyError::Outdated);
        }
        self.check_silent()?;
        let port = self.port.take().map(ProcessPort::release);
        self.send(b'g')?;
        self.wait_for_stage(StandbyStage::Running).await?;
        Ok(ResumedStandby {
            child: self.child,
            stderr: self.stderr,
            folder: self.folder,
            port,
        })
    }

    /// Returns an error if the process has written anything while it loaded packages.
    pub(super) fn check_silent(&self) -> Result<(), StandbyError> {
        let has_output = self.child.unread_output() > self.preface_output;
        if has_output || self.stderr.lines() > self.preface_lines {
            let reason = "the standby wrote output while it loaded packages";
            return Err(StandbyError::Unfit(reason.to_owned()));
        }
        Ok(())
    }

    /// Ends the process; resolves once it is gone.
    pub(super) async fn end(self) {
        self.child.stop(Duration::ZERO).await;
    }

    /// Returns the resident memory of the server process in bytes, if known.
    pub(super) fn memory(&self) -> Option<u64> {
        resident_memory(self.pid?)
    }
}

fn unfit(error: &io::Error) -> StandbyError {
    StandbyError::Unfit(error.to_string())
}
