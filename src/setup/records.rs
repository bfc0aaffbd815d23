//! Records of wrapped entries in the state directory, each with the text of the file before and after.

use std::io;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::{SetupError, clients};
use crate::config::edit::EntryPath;
use crate::file_error::FileError;
use crate::random;
use crate::state::{StateError, StateFolder};

/// Sub-folder of the state directory.
pub(crate) const FOLDER: &str = "setup";
/// Version of the format.
const VERSION: u32 = 1;
const EXTENSION: &str = ".json";

/// One edit of one file. The file contains secrets of the client's file and is private to the user.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct SetupRecord {
    version: u32,
    /// Name of the record's file; names sort by time.
    #[serde(skip)]
    pub(super) name: String,
    /// Time of the edit, in seconds since 1970.
    time: u64,
    /// Id of the client.
    pub(crate) client: String,
    /// The client's file; perhaps a symlink.
    pub(crate) file: PathBuf,
    /// Wrapped servers, in the order of the edits.
    pub(crate) servers: Vec<WrappedServer>,
    /// Entry in place of the servers, if they share one.
    #[serde(default)]
    pub(super) combined: Option<RecordedEntry>,
    pub(super) before: String,
    pub(super) after: String,
}

/// Edit of one server.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct WrappedServer {
    #[serde(flatten)]
    pub(crate) entry: EntryPath,
    /// Words put before the command.
    pub(super) words: Vec<String>,
    /// Whether the server had no arguments before.
    pub(super) args_added: bool,
}

/// Entry in place of several servers.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct RecordedEntry {
    #[serde(flatten)]
    pub(super) entry: EntryPath,
    /// File that the servers moved to.
    pub(super) servers_file: PathBuf,
    /// Text of this file.
    pub(super) servers_text: String,
}

impl RecordedEntry {
    /// Whether the file with the servers exists and has another text now.
    pub(super) fn is_changed(&self) -> bool {
        let text = std::fs::read_to_string(&self.servers_file);
        text.map_or_else(
            |error| error.kind() != io::ErrorKind::NotFound,
            |text| text != self.servers_text,
        )
    }
}

impl SetupRecord {
    /// Creates a record of an edit that is about to happen now, without servers and texts.
    pub(super) fn new(client: &str, file: PathBuf) -> Result<Self, SetupError> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.unwrap_or_default();
        let random = random::id()?;
        Ok(Self {
            version: VERSION,
            name: format!("{:020}-{}{EXTENSION}", now.as_nanos(), &random[..8]),
            time: now.as_secs(),
            client: client.to_owned(),
            file,
            servers: Vec::new(),
            combined: None,
            before: String::new(),
            after: String::new(),
        })
    }

    /// Whether setup edited the file for the client with this id, or the client shares the file.
    pub(crate) fn is_of(&self, client: &str) -> bool {
        self.client == client || clients::has_project_file(client, &self.file)
    }

    /// Writes the record, so that it survives a power failure: the edit of the client's file comes next.
    pub(super) fn write(&self, folder: &StateFolder) -> Result<(), StateError> {
        let path = folder.file(&self.name);
        let bytes = serde_json::to_vec_pretty(self)
            .map_err(io::Error::other)
            .map_err(FileError::at("write", &path))?;
        folder.write_durably(&self.name, &bytes)
    }
}

/// All records, the newest first.
#[derive(Debug, Default)]
pub(crate) struct SetupRecords {
    pub(crate) known: Vec<SetupRecord>,
    /// Reasons why the other records cannot be read, each with the path.
    pub(crate) unreadable: Vec<StateError>,
}

/// Reads the records.
pub(crate) fn records(folder: &StateFolder) -> Result<SetupRecords, StateError> {
    let mut records = SetupRecords::default();
    for name in folder.names()?.into_iter().rev() {
        match record(folder, name) {
            Ok(record) => records.known.extend(record),
            Err(error) => records.unreadable.push(error),
        }
    }
    Ok(records)
}

/// Reads one record; `None` if another undo has removed it meanwhile.
fn record(folder: &StateFolder, name: String) -> Result<Option<SetupRecord>, StateError> {
    let Some(bytes) = folder.read(&name)? else {
        return Ok(None);
    };
    let parsed = serde_json::from_slice::<SetupRecord>(&bytes).map_err(io::Error::other);
    let known = parsed.and_then(|record| match record.version {
        VERSION => Ok(record),
        _ => Err(io::Error::other("another version of mcp-proxy wrote it")),
    });
    let known = known.map_err(FileError::at("read", &folder.file(&name)))?;
    Ok(Some(SetupRecord { name, ..known }))
}
