//! Pipes on Windows: named pipes with names that cannot be guessed, since anonymous ones know no asynchronous I/O. The
//! standard library creates the pipes of its child processes in the same way. The child's end is an ordinary
//! synchronous handle.

use std::fs::{File, OpenOptions};
use std::io;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use tokio::net::windows::named_pipe::{NamedPipeServer, PipeMode, ServerOptions};

use crate::random;
use crate::transport::stream::{ReadEnd, WriteEnd};

/// Reading end for a child.
pub(crate) type ChildReader = File;
/// Writing end for a child.
pub(crate) type ChildWriter = File;
/// Reading end of a pipe that carries a child's text.
pub(crate) type Output = NamedPipeServer;

/// Capacity of a pipe in bytes.
const CAPACITY: u32 = 64 * 1024;

/// Creates a pipe for messages to a child; returns the proxy's end and the child's.
pub(crate) fn to_child() -> io::Result<(WriteEnd, ChildReader)> {
    let (writer, reader) = input()?;
    Ok((WriteEnd::Pipe(writer), reader))
}

/// Creates a pipe for messages from a child; returns the proxy's end and the child's.
pub(crate) fn from_child() -> io::Result<(ReadEnd, ChildWriter)> {
    let (reader, writer) = output()?;
    Ok((ReadEnd::Pipe(reader), writer))
}

/// Returns 1 if there are unread bytes, otherwise 0: no safe function tells their number without reading.
pub(crate) fn unread(reader: &ReadEnd) -> u64 {
    match reader {
        ReadEnd::Pipe(pipe) => is_done(pipe.readable()).map_or(0, u64::from),
        ReadEnd::Stdin(_) => 0,
    }
}

/// Creates a pipe for text from a child; returns the proxy's end and the child's.
pub(crate) fn output() -> io::Result<(Output, ChildWriter)> {
    let mut options = ServerOptions::new();
    let mut child = OpenOptions::new();
    connected(options.access_outbound(false), child.write(true))
}

/// Creates a pipe for bytes to a child; returns the proxy's end and the child's. The proxy can read from its end too:
/// reading ends when the child has closed the pipe.
pub(crate) fn input() -> io::Result<(NamedPipeServer, ChildReader)> {
    let mut options = ServerOptions::new();
    let mut child = OpenOptions::new();
    connected(&mut options, child.read(true))
}

fn connected(
    server: &mut ServerOptions,
    client: &OpenOptions,
) -> io::Result<(NamedPipeServer, File)> {
    let (ours, name) = named(server)?;
    // Fails if another process was faster, since the pipe has a single instance.
    let theirs = client.open(&name)?;
    // Starts the asynchronous I/O. The client is there already, so nothing is waited for.
    let is_connected = is_done(ours.connect())?;
    if !is_connected {
        return Err(io::Error::other("a new pipe has no other end"));
    }
    Ok((ours, theirs))
}

/// Creates a pipe whose other end any process of this user can open once; returns its name as well.
pub(crate) fn named(options: &mut ServerOptions) -> io::Result<(NamedPipeServer, String)> {
    let id = random::id().map_err(io::Error::other)?;
    let name = format!(r"\\.\pipe\mcp-proxy-{id}");
    let pipe = options
        .pipe_mode(PipeMode::Byte)
        .first_pipe_instance(true)
        .reject_remote_clients(true)
        .max_instances(1)
        .in_buffer_size(CAPACITY)
        .out_buffer_size(CAPACITY)
        .create(&name)?;
    Ok((pipe, name))
}

/// Whether the future is done when it is first polled.
fn is_done(future: impl Future<Output = io::Result<()>>) -> io::Result<bool> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(done) => done.map(|()| true),
        Poll::Pending => Ok(false),
    }
}
