//! Log file of limited size with one predecessor.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

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
        let file = Self::begin(&path, &head)?;
        let size = head.len() as u64;
        Ok(Self {
            path,
            previous,
            head,
            file,
            size,
        })
    }

    fn begin(path: &Path, head: &str) -> io::Result<File> {
        let mut file = private_files::new_file(path)?;
        file.write_all(head.as_bytes())?;
        Ok(file)
    }

    fn rotate(&mut self) -> io::Result<()> {
        fs::rename(&self.path, &self.previous)?;
        self.file = Self::begin(&self.path, &self.head)?;
        self.size = self.head.len() as u64;
        Ok(())
    }
}

impl Write for RotatingLog {
    fn write(&mut self, entry: &[u8]) -> io::Result<usize> {
        let length = entry.len() as u64;
        if self.size + length > MAX_SIZE && self.size > self.head.len() as u64 {
            self.rotate()?;
        }
        self.file.write_all(entry)?;
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
