//! Stores installed servers in `servers/<host>/<owner>/<repo>/<name>`, called a slot, under the user's data folder. A
//! slot has one folder per commit and the record of the installation. Entries that the record does not name are left
//! over from a killed installation, and are removed when the slot is next locked. Paths consist only of names that
//! `source` has checked.

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

use std::fs::{self, TryLockError};
use std::io::{
    self,
    ErrorKind::{AlreadyExists, NotFound},
};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

#[cfg(unix)]
use self::unix as system;
#[cfg(windows)]
use self::windows as system;

use super::source::{Source, SourceError, SourcePermissions, StoreLocation};
use crate::config::is_name_char;
use crate::file_error::FileError;
use crate::folder_lock::FolderLock;
use crate::{private_files, user_folders};

const RECORD: &str = "installed.json";
/// Attempts to lock a slot that other processes remove.
const ATTEMPTS: usize = 100;
/// Number of digits of a commit in its folder's name.
const SHORT: usize = 12;

/// Record of an installed server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct InstallRecord {
    pub(crate) name: String,
    /// Source in its canonical form, without credentials.
    pub(crate) source: String,
    pub(crate) commit: String,
    /// Full name of the branch or tag that led to the commit.
    pub(crate) reference: Option<String>,
    /// Settings that the person or model chose instead of detection.
    pub(crate) choices: StartSettings,
    /// Start command, as registered.
    pub(crate) command: Vec<String>,
    /// Folder of the commit, in the slot.
    pub(super) folder: PathBuf,
    /// Previous folder, which a server may still run from.
    pub(super) previous: Option<PathBuf>,
    /// Configuration files that register the server.
    #[serde(with = "recorded_paths")]
    pub(crate) registered: Vec<PathBuf>,
}

impl InstallRecord {
    /// Returns the names of its folders: of the commit, and of the previous one if it is kept.
    pub(super) fn folders(&self) -> impl Iterator<Item = &Path> {
        std::iter::once(&*self.folder).chain(self.previous.as_deref())
    }

    /// Parses the source with all permissions, regardless of those in force now.
    pub(super) fn source(&self) -> Result<Source, SourceError> {
        let everything = SourcePermissions {
            insecure: true,
            local: true,
        };
        Source::parse(&self.source, everything, Path::new("/"))
    }
}

/// Settings that replace detection.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct StartSettings {
    /// File that starts the server.
    pub(crate) server_file: Option<String>,
    /// Requirements file, for Python.
    pub(crate) requirements_file: Option<String>,
    /// Whole command.
    pub(crate) command: Vec<String>,
    /// True to fetch submodules as well.
    pub(crate) submodules: bool,
    /// True to install without following the lock file.
    pub(crate) ignore_lock: bool,
}

/// Folder of all installed servers.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    root: PathBuf,
}

/// Reason why an operation on the store failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    #[error(
        "no folder to install to: set {} to an absolute path",
        user_folders::DATA_VARIABLES
    )]
    Homeless,
    #[error(
        "invalid server name `{0}`: use at most 64 of A-Z, a-z, 0-9, `_` and `-`, and no `-` at the beginning"
    )]
    Name(String),
    #[error("another process is installing, updating or removing `{0}`")]
    Busy(String),
    #[error(transparent)]
    File(#[from] FileError),
}

impl Store {
    /// Returns the store of this user.
    pub(super) fn of_user() -> Result<Self, StoreError> {
        let data = user_folders::data().ok_or(StoreError::Homeless)?;
        Ok(Self::at(data.join("mcp-proxy").join("servers")))
    }

    pub(crate) fn at(root: PathBuf) -> Self {
        Self { root }
    }

    /// Locks the slot of a server, and tidies it.
    pub(super) fn slot(&self, place: &StoreLocation, name: &str) -> Result<StoreSlot, StoreError> {
        check_name(name)?;
        let path = self
            .root
            .join(&place.host)
            .join(&place.owner)
            .join(&place.repo)
            .join(name);
        StoreSlot::hold(&path, name)
    }

    /// Returns the path of the log of a server's preparation; `None` if its folder cannot be made.
    pub(super) fn log(&self, name: &str) -> Option<PathBuf> {
        let folder = self.root.parent()?.join("logs");
        private_files::folder(&folder).ok()?;
        Some(folder.join(format!("{name}.log")))
    }

    /// Saves `text`, the content of `file` before the entry `name` is removed or replaced. Returns the path of the copy.
    pub(super) fn back_up(&self, name: &str, file: &Path, text: &str) -> io::Result<PathBuf> {
        let folder = self.root.with_file_name("backups");
        let original = file.file_name().unwrap_or_default().to_string_lossy();
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let ms = now.unwrap_or_default().as_millis();
        let path = folder.join(format!("{name}-{ms}-{original}"));
        private_files::folder(&folder)?;
        private_files::write_new(&path, text)?;
        Ok(path)
    }

    /// Returns the installed servers, in the order of their places. Removes slots that a killed installation left.
    pub(crate) fn installed(&self) -> Vec<StoredServer> {
        let mut slots = vec![self.root.clone()];
        for _ in ["host", "owner", "repo", "name"] {
            slots = slots.iter().flat_map(|it| folders(it)).collect();
        }
        slots.iter().filter_map(|slot| look(slot)).collect()
    }
}

/// Returns the installation in a slot. Removes a slot that has neither a record nor a holder.
fn look(slot: &Path) -> Option<StoredServer> {
    if let Some(record) = read_record(slot) {
        let folder = slot.join(&record.folder);
        let slot = slot.to_owned();
        return Some(StoredServer {
            slot,
            folder,
            record,
        });
    }
    let name = slot.file_name().unwrap_or_default().to_string_lossy();
    match StoreSlot::hold(slot, &name) {
        // Another process may have just finished the installation.
        Ok(held) if held.record().is_none() => _ = held.discard(),
        Ok(_) | Err(StoreError::Busy(_)) => {}
        Err(error) => tracing::warn!(%error, "cannot remove the files of a killed installation"),
    }
    None
}

/// Returns the folders in a folder, sorted, without links.
fn folders(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let is_folder = |it: &fs::DirEntry| it.file_type().is_ok_and(|kind| kind.is_dir());
    let mut folders: Vec<PathBuf> = entries.filter(is_folder).map(|it| it.path()).collect();
    folders.sort();
    folders
}

fn check_name(name: &str) -> Result<(), StoreError> {
    // A command line would parse it as an option.
    let is_option = name.starts_with('-');
    if name.is_empty() || is_option || name.len() > 64 || !name.chars().all(is_name_char) {
        return Err(StoreError::Name(name.to_owned()));
    }
    Ok(())
}

/// Installed server.
#[derive(Debug, Clone)]
pub(crate) struct StoredServer {
    slot: PathBuf,
    /// Folder of the repository's files.
    pub(crate) folder: PathBuf,
    pub(crate) record: InstallRecord,
}

impl StoredServer {
    /// Locks its slot, and tidies it.
    pub(super) fn hold(&self) -> Result<StoreSlot, StoreError> {
        StoreSlot::hold(&self.slot, &self.record.name)
    }

    /// Returns true if one of these configuration files registers the server.
    pub(super) fn is_in(&self, files: &[PathBuf]) -> bool {
        let mut registered = self.record.registered.iter();
        registered.any(|file| files.contains(file))
    }

    /// Returns the folder of all its commits.
    pub(super) fn slot(&self) -> &Path {
        &self.slot
    }

    /// Returns the folders of its commits.
    pub(super) fn folders(&self) -> impl Iterator<Item = PathBuf> {
        self.record.folders().map(|it| self.slot.join(it))
    }
}

fn read_record(slot: &Path) -> Option<InstallRecord> {
    let text = fs::read_to_string(slot.join(RECORD)).ok()?;
    let record: InstallRecord = serde_json::from_str(&text).ok()?;
    let plain = |path: &Path| path.components().count() == 1 && path.file_name().is_some();
    let sound = plain(&record.folder) && record.previous.as_deref().is_none_or(plain);
    sound.then_some(record)
}

/// Slot that is locked until it is dropped.
#[derive(Debug)]
pub(super) struct StoreSlot {
    path: PathBuf,
    _lock: FolderLock,
}

impl StoreSlot {
    fn hold(path: &Path, name: &str) -> Result<Self, StoreError> {
        for _ in 0..ATTEMPTS {
            let opened = private_files::folder(path).and_then(|()| FolderLock::open(path));
            let lock = match opened {
                // Another process is just removing the slot.
                Err(error) if matches!(error.kind(), NotFound | AlreadyExists) => continue,
                opened => opened.map_err(FileError::at("create", path))?,
            };
            match lock.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Err(StoreError::Busy(name.to_owned())),
                Err(TryLockError::Error(error)) => {
                    return Err(FileError::at("lock", path)(error).into());
                }
            }
            // The previous holder of the lock may have removed the folder.
            if lock.is_at(path) {
                let slot = Self {
                    path: path.to_owned(),
                    _lock: lock,
                };
                slot.remove_unrecorded()?;
                return Ok(slot);
            }
        }
        Err(StoreError::Busy(name.to_owned()))
    }

    /// Removes all entries that the record does not name.
    pub(super) fn remove_unrecorded(&self) -> Result<(), StoreError> {
        let record = self.record();
        let keep = |path: &Path| {
            let name = path.file_name().unwrap_or_default();
            record.as_ref().is_some_and(|record| {
                name == RECORD || record.folders().any(|it| it.as_os_str() == name)
            })
        };
        let entries = fs::read_dir(&self.path).map_err(FileError::at("read", &self.path))?;
        for entry in entries.flatten().map(|it| it.path()).filter(|it| !keep(it)) {
            remove(&entry)?;
        }
        Ok(())
    }

    /// Returns the record of the installation in the slot.
    pub(super) fn record(&self) -> Option<InstallRecord> {
        read_record(&self.path)
    }

    /// Returns the path for a new clone. It does not exist yet, and is removed by tidying unless recorded.
    pub(super) fn partial(&self) -> PathBuf {
        self.path.join("partial")
    }

    /// Renames a finished clone to its final name, and returns the folder.
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
        fs::rename(self.partial(), &folder).map_err(FileError::at("create", &folder))?;
        Ok(folder)
    }

    /// Writes the record atomically.
    pub(super) fn write(&self, record: &InstallRecord) -> Result<(), StoreError> {
        let path = self.path.join(RECORD);
        let text = serde_json::to_vec_pretty(record).map_err(io::Error::from);
        text.and_then(|text| private_files::replace_durably(&path, text))
            .map_err(FileError::at("write", &path))?;
        Ok(())
    }

    /// Restores the previous record.
    pub(super) fn restore(&self, before: Option<&InstallRecord>) -> Result<(), StoreError> {
        match before {
            Some(before) => self.write(before),
            None => remove(&self.path.join(RECORD)),
        }
    }

    /// Returns the path of a folder that a record names.
    pub(super) fn folder(&self, name: &Path) -> PathBuf {
        self.path.join(name)
    }

    /// Returns the folders that a record names.
    pub(super) fn folders(&self, record: &InstallRecord) -> impl Iterator<Item = PathBuf> {
        record.folders().map(|it| self.folder(it))
    }

    /// Returns the name of a folder in the slot, for a record.
    pub(super) fn name_of(&self, folder: &Path) -> PathBuf {
        folder.strip_prefix(&self.path).unwrap_or(folder).to_owned()
    }

    /// Removes the slot, and parent folders that become empty.
    pub(super) fn discard(&self) -> Result<PathBuf, StoreError> {
        // Without a record, a later run completes a removal that is killed.
        remove(&self.path.join(RECORD))?;
        remove(&self.path)?;
        for above in self.path.ancestors().skip(1).take(3) {
            // A folder that is not empty stays.
            if fs::remove_dir(above).is_err() {
                break;
            }
        }
        Ok(self.path.clone())
    }
}

/// Removes a file or a folder with its contents; links are removed, not followed. A missing path is no error.
fn remove(path: &Path) -> Result<(), StoreError> {
    let is_folder = fs::symlink_metadata(path).is_ok_and(|it| it.is_dir());
    let removed = if is_folder {
        make_writable(path);
        fs::remove_dir_all(path)
    } else {
        fs::remove_file(path)
    };
    match removed {
        Err(error) if error.kind() != NotFound => Err(FileError::at("remove", path)(error).into()),
        _ => Ok(()),
    }
}

/// Makes read-only folders writable, such as those in Go's cache; they cannot be emptied otherwise.
fn make_writable(folder: &Path) {
    system::allow_all(folder);
    for inner in folders(folder) {
        make_writable(&inner);
    }
}

mod recorded_paths;
#[cfg(test)]
#[cfg(unix)]
mod tests;
