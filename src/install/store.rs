//! Where installed servers live: `servers/<host>/<owner>/<repo>/<name>`, called a slot, under the folder
//! for data of the user. A slot holds one folder per commit and the record of what is installed. What
//! the record does not name is left over from an installation that was killed, and goes away as soon as
//! nobody holds the slot. No path here is made of anything but names that `source` found safe.

use std::fs::{self, File};
use std::io::{
    self,
    ErrorKind::{AlreadyExists, NotFound},
};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

use super::source::{Permit, Place, Source, SourceError};
use crate::private;

const RECORD: &str = "installed.json";
/// How often a slot that others remove is tried.
const ATTEMPTS: usize = 100;
/// How many letters of a commit are in the name of its folder.
const SHORT: usize = 12;

/// What is known of an installed server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) name: String,
    /// The source as it would be written again, without credentials.
    pub(crate) source: String,
    pub(crate) commit: String,
    /// The full name of the branch or tag that the commit was found by.
    pub(crate) reference: Option<String>,
    /// What the person or model chose instead of what would have been detected.
    pub(crate) choices: Choices,
    /// How it is started, as it was registered.
    pub(crate) command: Vec<String>,
    /// The folder of the commit, in the slot.
    pub(super) folder: PathBuf,
    /// The one before, which a server may still run from.
    pub(super) previous: Option<PathBuf>,
    /// The configuration files that the server was written into.
    pub(crate) registered: Vec<PathBuf>,
}

impl Record {
    /// The source, whatever is permitted now.
    pub(super) fn source(&self) -> Result<Source, SourceError> {
        let everything = Permit {
            insecure: true,
            local: true,
        };
        Source::parse(&self.source, everything, Path::new("/"))
    }
}

/// What can be said instead of letting it be detected.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Choices {
    /// The file that starts the server.
    pub(crate) server_file: Option<String>,
    /// The file of requirements, for Python.
    pub(crate) requirements_file: Option<String>,
    /// The whole command.
    pub(crate) command: Vec<String>,
    /// Submodules are fetched as well.
    pub(crate) submodules: bool,
    /// What is installed need not be what the lock file says.
    pub(crate) ignore_lock: bool,
}

/// The folder of all installed servers.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    root: PathBuf,
}

/// Why the store could not do it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    #[error("neither XDG_DATA_HOME nor HOME says where to install to")]
    Homeless,
    #[error(
        "`{0}` cannot be a server's name: a name consists of A-Z, a-z, 0-9, `_` and `-`, at most 64 of them, and does not begin with `-`"
    )]
    Name(String),
    #[error("`{0}` is being installed, brought up to date or removed by somebody else")]
    Busy(String),
    #[error("cannot {doing} {}: {source}", path.display())]
    Io {
        doing: &'static str,
        path: PathBuf,
        source: io::Error,
    },
}

fn failed(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    let path = path.to_owned();
    move |source| StoreError::Io {
        doing,
        path,
        source,
    }
}

impl Store {
    /// The one of this user.
    pub(crate) fn of_user() -> Result<Self, StoreError> {
        let absolute = |name| {
            std::env::var_os(name)
                .map(PathBuf::from)
                .filter(|it| it.is_absolute())
        };
        let data = absolute("XDG_DATA_HOME").or_else(|| {
            Some(std::env::home_dir()?.join(".local/share")).filter(|it| it.is_absolute())
        });
        Ok(Self::at(
            data.ok_or(StoreError::Homeless)?.join("mcp-proxy/servers"),
        ))
    }

    pub(crate) fn at(root: PathBuf) -> Self {
        Self { root }
    }

    /// Takes hold of the slot of a server, and tidies it.
    pub(super) fn slot(&self, place: &Place, name: &str) -> Result<Slot, StoreError> {
        check_name(name)?;
        let path = self
            .root
            .join(&place.host)
            .join(&place.owner)
            .join(&place.repo)
            .join(name);
        Slot::hold(&path, name)
    }

    /// Where the log of the preparation of a server belongs; nowhere if there can be none.
    pub(super) fn log(&self, name: &str) -> Option<PathBuf> {
        let folder = self.root.parent()?.join("logs");
        private::folder(&folder).ok()?;
        Some(folder.join(format!("{name}.log")))
    }

    /// Keeps what a configuration `file` was before the server `name` was taken out of it; gives the copy's path.
    pub(super) fn back_up(&self, name: &str, file: &Path, text: &str) -> io::Result<PathBuf> {
        let folder = self.root.with_file_name("backups");
        let original = file.file_name().unwrap_or_default().to_string_lossy();
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let ms = now.unwrap_or_default().as_millis();
        let path = folder.join(format!("{name}-{ms}-{original}"));
        private::folder(&folder)?;
        private::write_new(&path, text)?;
        Ok(path)
    }

    /// What is installed, in the order of the places. Tidies what killed installations left.
    pub(crate) fn installed(&self) -> Vec<Found> {
        let mut slots = vec![self.root.clone()];
        for _ in ["host", "owner", "repo", "name"] {
            slots = slots.iter().flat_map(|it| folders(it)).collect();
        }
        slots.iter().filter_map(|slot| look(slot)).collect()
    }
}

/// What is installed in a slot; one that has no record and no holder goes away.
fn look(slot: &Path) -> Option<Found> {
    if let Some(record) = read_record(slot) {
        let folder = slot.join(&record.folder);
        let slot = slot.to_owned();
        return Some(Found {
            slot,
            folder,
            record,
        });
    }
    let name = slot.file_name().unwrap_or_default().to_string_lossy();
    match Slot::hold(slot, &name) {
        // It may just have been finished by somebody else.
        Ok(held) if held.record().is_none() => _ = held.discard(),
        Ok(_) | Err(StoreError::Busy(_)) => {}
        Err(error) => tracing::warn!(%error, "what a killed installation left stays"),
    }
    None
}

/// Folders in a folder, none of them a link, sorted.
fn folders(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let is_folder = |it: &fs::DirEntry| it.file_type().is_ok_and(|kind| kind.is_dir());
    let mut folders: Vec<PathBuf> = entries.filter(is_folder).map(|it| it.path()).collect();
    folders.sort();
    folders
}

fn check_name(name: &str) -> Result<(), StoreError> {
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    // A command line would take it for an option.
    let is_option = name.starts_with('-');
    if name.is_empty() || is_option || name.len() > 64 || !name.chars().all(good) {
        return Err(StoreError::Name(name.to_owned()));
    }
    Ok(())
}

/// An installed server.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    slot: PathBuf,
    /// Where the repository's files are.
    pub(crate) folder: PathBuf,
    pub(crate) record: Record,
}

impl Found {
    /// Takes hold of its slot, and tidies it.
    pub(super) fn hold(&self) -> Result<Slot, StoreError> {
        Slot::hold(&self.slot, &self.record.name)
    }
}

fn read_record(slot: &Path) -> Option<Record> {
    let text = fs::read_to_string(slot.join(RECORD)).ok()?;
    let record: Record = serde_json::from_str(&text).ok()?;
    let plain = |path: &Path| path.components().count() == 1 && path.file_name().is_some();
    let sound = plain(&record.folder) && record.previous.as_deref().is_none_or(plain);
    sound.then_some(record)
}

/// A slot that nobody else may touch until it is dropped.
#[derive(Debug)]
pub(super) struct Slot {
    path: PathBuf,
    _lock: File,
}

impl Slot {
    fn hold(path: &Path, name: &str) -> Result<Self, StoreError> {
        for _ in 0..ATTEMPTS {
            let opened = private::folder(path).and_then(|()| File::open(path));
            let lock = match opened {
                // Somebody else is just removing the slot.
                Err(error) if matches!(error.kind(), NotFound | AlreadyExists) => continue,
                opened => opened.map_err(failed("make", path))?,
            };
            match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => {}
                Err(rustix::io::Errno::WOULDBLOCK) => {
                    return Err(StoreError::Busy(name.to_owned()));
                }
                Err(error) => return Err(failed("lock", path)(error.into())),
            }
            // Whoever held it before may have removed the folder.
            let (held, there) = (lock.metadata(), fs::symlink_metadata(path));
            if held.is_ok_and(|held| there.is_ok_and(|there| held.ino() == there.ino())) {
                let slot = Self {
                    path: path.to_owned(),
                    _lock: lock,
                };
                slot.tidy()?;
                return Ok(slot);
            }
        }
        Err(StoreError::Busy(name.to_owned()))
    }

    /// Removes all that the record does not name.
    pub(super) fn tidy(&self) -> Result<(), StoreError> {
        let record = self.record();
        let keep = |path: &Path| {
            let name = path.file_name().unwrap_or_default();
            let is = |it: &Path| it.as_os_str() == name;
            record.as_ref().is_some_and(|record| {
                let previous = record.previous.as_deref();
                name == RECORD || is(&record.folder) || previous.is_some_and(is)
            })
        };
        let entries = fs::read_dir(&self.path).map_err(failed("read", &self.path))?;
        for entry in entries.flatten().map(|it| it.path()).filter(|it| !keep(it)) {
            remove(&entry)?;
        }
        Ok(())
    }

    /// What is installed in it.
    pub(super) fn record(&self) -> Option<Record> {
        read_record(&self.path)
    }

    /// Where a new clone is made: not there yet, and tidied away unless it is recorded.
    pub(super) fn partial(&self) -> PathBuf {
        self.path.join("partial")
    }

    /// Gives a finished clone its name, and tells the folder.
    pub(super) fn settle(&self, commit: &str) -> Result<PathBuf, StoreError> {
        let short = &commit[..SHORT.min(commit.len())];
        let free = |name: &PathBuf| fs::symlink_metadata(self.path.join(name)).is_err();
        let mut names = (1..).map(|count| match count {
            1 => PathBuf::from(short),
            count => PathBuf::from(format!("{short}-{count}")),
        });
        let folder = self
            .path
            .join(names.find(free).expect("there is no end of names"));
        fs::rename(self.partial(), &folder).map_err(failed("make", &folder))?;
        Ok(folder)
    }

    /// Writes the record, whole or not at all.
    pub(super) fn write(&self, record: &Record) -> Result<(), StoreError> {
        let path = self.path.join(RECORD);
        let text = serde_json::to_vec_pretty(record).expect("a record has only texts");
        let write = || {
            let mut file = tempfile::NamedTempFile::new_in(&self.path)?;
            io::Write::write_all(&mut file, &text)?;
            file.as_file().sync_all()?;
            file.persist(&path)?;
            Ok(())
        };
        write().map_err(failed("write", &path))
    }

    /// Makes the record say what it said before.
    pub(super) fn restore(&self, before: Option<&Record>) -> Result<(), StoreError> {
        match before {
            Some(before) => self.write(before),
            None => remove(&self.path.join(RECORD)),
        }
    }

    /// The folder of a name that a record has.
    pub(super) fn folder(&self, name: &Path) -> PathBuf {
        self.path.join(name)
    }

    /// The name of a folder in the slot, for a record.
    pub(super) fn name_of(&self, folder: &Path) -> PathBuf {
        folder.strip_prefix(&self.path).unwrap_or(folder).to_owned()
    }

    /// Removes the slot and the folders above it that are empty then.
    pub(super) fn discard(self) -> Result<PathBuf, StoreError> {
        // Without a record a removal that is killed goes on later.
        remove(&self.path.join(RECORD))?;
        remove(&self.path)?;
        for above in self.path.ancestors().skip(1).take(3) {
            // A folder that is not empty stays.
            if fs::remove_dir(above).is_err() {
                break;
            }
        }
        Ok(self.path)
    }
}

/// Removes a file or a folder with all that is in it; links are removed, not followed. It is fine if
/// there is none.
fn remove(path: &Path) -> Result<(), StoreError> {
    let is_folder = fs::symlink_metadata(path).is_ok_and(|it| it.is_dir());
    let removed = if is_folder {
        make_writable(path);
        fs::remove_dir_all(path)
    } else {
        fs::remove_file(path)
    };
    match removed {
        Err(error) if error.kind() != NotFound => Err(failed("remove", path)(error)),
        _ => Ok(()),
    }
}

/// Folders that nobody may write to, as in the cache of Go, could not be emptied.
fn make_writable(folder: &Path) {
    use std::os::unix::fs::PermissionsExt;
    let mode = fs::symlink_metadata(folder).map_or(0o700, |it| it.permissions().mode());
    if mode & 0o700 != 0o700 {
        let _ = fs::set_permissions(folder, fs::Permissions::from_mode(0o700));
    }
    for inner in folders(folder) {
        make_writable(&inner);
    }
}

#[cfg(test)]
mod tests;
