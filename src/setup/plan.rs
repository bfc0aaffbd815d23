//! Determines the entries to wrap, and what each would become.

use std::path::{Path, PathBuf};

use super::SetupError;
use super::clients::{Client, Scope};
use super::combining::{self, CombinedEntry};
use super::discovery::{self, FoundFile};
use super::entries::has_dev_mode;
use crate::config::edit::{ClientFile, EditError, EntryKind, EntryPath};
use crate::config::{self, ConfigContext, ServerSpec};
use crate::program_search;

/// Name of this program, which its command line begins with.
const PROGRAM: &str = "mcp-proxy";
/// Reason against an entry that VS Code restarts on saves or debugs, as a clause about it.
const DEV_MODE: &str = "has `dev`, with which VS Code itself restarts the server on a save, which ends the session, or \
                        debugs it, which works only without mcp-proxy; remove `dev` from the entry first";

/// Choice of entries.
#[derive(Debug, Default)]
pub(crate) struct Selection {
    /// Names of servers; empty for all.
    pub(crate) servers: Vec<String>,
    /// Ids of clients; empty for all.
    pub(crate) clients: Vec<String>,
    /// Scope; `None` for both.
    pub(crate) scope: Option<Scope>,
    /// Whether the servers of a table get one entry together.
    pub(crate) combines: bool,
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
    /// Words to put before the command, or the whole command of the combined entry.
    pub(crate) words: Vec<String>,
    /// Settings with which the client starts the server.
    pub(crate) spec: ServerSpec,
    /// Entry that several servers share; `None` if the server keeps its own.
    pub(crate) combined: Option<CombinedEntry>,
}

impl Proposal {
    /// Returns the whole command of the wrapped entry, or of the combined one, as written.
    pub(crate) fn after(&self) -> Vec<String> {
        let before = match self.combined {
            Some(_) => &[],
            None => &self.before[..],
        };
        self.words.iter().chain(before).cloned().collect()
    }

    /// Returns the error about an entry that is not as planned any more.
    pub(super) fn changed(&self) -> SetupError {
        SetupError::Changed {
            name: self.entry.name.clone(),
            file: self.file.display().to_string(),
        }
    }

    /// Returns the name of the entry that starts the server after the edit.
    pub(crate) fn entry_after(&self) -> &EntryPath {
        let combined = self.combined.as_ref();
        combined.map_or(&self.entry, |combined| &combined.entry)
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
    let is_selected = |file: &FoundFile| selection.scope.is_none_or(|scope| scope == file.scope);
    let files = discovery::files(around, &selection.clients);
    for found in files.into_iter().filter(is_selected) {
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
        let mut proposals = Vec::new();
        for name in parsed.names(&found.keys) {
            let is_meant = selection.servers.is_empty() || selection.servers.contains(&name);
            self.names.push(name.clone());
            if !is_meant {
                continue;
            }
            let keys = found.keys.clone();
            let entry = EntryPath { keys, name };
            match proposal(found, parsed, entry.clone(), around) {
                Ok(proposal) => proposals.push(proposal),
                Err((why, is_fault)) => self.skip(found, entry.name, why, is_fault),
            }
        }
        if selection.combines && !proposals.is_empty() {
            let taken = |file: &Path| {
                let mut combined = self.proposals.iter().flat_map(|it| &it.combined);
                combined.any(|it| it.file == file)
            };
            if let Err(why) = combining::combine(parsed, &mut proposals, taken) {
                for proposal in proposals {
                    self.skip(found, proposal.entry.name, why.clone(), true);
                }
                return;
            }
        }
        self.proposals.append(&mut proposals);
    }

    fn skip(&mut self, found: &FoundFile, name: String, why: String, is_fault: bool) {
        self.skipped.push(Skipped {
            client: found.client,
            scope: found.scope,
            file: found.path.clone(),
            name,
            why,
            is_fault,
        });
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
    if has_dev_mode(found.client, parsed, &entry) {
        return Err((DEV_MODE.to_owned(), true));
    }
    let around = ConfigContext {
        cwd: found.cwd.clone(),
        ..around.clone()
    };
    let spec = config::client_entry(parsed, &entry, found.client.variables(), &around);
    let mut spec = spec.map_err(|error| {
        let is_fault = !matches!(error, config::EntryError::Disabled);
        (error.to_string(), is_fault)
    })?;
    let is_bare = found.is_shared && found.client.is_in_terminal;
    let program = program_word(is_bare, &around).map_err(|why| (why.to_owned(), true))?;
    let mut words = vec![program, "dev".to_owned()];
    if let Some(settings) = settings(found, &entry.name, &around) {
        words.extend(["--server".to_owned(), entry.name.clone()]);
        spec.tools = settings.tools;
    }
    if let Some(address) = &spec.listens {
        words.extend(["--url".to_owned(), address.text().to_owned()]);
    }
    words.push("--".to_owned());
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
        combined: None,
    })
}

/// Returns the server `name` of the file with the settings that `mcp-proxy.toml` adds to it; `None` if it adds none, or
/// is not read together with the file.
fn settings(found: &FoundFile, name: &str, around: &ConfigContext) -> Option<ServerSpec> {
    // A client does not pass on the variables of this shell.
    let around = ConfigContext {
        explicit: None,
        ..around.clone()
    };
    let files = config::edit::places_of(&around, name);
    let [json, _toml] = &files[..] else {
        return None;
    };
    let is_same = json.canonicalize().ok() == found.path.canonicalize().ok();
    let servers = is_same.then(|| config::load(&around).config.servers)?;
    servers.into_iter().find(|spec| spec.name == name)
}

/// Returns the word that starts this program: the bare name if `is_bare` and `PATH` has the program, else an absolute
/// path, that of a symlink in `PATH` if there is one, since its target may end with the next version. The bare name is
/// for a file of a project, which others may have too, of a client that runs in a terminal: desktop applications do not
/// have the `PATH` of a shell. Returns the reason against it as a clause about an entry.
fn program_word(is_bare: bool, around: &ConfigContext) -> Result<String, &'static str> {
    const UNKNOWN: &str =
        "cannot be wrapped, since the path of mcp-proxy is not known or not Unicode";
    const TEMPORARY: &str =
        "cannot be wrapped by a temporary copy of mcp-proxy from npx or uvx; install it first";
    let program = around.program.as_deref().ok_or(UNKNOWN)?;
    let real = |path: &Path| path.canonicalize().ok();
    let is_temporary = |path: &Path| {
        let names = path.iter().map(|name| name.to_string_lossy());
        names
            .into_iter()
            .any(|name| name == "_npx" || name.starts_with("archive-v"))
    };
    if is_temporary(program) {
        return Err(TEMPORARY);
    }
    let path = around.variables.get("PATH");
    let found =
        path.and_then(|path| program_search::find(PROGRAM, Some(path.as_ref()), Path::new("/")));
    let found = found.filter(|found| real(found) == real(program));
    if is_bare && found.is_some() {
        return Ok(PROGRAM.to_owned());
    }
    let path = found.as_deref().unwrap_or(program);
    path.to_str().map(str::to_owned).ok_or(UNKNOWN)
}

#[cfg(test)]
mod tests {
    #[cfg(unix)]
    use std::os::unix::fs::symlink;

    use super::*;

    #[cfg(unix)]
    #[test]
    fn the_program_is_named_as_all_who_read_the_file_find_it() {
        let folder = tempfile::tempdir().unwrap();
        let program = std::env::current_exe().unwrap();
        let path = folder.path().display().to_string();
        let around = ConfigContext {
            program: Some(program.clone()),
            variables: [("PATH".to_owned(), path)].into(),
            ..ConfigContext::default()
        };
        let word = |is_bare| program_word(is_bare, &around).unwrap();
        let absolute = program.to_str().unwrap();
        let link = folder.path().join(PROGRAM);
        assert_eq!([word(false), word(true)], [absolute; 2]);
        symlink(&program, &link).unwrap();
        assert_eq!(word(true), PROGRAM);
        assert_eq!(word(false), link.to_str().unwrap());
        // Another program of the same name.
        std::fs::remove_file(&link).unwrap();
        symlink("/bin/sh", &link).unwrap();
        assert_eq!([word(false), word(true)], [absolute; 2]);
    }

    #[test]
    fn a_temporary_copy_wraps_nothing() {
        for path in [
            "/home/me/.npm/_npx/0a1b/node_modules/mcp-proxy-dev-linux-x64/mcp-proxy",
            "/home/me/.cache/uv/archive-v0/x/bin/mcp-proxy",
        ] {
            let around = ConfigContext {
                program: Some(path.into()),
                ..ConfigContext::default()
            };
            let why = program_word(true, &around).unwrap_err();
            assert!(why.contains("install it first"), "{path}");
        }
    }
}
