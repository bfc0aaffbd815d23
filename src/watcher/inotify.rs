//! inotify backend. A write to a file puts its event into a kernel queue before the write returns.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::io::{self, PipeReader, PipeWriter};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::inotify::{self, CreateFlags, Event, ReadFlags, Reader, WatchFlags};
use rustix::io::Errno;

use super::dispatcher::NoticeDispatcher;
use super::file_events::{LimitReached, Touch, WatchBackend, WriteState};

/// Read buffer size in bytes.
const BUFFER: usize = 4096;

/// All events that may change the content of an entry or the set of entries; no reads.
const CHANGES: WatchFlags = WatchFlags::MODIFY
    .union(WatchFlags::CLOSE_WRITE)
    .union(WatchFlags::ATTRIB)
    .union(WatchFlags::CREATE)
    .union(WatchFlags::DELETE)
    .union(WatchFlags::DELETE_SELF)
    .union(WatchFlags::MOVED_FROM)
    .union(WatchFlags::MOVED_TO)
    .union(WatchFlags::MOVE_SELF)
    .union(WatchFlags::ONLYDIR);

/// Events read from the queue.
#[derive(Debug, Default)]
pub(super) struct EventBatch {
    pub(super) touches: Vec<Touch>,
    /// Whether the kernel queue overflowed.
    pub(super) lost: bool,
}

/// inotify queue and its watched directories.
#[derive(Debug)]
pub(super) struct InotifyQueue {
    descriptor: Arc<OwnedFd>,
    /// Directories by watch descriptor.
    directories: HashMap<i32, PathBuf>,
    numbers: HashMap<PathBuf, i32>,
}

impl InotifyQueue {
    fn new() -> io::Result<Self> {
        Ok(Self {
            descriptor: Arc::new(inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?),
            directories: HashMap::new(),
            numbers: HashMap::new(),
        })
    }

    fn watch(&mut self, directory: &Path) -> rustix::io::Result<()> {
        let number = inotify::add_watch(&*self.descriptor, directory, CHANGES)?;
        // A renamed directory keeps its inode and so its watch descriptor.
        self.directories.insert(number, directory.to_owned());
        self.numbers.insert(directory.to_owned(), number);
        Ok(())
    }

    fn unwatch(&mut self, directory: &Path) {
        if let Some(number) = self.numbers.remove(directory)
            && self
                .directories
                .get(&number)
                .is_some_and(|it| it == directory)
        {
            self.directories.remove(&number);
            // Fails for a removed directory, whose watch the kernel has ended.
            let _ = inotify::remove_watch(&*self.descriptor, number);
        }
    }

    /// Reads all queued events; `None` if the queue is empty. Never blocks. Returns an error only once all events are
    /// read; the queue yields no more then.
    pub(super) fn read(&mut self) -> io::Result<Option<EventBatch>> {
        let mut buffer = [MaybeUninit::uninit(); BUFFER];
        let descriptor = self.descriptor.clone();
        let mut reader = Reader::new(&*descriptor, &mut buffer);
        let mut batch: Option<EventBatch> = None;
        loop {
            match reader.next() {
                Ok(event) => self.take(&event, batch.get_or_insert_default()),
                Err(Errno::INTR) => {}
                Err(error) if error == Errno::AGAIN || batch.is_some() => return Ok(batch),
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn take(&mut self, event: &Event<'_>, batch: &mut EventBatch) {
        let kinds = event.events();
        if kinds.contains(ReadFlags::QUEUE_OVERFLOW) {
            batch.lost = true;
        }
        if kinds.contains(ReadFlags::IGNORED) {
            if let Some(directory) = self.directories.remove(&event.wd())
                && self.numbers.get(&directory) == Some(&event.wd())
            {
                self.numbers.remove(&directory);
            }
            return;
        }
        // The last events of a watch may be read after its end.
        let Some(directory) = self.directories.get(&event.wd()) else {
            return;
        };
        let name = event
            .file_name()
            .map(|name| OsStr::from_bytes(name.to_bytes()));
        let touch = Touch {
            path: name.map_or_else(|| directory.clone(), |name| directory.join(name)),
            moved: !kinds
                .intersects(ReadFlags::MODIFY | ReadFlags::CLOSE_WRITE | ReadFlags::ATTRIB),
            is_dir: name.is_none() || kinds.contains(ReadFlags::ISDIR),
            write_state: write_state(kinds),
        };
        // Several write calls count as one touch.
        if batch.touches.last() != Some(&touch) {
            batch.touches.push(touch);
        }
    }
}

fn write_state(kinds: ReadFlags) -> WriteState {
    if kinds.intersects(ReadFlags::CLOSE_WRITE | ReadFlags::MOVED_TO) {
        WriteState::Done
    } else if kinds.intersects(ReadFlags::CREATE | ReadFlags::MODIFY) {
        WriteState::Open
    } else {
        WriteState::Unknown
    }
}

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
    fn watch(&mut self, directory: &Path) -> Result<bool, LimitReached> {
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

    use super::super::file_events::WatcherMessage;
    use super::*;

    #[test]
    fn a_queue_that_fails_ends_its_reader() {
        let (messages, received) = channel();
        let dispatcher = NoticeDispatcher::new(messages, |_, _| {});
        // `poll` finds a directory readable, and `read` fails.
        let descriptor: Arc<OwnedFd> = Arc::new(std::fs::File::open("/").unwrap().into());
        let queue = InotifyQueue {
            descriptor: descriptor.clone(),
            directories: HashMap::new(),
            numbers: HashMap::new(),
        };
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
