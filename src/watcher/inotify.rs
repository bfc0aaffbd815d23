//! inotify queue. A write to a file puts its event into a kernel queue before the write returns.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::inotify::{self, CreateFlags, Event, ReadFlags, Reader, WatchFlags};
use rustix::io::Errno;

use super::messages::{Touch, WriteState};

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
    pub(super) descriptor: Arc<OwnedFd>,
    /// Directories by watch descriptor.
    directories: HashMap<i32, PathBuf>,
    numbers: HashMap<PathBuf, i32>,
}

impl InotifyQueue {
    pub(super) fn new() -> io::Result<Self> {
        let flags = CreateFlags::NONBLOCK | CreateFlags::CLOEXEC;
        Ok(Self::of(inotify::init(flags)?))
    }

    /// Returns the queue behind this descriptor.
    pub(super) fn of(descriptor: OwnedFd) -> Self {
        Self {
            descriptor: Arc::new(descriptor),
            directories: HashMap::new(),
            numbers: HashMap::new(),
        }
    }

    pub(super) fn watch(&mut self, directory: &Path) -> rustix::io::Result<()> {
        let number = inotify::add_watch(&*self.descriptor, directory, CHANGES)?;
        // A renamed directory keeps its inode and so its watch descriptor.
        self.directories.insert(number, directory.to_owned());
        self.numbers.insert(directory.to_owned(), number);
        Ok(())
    }

    pub(super) fn unwatch(&mut self, directory: &Path) {
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
