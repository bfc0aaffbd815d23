//! Determines the entries to wrap, and what each would become.

use std::path::{Path, PathBuf};

use super::application_data::SYSTEM_PATH;
use super::clients::{Client, Scope};
use super::discovery::{self, FoundFile};
use crate::config::edit::{ClientFile, EditError, EntryKind, EntryPath};
use crate::config::{self, ConfigContext, ServerSpec};

/// Name of this program, which its command line begins with.
const PROGRAM: &str = "mcp-proxy";
/// Words between the program and the server's command.
const OPTIONS: [&str; 2] = ["dev", "--"];

/// Choice of entries.
#[derive(Debug, Default)]
pub(crate) struct Selection {
    /// Names of servers; empty for all.
    pub(crate) servers: Vec<String>,
    /// Ids of clients; empty for all.
    pub(crate) clients: Vec<String>,
    /// Scope; `None` for both.
    pub(crate) scope: Option<Scope>,
}

/// Entry to wrap.
#[derive(Debug)]
pub(crate) struct Proposal {
    pub(crate) client: &'static Client,
    pub(crate) scope: Scope,
    pub(crate) file: PathBuf,
    pub(crate) entry: EntryPath,
    /// Command of the server, as written.
    pub(crate) before: Vec<String>,
    /// Words to put before the command.
    pub(crate) words: Vec<String>,
    /// Settings with which the client starts the server.
    pub(crate) spec: ServerSpec,
}

impl Proposal {
    /// Returns the whole command of the wrapped entry, as written.
    pub(crate) fn after(&self) -> Vec<String> {
        self.words.iter().chain(&self.before).cloned().collect()
    }
}

/// Entry that is not wrapped.
#[derive(Debug)]
pub(crate) struct Skipped {
    pub(crate) client: &'static Client,
    pub(crate) scope: Scope,
    pub(crate) file: PathBuf,
    pub(crate) name: String,
    /// Reason, as a clause about the entry.
    pub(crate) why: String,
    /// Whether the entry cannot be wrapped as it is, although it starts a command.
    pub(crate) is_fault: bool,
}

/// Findings in the files of clients.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    pub(crate) proposals: Vec<Proposal>,
    pub(crate) skipped: Vec<Skipped>,
    /// Files that cannot be read or understood.
    pub(crate) faults: Vec<EditError>,
    /// Names of all servers found, whether selected or not.
    pub(crate) names: Vec<String>,
}

/// Finds the selected entries and determines what each would become. Changes nothing.
pub(crate) fn plan(around: &ConfigContext, selection: &Selection) -> Plan {
    let mut plan = Plan::default();
    let is_selected = |file: &FoundFile| {
        let clients = &selection.clients;
        let is_client = clients.is_empty() || clients.iter().any(|id| id == file.client.id);
        is_client && selection.scope.is_none_or(|scope| scope == file.scope)
    };
    for found in discovery::files(around).into_iter().filter(is_selected) {
        match found.parsed() {
            Ok(parsed) => plan.add(&found, &parsed, selection, around),
            // A file with two tables of servers is found twice.
            Err(fault)
                if !plan
                    .faults
                    .iter()
                    .any(|it| it.to_string() == fault.to_string()) =>
            {
                plan.faults.push(fault);
            }
            Err(_) => {}
        }
    }
    plan
}

impl Plan {
    fn add(
        &mut self,
        found: &FoundFile,
        parsed: &ClientFile,
        selection: &Selection,
        around: &ConfigContext,
    ) {
        for name in parsed.names(&found.keys) {
            let is_meant = selection.servers.is_empty() || selection.servers.contains(&name);
            self.names.push(name.clone());
            if !is_meant {
                continue;
            }
            let keys = found.keys.clone();
            let entry = EntryPath { keys, name };
            match proposal(found, parsed, entry.clone(), around) {
                Ok(proposal) => self.proposals.push(proposal),
                Err((why, is_fault)) => self.skipped.push(Skipped {
                    client: found.client,
                    scope: found.scope,
                    file: found.path.clone(),
                    name: entry.name,
                    why,
                    is_fault,
                }),
            }
        }
    }
}

/// Returns the proposal for an entry, or the reason against it and whether the reason is a fault.
fn proposal(
    found: &FoundFile,
    parsed: &ClientFile,
    entry: EntryPath,
    around: &ConfigContext,
) -> Result<Proposal, (String, bool)> {
    let skip = |why: &str| Err((why.to_owned(), false));
    let before = match parsed.kind(&entry) {
        Some(EntryKind::Command(words)) => words,
        Some(EntryKind::Remote) => return skip("has an address, and setup wraps commands only"),
        Some(EntryKind::Unsupported) | None => return skip("has no command that setup can wrap"),
    };
    if config::is_own(&before[0], &before[1..], around.program.as_deref()) {
        return skip("already runs through mcp-proxy");
    }
    let around = ConfigContext {
        cwd: found.cwd.clone(),
        ..around.clone()
    };
    let spec = config::client_entry(parsed, &entry, &around);
    let spec = spec.map_err(|error| {
        let is_fault = !matches!(error, config::EntryError::Disabled);
        (error.to_string(), is_fault)
    })?;
    let has_path = spec.env.iter().any(|(name, _)| name == "PATH");
    let path = match (has_path, found.client.is_in_terminal) {
        (true, _) => None,
        (false, true) => around.variables.get("PATH").map(String::as_str),
        (false, false) => Some(SYSTEM_PATH),
    };
    let program = program_word(path, &around).ok_or_else(|| {
        let why = "cannot be wrapped, since the path of mcp-proxy is not known or not Unicode";
        (why.to_owned(), true)
    })?;
    let words = [&*program].into_iter().chain(OPTIONS);
    let words: Vec<String> = words.map(str::to_owned).collect();
    parsed
        .wrapped(&entry, &words)
        .map_err(|error| (error.to_string(), true))?;
    Ok(Proposal {
        client: found.client,
        scope: found.scope,
        file: found.path.clone(),
        entry,
        before,
        words,
        spec,
    })
}

/// Returns the name of this program if a client with the search path `path` finds it by that name, else its absolute
/// path.
fn program_word(path: Option<&str>, around: &ConfigContext) -> Option<String> {
    let program = around.program.as_deref()?;
    let real = |path: &Path| path.canonicalize().ok();
    let found = path.and_then(|path| which::which_in(PROGRAM, Some(path), "/").ok());
    if found.is_some_and(|found| real(&found) == real(program)) {
        return Some(PROGRAM.to_owned());
    }
    program.to_str().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn the_program_is_named_only_where_the_client_finds_it() {
        let folder = tempfile::tempdir().unwrap();
        let program = std::env::current_exe().unwrap();
        let around = ConfigContext {
            program: Some(program.clone()),
            ..ConfigContext::default()
        };
        let path = folder.path().to_str();
        let absolute = program.to_str().map(str::to_owned);
        assert_eq!(program_word(path, &around), absolute);
        symlink(&program, folder.path().join(PROGRAM)).unwrap();
        assert_eq!(program_word(path, &around).as_deref(), Some(PROGRAM));
        assert_eq!(program_word(None, &around), absolute);
        // Another program of the same name.
        std::fs::remove_file(folder.path().join(PROGRAM)).unwrap();
        symlink("/bin/sh", folder.path().join(PROGRAM)).unwrap();
        assert_eq!(program_word(path, &around), absolute);
    }
}
