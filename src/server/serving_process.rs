//! Process that serves HTTP. Generations that follow a lost session share it.

use crate::transport::child::Child;

/// Process that serves HTTP.
#[derive(Debug)]
pub(crate) struct ServingProcess {
    pub(super) child: Child,
    /// Host and port that it was given.
    pub(super) host: String,
    pub(super) port: u16,
}
