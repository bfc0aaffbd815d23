//! Result of a start.

use super::stderr_buffer::StderrBuffer;
use crate::transport::child::Child;
use crate::transport::resolve::SpawnError;

/// Started process.
#[derive(Debug)]
pub(crate) struct StartedProcess {
    pub(crate) child: Result<Child, SpawnError>,
    /// Port on which it serves HTTP.
    pub(crate) port: Option<u16>,
    pub(crate) standby: StandbyUse,
}

/// Use of a standby for a start.
#[derive(Debug, Default)]
pub(crate) struct StandbyUse {
    /// Stderr of a former standby, buffered until its generation proves good; `None` after a cold start.
    pub(crate) stderr: Option<StderrBuffer>,
    /// Reason for which the standby could not be used, as a sentence fragment. It counts as a failure only if the server
    /// starts without it: a standby also fails while the server's script or directory is missing, as during a build.
    pub(crate) unusable: Option<String>,
}
