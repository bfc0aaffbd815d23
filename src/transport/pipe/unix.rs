//! Pipes on Unix. The proxy's ends are non-blocking; children expect blocking I/O, and have it: the two ends of a pipe
//! have separate flags.

use std::io::{self, PipeReader, PipeWriter};
use std::os::fd::{AsFd as _, OwnedFd};

use rustix::io::{ioctl_fionbio, ioctl_fionread};
use tokio::net::unix::pipe::{Receiver, Sender};

/// Reading end for a child.
pub(crate) type ChildReader = PipeReader;
/// Writing end for a child.
pub(crate) type ChildWriter = PipeWriter;
/// Reading end of a pipe that carries a child's text.
pub(crate) type Output = Receiver;

/// Creates a pipe for messages to a child; returns the proxy's end and the child's.
pub(crate) fn to_child() -> io::Result<(OwnedFd, ChildReader)> {
    let (reader, writer) = io::pipe()?;
    ioctl_fionbio(writer.as_fd(), true)?;
    Ok((writer.into(), reader))
}

/// Creates a pipe for messages from a child; returns the proxy's end and the child's.
pub(crate) fn from_child() -> io::Result<(OwnedFd, ChildWriter)> {
    let (reader, writer) = io::pipe()?;
    ioctl_fionbio(reader.as_fd(), true)?;
    Ok((reader.into(), writer))
}

/// Returns the number of unread bytes of the pipe; `u64::MAX` if it cannot be read.
pub(crate) fn unread(reader: &OwnedFd) -> u64 {
    ioctl_fionread(reader).unwrap_or(u64::MAX)
}

/// Creates a pipe for text from a child; returns the proxy's end and the child's.
pub(crate) fn output() -> io::Result<(Output, ChildWriter)> {
    let (reader, writer) = io::pipe()?;
    Ok((Receiver::from_owned_fd(reader.into())?, writer))
}

/// Creates a pipe for bytes to a child; returns the proxy's end and the child's.
pub(crate) fn input() -> io::Result<(Sender, ChildReader)> {
    let (reader, writer) = io::pipe()?;
    Ok((Sender::from_owned_fd(writer.into())?, reader))
}
