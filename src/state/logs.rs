//! Logs of this user's proxies, as other processes read them. They outlive an orderly end.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use same_file::Handle;

use super::run_record::RunRecord;
use super::runs::{FOLDER, is_running};
use super::{StateDirectory, StateError, StateFolder};
use crate::file_error::FileError;

/// Suffix of a log.
pub(super) const LOG: &str = ".log";
/// Suffix of the log's file before the current one.
pub(super) const PREVIOUS_LOG: &str = ".1.log";
/// Beginning of the first line of each file.
const HEAD: &str = "# mcp-proxy ";
/// Text before the project in the first line.
const IN: &str = " in ";

/// Text before the recording in the first line, if there is one.
const MESSAGES_IN: &str = ", messages in ";

/// Returns the first line of a log's files; `recording` is the file with the proxy's messages.
pub(super) fn log_head(record: &RunRecord, recording: Option<&Path>) -> String {
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    let project = quoted(&record.project);
    let recording = recording.map(|path| MESSAGES_IN.to_owned() + &quoted(&path.to_string_lossy()));
    let (version, subcommand, pid) = (&record.version, &record.subcommand, record.pid);
    let recording = recording.unwrap_or_default();
    format!("{HEAD}{version} {subcommand} (pid {pid}){IN}{project}{recording}\n")
}

/// Log of one proxy.
#[derive(Debug)]
pub(crate) struct RunLog {
    folder: StateFolder,
    id: String,
    /// Project of the proxy, as in its record.
    pub(crate) project: String,
    pub(crate) pid: u32,
    /// File with the messages of the proxy, if it records them.
    pub(crate) recording: Option<PathBuf>,
}

/// Returns the logs of this user's proxies, the newest first.
pub(crate) fn logs(directory: &StateDirectory) -> Result<Vec<RunLog>, StateError> {
    let folder = directory.folder(FOLDER)?;
    let names = folder.names()?;
    let logs = names.iter().rev().filter_map(|name| {
        let id = name.strip_suffix(LOG).filter(|id| !id.contains('.'))?;
        let mut head = [0; 4096];
        let length = File::open(folder.file(name)).ok()?.read(&mut head).ok()?;
        let head = String::from_utf8_lossy(&head[..length]);
        let line = head.lines().next()?.strip_prefix(HEAD)?;
        let (_, places) = line.split_once(IN)?;
        let mut project = serde_json::Deserializer::from_str(places).into_iter::<String>();
        let name = project.next()?.ok()?;
        let recording = places[project.byte_offset()..].strip_prefix(MESSAGES_IN);
        Some(RunLog {
            folder: folder.clone(),
            id: id.to_owned(),
            project: name,
            pid: id.rsplit_once('-')?.1.parse().ok()?,
            recording: recording.and_then(|path| serde_json::from_str(path).ok()),
        })
    });
    Ok(logs.collect())
}

impl RunLog {
    /// Whether the proxy runs.
    pub(crate) fn is_running(&self) -> bool {
        is_running(&self.folder, &self.id)
    }

    /// Opens the log at its beginning.
    pub(crate) fn open(&self) -> Result<LogReader, StateError> {
        let file = |suffix| self.folder.file(&format!("{}{suffix}", self.id));
        let (path, previous) = (file(LOG), file(PREVIOUS_LOG));
        let first = File::open(&previous).or_else(|_| File::open(&path));
        Ok(LogReader {
            file: first.map_err(FileError::at("read", &path))?,
            path,
            previous,
            unread: Vec::new(),
            has_head: false,
        })
    }
}

/// Reads a log that may grow meanwhile.
#[derive(Debug)]
pub(crate) struct LogReader {
    file: File,
    path: PathBuf,
    previous: PathBuf,
    /// Beginning of a line that is not yet whole.
    unread: Vec<u8>,
    /// Whether the first line of a file was returned.
    has_head: bool,
}

impl LogReader {
    /// Returns the whole lines since the last call.
    pub(crate) fn read(&mut self) -> Result<Vec<String>, StateError> {
        let mut lines = Vec::new();
        loop {
            // No more is written to a file that has a successor.
            let successor = self.successor();
            let read = self.file.read_to_end(&mut self.unread);
            read.map_err(FileError::at("read", &self.path))?;
            self.take_lines(&mut lines);
            match successor {
                Some(file) => self.file = file,
                None => return Ok(lines),
            }
        }
    }

    /// Returns the file that follows the open one, if any.
    fn successor(&self) -> Option<File> {
        let own = handle(&self.file).ok()?;
        let is_own = |file: &File| handle(file).is_ok_and(|it| it == own);
        let open = |path: &Path| File::open(path).ok();
        let current = open(&self.path)?;
        if is_own(&current) {
            return None;
        }
        // A file in between may have been missed.
        let previous = open(&self.previous).filter(|it| !is_own(it));
        Some(previous.unwrap_or(current))
    }

    fn take_lines(&mut self, lines: &mut Vec<String>) {
        let Some(end) = self.unread.iter().rposition(|byte| *byte == b'\n') else {
            return;
        };
        let rest = self.unread.split_off(end + 1);
        let text = String::from_utf8_lossy(&self.unread).into_owned();
        self.unread = rest;
        for line in text.lines() {
            let is_head = line.starts_with(HEAD);
            if !is_head || !self.has_head {
                lines.push(line.to_owned());
            }
            self.has_head |= is_head;
        }
    }
}

/// Returns a handle that equals another one of the same file.
fn handle(file: &File) -> io::Result<Handle> {
    Handle::from_file(file.try_clone()?)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::time::SystemTime;

    use super::super::rotating_log::RotatingLog;
    use super::super::run_record::Timestamp;
    use super::*;

    fn log(directory: &StateDirectory, project: &str) -> RotatingLog {
        let folder = directory.folder(FOLDER).unwrap();
        let now = Timestamp::of(SystemTime::now());
        let record = RunRecord::new(7, now, "dev", project.into());
        let file = |suffix| folder.file(&format!("{}{suffix}", record.id()));
        RotatingLog::create(file(LOG), file(PREVIOUS_LOG), log_head(&record, None)).unwrap()
    }

    #[test]
    fn a_log_is_found_with_its_project() {
        let room = tempfile::tempdir().unwrap();
        let directory = StateDirectory::at(room.path().join("state"));
        log(&directory, "/a \"project\" in x")
            .write_all(b"x\n")
            .unwrap();
        let logs = logs(&directory).unwrap();
        assert_eq!(logs[0].project, "/a \"project\" in x");
        assert_eq!((logs[0].pid, logs[0].is_running()), (7, false));
        assert_eq!(logs[0].recording, None);
    }

    #[test]
    fn a_log_names_the_recording() {
        let room = tempfile::tempdir().unwrap();
        let directory = StateDirectory::at(room.path().join("state"));
        let folder = directory.folder(FOLDER).unwrap();
        let now = Timestamp::of(SystemTime::now());
        let record = RunRecord::new(7, now, "dev", "/a, messages in \"b\"".into());
        let recording = Path::new("/a \"c\" d.ndjson");
        let log = log_head(&record, Some(recording));
        let name = format!("{}{LOG}", record.id());
        folder.write(&name, log.as_bytes()).unwrap();
        let logs = logs(&directory).unwrap();
        assert_eq!(logs[0].project, record.project);
        assert_eq!(logs[0].recording.as_deref(), Some(recording));
    }

    #[test]
    fn lines_are_read_once_across_rotations() {
        let room = tempfile::tempdir().unwrap();
        let directory = StateDirectory::at(room.path().join("state"));
        let mut log = log(&directory, "/project");
        let mut write = |number: usize| log.write_all(format!("{number:>1023}\n").as_bytes());
        write(0).unwrap();
        let mut reader = logs(&directory).unwrap()[0].open().unwrap();
        let first = reader.read().unwrap();
        assert!(first[0].starts_with(HEAD) && first[1].trim() == "0");
        assert_eq!(reader.read().unwrap(), [""; 0]);
        // About one and a half files are unread: the rest of the first, and the second.
        for number in 1..700 {
            write(number).unwrap();
        }
        let mut lines = reader.read().unwrap();
        for number in 700..1500 {
            write(number).unwrap();
        }
        lines.extend(reader.read().unwrap());
        let numbers: Vec<usize> = lines.iter().map(|it| it.trim().parse().unwrap()).collect();
        assert_eq!(numbers, (1..1500).collect::<Vec<_>>());
    }

    #[test]
    fn a_part_of_a_line_waits_for_its_end() {
        let room = tempfile::tempdir().unwrap();
        let directory = StateDirectory::at(room.path().join("state"));
        let mut log = log(&directory, "/project");
        let mut reader = logs(&directory).unwrap()[0].open().unwrap();
        assert_eq!(reader.read().unwrap().len(), 1);
        log.write_all("a\nhö".as_bytes()).unwrap();
        assert_eq!(reader.read().unwrap(), ["a"]);
        log.write_all("re\n".as_bytes()).unwrap();
        assert_eq!(reader.read().unwrap(), ["höre"]);
    }
}
