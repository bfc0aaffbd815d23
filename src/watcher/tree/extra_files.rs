//! Files in use beyond the globs: JSON imports of the sources, and files loaded or read by the processes.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use super::super::file_events::{DirectoryWatches, Reach};
use super::super::matcher::{ExtraFiles, PathClass};
use super::super::messages::LimitReached;
use super::super::paths::with_canonical_parent;
use super::super::{FilesInUse, json_imports};
use super::{Tree, TreeListener};
use crate::file_time;

/// Maximum number of files watched per kind and process, against a process that reads entire directories.
const MOST_FILES: usize = 2_000;

/// JSON imports of the sources.
#[derive(Debug, Clone)]
pub(super) struct JsonImports {
    /// Whether the sources may import JSON.
    imports_json: bool,
    /// Imported JSON files.
    pub(super) imported: BTreeSet<PathBuf>,
    /// Time after which changes of newly found imports count.
    counted_since: SystemTime,
    /// Whether no import was found since the last [`Tree::take_new_imports`].
    is_renewed: bool,
}

impl Tree {
    /// Enables the watch of files in use, for inferred globs. `since` is the earliest possible start of a process;
    /// `None` if none is started yet.
    pub(in super::super) fn enable_in_use(
        &mut self,
        imports_json: bool,
        since: Option<SystemTime>,
    ) {
        self.json_imports = Some(JsonImports {
            imports_json,
            imported: BTreeSet::new(),
            counted_since: since.unwrap_or_else(SystemTime::now),
            is_renewed: true,
        });
    }

    /// Returns the files in use by the process of the listener `id`, if the globs were inferred.
    pub(in super::super) fn in_use(&self, id: u64) -> Option<&FilesInUse> {
        let listener = self.listener(id).filter(|_| self.json_imports.is_some());
        listener.map(|it| &it.in_use)
    }

    /// Replaces the files in use by the process of the listener `id`, if the globs were inferred. Returns the new ones
    /// that the tree already watched for other listeners, and so reported to those only.
    pub(in super::super) fn set_in_use(&mut self, id: u64, in_use: FilesInUse) -> Vec<PathBuf> {
        let at = self.listeners.iter().position(|it| it.id == id);
        let Some(at) = at.filter(|_| self.json_imports.is_some()) else {
            return Vec::new();
        };
        self.listeners[at].in_use = in_use;
        let extra_files = self.extra_files(&self.listeners[at]);
        let previous = std::mem::replace(&mut self.listeners[at].extra_files, extra_files.clone());
        if extra_files == previous {
            return Vec::new();
        }
        let is_new =
            |path: &&PathBuf| extra_files.selects(path) && !self.is_selected_with(&previous, path);
        self.files.keys().filter(is_new).cloned().collect()
    }

    /// Moves the time after which changes of imported files count back to `since`.
    pub(in super::super) fn count_imports_since(&mut self, since: SystemTime) {
        if let Some(imports) = &mut self.json_imports {
            imports.counted_since = imports.counted_since.min(since);
        }
    }

    /// Whether the sources may import JSON and the globs were inferred.
    pub(super) fn imports_json(&self) -> bool {
        self.json_imports.as_ref().is_some_and(|it| it.imports_json)
    }

    /// Whether the file is a source that may import JSON.
    pub(super) fn may_import(&self, path: &Path) -> bool {
        self.imports_json() && json_imports::is_source(path)
    }

    /// Records the JSON files that the source imports, if it may import any.
    pub(super) fn look_for_imports(&mut self, source: &Path) {
        let is_source = self.may_import(source);
        let Some(imports) = self.json_imports.as_mut().filter(|_| is_source) else {
            return;
        };
        let above = |root: &&Path| source.starts_with(root);
        let roots: Vec<PathBuf> = self
            .matcher
            .roots()
            .filter(above)
            .map(Path::to_owned)
            .collect();
        for file in json_imports::imported(source, &roots) {
            imports.is_renewed &= !imports.imported.insert(file);
        }
    }

    /// Returns the time after which changes of newly found imports count; `None` if none was found since the last call.
    pub(in super::super) fn take_new_imports(&mut self) -> Option<SystemTime> {
        let imports = self.json_imports.as_mut()?;
        if std::mem::replace(&mut imports.is_renewed, true) {
            return None;
        }
        let counted_since = std::mem::replace(&mut imports.counted_since, SystemTime::now());
        let used: Vec<ExtraFiles> = self
            .listeners
            .iter()
            .map(|it| self.extra_files(it))
            .collect();
        for (listener, used) in self.listeners.iter_mut().zip(used) {
            listener.extra_files = used;
        }
        Some(counted_since)
    }

    /// Updates the matcher with the files in use; returns whether they changed.
    pub(in super::super) fn update_extra_files(&mut self) -> bool {
        let mut extra_files = ExtraFiles::default();
        for listener in &self.listeners {
            extra_files.extend(&listener.extra_files);
        }
        let before = self.matcher.extra_files().clone();
        if extra_files == before {
            return false;
        }
        self.matcher.set_extra_files(Arc::new(extra_files));
        for path in before.files() {
            if !self.compares_content(path) {
                self.files.remove(path);
            }
        }
        true
    }

    /// Returns the JSON imports of the sources and the files of the listener's process that no glob finds.
    fn extra_files(&self, listener: &TreeListener) -> ExtraFiles {
        let mut extra_files = ExtraFiles::default();
        let Some(imports) = &self.json_imports else {
            return extra_files;
        };
        let FilesInUse { code, read, .. } = &listener.in_use;
        for path in code.iter().take(MOST_FILES) {
            let path = with_canonical_parent(path);
            let is_built = listener.builds && self.matcher.is_in_searched_location(&path);
            if !is_built && !self.is_found(&path) {
                extra_files.add_code(path);
            }
        }
        for path in &imports.imported {
            if !self.is_found(path) {
                extra_files.add(path.clone());
            }
        }
        for path in read.iter().take(MOST_FILES) {
            let path = with_canonical_parent(path);
            if path.is_file()
                && self.matcher.is_in_searched_location(&path)
                && !self.is_found(&path)
            {
                extra_files.add(path);
            }
        }
        extra_files
    }

    /// Whether the globs or `extra_files` select the file.
    pub(super) fn is_selected_with(&self, extra_files: &ExtraFiles, path: &Path) -> bool {
        matches!(self.matcher.classify(path), PathClass::Selected(_)) || extra_files.selects(path)
    }

    /// Whether the globs find the file, possibly through a symlink.
    fn is_found(&self, path: &Path) -> bool {
        let mut names = self.names(path).into_iter();
        self.matcher.finds(path) || names.any(|name| self.files.contains_key(&name))
    }

    /// Watches the directories of the files in use. Returns the files to watch in them that are not known yet.
    pub(in super::super) fn adopt_extra_files(
        &mut self,
        watches: &mut Option<DirectoryWatches>,
    ) -> Result<Vec<PathBuf>, LimitReached> {
        if let (Some(watches), false) = (&watches, self.polled) {
            watches.set_matcher(self.number, self.matcher.clone());
        }
        let directories: Vec<PathBuf> = self
            .matcher
            .extra_files()
            .directories()
            .map(Path::to_owned)
            .collect();
        let mut found = Vec::new();
        for directory in directories {
            if let Some(above) = directory.parent() {
                self.watch(watches, above, Reach::Entries)?;
            }
            self.adopt(directory, watches, &mut found)?;
        }
        // Files in directories that were already walked.
        let files = self.matcher.extra_files().files();
        found.extend(
            files
                .iter()
                .filter(|file| self.matcher.selects(file))
                .cloned(),
        );
        found.retain(|file| !self.files.contains_key(file));
        Ok(found)
    }

    /// Whether the listener's server has written the file itself and so need not reload it. Excludes code that its
    /// process has loaded. Applies to inferred globs only: files named by globs of the user always count.
    pub(super) fn is_own_write(&self, listener: &TreeListener, path: &Path) -> bool {
        let code = &listener.in_use.code;
        let is_loaded =
            || code.contains(path) || code.iter().any(|it| with_canonical_parent(it) == path);
        let own_writes = listener
            .own_writes
            .as_ref()
            .filter(|_| self.json_imports.is_some());
        own_writes.is_some_and(|own| own.include(path)) && !is_loaded()
    }
}

/// Whether the file was changed or moved into place after `since`, within the precision of file times.
pub(in super::super) fn is_newer(file: &Path, since: SystemTime) -> bool {
    file_time::changed(file).is_some_and(|changed| changed + file_time::TICK > since)
}
