//! No standbys on Windows yet: every start is a cold one.

use std::io;
use std::path::Path;

/// Whether processes can wait as standbys.
pub(crate) const IS_SUPPORTED: bool = false;

/// Channel that cannot exist.
#[derive(Debug)]
pub(crate) enum StandbyChannel {}

impl StandbyChannel {
    /// Returns an error.
    pub(crate) fn create(_folder: &Path) -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Cannot be called.
    pub(crate) fn send(&self, _letter: u8) -> io::Result<()> {
        match *self {}
    }

    /// Cannot be called.
    #[expect(clippy::unused_async, reason = "other systems wait")]
    pub(crate) async fn receive(&mut self, _buffer: &mut Vec<u8>) -> io::Result<()> {
        match *self {}
    }
}
