//! Calls that the user has saved for a project, in a private file.

use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::config::{HiddenValues, RehearsedCall, parse_arguments};
use crate::error_chain::with_causes;
use crate::file_error::FileError;
use crate::folder_lock::FolderLock;
use crate::page::remembered::{FOLDER, project_name};
use crate::state::{StateDirectory, StateError, StateFolder};

/// Maximum number of saved calls.
const MAX_CALLS: usize = 100;
/// Maximum length of a name in characters.
const MAX_NAME: usize = 80;
/// Maximum length of the arguments in bytes.
const MAX_ARGUMENTS: usize = 64 * 1024;

/// Time limit for the changes of other proxies.
const LOCK_TIMEOUT: Duration = Duration::from_secs(2);

/// Call of a tool under a name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SavedCall {
    pub(super) name: String,
    pub(super) server: String,
    pub(super) tool: String,
    /// Arguments, a raw JSON object on one line.
    pub(super) arguments: String,
}

impl SavedCall {
    /// Returns the call as it is rehearsed.
    pub(super) fn rehearsed(&self) -> RehearsedCall {
        RehearsedCall {
            tool: self.tool.clone(),
            arguments: self.arguments.clone(),
        }
    }

    /// Returns true if one of the calls is the same under any name.
    fn is_in(&self, calls: &[Self]) -> bool {
        let is_same = |it: &Self| it.server == self.server && it.rehearsed() == self.rehearsed();
        calls.iter().any(is_same)
    }
}

/// Removes the call of this name.
fn take(calls: &mut Vec<SavedCall>, name: &str) -> Option<SavedCall> {
    let at = calls.iter().position(|it| it.name == name)?;
    Some(calls.remove(at))
}

/// Saved calls of one project. All functions block.
#[derive(Debug)]
pub(in crate::page) struct SavedCalls {
    /// State directory of the user; `None` if the environment names none.
    state: Option<StateDirectory>,
    /// Name of the file.
    file: String,
}

impl SavedCalls {
    /// Returns the saved calls of a project.
    pub(in crate::page) fn of(project: &Path) -> Self {
        Self::within(StateDirectory::of_user().ok(), project)
    }

    fn within(state: Option<StateDirectory>, project: &Path) -> Self {
        Self {
            state,
            file: format!("{}-calls.json", project_name(project)),
        }
    }

    fn folder(&self) -> Result<StateFolder, StateError> {
        let state = self.state.as_ref().ok_or(StateError::NoDirectory)?;
        state.folder(FOLDER)
    }

    /// Returns the calls, sorted by name. An error says which file is wrong.
    pub(super) fn all(&self) -> Result<Vec<SavedCall>, String> {
        let read = || -> Result<Option<Vec<u8>>, StateError> { self.folder()?.read(&self.file) };
        let Some(bytes) = read().map_err(|error| with_causes(&error))? else {
            return Ok(Vec::new());
        };
        let read = || -> Result<Vec<SavedCall>, String> {
            let mut calls: Vec<SavedCall> =
                serde_json::from_slice(&bytes).map_err(|error| error.to_string())?;
            for call in &mut calls {
                // A person may have edited the file.
                let arguments = parse_arguments(&call.arguments);
                call.arguments = arguments.map_err(|error| format!("`{}`: {error}", call.name))?;
            }
            Ok(calls)
        };
        read().map_err(|error| {
            let path = self
                .folder()
                .map(|it| it.file(&self.file).display().to_string());
            let path = path.unwrap_or_else(|_| self.file.clone());
            format!("The saved calls cannot be read: {path}: {error}. Repair or remove the file")
        })
    }

    /// Returns the call of this name.
    pub(super) fn get(&self, name: &str) -> Result<SavedCall, String> {
        let call = self.all()?.into_iter().find(|it| it.name == name);
        call.ok_or_else(|| format!("No call is saved as `{name}`"))
    }

    /// Saves a call in place of one of its name. Returns the replaced call unless a saved call is the same. An error
    /// says why the call is not saved.
    pub(super) fn save(
        &self,
        call: SavedCall,
        hidden: &HiddenValues,
    ) -> Result<Option<SavedCall>, String> {
        if call.name.is_empty() || call.name.chars().count() > MAX_NAME {
            return Err(format!(
                "A saved call needs a name of at most {MAX_NAME} characters"
            ));
        }
        if call.arguments.len() > MAX_ARGUMENTS {
            let limit = MAX_ARGUMENTS / 1024;
            return Err(format!("Arguments of more than {limit} KiB are not saved"));
        }
        let texts = [&call.name, &call.tool, &call.arguments];
        if texts.iter().any(|it| hidden.hide_in_json(it) != **it) {
            let error =
                "The call contains a value that the configuration keeps secret, and is not saved";
            return Err(error.to_owned());
        }
        let _lock = self.lock()?;
        let mut calls = self.all()?;
        let replaced = take(&mut calls, &call.name);
        if calls.len() >= MAX_CALLS {
            return Err(format!(
                "{MAX_CALLS} calls are saved already: delete one first"
            ));
        }
        calls.push(call);
        calls.sort_by(|one, other| one.name.cmp(&other.name));
        self.write(&calls)?;
        Ok(replaced.filter(|it| !it.is_in(&calls)))
    }

    /// Deletes the call of this name, if there is one. Returns it unless another saved call is the same.
    pub(super) fn delete(&self, name: &str) -> Result<Option<SavedCall>, String> {
        let _lock = self.lock()?;
        let mut calls = self.all()?;
        let deleted = take(&mut calls, name);
        self.write(&calls)?;
        Ok(deleted.filter(|it| !it.is_in(&calls)))
    }

    /// Keeps other proxies of the user from changes until the lock is dropped.
    fn lock(&self) -> Result<FolderLock, String> {
        let folder = self.folder().map_err(|error| with_causes(&error))?;
        let lock = FolderLock::wait(folder.path(), LOCK_TIMEOUT);
        let lock = lock.map_err(FileError::at("lock", folder.path()));
        lock.map_err(|error| with_causes(&error))?.ok_or_else(|| {
            let folder = folder.path().display();
            format!("Another program locks {folder}. Nothing is changed: try again")
        })
    }

    fn write(&self, calls: &[SavedCall]) -> Result<(), String> {
        let text = serde_json::to_vec_pretty(calls).map_err(|error| error.to_string())?;
        let write = || -> Result<(), StateError> { self.folder()?.write(&self.file, &text) };
        write().map_err(|error| with_causes(&error))
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    fn call(name: &str, arguments: &str) -> SavedCall {
        SavedCall {
            name: name.to_owned(),
            server: "weather".to_owned(),
            tool: "forecast".to_owned(),
            arguments: arguments.to_owned(),
        }
    }

    fn saved_in(room: &Path) -> SavedCalls {
        let state = StateDirectory::at(room.join("mcp-proxy"));
        SavedCalls::within(Some(state), Path::new("/project"))
    }

    #[test]
    fn the_last_of_equal_calls_is_told_when_it_goes() {
        let room = tempfile::tempdir().unwrap();
        let saved = saved_in(room.path());
        let save = |name, arguments| {
            let gone = saved.save(call(name, arguments), &HiddenValues::default());
            gone.unwrap().map(|it| it.arguments)
        };
        assert_eq!(save("a", "{}"), None);
        assert_eq!(save("a", "{}"), None);
        assert_eq!(save("b", "{}"), None);
        assert_eq!(save("a", r#"{"b":1}"#), None);
        assert_eq!(saved.delete("b").unwrap(), Some(call("b", "{}")));
        assert_eq!(saved.delete("b").unwrap(), None);
        assert_eq!(save("a", "{}").unwrap(), r#"{"b":1}"#);
    }

    #[test]
    fn two_proxies_lose_no_call() {
        let room = tempfile::tempdir().unwrap();
        thread::scope(|scope| {
            for proxy in 0..2 {
                let room = room.path();
                scope.spawn(move || {
                    for number in 0..20 {
                        let name = format!("{proxy}.{number}");
                        saved_in(room)
                            .save(call(&name, "{}"), &HiddenValues::default())
                            .unwrap();
                    }
                });
            }
        });
        assert_eq!(saved_in(room.path()).all().unwrap().len(), 40);
    }

    #[test]
    fn a_damaged_call_is_told_with_its_file() {
        let room = tempfile::tempdir().unwrap();
        let saved = saved_in(room.path());
        for (arguments, fault) in [
            ("{", "not JSON"),
            ("[1]", "must be a JSON object"),
            ("{} {}", "not JSON"),
        ] {
            saved.write(&[call("a", arguments)]).unwrap();
            let error = saved.get("a").unwrap_err();
            for part in ["`a`", "-calls.json", fault, "Repair or remove the file"] {
                assert!(error.contains(part), "{part}: {error}");
            }
        }
        saved.write(&[call("a", "{\n\"b\":1}")]).unwrap();
        assert_eq!(saved.get("a").unwrap().arguments, r#"{ "b":1}"#);
    }
}
