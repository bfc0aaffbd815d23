//! Named pipes of Unix, which are files.

use std::fs::File;
use std::io::{self, ErrorKind, Read as _};
use std::os::unix::fs::FileTypeExt as _;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};

/// Interval at which a pipe without a writer is read.
const INTERVAL: Duration = Duration::from_millis(10);

/// Returns true if `path` is a named pipe, or one that a shell passes, as in `<(…)`.
pub(crate) fn is_pipe(path: &Path) -> bool {
    path.metadata().is_ok_and(|it| it.file_type().is_fifo())
}

/// Returns the content of the first writer; an error of the kind `TimedOut` if there is none by the deadline.
pub(super) fn read_pipe(path: &Path, deadline: Instant) -> io::Result<String> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let mut pipe = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    let (mut bytes, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        match pipe.read(&mut buffer) {
            // No writer has opened the pipe yet.
            Ok(0) if bytes.is_empty() => {}
            Ok(0) => break,
            Ok(count) => {
                bytes.extend_from_slice(&buffer[..count]);
                continue;
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            let message = "it is a named pipe, and no program has written its content in time";
            return Err(io::Error::new(ErrorKind::TimedOut, message));
        }
        // At once, before a writer that serves each reader opens the pipe again.
        let mut polled = [PollFd::new(&pipe, PollFlags::IN)];
        let timeout = Timespec::try_from(left).ok();
        let is_ready = poll(&mut polled, timeout.as_ref()).is_ok();
        // Some systems report a pipe that no writer has opened yet as one whose writer has gone.
        if !is_ready || !polled[0].revents().contains(PollFlags::IN) {
            thread::sleep(INTERVAL);
        }
    }
    String::from_utf8(bytes).map_err(|error| io::Error::new(ErrorKind::InvalidData, error))
}
