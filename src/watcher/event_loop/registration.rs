//! Addition and removal of listeners and their trees. Listeners with equal requests share a tree.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime};

use super::super::file_events::{DirectoryWatches, start_advice};
use super::super::infer::Inference;
use super::super::matcher::Matcher;
use super::super::messages::LimitReached;
use super::super::paths::{EVERYTHING, with_canonical_parent};
use super::super::remote_mount::remote_mount;
use super::super::settle::Settle;
use super::super::symlinks::MOST_DIRECTORIES;
use super::super::tree::{Tree, TreeListener, is_newer};
use super::super::{
    Coverage, FilesInUse, WatchError, WatchOptions, WatchRequest, canonical_cwd, infer,
};
use super::WatcherThread;
use crate::event::Event;

impl WatcherThread {
    /// Adds a listener and takes the baseline; later saves are not missed.
    pub(super) fn add(&mut self, id: u64, request: WatchRequest) -> Result<Coverage, WatchError> {
        let since = request.since();
        let (tree, listener, inferred) = tree(id, request, self.options)?;
        let old = self.position(id).map(|index| self.trees[index].clone());
        self.remove_listener(id);
        let index = match self.trees.iter().position(|it| it.is_like(&tree)) {
            Some(index) => {
                self.join_tree(index, listener, old.as_ref(), since);
                index
            }
            None => self.add_tree(tree, listener, old.as_ref(), since),
        };
        if let Some(old) = old.filter(|old| old.number != self.trees[index].number) {
            self.dispatcher.leave(old.number, id);
            self.release(old.number);
        }
        self.drop_unused_watches();
        self.announce(index, id, inferred.as_ref());
        Ok(self.trees[index].coverage(id))
    }

    /// Watches a new tree for the listener, whose previous tree is `old`. Returns the index of the new tree.
    fn add_tree(
        &mut self,
        mut tree: Tree,
        listener: TreeListener,
        old: Option<&Tree>,
        since: Option<SystemTime>,
    ) -> usize {
        self.last_tree += 1;
        tree.number = self.last_tree;
        self.dispatcher.listen(tree.number, listener.id);
        let in_use = old.and_then(|old| old.in_use(listener.id));
        let id = tree.add_listener(listener);
        if let Some(in_use) = in_use {
            tree.set_in_use(id, in_use.clone());
            tree.update_extra_files();
        }
        self.choose_source(&mut tree);
        let index = self.trees.len();
        self.trees.push(tree);
        let mut found = self.adopt(index);
        let tree = &mut self.trees[index];
        let mut missed = old.map_or_else(Vec::new, |old| tree.inherit(old, &mut found));
        missed.extend(tree.take_baseline(found, since));
        let unread = tree.unread().map(|path| (tree.number, path.clone()));
        self.unread.extend(unread);
        self.touch_all(index, missed);
        index
    }

    /// Adds the listener, whose previous tree is `old`, to a watched tree.
    fn join_tree(
        &mut self,
        index: usize,
        listener: TreeListener,
        old: Option<&Tree>,
        since: Option<SystemTime>,
    ) {
        let in_use = old.and_then(|old| old.in_use(listener.id)).cloned();
        let in_use = in_use.unwrap_or_default();
        let used_since = in_use.since;
        let tree = &mut self.trees[index];
        self.dispatcher.listen(tree.number, listener.id);
        let id = tree.add_listener(listener);
        if let Some(since) = since {
            tree.count_imports_since(since);
        }
        let imported = self.watch_imports(index);
        let tree = &mut self.trees[index];
        // Files that the tree already watched are part of `unreported`.
        tree.set_in_use(id, in_use);
        let unreported = tree.unreported_changes(id, old, since);
        let used = self.watch_extra_files(index, used_since);
        if let Err(LimitReached) = imported.and(used) {
            self.fall_back(index);
        }
        self.catch_up(index, id, &unreported);
    }

    /// Reports changes to the listener that the tree's other listeners received earlier.
    fn catch_up(&self, index: usize, id: u64, changed: &[PathBuf]) {
        let tree = &self.trees[index];
        if let Some(listener) = tree.listener(id) {
            let missed = tree.changes_for(listener, changed);
            let is_saving = tree.settle.due().is_some();
            self.dispatcher.catch_up(id, is_saving, missed);
        }
    }

    /// Watches the files in use by the process of `id`. Reports those saved since the start of the process as changed.
    pub(super) fn watch_in_use(&mut self, id: u64, in_use: FilesInUse) -> Result<(), LimitReached> {
        let Some(index) = self.position(id) else {
            return Ok(());
        };
        let since = in_use.since;
        let mut known = self.trees[index].set_in_use(id, in_use);
        known.retain(|path| is_newer(path, since));
        let result = self.watch_extra_files(index, since);
        self.catch_up(index, id, &known);
        result
    }

    /// Watches newly found JSON imports of the tree's sources.
    pub(super) fn watch_imports(&mut self, index: usize) -> Result<(), LimitReached> {
        match self.trees[index].take_new_imports() {
            Some(since) => self.watch_extra_files(index, since),
            None => Ok(()),
        }
    }

    /// Watches the current files in use. Reports new ones that changed after `since`.
    fn watch_extra_files(&mut self, index: usize, since: SystemTime) -> Result<(), LimitReached> {
        if !self.trees[index].update_extra_files() {
            return Ok(());
        }
        let found = self.trees[index].adopt_extra_files(&mut self.watches)?;
        let tree = &mut self.trees[index];
        let number = tree.number;
        self.unread
            .extend(found.iter().map(|path| (number, path.clone())));
        let missed = tree.take_baseline(found, Some(since));
        tree.publish_coverage();
        self.touch_all(index, missed);
        Ok(())
    }

    /// Removes `id`, ends its notices and releases watches that only it needed.
    pub(super) fn remove(&mut self, id: u64) {
        if let Some(number) = self.remove_listener(id) {
            self.dispatcher.leave(number, id);
            self.dispatcher.forget(id);
            self.release(number);
            self.drop_unused_watches();
        }
    }

    /// Removes the listener from its tree, and the tree with its last listener. Returns the number of the tree.
    fn remove_listener(&mut self, id: u64) -> Option<u64> {
        let index = self.position(id)?;
        let tree = &mut self.trees[index];
        let number = tree.number;
        tree.listeners.retain(|it| it.id != id);
        if tree.listeners.is_empty() {
            self.trees.remove(index);
            self.unread.retain(|(of, _)| *of != number);
        } else {
            tree.update_extra_files();
        }
        Some(number)
    }

    /// Releases the watches of a removed tree.
    fn release(&mut self, number: u64) {
        if let (None, Some(watches)) = (self.tree_index(number), &mut self.watches) {
            watches.release(number);
        }
    }

    /// Returns the index of the listener's tree.
    pub(super) fn position(&self, id: u64) -> Option<usize> {
        let mut trees = self.trees.iter();
        trees.position(|tree| tree.listener(id).is_some())
    }

    /// Returns the index of a tree by its number.
    pub(super) fn tree_index(&self, number: u64) -> Option<usize> {
        self.trees.iter().position(|tree| tree.number == number)
    }

    /// Watches and walks the tree; returns its files.
    fn adopt(&mut self, index: usize) -> Vec<PathBuf> {
        let found = self.trees[index].adopt_roots(&mut self.watches);
        found.unwrap_or_else(|LimitReached| {
            self.fall_back(index);
            self.trees[index].forget(EVERYTHING.as_ref());
            // A polled tree needs no watch, so the walk cannot fail.
            let found = self.trees[index].adopt_roots(&mut None);
            found.unwrap_or_default()
        })
    }

    /// Drops the event source if no tree needs it: notify's debouncer wakes up every few milliseconds.
    fn drop_unused_watches(&mut self) {
        if self.trees.iter().all(|tree| tree.polled) {
            self.watches = None;
        }
    }

    fn announce(&self, index: usize, id: u64, inferred: Option<&Inference>) {
        let tree = &self.trees[index];
        let Some(listener) = tree.listener(id).filter(|_| !tree.is_exact()) else {
            return;
        };
        let (server, events) = (&listener.server, self.events.of_session(listener.session));
        events.send(Event::Watching {
            server: server.clone(),
            files: tree.files(),
            directories: tree.directories(),
            globs: tree.matcher.globs().to_vec(),
        });
        if let Some(inferred) = inferred {
            for message in &inferred.notes {
                events.send(Event::WatchNote {
                    server: server.clone(),
                    message: message.clone(),
                });
            }
            for message in &inferred.warnings {
                self.warn(Some(listener), message.clone());
            }
        }
        for message in tree.idle_globs(inferred.is_some()) {
            self.warn(Some(listener), message);
        }
        if tree.is_cut_off() {
            let message = format!(
                "symlinks lead to more than {MOST_DIRECTORIES} directories: the others are not watched; exclude \
                 directories without sources with --watch '!DIRECTORY/'"
            );
            self.warn(Some(listener), message);
        }
    }

    /// Selects file events, or polling where they are unavailable; warns the user once per reason.
    fn choose_source(&mut self, tree: &mut Tree) {
        tree.polled = self.options.poll.is_some() || self.no_events || self.is_remote(tree);
        if tree.polled || self.watches.is_some() {
            return;
        }
        match DirectoryWatches::new(self.make_backend, &self.dispatcher) {
            Ok(watches) => self.watches = Some(watches),
            Err(error) => {
                self.no_events = true;
                tree.polled = true;
                self.warn(
                    tree.listeners.first(),
                    source_failure(&error, self.poll_every.as_millis()),
                );
            }
        }
    }

    fn is_remote(&mut self, tree: &Tree) -> bool {
        let remote = tree.matcher.roots().find_map(|root| {
            let existing = root.ancestors().find(|place| place.exists())?;
            Some((existing.display(), remote_mount(existing)?))
        });
        let Some((place, kind)) = remote else {
            return false;
        };
        if !std::mem::replace(&mut self.is_mount_reported, true) {
            let every = self.poll_every.as_millis();
            self.warn(
                tree.listeners.first(),
                format!(
                    "{place} is a {kind} mount, which may not report changes: polling its files every {every} ms; keep \
                     the sources on a local disk for faster reloads"
                ),
            );
        }
        true
    }

    /// Switches all trees to polling after the system's limit of watches.
    pub(super) fn fall_back(&mut self, index: usize) {
        let every = self.poll_every.as_millis();
        let message = format!(
            "the system's limit of inotify watches is reached: polling the files every {every} ms; narrow --watch, or \
             raise the limit: sudo sysctl fs.inotify.max_user_watches=524288"
        );
        self.poll_all(index, message);
    }

    /// Switches all trees to polling; `message` tells the user of the tree `index` why.
    pub(super) fn poll_all(&mut self, index: usize, message: String) {
        if self.watches.take().is_none() {
            return;
        }
        self.no_events = true;
        for tree in &mut self.trees {
            tree.polled = true;
        }
        self.next_poll = Instant::now();
        if let Some(tree) = self.trees.get(index) {
            self.warn(tree.listeners.first(), message);
        }
    }

    fn warn(&self, listener: Option<&TreeListener>, message: String) {
        let session = listener.and_then(|it| it.session);
        let server = listener.map_or_else(String::new, |it| it.server.clone());
        let events = self.events.of_session(session);
        events.send(Event::WatchWarning { server, message });
    }
}

fn include_nothing(globs: &[String]) -> bool {
    globs.iter().all(|glob| glob.starts_with('!'))
}

/// Returns the tree without its listener, the listener, and the result of the glob inference.
fn tree(
    id: u64,
    request: WatchRequest,
    options: WatchOptions,
) -> Result<(Tree, TreeListener, Option<Inference>), WatchError> {
    let settle = Settle::new(options.quiet, options.max_wait);
    match request {
        WatchRequest::Files { name, files } => {
            let listener = TreeListener::new(id, name);
            Ok((Tree::exact(&files, settle), listener, None))
        }
        WatchRequest::Sources {
            server,
            session,
            cwd,
            program,
            args,
            builds,
            may_reload,
            globs,
            left_out,
            own_writes,
            uses_standby,
            since,
        } => {
            let cwd = canonical_cwd(&server, &cwd)?;
            let mut inferred = include_nothing(&globs).then(|| {
                let home = std::env::home_dir();
                infer::infer(&program, &args, &cwd, home.as_deref(), builds, may_reload)
            });
            let matcher = match &mut inferred {
                None => Matcher::new(cwd, globs)?,
                Some(inferred) => {
                    leave_out(&left_out, &cwd, inferred)?;
                    Matcher::inferred(cwd, &inferred.globs, globs, inferred.skipped)?
                }
            };
            let mut tree = Tree::new(matcher, settle);
            if let Some(inferred) = &inferred {
                tree.enable_in_use(inferred.imports_json, since);
            }
            let mut listener = TreeListener::new(id, server);
            listener.session = session;
            listener.own_writes = own_writes;
            listener.uses_standby = uses_standby;
            listener.builds = builds;
            Ok((tree, listener, inferred))
        }
    }
}

/// Excludes those of the `files` that inferred globs cover.
fn leave_out(files: &[PathBuf], cwd: &Path, inferred: &mut Inference) -> Result<(), WatchError> {
    let (cwd, globs) = (cwd.to_owned(), &mut inferred.globs);
    let matcher = Matcher::inferred(cwd.clone(), globs, Vec::new(), inferred.skipped)?;
    for file in files {
        let path = with_canonical_parent(file);
        if matcher.selects(&path) {
            globs.push(format!("!{}", infer::glob_below(&path, "", &cwd)));
        }
    }
    Ok(())
}

pub(super) fn source_failure(error: &io::Error, every: u128) -> String {
    let advice = start_advice(error);
    format!("file events are not available ({error}): polling the files every {every} ms{advice}")
}
