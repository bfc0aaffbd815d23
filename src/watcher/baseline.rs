//! Content of a file at its last examination, the base of change detection.

use std::fs::{File, Metadata};
use std::hash::{DefaultHasher, Hasher};
use std::io::{self, Read};
use std::path::Path;
use std::time::{Duration, SystemTime};

use crate::file_identity::FileIdentity;

/// Size limit for hashing. Larger files are compared by stamp: length, modification time and identity.
const HASHED_UP_TO: u64 = 1024 * 1024;
/// A file may change again within this time without a new modification time; files this young are hashed immediately.
const RACY: Duration = Duration::from_secs(2);

/// Subset of `stat` that changes with nearly every write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FileStamp {
    pub(super) len: u64,
    modified: Option<SystemTime>,
    identity: FileIdentity,
}

impl FileStamp {
    /// Returns the stamp of a regular file, following symlinks; `None` for anything else.
    pub(super) fn of(path: &Path) -> Option<Self> {
        Self::from_metadata(&std::fs::metadata(path).ok()?)
    }

    fn from_metadata(metadata: &Metadata) -> Option<Self> {
        metadata.is_file().then(|| Self {
            len: metadata.len(),
            modified: metadata.modified().ok(),
            identity: FileIdentity::of(metadata),
        })
    }

    fn is_racy(&self) -> bool {
        self.modified
            .is_none_or(|at| at.elapsed().is_ok_and(|age| age < RACY) || at > SystemTime::now())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Content {
    /// Not read yet: only the stamp can show a change.
    Unread,
    Hash(u64),
    /// Too large to hash.
    Large,
}

/// State of a file at its last examination.
#[derive(Debug, Clone, Copy)]
pub(super) struct FileState {
    pub(super) stamp: FileStamp,
    content: Content,
}

/// Result of a comparison with the stored entry.
#[derive(Debug)]
pub(super) enum Difference {
    /// Unchanged, unreadable, or absent as before (`None`).
    None(Option<FileState>),
    Changed(FileState),
    Gone,
}

impl FileState {
    /// Examines a file; reads it only if it is too young for its stamp to be reliable. Returns `None` for a missing
    /// file.
    pub(super) fn glance(path: &Path) -> Option<Self> {
        let stamp = FileStamp::of(path)?;
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

    /// Reads and hashes the file, unless it has changed since [`FileState::glance`].
    pub(super) fn complete(&mut self, path: &Path) {
        if let Ok(read) = Self::read(path)
            && read.stamp == self.stamp
            && FileStamp::of(path) == Some(self.stamp)
        {
            *self = read;
        }
    }

    fn read(path: &Path) -> io::Result<Self> {
        let mut file = File::open(path)?;
        let stamp =
            FileStamp::from_metadata(&file.metadata()?).ok_or(io::ErrorKind::InvalidInput)?;
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

/// Compares the current file at `path` with its stored entry.
pub(super) fn compare(old: Option<&FileState>, path: &Path) -> Difference {
    if FileStamp::of(path).is_none() {
        return old.map_or(Difference::None(None), |_| Difference::Gone);
    }
    // The comparison waits until the file is readable again.
    let Ok(new) = FileState::read(path) else {
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
