//! Puts the servers of one table of a client's file behind one entry. The servers move to a file of their own beside the
//! client's file, which `mcp-proxy serve` reads.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::SetupError;
use super::plan::Proposal;
use crate::config::edit::{ClientFile, EntryPath};
use crate::file_error::FileError;
use crate::private_files;

/// Name of the entry.
const NAME: &str = "mcp-proxy";
/// Ending of the names of files with servers.
const ENDING: &str = "mcp-proxy";

/// Entry in place of several servers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CombinedEntry {
    /// Place of the entry in the client's file.
    pub(crate) entry: EntryPath,
    /// File that the servers move to.
    pub(crate) file: PathBuf,
}

impl CombinedEntry {
    /// Returns whether the file with the servers has this text.
    pub(super) fn has_text(&self, text: &str) -> Result<bool, SetupError> {
        let written = std::fs::read_to_string(&self.file);
        let written = written.map_err(FileError::at("read", &self.file))?;
        Ok(written == text)
    }
}

/// Returns the text of the file that servers of `parsed` move to.
pub(super) fn servers_text(
    parsed: &ClientFile,
    proposals: &[&Proposal],
) -> Result<String, SetupError> {
    let mut servers = Map::new();
    for proposal in proposals {
        let server = parsed.value_in_braces(&proposal.entry, proposal.client.variables());
        let server = server.ok_or_else(|| proposal.changed())?;
        servers.insert(proposal.entry.name.clone(), with_directory(server));
    }
    Ok(format!("{:#}\n", json!({ "mcpServers": servers })))
}

/// Gives the proposals of one table an entry together. Returns the reason against it as a clause about each of them.
/// `is_taken` says whether another table will use a file.
pub(super) fn combine(
    parsed: &ClientFile,
    proposals: &mut [Proposal],
    is_taken: impl Fn(&Path) -> bool,
) -> Result<(), String> {
    let Some(first) = proposals.first() else {
        return Ok(());
    };
    let known = parsed.names(&first.entry.keys);
    let entry = EntryPath {
        name: numbered(|number| {
            let name = NAME.to_owned() + &number;
            (!known.contains(&name)).then_some(name)
        }),
        ..first.entry.clone()
    };
    let beside = std::path::absolute(&first.file).unwrap_or_else(|_| first.file.clone());
    let stem = beside.file_stem().unwrap_or_default().to_string_lossy();
    let file = numbered(|number| {
        let file = beside.with_file_name(format!("{stem}.{ENDING}{number}.json"));
        (!file.exists() && !is_taken(&file)).then_some(file)
    });
    let path = file
        .to_str()
        .ok_or("cannot be moved to a file whose path is not Unicode")?;
    let words = [&*first.words[0], "serve", "--config", path];
    let words = words.map(str::to_owned).to_vec();
    let names: Vec<String> = proposals.iter().map(|it| it.entry.name.clone()).collect();
    parsed.combined(&entry, &words, &names).map_err(
        |_| "is in a file whose form allows no common entry; setup without --many wraps it",
    )?;
    for proposal in proposals {
        proposal.words.clone_from(&words);
        proposal.combined = Some(CombinedEntry {
            entry: entry.clone(),
            file: file.clone(),
        });
    }
    Ok(())
}

/// Returns the first result for "", "-2", "-3" and so on.
fn numbered<T>(mut result: impl FnMut(String) -> Option<T>) -> T {
    let mut number = 1;
    loop {
        let text = match number {
            1 => String::new(),
            number => format!("-{number}"),
        };
        if let Some(result) = result(text) {
            return result;
        }
        number += 1;
    }
}

/// File with servers that no client's file names yet; removed on drop unless it is kept.
#[derive(Debug)]
pub(crate) struct ServersFile(Option<PathBuf>);

impl ServersFile {
    /// Writes the servers of the proposals, which share one combined entry, for the user only.
    pub(crate) fn write(proposals: &[&Proposal]) -> Result<Option<Self>, SetupError> {
        let Some(combined) = proposals.first().and_then(|it| it.combined.as_ref()) else {
            return Ok(None);
        };
        let parsed = ClientFile::read(&proposals[0].file)?;
        let text = servers_text(&parsed, proposals)?;
        let pending = Self(Some(combined.file.clone()));
        private_files::replace_durably(&combined.file, text)
            .map_err(FileError::at("write", &combined.file))?;
        Ok(Some(pending))
    }

    /// Returns the path.
    pub(crate) fn path(&self) -> Option<&Path> {
        self.0.as_deref()
    }

    /// Leaves the file in its place.
    pub(crate) fn keep(mut self) {
        self.0 = None;
    }
}

impl Drop for ServersFile {
    fn drop(&mut self) {
        if let Some(file) = &self.0 {
            let _ = std::fs::remove_file(file);
        }
    }
}

/// Adds the working directory that a client gives its servers: the proxy's own. Otherwise the proxy would use the folder
/// of the file.
fn with_directory(mut server: Value) -> Value {
    let has_one = server["cwd"]
        .as_str()
        .is_some_and(|it| !it.trim().is_empty());
    if !has_one {
        server["cwd"] = "${cwd}".into();
    }
    server
}
