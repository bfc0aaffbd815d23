//! Named pipes `go` and `said` in the folder of the standby.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "macos")]
mod macos;

use std::fs::File;
use std::io;
use std::os::fd::AsFd as _;
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use rustix::io::write;
use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe::{OpenOptions, Receiver};

use crate::command_line::Runtime;

#[cfg(target_os = "linux")]
use linux::create_pipe;
#[cfg(target_os = "macos")]
use macos::create_pipe;

/// Runtimes whose processes can wait as standbys.
pub(crate) const RUNTIMES: &[Runtime] = &[Runtime::Python, Runtime::Node];

/// Proxy's side of the channel.
#[derive(Debug)]
pub(crate) struct StandbyChannel {
    commands: File,
    messages: Receiver,
    /// Keeps the pipe open until the process has opened it.
    _messages: File,
}

impl StandbyChannel {
    /// Creates the channel of the standby with this folder.
    pub(crate) fn create(folder: &Path) -> io::Result<Self> {
        let (go, said) = (folder.join("go"), folder.join("said"));
        create_pipe(&go)?;
        create_pipe(&said)?;
        let open =
            |path: &Path, flags| rustix::fs::open(path, flags | OFlags::CLOEXEC, Mode::empty());
        let messages = OpenOptions::new().open_receiver(&said)?;
        let messages_writer = open(&said, OFlags::WRONLY | OFlags::NONBLOCK)?;
        let commands = open(&go, OFlags::RDWR | OFlags::NONBLOCK)?;
        Ok(Self {
            commands: commands.into(),
            messages,
            _messages: messages_writer.into(),
        })
    }

    /// Sends a letter.
    pub(crate) fn send(&self, letter: u8) -> io::Result<()> {
        Ok(write(self.commands.as_fd(), &[letter]).map(drop)?)
    }

    /// Waits for bytes and appends them to `buffer`. Cancel-safe.
    pub(crate) async fn receive(&mut self, buffer: &mut Vec<u8>) -> io::Result<()> {
        self.messages.read_buf(buffer).await.map(drop)
    }
}
