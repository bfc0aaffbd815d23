//! Those who are told of a tree. What concerns only some of them is kept apart here: a tree watches what any of its
//! listeners wants.

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use super::super::matcher::Used;
use super::super::{Coverage, InUse, OneStart, OwnWrites};
use super::Tree;
use crate::lock::locked;

/// One who is told of a tree.
#[derive(Debug, Clone)]
pub(in super::super) struct Listener {
    pub(in super::super) id: u64,
    /// Its name, for events.
    pub(in super::super) server: String,
    /// Tells how its server's next start is.
    pub(in super::super) one_start: Option<OneStart>,
    /// Tells what its server writes itself.
    pub(in super::super) own_writes: Option<OwnWrites>,
    /// What a build before each start makes of the sources is not one of them.
    pub(in super::super) builds: bool,
    /// What its process uses,
    pub(super) in_use: InUse,
    /// and no glob finds.
    pub(super) used: Used,
    /// The globs for those who show them.
    globs: Arc<Mutex<Vec<String>>>,
}

impl Listener {
    pub(in super::super) fn new(id: u64, server: String) -> Self {
        Self {
            id,
            server,
            one_start: None,
            own_writes: None,
            builds: false,
            in_use: InUse::default(),
            used: Used::default(),
            globs: Arc::default(),
        }
    }
}

impl Tree {
    /// Has the listener told of it as well. Returns its id.
    pub(in super::super) fn admit(&mut self, listener: Listener) -> u64 {
        let id = listener.id;
        self.listeners.push(listener);
        id
    }

    /// The name of a server that is told of it, for events.
    pub(in super::super) fn server(&self) -> &str {
        self.listeners.first().map_or("", |first| &first.server)
    }

    pub(in super::super) fn listener(&self, id: u64) -> Option<&Listener> {
        self.listeners.iter().find(|it| it.id == id)
    }

    /// Whether a walk for `other` would find the same: a listener of either may be told of both.
    pub(in super::super) fn is_like(&self, other: &Self) -> bool {
        match (&self.exact, &other.exact) {
            (None, None) => {
                self.matcher.is_like(&other.matcher) && self.imports_json() == other.imports_json()
            }
            (exact, others) => exact == others,
        }
    }

    /// Whether one of the servers has a next start that can be had only once.
    pub(in super::super) fn has_one_start(&self) -> bool {
        let starts = self.listeners.iter().filter_map(|it| it.one_start.as_ref());
        starts.into_iter().any(OneStart::is_next)
    }

    /// Returns those of the changed files that the listener is to be told of: as they were spelled if they were
    /// named, else relative to the server's directory where they lie below it.
    pub(in super::super) fn told(&self, listener: &Listener, changed: &[PathBuf]) -> Vec<PathBuf> {
        let concern = |path: &&PathBuf| {
            let is_wanted = self.is_exact() || self.is_wanted_by(&listener.used, path);
            is_wanted && !self.is_own_write(listener, path)
        };
        let told = changed.iter().filter(concern).map(|path| {
            let short = path.strip_prefix(self.matcher.cwd());
            match short {
                Ok(short) if !self.is_exact() => short,
                _ => path,
            }
        });
        told.map(Path::to_owned).collect()
    }

    /// Returns what is watched, for those who show it.
    pub(in super::super) fn coverage(&self, id: u64) -> Coverage {
        self.show();
        Coverage {
            globs: self
                .listener(id)
                .map(|it| it.globs.clone())
                .unwrap_or_default(),
            files: self.count.clone(),
        }
    }

    /// Brings up to date what is shown of it.
    pub(in super::super) fn show(&self) {
        self.count.store(self.files.len(), Ordering::Relaxed);
        for listener in &self.listeners {
            *locked(&listener.globs) = self.matcher.all_globs(&listener.used);
        }
    }
}
