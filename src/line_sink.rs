//! Receiver of lines of text.

use std::fmt;
use std::sync::Arc;

/// Function that receives lines of text on the thread that has them, which it must not delay. Cheap to clone.
#[derive(Clone)]
pub(crate) struct LineSink(Arc<dyn Fn(&str) + Send + Sync>);

impl LineSink {
    /// Creates a receiver that calls `receive` with each line, without its line end.
    pub(crate) fn new(receive: impl Fn(&str) + Send + Sync + 'static) -> Self {
        Self(Arc::new(receive))
    }

    /// Passes on each of these lines.
    pub(crate) fn put(&self, lines: &str) {
        lines.lines().for_each(|line| (self.0)(line));
    }
}

impl fmt::Debug for LineSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LineSink")
    }
}
