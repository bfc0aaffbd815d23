//! inotify as the source of file events, with a thread that reads its queue.

use std::io::{self, PipeReader, PipeWriter};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

use super::dispatcher::NoticeDispatcher;
use super::file_events::{Reach, WatchBackend};
use super::inotify::InotifyQueue;
use super::messages::LimitReached;

/// inotify backend, with a thread that reads the queue.
#[derive(Debug)]
struct InotifyBackend {
    dispatcher: Arc<NoticeDispatcher>,
    /// Ends the reader thread when dropped.
    _end: PipeWriter,
}

/// Opens the queue and starts the reader thread.
pub(super) fn start_backend(
    dispatcher: &Arc<NoticeDispatcher>,
) -> io::Result<Box<dyn WatchBackend>> {
    let queue = InotifyQueue::new()?;
    let descriptor = queue.descriptor.clone();
    let (ended, end) = io::pipe()?;
    let reader = dispatcher.clone();
    std::thread::Builder::new()
        .name("file-events".into())
        .spawn(move || follow(&reader, &descriptor, &ended))?;
    dispatcher.queue(|slot| *slot = Some(queue));
    Ok(Box::new(InotifyBackend {
        dispatcher: dispatcher.clone(),
        _end: end,
    }))
}

/// Reads events until the other end of the pipe is closed, or the queue fails: a failed queue stays readable forever.
fn follow(dispatcher: &NoticeDispatcher, descriptor: &OwnedFd, ended: &PipeReader) {
    loop {
        let mut ready = [
            PollFd::new(descriptor, PollFlags::IN),
            PollFd::new(ended, PollFlags::IN),
        ];
        match poll(&mut ready, None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return tracing::debug!(%error, "cannot read file events"),
        }
        if !ready[1].revents().is_empty() {
            return;
        }
        if !dispatcher.read_queue() {
            return;
        }
    }
}

impl WatchBackend for InotifyBackend {
    fn watch(&mut self, directory: &Path, _: Reach) -> Result<bool, LimitReached> {
        let watched = self.dispatcher.queue(|queue| match queue {
            Some(queue) => queue.watch(directory),
            None => Ok(()),
        });
        match watched {
            Ok(()) => Ok(true),
            Err(Errno::NOSPC) => Err(LimitReached),
            Err(error) => {
                tracing::debug!(directory = %directory.display(), %error, "directory not watched");
                Ok(false)
            }
        }
    }

    fn unwatch(&mut self, directory: &Path) {
        self.dispatcher.queue(|queue| {
            if let Some(queue) = queue {
                queue.unwatch(directory);
            }
        });
    }
}

impl Drop for InotifyBackend {
    fn drop(&mut self) {
        self.dispatcher.queue(|queue| *queue = None);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::super::messages::WatcherMessage;
    use super::*;

    #[test]
    fn a_queue_that_fails_ends_its_reader() {
        let (messages, received) = channel();
        let dispatcher = NoticeDispatcher::new(messages, |_, _| {});
        // `poll` finds a directory readable, and `read` fails.
        let queue = InotifyQueue::of(std::fs::File::open("/").unwrap().into());
        let descriptor = queue.descriptor.clone();
        dispatcher.queue(|slot| *slot = Some(queue));
        let (ended, _end) = io::pipe().unwrap();
        follow(&dispatcher, &descriptor, &ended);
        assert!(matches!(
            received.try_recv(),
            Ok(WatcherMessage::EventsFailed(_))
        ));
        dispatcher.report_queued();
        assert!(received.try_recv().is_err());
    }
}
