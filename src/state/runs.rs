//! Records of this user's proxies, as other processes read them.
//!
//! A proxy has a name, and files with that name in one folder: a record, which an orderly end removes, and a lock,
//! which the system releases with the process. A record without a locked lock is that of a proxy that died.

use std::collections::BTreeMap;
use std::fs::{self, File, TryLockError};
use std::path::Path;
use std::time::{Duration, SystemTime};

use super::run_record::RunRecord;
use super::{StateDirectory, StateError, StateFolder};
use crate::process_lookup;

/// Sub-folder of the state directory.
pub(super) const FOLDER: &str = "runs";
/// Suffix of a record.
pub(super) const RECORD: &str = ".json";
/// Suffix of a lock.
pub(super) const LOCK: &str = ".lock";

/// Time for which files of a proxy that has ended are kept.
const KEPT_FOR: Duration = Duration::from_secs(24 * 60 * 60);
/// Number of proxies that have ended whose files are kept.
const KEPT: usize = 50;

/// Proxy with a record.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) record: RunRecord,
    /// False if the proxy has died.
    pub(crate) is_running: bool,
    /// Time of the last change of the record.
    pub(crate) changed: SystemTime,
}

/// Returns the proxies of this user that run or have died within a day, the newest first. Omits unreadable records.
pub(crate) fn runs(directory: &StateDirectory) -> Result<Vec<Run>, StateError> {
    let folder = directory.folder(FOLDER)?;
    let now = SystemTime::now();
    let names = folder.names()?;
    let runs = names.iter().rev().filter_map(|name| {
        let id = name.strip_suffix(RECORD)?;
        let changed = fs::metadata(folder.file(name)).ok()?.modified().ok()?;
        // Before the record is read: a proxy may end in between, and then there is no record.
        let is_running = is_running(&folder, id);
        // The files stay until the next end of a proxy.
        if !is_running && is_older(changed, now) {
            return None;
        }
        let bytes = folder.read(name).ok()??;
        Some(Run {
            record: serde_json::from_slice(&bytes).ok()?,
            is_running,
            changed,
        })
    });
    Ok(runs.collect())
}

/// Whether the proxy named `id` runs.
pub(super) fn is_running(folder: &StateFolder, id: &str) -> bool {
    let Ok(lock) = File::open(folder.file(&format!("{id}{LOCK}"))) else {
        return false;
    };
    match lock.try_lock_shared() {
        Ok(()) => false,
        Err(TryLockError::WouldBlock) => true,
        // Without locks, the name tells the process.
        Err(TryLockError::Error(_)) => id
            .rsplit_once('-')
            .and_then(|(_, pid)| pid.parse().ok())
            .is_some_and(|pid| process_lookup::exists(pid).unwrap_or(true)),
    }
}

/// Removes the files of proxies that have ended, except for the newest ones of one day. Errors are ignored: the next
/// proxy tries again.
pub(super) fn remove_old(folder: &StateFolder, now: SystemTime) {
    let Ok(entries) = fs::read_dir(folder.path()) else {
        return;
    };
    let mut ended: BTreeMap<String, Vec<_>> = BTreeMap::new();
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let dot = name.find('.').filter(|at| *at > 0).unwrap_or(name.len());
        ended
            .entry(name[..dot].to_owned())
            .or_default()
            .push(entry.path());
    }
    ended.retain(|id, _| !is_running(folder, id));
    for (rank, (id, files)) in ended.iter().rev().enumerate() {
        // Temporary files have names of their own, and may be in use.
        let is_surplus = rank >= KEPT && !id.starts_with('.');
        if is_surplus || files.iter().all(|file| is_old(file, now)) {
            for file in files {
                let _ = fs::remove_file(file);
            }
        }
    }
}

fn is_old(file: &Path, now: SystemTime) -> bool {
    let changed = fs::metadata(file).and_then(|it| it.modified());
    changed.is_ok_and(|at| is_older(at, now))
}

fn is_older(changed: SystemTime, now: SystemTime) -> bool {
    now.duration_since(changed).is_ok_and(|age| age > KEPT_FOR)
}

#[cfg(test)]
mod tests {
    use super::super::run_record::Timestamp;
    use super::*;
    use crate::event::{Event, Failure};
    use crate::private_files;

    fn folder() -> (tempfile::TempDir, StateDirectory, StateFolder) {
        let room = tempfile::tempdir().unwrap();
        let directory = StateDirectory::at(room.path().join("state"));
        let folder = directory.folder(FOLDER).unwrap();
        (room, directory, folder)
    }

    /// Writes a record; its number counts seconds.
    fn put(folder: &StateFolder, number: u64) -> String {
        let started = Timestamp::of(SystemTime::UNIX_EPOCH + Duration::from_secs(number));
        let record = RunRecord::new(1, started, "dev", "/".into());
        let text = serde_json::to_vec(&record).unwrap();
        folder
            .write(&format!("{}{RECORD}", record.id()), &text)
            .unwrap();
        record.id()
    }

    #[test]
    fn a_locked_record_is_that_of_a_running_proxy() {
        let (_room, directory, folder) = folder();
        put(&folder, 1);
        let id = put(&folder, 2);
        folder.write("broken.json", b"{").unwrap();
        let lock = private_files::new_file(&folder.file(&format!("{id}{LOCK}"))).unwrap();
        let states = || {
            let runs = runs(&directory).unwrap();
            let states = runs.iter().map(|run| (run.record.id(), run.is_running));
            states.collect::<Vec<_>>()
        };
        lock.lock().unwrap();
        let first = put(&folder, 1);
        assert_eq!(states(), [(id.clone(), true), (first.clone(), false)]);
        drop(lock);
        assert_eq!(states(), [(id.clone(), false), (first.clone(), false)]);
        // A day later.
        let record = File::options()
            .append(true)
            .open(folder.file(&format!("{id}{RECORD}")));
        let past = SystemTime::now() - KEPT_FOR - Duration::from_secs(60);
        record.unwrap().set_modified(past).unwrap();
        assert_eq!(states(), [(first, false)]);
    }

    #[test]
    fn records_of_the_dead_are_kept_for_a_day_and_in_a_limited_number() {
        let (_room, directory, folder) = folder();
        for number in 0..60 {
            put(&folder, number);
        }
        folder.write(".tmp123", b"").unwrap();
        let id = put(&folder, 0);
        let lock = private_files::new_file(&folder.file(&format!("{id}{LOCK}"))).unwrap();
        lock.lock().unwrap();
        let now = SystemTime::now();
        remove_old(&folder, now);
        let left = runs(&directory).unwrap();
        assert_eq!(left.len(), KEPT + 1);
        assert!(left.last().unwrap().is_running);
        assert!(left[0].record.id() > left[1].record.id());
        remove_old(&folder, now + KEPT_FOR + Duration::from_secs(60));
        assert_eq!(runs(&directory).unwrap().len(), 1);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    #[test]
    fn values_of_variables_are_hidden_in_errors_and_lines() {
        let room = tempfile::tempdir().unwrap();
        let file = room.path().join(".mcp.json");
        let text = r#"{"mcpServers": {"a": {"command": "sh", "args": ["${KEY}"]}}}"#;
        std::fs::write(&file, text).unwrap();
        let loaded = crate::config::load(&crate::config::ConfigContext {
            explicit: Some(file),
            cwd: room.path().into(),
            variables: [("KEY".to_owned(), "hush-hush".to_owned())].into(),
            ..Default::default()
        });
        let at = Timestamp::of(SystemTime::now());
        let mut record = RunRecord::new(1, at, "dev", "/".into());
        let line = Some("a  hush-hush");
        let broken = Event::Broken {
            server: "a".into(),
            failure: Failure::new(1, "no hush-hush".into()),
            serving_last_good: false,
        };
        record.apply(&broken, line, at);
        let reason = "hush-hush".to_owned();
        record.apply(&Event::Failed { reason }, line, at);
        let record = record.hiding(&loaded.config.servers[0].hidden);
        let text = serde_json::to_string(&record).unwrap();
        assert!(!text.contains("hush-hush"), "{text}");
        assert!(text.contains("no ${KEY}"), "{text}");
    }
}
