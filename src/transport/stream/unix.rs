//! Ends of links on Unix. Each is a descriptor, whose file type determines how it is read or written.

use std::fs::File;
use std::future;
use std::io::{self, IoSlice, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::Mutex;

use rustix::fs::FileType;
use tokio::io::{AsyncRead, AsyncReadExt as _, Interest};
use tokio::net::UnixStream;
use tokio::net::unix::pipe;

use crate::lock::locked;

/// Reading end of a link.
pub(crate) type ReadEnd = OwnedFd;
/// Writing end of a link.
pub(crate) type WriteEnd = OwnedFd;

/// Capacity of a pipe in bytes, four times the default: large messages need fewer reads and writes. It is not larger
/// because all pipes of a user share a quota of 64 MiB.
#[cfg(target_os = "linux")]
const PIPE: usize = 256 * 1024;

/// Returns the standard input of the proxy.
pub(crate) fn stdin() -> io::Result<ReadEnd> {
    io::stdin().as_fd().try_clone_to_owned()
}

/// Returns the standard output of the proxy.
pub(crate) fn stdout() -> io::Result<WriteEnd> {
    io::stdout().as_fd().try_clone_to_owned()
}

pub(super) enum LineSource {
    Pipe(pipe::Receiver),
    Socket(UnixStream),
    /// Terminal or file, read by a thread.
    Other(Box<dyn AsyncRead + Send + Unpin>),
}

impl LineSource {
    pub(super) fn new(fd: ReadEnd) -> io::Result<Self> {
        Ok(match file_type(&fd)? {
            FileType::Fifo => Self::Pipe(pipe::Receiver::from_owned_fd(widened(fd))?),
            FileType::Socket => Self::Socket(socket(fd)?),
            _ => Self::Other(Box::new(tokio::fs::File::from_std(File::from(fd)))),
        })
    }

    /// Waits for bytes and appends them to `buffer`; returns 0 at the end of the stream.
    #[inline]
    pub(super) async fn read(&mut self, buffer: &mut Vec<u8>) -> io::Result<usize> {
        match self {
            Self::Pipe(pipe) => pipe.read_buf(buffer).await,
            Self::Socket(socket) => socket.read_buf(buffer).await,
            Self::Other(other) => other.read_buf(buffer).await,
        }
    }
}

#[derive(Debug)]
pub(super) enum Sink {
    Pipe(pipe::Sender),
    Socket(UnixStream),
    /// Terminal or file: written directly, since such writes do not block for long.
    Other(Mutex<File>),
}

impl Sink {
    pub(super) fn new(fd: WriteEnd) -> io::Result<Self> {
        Ok(match file_type(&fd)? {
            FileType::Fifo => Self::Pipe(pipe::Sender::from_owned_fd(widened(fd))?),
            FileType::Socket => Self::Socket(socket(fd)?),
            _ => Self::Other(Mutex::new(File::from(fd))),
        })
    }

    /// Writes bytes without blocking; returns the number of bytes that the other side accepts now.
    #[inline]
    pub(super) fn try_write(&self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        let result = match self {
            Self::Pipe(pipe) => pipe.try_write_vectored(parts),
            Self::Socket(socket) => socket.try_write_vectored(parts),
            Self::Other(file) => locked(file).write_vectored(parts),
        };
        match result {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
            result => result,
        }
    }

    /// Waits until the other side may accept bytes.
    pub(super) async fn writable(&self) -> io::Result<()> {
        match self {
            Self::Pipe(pipe) => pipe.writable().await,
            Self::Socket(socket) => socket.writable().await,
            Self::Other(_) => Ok(()),
        }
    }

    /// Waits until the reader is gone, if that can be detected without writing.
    pub(super) async fn reader_gone(&self) {
        match self {
            Self::Pipe(pipe) => _ = pipe.ready(Interest::ERROR).await,
            Self::Socket(_) | Self::Other(_) => future::pending().await,
        }
    }
}

fn file_type(fd: &OwnedFd) -> io::Result<FileType> {
    Ok(FileType::from_raw_mode(rustix::fs::fstat(fd)?.st_mode))
}

/// Returns the pipe, enlarged to [`PIPE`] bytes if the system permits.
fn widened(fd: OwnedFd) -> OwnedFd {
    #[cfg(target_os = "linux")]
    if rustix::pipe::fcntl_getpipe_size(&fd).is_ok_and(|size| size < PIPE)
        && let Err(error) = rustix::pipe::fcntl_setpipe_size(&fd, PIPE)
    {
        tracing::debug!(%error, "a pipe keeps its size");
    }
    fd
}

fn socket(fd: OwnedFd) -> io::Result<UnixStream> {
    let stream = std::os::unix::net::UnixStream::from(fd);
    stream.set_nonblocking(true)?;
    UnixStream::from_std(stream)
}
