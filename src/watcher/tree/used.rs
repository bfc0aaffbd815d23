//! What the process of a server uses, beside what its globs find.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use super::super::matcher::Used;
use super::super::source::{LimitReached, Source};
use super::super::{InUse, OwnWrites, modules};
use super::{Tree, place_of};
use crate::file_time;

/// More files than this of each kind are not watched, for a process that reads all that there is.
const MOST_FILES: usize = 2_000;

/// What is known of the process.
#[derive(Debug)]
pub(super) struct Usage {
    in_use: InUse,
    /// Tells what the server writes itself.
    own_writes: Option<OwnWrites>,
    /// What a build before each start makes of the sources is not one of them.
    builds: bool,
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
    /// Watches, where globs were inferred, what a process of the server uses as well, and leaves out what it writes.
    /// The process may have been started `since` then, or is not started yet.
    pub(in super::super) fn attend(
        &mut self,
        own_writes: Option<OwnWrites>,
        builds: bool,
        imports_json: bool,
        since: Option<SystemTime>,
    ) {
        self.usage = Some(Usage {
            in_use: InUse::default(),
            own_writes,
            builds,
            imports_json,
            imported: BTreeSet::new(),
            begun: since.unwrap_or_else(SystemTime::now),
            is_renewed: true,
        });
    }

    /// Takes what `old` knew of the process.
    pub(in super::super) fn inherit_use(&mut self, old: &Self) {
        if let Some(usage) = &old.usage {
            self.take_use(usage.in_use.clone());
            self.renew_used();
        }
    }

    /// Takes what the process uses.
    pub(in super::super) fn take_use(&mut self, in_use: InUse) {
        if let Some(usage) = &mut self.usage {
            usage.in_use = in_use;
        }
    }

    /// Whether the file is a source that may import JSON.
    pub(super) fn may_import(&self, path: &Path) -> bool {
        self.usage.as_ref().is_some_and(|it| it.imports_json) && modules::is_source(path)
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
        Some(std::mem::replace(&mut usage.begun, SystemTime::now()))
    }

    /// Has the matcher want what is in use by now; false if that is what it wanted before.
    pub(in super::super) fn renew_used(&mut self) -> bool {
        let Some(used) = self.used() else {
            return false;
        };
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

    /// What is in use and no glob finds.
    fn used(&self) -> Option<Used> {
        let usage = self.usage.as_ref()?;
        let InUse { code, read, .. } = &usage.in_use;
        let mut used = Used::default();
        for path in code.iter().take(MOST_FILES) {
            let path = in_place(path);
            let is_built = usage.builds && self.matcher.surrounds(&path);
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
        Some(used)
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
            source.sift(self.id, self.matcher.clone());
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

    /// Whether the server has written the file itself, which it then need not load anew. Code that it has loaded
    /// counts all the same.
    pub(super) fn is_own_write(&self, path: &Path) -> bool {
        let Some(Usage {
            in_use, own_writes, ..
        }) = &self.usage
        else {
            return false;
        };
        let is_loaded =
            || in_use.code.contains(path) || in_use.code.iter().any(|it| in_place(it) == path);
        own_writes.as_ref().is_some_and(|own| own.include(path)) && !is_loaded()
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
