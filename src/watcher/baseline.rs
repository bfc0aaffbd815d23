//! Content of a file at its last examination, the base of change detection.

use std::fs::{File, Metadata};
use std::hash::{DefaultHasher, Hasher};
use std::io::{self, Read};
use std::path::Path;
use std::time::{Duration, SystemTime};

use crate::file_identity::FileIdentity;
use crate::file_time;

/// Size limit for hashing. Larger files are compared by stamp: length, modification time and identity.
const HASHED_UP_TO: u64 = 1024 * 1024;
/// A file may change again within this time without a new modification time; files this young are hashed immediately.
const RACY: Duration = Duration::from_secs(2);

/// Subset of `stat` that changes with nearly every write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FileStamp {
    pub(super) len: u64,
    modified: Option<SystemTime>,
    /// Time of the last change of the content or of the inode, which no program can set back.
    changed: Option<SystemTime>,
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
            changed: file_time::changed_of(metadata),
            identity: FileIdentity::of(metadata),
        })
    }

    /// Whether two files with these stamps have the same content, as far as stamps tell: a new mode or hard link changes
    /// the stamp but not the content.
    fn has_content_of(&self, other: &Self) -> bool {
        let Self { changed, .. } = *other;
        Self { changed, ..*self } == *other
    }

    /// Whether the last write may be so recent that another one leaves the same time.
    fn is_young(&self) -> bool {
        let now = SystemTime::now();
        let distance = |at: SystemTime| now.duration_since(at).or_else(|_| at.duration_since(now));
        self.modified
            .is_some_and(|at| distance(at).is_ok_and(|distance| distance < RACY))
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
    /// Changed by its stamp, but not readable then.
    Unreadable,
}

/// State of a file at its last examination.
#[derive(Debug, Clone, Copy)]
pub(super) struct FileState {
    pub(super) stamp: FileStamp,
    content: Content,
    /// Whether the examination came so soon after a write that the stamp may not show the next one.
    is_young: bool,
}

/// Result of a comparison with the stored entry.
#[derive(Debug)]
pub(super) enum Difference {
    /// Unchanged, or absent as before (`None`).
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
            is_young: false,
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

    /// Reads a file again whose last examination came too soon; returns whether its content has changed although its
    /// stamp may be the same.
    pub(super) fn changed_unseen(&mut self, path: &Path) -> bool {
        if !self.is_young {
            return false;
        }
        let Ok(read) = Self::read(path) else {
            return false;
        };
        self.is_young = read.is_young;
        read.content != self.content
    }

    fn read(path: &Path) -> io::Result<Self> {
        let mut file = File::open(path)?;
        let stamp =
            FileStamp::from_metadata(&file.metadata()?).ok_or(io::ErrorKind::InvalidInput)?;
        let is_young = stamp.is_young();
        if stamp.len > HASHED_UP_TO {
            return Ok(Self {
                stamp,
                content: Content::Large,
                is_young,
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
            is_young,
        })
    }
}

/// Compares the current file at `path` with its stored entry.
pub(super) fn compare(old: Option<&FileState>, path: &Path) -> Difference {
    let Some(stamp) = FileStamp::of(path) else {
        return old.map_or(Difference::None(None), |_| Difference::Gone);
    };
    let new = FileState::read(path).unwrap_or(FileState {
        stamp,
        content: Content::Unreadable,
        is_young: false,
    });
    let same = old.is_some_and(|old| match (old.content, new.content) {
        (Content::Hash(before), Content::Hash(after)) => before == after,
        // It may end a save that was not readable before.
        (Content::Unreadable, Content::Hash(_) | Content::Large) => false,
        _ => old.stamp.has_content_of(&new.stamp),
    });
    if same && new.content == Content::Unreadable {
        // The known content is the base of the comparison once the file is readable again.
        Difference::None(old.copied())
    } else if same {
        Difference::None(Some(new))
    } else {
        Difference::Changed(new)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// Overwrites a file of the same length, and returns its state as on a file system whose times show no difference.
    fn overwritten(mut state: FileState, path: &Path, text: &str) -> FileState {
        fs::write(path, text).unwrap();
        state.stamp = FileStamp::of(path).unwrap();
        state
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn an_unreadable_save_is_a_change_and_so_is_its_end() {
        use std::os::unix::fs::symlink;

        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.py");
        fs::write(&path, "one").unwrap();
        let old = FileState::read(&path).unwrap();
        // No mode keeps root from reading, but nobody can read the memory of a process at its start.
        fs::remove_file(&path).unwrap();
        symlink("/proc/self/mem", &path).unwrap();
        let Difference::Changed(unreadable) = compare(Some(&old), &path) else {
            panic!("the save is ignored");
        };
        assert!(matches!(
            compare(Some(&unreadable), &path),
            Difference::None(_)
        ));
        fs::remove_file(&path).unwrap();
        fs::write(&path, "one").unwrap();
        assert!(matches!(
            compare(Some(&unreadable), &path),
            Difference::Changed(_)
        ));
    }

    #[test]
    fn a_second_write_within_the_step_of_file_times_is_seen_by_the_content() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.py");
        fs::write(&path, "one").unwrap();
        let read = FileState::read(&path).unwrap();
        let mut unchanged = read;
        assert!(!unchanged.changed_unseen(&path));
        assert!(overwritten(read, &path, "two").changed_unseen(&path));

        let hour_ago = SystemTime::now() - Duration::from_secs(3600);
        let file = File::options().write(true).open(&path).unwrap();
        file.set_modified(hour_ago).unwrap();
        let old = FileState::read(&path).unwrap();
        assert!(!old.is_young, "its next write has another time");
        assert!(!overwritten(old, &path, "six").changed_unseen(&path));
    }
}
