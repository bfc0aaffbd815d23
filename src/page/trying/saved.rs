//! Calls that the user has saved for a project, in a private file.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::config::{HiddenValues, RehearsedCall};
use crate::error_chain::with_causes;
use crate::page::remembered::{folder, project_name};
use crate::state::StateError;

/// Maximum number of saved calls.
const MAX_CALLS: usize = 100;
/// Maximum length of a name in characters.
const MAX_NAME: usize = 80;
/// Maximum length of the arguments in bytes.
const MAX_ARGUMENTS: usize = 64 * 1024;

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
}

/// Saved calls of one project. All functions block.
#[derive(Debug)]
pub(in crate::page) struct SavedCalls {
    /// Name of the file.
    file: String,
}

impl SavedCalls {
    /// Returns the saved calls of a project.
    pub(in crate::page) fn of(project: &Path) -> Self {
        Self {
            file: format!("{}-calls.json", project_name(project)),
        }
    }

    /// Returns the calls, sorted by name. An error says which file is wrong.
    pub(super) fn all(&self) -> Result<Vec<SavedCall>, String> {
        let read = || -> Result<Option<Vec<u8>>, StateError> { folder()?.read(&self.file) };
        let Some(bytes) = read().map_err(|error| with_causes(&error))? else {
            return Ok(Vec::new());
        };
        serde_json::from_slice(&bytes).map_err(|error| {
            let path = folder().map(|it| it.file(&self.file).display().to_string());
            let path = path.unwrap_or_else(|_| self.file.clone());
            format!("The saved calls cannot be read: {path}: {error}. Repair or remove the file")
        })
    }

    /// Returns the call of this name.
    pub(super) fn get(&self, name: &str) -> Result<SavedCall, String> {
        let call = self.all()?.into_iter().find(|it| it.name == name);
        call.ok_or_else(|| format!("No call is saved as `{name}`"))
    }

    /// Saves a call in place of one of its name. An error says why it is not saved.
    pub(super) fn save(&self, call: SavedCall, hidden: &HiddenValues) -> Result<(), String> {
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
        let mut calls = self.all()?;
        calls.retain(|it| it.name != call.name);
        if calls.len() >= MAX_CALLS {
            return Err(format!(
                "{MAX_CALLS} calls are saved already: delete one first"
            ));
        }
        calls.push(call);
        calls.sort_by(|one, other| one.name.cmp(&other.name));
        self.write(&calls)
    }

    /// Deletes the call of this name, if there is one.
    pub(super) fn delete(&self, name: &str) -> Result<(), String> {
        let mut calls = self.all()?;
        calls.retain(|it| it.name != name);
        self.write(&calls)
    }

    fn write(&self, calls: &[SavedCall]) -> Result<(), String> {
        let text = serde_json::to_vec_pretty(calls).map_err(|error| error.to_string())?;
        let write = || -> Result<(), StateError> { folder()?.write(&self.file, &text) };
        write().map_err(|error| with_causes(&error))
    }
}
