//! Reads settings files of a repository, and reports those by which a package manager would run code of the repository
//! although packages may run no scripts. The error of a check is a sentence fragment about the file.

use std::path::Path;

use super::PrepareError;

/// Maximum size of a settings file, in bytes.
const LONGEST: u64 = 1 << 20;

/// Refuses an existing `.venv`: installing runs its Python, which loads code from there at startup.
pub(super) fn check_environment(folder: &Path) -> Result<(), PrepareError> {
    let environment = folder.join(".venv");
    match environment.symlink_metadata() {
        Ok(_) => Err(runs(&environment, "comes with the repository")),
        Err(_) => Ok(()),
    }
}

/// Returns the entry of `keys` that equals `name`, ignoring case and punctuation.
pub(super) fn one_of<'a>(keys: &[&'a str], name: &str) -> Option<&'a str> {
    let is_letter = |c: &char| c.is_ascii_alphanumeric();
    let plain: String = name
        .chars()
        .filter(is_letter)
        .collect::<String>()
        .to_ascii_lowercase();
    keys.iter().copied().find(|key| *key == plain)
}

/// Reads a file; empty if it does not exist. An unreadable file is an error, since a tool might be able to read it.
pub(super) fn read(file: &Path) -> Result<String, PrepareError> {
    String::from_utf8(read_bytes(file)?).map_err(|_| runs(file, "is not UTF-8"))
}

/// Reads a file as [`read`] does, in any encoding.
pub(super) fn read_bytes(file: &Path) -> Result<Vec<u8>, PrepareError> {
    match std::fs::metadata(file) {
        Ok(about) if !about.is_file() || about.len() > LONGEST => {
            return Err(runs(file, "is not a settings file"));
        }
        Ok(_) => {}
        Err(_) => return Ok(Vec::new()),
    }
    std::fs::read(file).map_err(|_| runs(file, "cannot be read"))
}

pub(super) fn runs(file: &Path, what: &str) -> PrepareError {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    PrepareError::Settings {
        file: crate::quoting::sentence(&name),
        what: crate::quoting::sentence(what),
    }
}
