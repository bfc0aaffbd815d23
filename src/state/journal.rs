//! The proxy's side of its record and its log: both are written on the thread that prints events.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

use super::logs::{LOG, PREVIOUS_LOG, log_head};
use super::rotating_log::RotatingLog;
use super::run_record::{RunRecord, Timestamp};
use super::runs::{FOLDER, LOCK, RECORD, remove_old};
use super::{StateDirectory, StateError, StateFolder};
use crate::config::HiddenValues;
use crate::event::Event;
use crate::file_error::FileError;
use crate::folder_lock::wait_for_lock;
use crate::private_files;

/// Minimum time between two writes of the record.
const PAUSE: Duration = Duration::from_millis(100);

/// Number of files at which a start removes old ones, since many proxies were killed.
const CROWDED: usize = 400;

/// Maximum wait for the lock. A reader holds it for a moment only.
const LOCK_TIMEOUT: Duration = Duration::from_secs(1);

/// Description of a proxy that keeps a record.
#[derive(Debug, Clone)]
pub(crate) struct RunOptions {
    /// `dev` or `serve`.
    pub(crate) subcommand: &'static str,
    /// Folder of the configuration, or of the command.
    pub(crate) project: PathBuf,
    /// Whether a log is kept.
    pub(crate) keeps_log: bool,
    /// File that messages are recorded in, if any.
    pub(crate) recording: Option<PathBuf>,
}

/// Record and log of this proxy, on disk. All functions block. Errors after the opening are ignored: no place is left
/// to report them.
#[derive(Debug)]
pub(crate) struct Journal {
    folder: StateFolder,
    record: RunRecord,
    log: Option<RotatingLog>,
    /// Lock that the system releases when the process ends.
    _lock: File,
    /// Time of the last write of the record.
    written: Instant,
    is_changed: bool,
}

impl Journal {
    /// Creates the record and the log of this process.
    pub(crate) fn open(options: &RunOptions) -> Result<Self, StateError> {
        let folder = StateDirectory::of_user()?.folder(FOLDER)?;
        let started = Timestamp::of(SystemTime::now());
        let project = options.project.to_string_lossy().into_owned();
        let record = RunRecord::new(std::process::id(), started, options.subcommand, project);
        let file = |suffix| folder.file(&format!("{}{suffix}", record.id()));
        let lock = private_files::new_file(&file(LOCK));
        let lock = lock.map_err(FileError::at("create", &file(LOCK)))?;
        take(&lock, LOCK_TIMEOUT).map_err(FileError::at("lock", &file(LOCK)))?;
        let log = options.keeps_log.then(|| {
            let head = log_head(&record, options.recording.as_deref());
            RotatingLog::create(file(LOG), file(PREVIOUS_LOG), head)
                .map_err(FileError::at("create", &file(LOG)))
        });
        let mut journal = Self {
            log: log.transpose()?,
            folder,
            record,
            _lock: lock,
            written: Instant::now(),
            is_changed: false,
        };
        journal.try_write(&HiddenValues::default())?;
        // Usually an end removes old files, so that they do not delay a start.
        if journal.folder.names()?.len() > CROWDED {
            remove_old(&journal.folder, SystemTime::now());
        }
        Ok(journal)
    }

    /// Appends an entry to the log.
    pub(crate) fn log(&mut self, entry: &str) {
        if let Some(log) = &mut self.log {
            let _ = log.write_all(entry.as_bytes());
        }
    }

    /// Updates the record; `entry` is the event's entry in the log, if any.
    pub(crate) fn note(&mut self, event: &Event, entry: Option<&str>) {
        let now = Timestamp::of(SystemTime::now());
        let line = entry.and_then(|entry| entry.lines().next());
        self.is_changed |= self.record.apply(event, line, now);
    }

    /// Returns the time until the record should be written; `None` if nothing has changed.
    pub(crate) fn write_in(&self) -> Option<Duration> {
        self.is_changed
            .then(|| PAUSE.saturating_sub(self.written.elapsed()))
    }

    /// Writes the record without `hidden` values.
    pub(crate) fn write(&mut self, hidden: &HiddenValues) {
        let _ = self.try_write(hidden);
    }

    fn try_write(&mut self, hidden: &HiddenValues) -> Result<(), StateError> {
        self.is_changed = false;
        self.written = Instant::now();
        let record = self.record.clone().hiding(hidden);
        let text = serde_json::to_vec(&record).unwrap_or_default();
        self.folder
            .write(&format!("{}{RECORD}", record.id()), &text)
    }

    /// Ends the record: removes it, or leaves the error that ends the proxy. Removes old files of other proxies.
    pub(crate) fn finish(mut self, hidden: &HiddenValues) {
        let id = self.record.id();
        if self.record.failure.is_some() {
            self.write(hidden);
        } else {
            let _ = self.folder.remove(&format!("{id}{RECORD}"));
        }
        let _ = self.folder.remove(&format!("{id}{LOCK}"));
        remove_old(&self.folder, SystemTime::now());
    }
}

/// Locks a file. Does nothing on file systems without locks, where the name of the proxy tells its process.
fn take(lock: &File, timeout: Duration) -> io::Result<()> {
    if wait_for_lock(|| lock.try_lock(), timeout) {
        Ok(())
    } else {
        Err(io::Error::other("another program keeps it locked"))
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn a_lock_of_another_program_is_waited_for_and_given_up() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let other = File::create(&path).unwrap();
        other.lock_shared().unwrap();
        let own = File::open(&path).unwrap();
        let error = take(&own, Duration::from_millis(20)).unwrap_err();
        assert!(error.to_string().contains("locked"), "{error}");
        thread::scope(|scope| {
            let taking = scope.spawn(|| take(&own, Duration::from_secs(60)));
            drop(other);
            taking.join().unwrap().unwrap();
        });
    }
}
