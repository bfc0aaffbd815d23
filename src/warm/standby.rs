//! A process that has been prepared for the next start and waits for it.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use rustix::fs::{Mode, OFlags};
use rustix::io::write;
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe::{self, Receiver};

use super::learned::Learned;
use super::room::Folder;
use super::stamp::Stamp;
use super::voice::Voice;
use crate::config::ServerSpec;
use crate::event::Events;
use crate::transport::child::{Child, spawn_telling};
use crate::transport::reaper::Reaper;

/// Why a standby cannot be used.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unfit {
    /// What it has loaded was changed since: a new one will do.
    Outdated,
    /// Not this time: the saved code loads packages at another time, say; the reason is a sentence fragment.
    Differs(String),
    /// It is not what a plain start is; the reason is a sentence fragment.
    Unlike(String),
}

/// How far a standby is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    /// The right process of the command has not spoken yet.
    Started,
    /// It loads packages.
    Loading,
    /// It waits.
    Ready,
    /// It runs its command.
    Running,
}

/// The process. Dropping it kills its group; it has done nothing that would be missed.
#[derive(Debug)]
pub(super) struct Standby {
    child: Child,
    folder: Folder,
    learned: Learned,
    /// As the packages were before it was started.
    stamp: Stamp,
    voice: Voice,
    /// What tools that ran before it had to say, in lines.
    preface: usize,
    go: File,
    said: Receiver,
    /// Holds the pipe open until the process has opened it.
    _said: File,
    heard: Vec<u8>,
    stage: Stage,
    /// The right process, which a tool may have started.
    pid: Option<u32>,
}

impl Standby {
    /// Starts it in `folder`; `stamp` is that of `learned`.
    pub(super) fn start(
        spec: &ServerSpec,
        folder: Folder,
        learned: Learned,
        stamp: Stamp,
        events: &Events,
        reaper: &Reaper,
    ) -> io::Result<Self> {
        folder.prepare(&learned.text)?;
        let open = |name, flags| {
            rustix::fs::open(folder.path(name), flags | OFlags::CLOEXEC, Mode::empty())
        };
        let said = pipe::OpenOptions::new().open_receiver(folder.path("said"))?;
        let also_said = open("said", OFlags::WRONLY | OFlags::NONBLOCK)?;
        let go = open("go", OFlags::RDWR | OFlags::NONBLOCK)?;
        let voice = Voice::new(spec.name.clone(), events.clone());
        let teller = voice.clone();
        let child = spawn_telling(
            &folder.found_by(spec),
            move |line| teller.tell(line),
            reaper,
        )
        .map_err(io::Error::other)?;
        Ok(Self {
            child,
            folder,
            learned,
            stamp,
            voice,
            preface: 0,
            go: go.into(),
            said,
            _said: also_said.into(),
            heard: Vec::new(),
            stage: Stage::Started,
            pid: None,
        })
    }

    /// Waits until it has come to `stage`. Nothing is lost by dropping the future and calling again.
    pub(super) async fn reaches(&mut self, stage: Stage) -> Result<(), Unfit> {
        let mut exited = self.child.exited();
        while self.stage < stage {
            let Some(end) = self.heard.iter().position(|byte| *byte == b'\n') else {
                tokio::select! {
                    read = self.said.read_buf(&mut self.heard) => read.map_err(|error| Unfit::Unlike(error.to_string()))?,
                    status = exited.wait() => return Err(Unfit::Unlike(format!("ended with {status} before its time"))),
                };
                continue;
            };
            let line: Vec<u8> = self.heard.drain(..=end).collect();
            self.take(String::from_utf8_lossy(&line).trim_end())?;
        }
        Ok(())
    }

    fn take(&mut self, line: &str) -> Result<(), Unfit> {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        self.stage = match word {
            "claimed" => {
                self.pid = rest.parse().ok();
                self.preface = self.voice.lines();
                self.tell(b"i")?;
                Stage::Loading
            }
            "ready" => Stage::Ready,
            "runs" => Stage::Running,
            "differs" => return Err(Unfit::Differs(rest.to_owned())),
            _ => return Err(Unfit::Unlike(rest.to_owned())),
        };
        Ok(())
    }

    fn tell(&self, word: &[u8]) -> Result<(), Unfit> {
        write(self.go.as_fd(), word)
            .map(drop)
            .map_err(|error| Unfit::Unlike(error.to_string()))
    }

    /// Lets it run its command: its process from now on is what a plain start would have given.
    pub(super) async fn go(mut self) -> Result<(Child, Voice, Folder), Unfit> {
        self.reaches(Stage::Ready).await?;
        let (learned, stamp) = (self.learned.clone(), self.stamp.clone());
        let same = tokio::task::spawn_blocking(move || learned.stamp() == stamp);
        if !same.await.unwrap_or(false) {
            return Err(Unfit::Outdated);
        }
        self.is_silent()?;
        self.tell(b"g")?;
        self.reaches(Stage::Running).await?;
        Ok((self.child, self.voice, self.folder))
    }

    /// Whether loading packages has written nothing so far.
    pub(super) fn is_silent(&self) -> Result<(), Unfit> {
        if self.voice.lines() > self.preface || self.child.has_spoken() {
            let reason = "writes while its packages are loaded";
            return Err(Unfit::Unlike(reason.to_owned()));
        }
        Ok(())
    }

    /// Ends it; resolves when its process is gone.
    pub(super) async fn end(self) {
        self.child.stop(Duration::ZERO).await;
    }

    /// The memory of the right process in bytes, where the system tells.
    pub(super) fn memory(&self) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid?)).ok()?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))?;
        let kib: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
        Some(kib * 1024)
    }
}
