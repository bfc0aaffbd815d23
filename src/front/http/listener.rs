//! Listens for clients on a network address, or on a Unix socket that only the user may use.

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use tokio::net::{TcpListener, TcpStream};
use tokio_util::either::Either;

#[cfg(unix)]
use self::unix as system;
#[cfg(windows)]
use self::windows as system;

pub(crate) use system::is_in_use;
use system::{LocalListener, LocalStream};

/// Address to listen on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Address {
    /// Port 0 selects any free port.
    Tcp(SocketAddr),
    /// Path of a socket, which is created.
    Unix(PathBuf),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// Accepts connections.
#[derive(Debug)]
pub(super) enum Listener {
    Tcp(TcpListener),
    Unix(LocalListener),
}

impl Listener {
    /// Listens on `address`; returns the listener and the actual address.
    pub(super) async fn bind(address: &Address) -> io::Result<(Self, Address)> {
        match address {
            Address::Tcp(address) => {
                let listener = TcpListener::bind(address).await?;
                let bound = listener.local_addr()?;
                Ok((Self::Tcp(listener), Address::Tcp(bound)))
            }
            Address::Unix(path) => {
                let path = std::path::absolute(path)?;
                let listener = LocalListener::bind(&path)?;
                Ok((Self::Unix(listener), Address::Unix(path)))
            }
        }
    }

    /// Waits for the next connection; returns it with the client's address, if it has one.
    pub(super) async fn accept(
        &self,
    ) -> io::Result<(Either<TcpStream, LocalStream>, Option<IpAddr>)> {
        match self {
            Self::Tcp(listener) => {
                let (stream, client) = listener.accept().await?;
                let _ = stream.set_nodelay(true);
                Ok((Either::Left(stream), Some(client.ip())))
            }
            Self::Unix(listener) => Ok((Either::Right(listener.accept().await?), None)),
        }
    }
}
