//! Finds the files of clients, for the user and for the current project.

use std::path::{Path, PathBuf};

use super::clients::{CLAUDE_CODE, CLIENTS, Client, Scope};
use crate::config::edit::{ClientFile, EditError};
use crate::config::{ConfigContext, project_folders};

/// Existing file of a client.
#[derive(Debug)]
pub(super) struct FoundFile {
    pub(super) client: &'static Client,
    pub(super) scope: Scope,
    pub(super) path: PathBuf,
    /// Whether the file lies in a project, so that other people and machines may have it too.
    pub(super) is_shared: bool,
    /// Keys of a table of servers in the file.
    pub(super) keys: Vec<String>,
    /// Directory in which the client is likely to start the servers.
    pub(super) cwd: PathBuf,
}

impl FoundFile {
    /// Reads and parses the file.
    pub(super) fn parsed(&self) -> Result<ClientFile, EditError> {
        ClientFile::read(&self.path)
    }
}

/// Returns the existing files of the clients with the ids `clients`, or of all clients if there are none; those of the
/// user first. A project's file is the nearest one from the current directory upwards.
pub(super) fn files(around: &ConfigContext, clients: &[String]) -> Vec<FoundFile> {
    let Some(home) = around.home.as_deref() else {
        return Vec::new();
    };
    let variable = |name: &str| around.variables.get(name).map(PathBuf::from);
    let folders = project_folders(around);
    let mut found: Vec<FoundFile> = Vec::new();
    for scope in [Scope::User, Scope::Project] {
        let here = [around.cwd.as_path()];
        let folders = match scope {
            Scope::User => &here[..],
            Scope::Project => &folders,
        };
        // Before files of several clients are told apart: each client finds its own.
        let is_selected = |it: &&Client| clients.is_empty() || clients.iter().any(|id| id == it.id);
        for client in CLIENTS.iter().filter(is_selected) {
            for location in client.files.iter().filter(|it| it.scope() == scope) {
                let place = |folder: &&Path| {
                    let path = location.path(home, &variable, folder)?;
                    path.is_file().then(|| (path, (*folder).to_owned()))
                };
                let keys = location.keys.iter().map(|key| (*key).to_owned()).collect();
                if let Some((path, cwd)) = folders.iter().find_map(place) {
                    add(
                        &mut found,
                        FoundFile {
                            client,
                            scope,
                            path,
                            is_shared: scope == Scope::Project,
                            keys,
                            cwd,
                        },
                    );
                }
            }
        }
    }
    add_projects_of_claude_code(&mut found, &folders);
    found
}

/// Adds a file unless the list has the same one, perhaps by another path.
fn add(found: &mut Vec<FoundFile>, file: FoundFile) {
    let real = |path: &Path| path.canonicalize().ok();
    let is_same = |it: &FoundFile| it.keys == file.keys && real(&it.path) == real(&file.path);
    if !found.iter().any(is_same) {
        found.push(file);
    }
}

/// Adds the servers that Claude Code keeps in the user's file for one project alone.
fn add_projects_of_claude_code(found: &mut Vec<FoundFile>, folders: &[&Path]) {
    let is_users = |it: &&FoundFile| it.client.id == CLAUDE_CODE && it.scope == Scope::User;
    let Some(file) = found.iter().find(is_users) else {
        return;
    };
    let (client, path) = (file.client, file.path.clone());
    let projects = folders.iter().map(|folder| {
        let keys = ["projects", &folder.to_string_lossy(), "mcpServers"];
        FoundFile {
            client,
            scope: Scope::Project,
            path: path.clone(),
            is_shared: false,
            keys: keys.map(str::to_owned).to_vec(),
            cwd: (*folder).to_owned(),
        }
    });
    found.extend(projects);
}

#[cfg(all(test, windows))]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_file_of_an_app_from_a_package_is_found() {
        let home = tempfile::tempdir().unwrap();
        let folder = r"AppData\Local\Packages\Claude_pzs8sxrjxfjjc\LocalCache\Roaming\Claude";
        let file = home.path().join(folder).join("claude_desktop_config.json");
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, "{}").unwrap();
        let around = ConfigContext {
            cwd: home.path().to_owned(),
            home: Some(home.path().to_owned()),
            ..ConfigContext::default()
        };
        let found = files(&around, &["claude-desktop".to_owned()]);
        let paths: Vec<_> = found.iter().map(|it| &it.path).collect();
        assert_eq!(paths, [&file]);
    }
}
