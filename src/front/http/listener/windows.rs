//! No Unix sockets on Windows: neither the standard library nor tokio supports them there.

use std::io;
use std::path::Path;

use tokio::net::TcpStream;

/// Stands in for a connection that cannot exist.
pub(super) type LocalStream = TcpStream;

/// Listener that cannot exist.
#[derive(Debug)]
pub(crate) enum LocalListener {}

impl LocalListener {
    /// Returns an error.
    pub(super) fn bind(_path: &Path) -> io::Result<Self> {
        Err(unsupported())
    }

    /// Cannot be called.
    #[expect(clippy::unused_async, reason = "other systems wait")]
    pub(super) async fn accept(&self) -> io::Result<LocalStream> {
        match *self {}
    }
}

/// Returns an error.
pub(crate) fn is_in_use(_path: &Path) -> io::Result<bool> {
    Err(unsupported())
}

fn unsupported() -> io::Error {
    io::Error::new(
        io::ErrorKind::Unsupported,
        "Windows has no Unix sockets for this: listen on 127.0.0.1 and a port instead",
    )
}
