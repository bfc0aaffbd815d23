//! What the sources import and the processes use, beside what the globs find.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use super::super::matcher::{Used, Verdict};
use super::super::source::{LimitReached, Source};
use super::super::{InUse, modules};
use super::{Listener, Tree, place_of};
use crate::file_time;

/// More files than this of each kind are not watched, for a process that reads all that there is.
const MOST_FILES: usize = 2_000;

/// What is known of the sources.
#[derive(Debug, Clone)]
pub(super) struct Usage {
    /// The sources may import JSON.
    imports_json: bool,
    /// The JSON files that they import,
    imported: BTreeSet<PathBuf>,
    /// all of which are watched if they were there when this was.
    begun: SystemTime,
    /// Nothing was found since.
    is_renewed: bool,
}

impl Tree {
    /// Watches, where globs were inferred, what processes of the listeners use as well. They may have been started
    /// `since` then, or are not started yet.
    pub(in super::super) fn attend(&mut self, imports_json: bool, since: Option<SystemTime>) {
        self.usage = Some(Usage {
            imports_json,
            imported: BTreeSet::new(),
            begun: since.unwrap_or_else(SystemTime::now),
            is_renewed: true,
        });
    }

    /// Returns what is known in `self` of the process of the listener `id`.
    pub(in super::super) fn in_use(&self, id: u64) -> Option<&InUse> {
        let listener = self.listener(id).filter(|_| self.usage.is_some());
        listener.map(|it| &it.in_use)
    }

    /// Takes what the process of the listener `id` uses, where globs were inferred. Returns the files of it that were
    /// watched for others before, and so were told to them alone.
    pub(in super::super) fn take_use(&mut self, id: u64, in_use: InUse) -> Vec<PathBuf> {
        let at = self.listeners.iter().position(|it| it.id == id);
        let Some(at) = at.filter(|_| self.usage.is_some()) else {
            return Vec::new();
        };
        self.listeners[at].in_use = in_use;
        let used = self.used(&self.listeners[at]);
        let before = std::mem::replace(&mut self.listeners[at].used, used.clone());
        if used == before {
            return Vec::new();
        }
        let is_new = |path: &&PathBuf| used.wants(path) && !self.is_wanted_by(&before, path);
        self.files.keys().filter(is_new).cloned().collect()
    }

    /// Starts from `since` at the latest to look for changes of files that the sources import.
    pub(in super::super) fn import_since(&mut self, since: SystemTime) {
        if let Some(usage) = &mut self.usage {
            usage.begun = usage.begun.min(since);
        }
    }

    /// Whether its sources may import JSON, where globs were inferred.
    pub(super) fn imports_json(&self) -> bool {
        self.usage.as_ref().is_some_and(|it| it.imports_json)
    }

    /// Whether the file is a source that may import JSON.
    pub(super) fn may_import(&self, path: &Path) -> bool {
        self.imports_json() && modules::is_source(path)
    }

    /// Looks which JSON files the source imports, if it is one that may.
    pub(super) fn look_for_imports(&mut self, source: &Path) {
        let is_source = self.may_import(source);
        let Some(usage) = self.usage.as_mut().filter(|_| is_source) else {
            return;
        };
        let above = |root: &&Path| source.starts_with(root);
        let roots: Vec<PathBuf> = self
            .matcher
            .roots()
            .filter(above)
            .map(Path::to_owned)
            .collect();
        for file in modules::imported(source, &roots) {
            usage.is_renewed &= !usage.imported.insert(file);
        }
    }

    /// Returns when those files began to count, if imports were found of files that are not watched yet.
    pub(in super::super) fn new_imports(&mut self) -> Option<SystemTime> {
        let usage = self.usage.as_mut()?;
        if std::mem::replace(&mut usage.is_renewed, true) {
            return None;
        }
        let begun = std::mem::replace(&mut usage.begun, SystemTime::now());
        let used: Vec<Used> = self.listeners.iter().map(|it| self.used(it)).collect();
        for (listener, used) in self.listeners.iter_mut().zip(used) {
            listener.used = used;
        }
        Some(begun)
    }

    /// Has the matcher want what is in use by now; false if that is what it wanted before.
    pub(in super::super) fn renew_used(&mut self) -> bool {
        let mut used = Used::default();
        for listener in &self.listeners {
            used.extend(&listener.used);
        }
        let before = self.matcher.used().clone();
        if used == before {
            return false;
        }
        self.matcher.use_files(Arc::new(used));
        for path in before.files() {
            if !self.wants_content(path) {
                self.files.remove(path);
            }
        }
        true
    }

    /// What the sources import and the process of the listener uses, and no glob finds.
    fn used(&self, listener: &Listener) -> Used {
        let mut used = Used::default();
        let Some(usage) = &self.usage else {
            return used;
        };
        let InUse { code, read, .. } = &listener.in_use;
        for path in code.iter().take(MOST_FILES) {
            let path = in_place(path);
            let is_built = listener.builds && self.matcher.surrounds(&path);
            if !is_built && !self.is_found(&path) {
                used.add_code(path);
            }
        }
        for path in &usage.imported {
            if !self.is_found(path) {
                used.add(path.clone());
            }
        }
        for path in read.iter().take(MOST_FILES) {
            let path = in_place(path);
            if path.is_file() && self.matcher.surrounds(&path) && !self.is_found(&path) {
                used.add(path);
            }
        }
        used
    }

    /// Whether the globs find the file that is watched, or else a process that uses `used` wants it.
    pub(super) fn is_wanted_by(&self, used: &Used, path: &Path) -> bool {
        matches!(self.matcher.judge(path), Verdict::Wanted(_)) || used.wants(path)
    }

    /// Whether the globs find the file, be it under the name of a link.
    fn is_found(&self, path: &Path) -> bool {
        let mut names = self.names(path).into_iter();
        self.matcher.finds(path) || names.any(|name| self.files.contains_key(&name))
    }

    /// Watches the directories of used files. Returns the files in them that count, as far as they were not watched.
    pub(in super::super) fn adopt_used(
        &mut self,
        source: &mut Option<Source>,
    ) -> Result<Vec<PathBuf>, LimitReached> {
        if let (Some(source), false) = (&source, self.polled) {
            source.sift(self.number, self.matcher.clone());
        }
        let directories: Vec<PathBuf> = self
            .matcher
            .used()
            .directories()
            .map(Path::to_owned)
            .collect();
        let mut found = Vec::new();
        for directory in directories {
            if let Some(above) = directory.parent() {
                self.watch(source, above)?;
            }
            self.adopt(directory, source, &mut found)?;
        }
        // Those in directories that were kept before.
        let files = self.matcher.used().files();
        found.extend(
            files
                .iter()
                .filter(|file| self.matcher.wants(file))
                .cloned(),
        );
        found.retain(|file| !self.files.contains_key(file));
        Ok(found)
    }

    /// Whether the listener's server has written the file itself, which it then need not load anew. Code that it has
    /// loaded counts all the same, as does whatever the user's own globs name.
    pub(super) fn is_own_write(&self, listener: &Listener, path: &Path) -> bool {
        let code = &listener.in_use.code;
        let is_loaded = || code.contains(path) || code.iter().any(|it| in_place(it) == path);
        let own_writes = listener
            .own_writes
            .as_ref()
            .filter(|_| self.usage.is_some());
        own_writes.is_some_and(|own| own.include(path)) && !is_loaded()
    }
}

/// The file by its canonical directory.
fn in_place(file: &Path) -> PathBuf {
    place_of(file).join(file.file_name().unwrap_or_default())
}

/// Whether the file was changed, or came to its place, after `since`, as far as its time tells.
pub(in super::super) fn is_newer(file: &Path, since: SystemTime) -> bool {
    file_time::changed(file).is_some_and(|changed| changed + file_time::TICK > since)
}
