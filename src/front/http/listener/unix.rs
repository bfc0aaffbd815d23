//! Unix sockets.

use std::fs::{self, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::UnixStream as StdStream;
use std::path::{Path, PathBuf};

use tokio::net::{UnixListener, UnixSocket, UnixStream};

/// Maximum number of connections waiting to be accepted.
const BACKLOG: u32 = 1024;

/// Connection to a socket.
pub(super) type LocalStream = UnixStream;

/// Accepts connections to a socket.
#[derive(Debug)]
pub(crate) struct LocalListener {
    listener: UnixListener,
    /// Removed together with the listener.
    _file: SocketFile,
}

impl LocalListener {
    /// Creates a socket at `path`, which must be absolute.
    pub(super) fn bind(path: &Path) -> io::Result<Self> {
        let (listener, file) = private_socket(path)?;
        Ok(Self {
            listener,
            _file: file,
        })
    }

    /// Waits for the next connection.
    pub(super) async fn accept(&self) -> io::Result<LocalStream> {
        Ok(self.listener.accept().await?.0)
    }
}

/// Returns whether a program listens on the socket at `path`.
pub(crate) fn is_in_use(path: &Path) -> io::Result<bool> {
    match StdStream::connect(path).map_err(|error| (error.kind(), error)) {
        Ok(_) => Ok(true),
        Err((ErrorKind::NotFound | ErrorKind::ConnectionRefused, _)) => Ok(false),
        Err((_, error)) => Err(error),
    }
}

/// Creates a socket at `path` that no other user can connect to at any time: it listens only after its mode is set.
fn private_socket(path: &Path) -> io::Result<(UnixListener, SocketFile)> {
    remove_stale_socket(path)?;
    let socket = UnixSocket::new_stream()?;
    socket.bind(path)?;
    let file = SocketFile {
        path: path.to_owned(),
        inode: fs::symlink_metadata(path)?.ino(),
    };
    fs::set_permissions(path, Permissions::from_mode(0o600))?;
    Ok((socket.listen(BACKLOG)?, file))
}

/// Removes a socket without a listener. Returns an error if anything else exists at `path`.
fn remove_stale_socket(path: &Path) -> io::Result<()> {
    let kind = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        known => known?.file_type(),
    };
    if !kind.is_socket() {
        let why = "the file at this path is not a socket; remove it or choose another path";
        return Err(io::Error::other(why));
    }
    match StdStream::connect(path) {
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => fs::remove_file(path),
        Err(error) => Err(error),
        Ok(_) => Err(io::Error::other(
            "a running process listens on this socket; stop it or choose another path",
        )),
    }
}

/// File of a socket. Dropping it removes the file, unless another file has replaced it.
#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    inode: u64,
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if fs::symlink_metadata(&self.path).is_ok_and(|it| it.ino() == self.inode) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener as StdListener;

    use super::super::{Address, Listener};
    use super::*;

    #[tokio::test]
    async fn a_socket_is_private_and_replaces_only_a_dead_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("proxy.sock");
        let address = Address::Unix(path.clone());
        drop(StdListener::bind(&path).unwrap());
        let (listener, bound) = Listener::bind(&address).await.unwrap();
        assert_eq!(bound, address);
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        let error = Listener::bind(&address).await.unwrap_err();
        assert!(error.to_string().contains("a running process"), "{error}");
        assert!(UnixStream::connect(&path).await.is_ok() && listener.accept().await.is_ok());
        drop(listener);
        assert!(!path.exists());
        fs::write(&path, "mine").unwrap();
        let error = Listener::bind(&address).await.unwrap_err();
        assert!(error.to_string().contains("is not a socket"), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "mine");
    }
}
