//! Log file of limited size with one predecessor.
//!
//! On a full disk, entries are dropped: none is written in part, the files stay as they are, and the next entry that
//! fits continues the log.

use std::fs::{self, File};
use std::io::{self, Seek as _, SeekFrom, Write};
use std::path::PathBuf;

use crate::private_files;

/// Maximum size of each of the two files in bytes; a single longer entry has a file of its own.
const MAX_SIZE: u64 = 512 << 10;

/// Log file. Each write is one entry and is not split.
#[derive(Debug)]
pub(crate) struct RotatingLog {
    path: PathBuf,
    /// Name of the file before this one.
    previous: PathBuf,
    /// First line of each file.
    head: String,
    file: File,
    size: u64,
}

impl RotatingLog {
    /// Creates the log `path`; each of its files begins with the line `head`.
    pub(super) fn create(path: PathBuf, previous: PathBuf, head: String) -> io::Result<Self> {
        let file = begun(private_files::new_file(&path)?, &head)?;
        let size = head.len() as u64;
        Ok(Self {
            path,
            previous,
            head,
            file,
            size,
        })
    }

    /// Begins a new file once there is space for it. An error leaves both files as they are.
    fn rotate(&mut self) -> io::Result<()> {
        let next = self.next_path();
        let file = private_files::replace_file(&next)
            .and_then(|file| begun(file, &self.head))
            .inspect_err(|_| drop(fs::remove_file(&next)))?;
        match fs::rename(&self.path, &self.previous) {
            // Somebody removed it, or only the second renaming failed the last time.
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => fs::rename(&next, &self.path)?,
        }
        self.file = file;
        self.size = self.head.len() as u64;
        Ok(())
    }

    /// Returns the path of the next file until it is complete; the name is hidden from readers.
    fn next_path(&self) -> PathBuf {
        let name = self.path.file_name().unwrap_or_default();
        self.path
            .with_file_name(format!(".{}", name.to_string_lossy()))
    }
}

/// Writes the first line of a new file.
fn begun(mut file: File, head: &str) -> io::Result<File> {
    file.write_all(head.as_bytes())?;
    Ok(file)
}

impl Write for RotatingLog {
    fn write(&mut self, entry: &[u8]) -> io::Result<usize> {
        let length = entry.len() as u64;
        if self.size + length > MAX_SIZE && self.size > self.head.len() as u64 {
            self.rotate()?;
        }
        if let Err(error) = self.file.write_all(entry) {
            // Takes out the part that was written.
            self.file.set_len(self.size)?;
            self.file.seek(SeekFrom::Start(self.size))?;
            return Err(error);
        }
        self.size += length;
        Ok(entry.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #[cfg(unix)]
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[cfg(unix)]
    #[test]
    fn the_newest_entries_are_kept_in_two_files() {
        let room = tempfile::tempdir().unwrap();
        let (path, previous) = (room.path().join("x.log"), room.path().join("x.1.log"));
        let head = "# head\n".to_owned();
        let mut log = RotatingLog::create(path.clone(), previous.clone(), head).unwrap();
        let entry = |number: usize| format!("{number:>1023}\n");
        for number in 0..2000 {
            log.write_all(entry(number).as_bytes()).unwrap();
        }
        let texts = [&previous, &path].map(|path| fs::read_to_string(path).unwrap());
        assert!(texts.iter().all(|text| text.starts_with("# head\n")));
        assert!(texts.iter().all(|text| text.len() as u64 <= MAX_SIZE));
        let lines = texts.iter().flat_map(|text| text.lines().skip(1));
        let numbers: Vec<usize> = lines.map(|line| line.trim().parse().unwrap()).collect();
        assert!(numbers.len() > 512, "{}", numbers.len());
        let kept = 2000 - numbers.len()..2000;
        assert_eq!(numbers, kept.collect::<Vec<_>>());
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0);
    }

    #[test]
    fn a_log_that_cannot_rotate_keeps_its_entries_and_goes_on_later() {
        let room = tempfile::tempdir().unwrap();
        let (path, previous) = (room.path().join("x.log"), room.path().join("x.1.log"));
        let mut log = RotatingLog::create(path.clone(), previous.clone(), "#\n".into()).unwrap();
        let entry = "x".repeat(300 << 10);
        log.write_all(entry.as_bytes()).unwrap();
        // No file can be created under this name, as on a full disk.
        fs::create_dir(log.next_path()).unwrap();
        for _ in 0..3 {
            assert!(log.write_all(entry.as_bytes()).is_err());
            assert_eq!(fs::read_to_string(&path).unwrap(), format!("#\n{entry}"));
            assert!(!previous.exists());
        }
        log.write_all(b"short\n").unwrap();
        fs::remove_dir(log.next_path()).unwrap();
        log.write_all(entry.as_bytes()).unwrap();
        let before = fs::read_to_string(&previous).unwrap();
        assert_eq!(before, format!("#\n{entry}short\n"));
        assert_eq!(fs::read_to_string(&path).unwrap(), format!("#\n{entry}"));
        // A file that somebody removed comes back with the next rotation.
        fs::remove_file(&path).unwrap();
        log.write_all(entry.as_bytes()).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), format!("#\n{entry}"));
    }

    #[test]
    fn an_entry_of_any_size_is_written_whole() {
        let room = tempfile::tempdir().unwrap();
        let (path, previous) = (room.path().join("x.log"), room.path().join("x.1.log"));
        let mut log = RotatingLog::create(path.clone(), previous.clone(), "#\n".into()).unwrap();
        let long = "x".repeat(600 << 10);
        log.write_all(long.as_bytes()).unwrap();
        assert!(!previous.exists());
        log.write_all(b"y\n").unwrap();
        assert_eq!(fs::read_to_string(&previous).unwrap(), format!("#\n{long}"));
        assert_eq!(fs::read_to_string(&path).unwrap(), "#\ny\n");
    }
}
