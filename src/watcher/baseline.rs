//! What a file held when it was last looked at: the measure of "really changed".

use std::fs::{File, Metadata};
use std::hash::{DefaultHasher, Hasher};
use std::io::{self, Read};
use std::path::Path;
use std::time::{Duration, SystemTime};

/// Larger files are compared by length and modification time alone.
const HASHED_UP_TO: u64 = 1024 * 1024;
/// A file modified this shortly before it was looked at may be modified again without its time
/// showing it; such files are hashed at once.
const RACY: Duration = Duration::from_secs(2);

/// What a `stat` tells, enough to notice nearly every write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    pub(super) len: u64,
    modified: Option<SystemTime>,
    inode: u64,
}

impl Stamp {
    /// The stamp of a regular file (through links), `None` for anything else.
    pub(super) fn of(path: &Path) -> Option<Self> {
        Self::from_metadata(&std::fs::metadata(path).ok()?)
    }

    fn from_metadata(metadata: &Metadata) -> Option<Self> {
        #[cfg(unix)]
        let inode = std::os::unix::fs::MetadataExt::ino(metadata);
        #[cfg(not(unix))]
        let inode = 0;
        metadata.is_file().then(|| Self {
            len: metadata.len(),
            modified: metadata.modified().ok(),
            inode,
        })
    }

    fn is_racy(&self) -> bool {
        self.modified
            .is_none_or(|at| at.elapsed().is_ok_and(|age| age < RACY) || at > SystemTime::now())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Content {
    /// Not read yet: until then only the stamp can tell a change.
    Unread,
    Hash(u64),
    /// Too large to read.
    Large,
}

/// One file as it was.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    pub(super) stamp: Stamp,
    content: Content,
}

/// How a file compares with its entry.
#[derive(Debug)]
pub(super) enum Difference {
    /// Same content, or never there.
    None(Option<Entry>),
    Changed(Entry),
    Gone,
}

impl Entry {
    /// Looks at a file without reading it, unless its time cannot be trusted. `None` if there is no such file.
    pub(super) fn glance(path: &Path) -> Option<Self> {
        let stamp = Stamp::of(path)?;
        if stamp.is_racy() {
            return Self::read(path).ok();
        }
        Some(Self {
            stamp,
            content: Content::Unread,
        })
    }

    pub(super) fn is_unread(&self) -> bool {
        self.content == Content::Unread
    }

    /// Reads what [`Entry::glance`] put off, if the file is still the one that was glanced at.
    pub(super) fn complete(&mut self, path: &Path) {
        if let Ok(read) = Self::read(path)
            && read.stamp == self.stamp
            && Stamp::of(path) == Some(self.stamp)
        {
            *self = read;
        }
    }

    fn read(path: &Path) -> io::Result<Self> {
        let mut file = File::open(path)?;
        let stamp = Stamp::from_metadata(&file.metadata()?).ok_or(io::ErrorKind::InvalidInput)?;
        if stamp.len > HASHED_UP_TO {
            return Ok(Self {
                stamp,
                content: Content::Large,
            });
        }
        let mut hasher = DefaultHasher::new();
        let mut buffer = [0; 16 * 1024];
        loop {
            match file.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => hasher.write(&buffer[..count]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Self {
            stamp,
            content: Content::Hash(hasher.finish()),
        })
    }
}

/// Compares the file at `path` with what it was.
pub(super) fn compare(old: Option<&Entry>, path: &Path) -> Difference {
    if Stamp::of(path).is_none() {
        return old.map_or(Difference::None(None), |_| Difference::Gone);
    }
    // An unreadable file is judged when it can be read again.
    let Ok(new) = Entry::read(path) else {
        return Difference::None(old.copied());
    };
    let same = old.is_some_and(|old| match (old.content, new.content) {
        (Content::Hash(before), Content::Hash(after)) => before == after,
        _ => old.stamp == new.stamp,
    });
    if same {
        Difference::None(Some(new))
    } else {
        Difference::Changed(new)
    }
}
