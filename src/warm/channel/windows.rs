//! Named pipes of Windows; the files `go` and `said` in the folder of the standby have their names.

use std::io;
use std::path::Path;

use tokio::io::AsyncReadExt as _;
use tokio::net::windows::named_pipe::{NamedPipeServer, ServerOptions};

use crate::command_line::Runtime;
use crate::private_files;
use crate::transport::pipe;

/// Runtimes whose processes can wait as standbys.
pub(crate) const RUNTIMES: &[Runtime] = &[Runtime::Node];

/// Proxy's side of the channel.
#[derive(Debug)]
pub(crate) struct StandbyChannel {
    commands: NamedPipeServer,
    messages: NamedPipeServer,
    /// True once the process has opened both pipes.
    is_open: bool,
}

impl StandbyChannel {
    /// Creates the channel of the standby with this folder.
    pub(crate) fn create(folder: &Path) -> io::Result<Self> {
        let (commands, go) = pipe::named(ServerOptions::new().access_inbound(false))?;
        let (messages, said) = pipe::named(ServerOptions::new().access_outbound(false))?;
        private_files::write_new(&folder.join("go"), go)?;
        private_files::write_new(&folder.join("said"), said)?;
        Ok(Self {
            commands,
            messages,
            is_open: false,
        })
    }

    /// Sends a letter. The process must have sent a message before.
    pub(crate) fn send(&self, letter: u8) -> io::Result<()> {
        self.commands.try_write(&[letter]).map(drop)
    }

    /// Waits for bytes and appends them to `buffer`. Cancel-safe.
    pub(crate) async fn receive(&mut self, buffer: &mut Vec<u8>) -> io::Result<()> {
        if !self.is_open {
            self.messages.connect().await?;
            self.commands.connect().await?;
            self.commands.writable().await?;
            self.is_open = true;
        }
        self.messages.read_buf(buffer).await.map(drop)
    }
}
