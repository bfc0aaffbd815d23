//! Records the messages of all sessions, of both sides, if the user asks for it.
//!
//! A session and each of its connections have a recorder that copies messages into a bounded memory; it neither parses
//! nor waits. A thread takes them from there, hides secrets and appends the lines to a file. So a slow disk delays no
//! message: beyond [`MAX_MEMORY`] bytes, the oldest messages that wait for the disk are dropped and counted. The page gets
//! the same messages, with or without a file. Without one, they stay in the memory until somebody looks at the page.
//!
//! `mcp-proxy help recording` describes the lines; programs of others read them.

mod file;
mod foreign;
mod format;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod line;
mod memory;
mod summary;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use crate::jsonrpc::RequestId;
use crate::mcp::Era;
pub(crate) use file::{MessageBacklog, MessageReceiver, Recording, RecordingFile};
pub(crate) use foreign::own_line;
pub(crate) use format::FORMAT;
use format::LineFormat;
pub(crate) use line::RecordedLine;
use memory::MessageMemory;
pub(crate) use summary::MessageSummary;

/// Maximum size in bytes of the messages that are not yet written.
const MAX_MEMORY: usize = 32 * 1024 * 1024;
/// The same without a file, for a page that keeps as much.
const MAX_UNREAD: usize = 64 * 1024 * 1024;
/// Length in bytes to which a longer message is cut.
pub(crate) const MAX_LENGTH: usize = 1024 * 1024;
/// Number of bytes that are kept beyond [`MAX_LENGTH`] until secrets are hidden, so that the cut leaves no beginning of
/// one. Linux limits an environment variable to this length.
pub(crate) const MARGIN: usize = 128 * 1024;

/// Sender and receiver of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum MessageWay {
    ClientToProxy,
    ProxyToClient,
    ProxyToServer,
    ServerToProxy,
}

/// Message in memory.
#[derive(Debug)]
struct RecordedMessage {
    /// By the clock of the events, which goes on while the machine sleeps.
    at: SystemTime,
    way: MessageWay,
    /// Number of the session.
    session: u64,
    /// Era of the connection that the message passed; `None` before its handshake.
    era: Option<Era>,
    /// Server and generation, for messages of the servers' side.
    server: Option<(Arc<str>, u64)>,
    /// Client's id of the request that the message passes on to a server.
    client_id: Option<RequestId>,
    /// Length of the whole message in bytes.
    length: usize,
    /// Message, or its first [`MAX_LENGTH`] and [`MARGIN`] bytes.
    bytes: Vec<u8>,
}

impl RecordedMessage {
    fn new(way: MessageWay, session: u64, parts: [&[u8]; 3]) -> Self {
        let length: usize = parts.iter().map(|part| part.len()).sum();
        let mut bytes = Vec::with_capacity(length.min(MAX_LENGTH + MARGIN));
        for part in parts {
            let free = MAX_LENGTH + MARGIN - bytes.len();
            bytes.extend_from_slice(&part[..part.len().min(free)]);
        }
        Self {
            at: SystemTime::now(),
            way,
            session,
            era: None,
            server: None,
            client_id: None,
            length,
            bytes,
        }
    }

    /// Returns the number of bytes that it takes in memory.
    fn size(&self) -> usize {
        size_of::<Self>() + self.bytes.capacity()
    }
}

/// Returns the first line of a recording of this process, with its line end.
pub(crate) fn recording_head() -> String {
    LineFormat::of_this_process().head()
}

/// Recorder of all sessions. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Recorder {
    memory: Arc<MessageMemory>,
}

impl Recorder {
    /// Returns the recorder of the session with this number.
    pub(crate) fn session(&self, number: u64) -> SessionRecorder {
        SessionRecorder {
            memory: self.memory.clone(),
            number,
            is_modern: AtomicBool::new(false),
        }
    }
}

/// Recorder of a session's messages. The `parts` of a message are its bytes in order.
#[derive(Debug)]
pub(crate) struct SessionRecorder {
    memory: Arc<MessageMemory>,
    number: u64,
    /// True if the client's newest request is of the modern era.
    is_modern: AtomicBool,
}

impl SessionRecorder {
    /// Records a request of the client.
    pub(crate) fn request(&self, era: Era, parts: [&[u8]; 3]) {
        self.is_modern.store(era == Era::Modern, Ordering::Relaxed);
        self.record(MessageWay::ClientToProxy, parts);
    }

    /// Records another message of the client.
    pub(crate) fn received(&self, line: &str) {
        self.record(MessageWay::ClientToProxy, [line.as_bytes(), b"", b""]);
    }

    /// Records a message to the client.
    pub(crate) fn sent(&self, parts: [&[u8]; 3]) {
        self.record(MessageWay::ProxyToClient, parts);
    }

    /// Returns the recorder of the session's connection to a generation of a server.
    pub(crate) fn connection(&self, server: Arc<str>, generation: u64) -> ConnectionRecorder {
        ConnectionRecorder {
            memory: self.memory.clone(),
            session: self.number,
            server,
            generation,
        }
    }

    fn record(&self, way: MessageWay, parts: [&[u8]; 3]) {
        let mut message = RecordedMessage::new(way, self.number, parts);
        message.era = Some(if self.is_modern.load(Ordering::Relaxed) {
            Era::Modern
        } else {
            Era::Legacy
        });
        self.memory.add(message);
    }
}

/// Recorder of the messages between the proxy and one generation of a server. `era` is that of the connection, once it
/// is known.
#[derive(Debug)]
pub(crate) struct ConnectionRecorder {
    memory: Arc<MessageMemory>,
    session: u64,
    server: Arc<str>,
    generation: u64,
}

impl ConnectionRecorder {
    /// Records a message to the server. If it passes on a request of the client, `client_id` is the client's id of it.
    pub(crate) fn sent(&self, era: Option<Era>, client_id: Option<RequestId>, parts: [&[u8]; 3]) {
        let mut message = RecordedMessage::new(MessageWay::ProxyToServer, self.session, parts);
        message.client_id = client_id;
        self.add(message, era);
    }

    /// Records a message of the server.
    pub(crate) fn received(&self, era: Option<Era>, line: &str) {
        let parts = [line.as_bytes(), b"", b""];
        let message = RecordedMessage::new(MessageWay::ServerToProxy, self.session, parts);
        self.add(message, era);
    }

    fn add(&self, mut message: RecordedMessage, era: Option<Era>) {
        message.era = era;
        message.server = Some((self.server.clone(), self.generation));
        self.memory.add(message);
    }
}

#[cfg(test)]
mod tests;
