//! Selection of files by a server's globs. The last glob that matches a file decides; `!` excludes. A glob that names
//! an ignored location (`dist/**/*.js`, `.env`) overrides the ignore files; a glob that merely covers one (`**/*.js`)
//! does not.

mod checkouts;
mod comparison;
mod explaining;
mod extra_files;
mod rules;

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use super::WatchError;
use super::file_events::Reach;
use super::ignores::Ignores;
use super::messages::Touch;
use super::paths::repository;
pub(super) use extra_files::ExtraFiles;
use rules::{GlobRule, compile_all, rule};

/// Classification of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PathClass {
    /// Selected by the glob with this index.
    Selected(usize),
    /// Matched by the glob with this index, but ignored.
    Ignored(usize),
    Unselected,
}

/// Reason why globs leave out a part of a path that they match.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum IgnoreReason {
    ToolDirectory,
    /// A directory of built or third-party files, which inferred globs skip.
    SkippedDirectory,
    Leftover,
    /// An ignore file lists it.
    Listed {
        is_dir: bool,
    },
}

/// Compiled globs of one server.
#[derive(Debug, Clone)]
pub(super) struct Matcher {
    cwd: PathBuf,
    globs: Vec<String>,
    rules: Vec<GlobRule>,
    ignores: Ignores,
    /// Number of inferred globs at the start of `globs`. Inferred globs skip directories of other tools.
    inferred: usize,
    /// Names of further directories that inferred globs skip.
    skipped: &'static [&'static str],
    /// Whether the matcher names its files exactly, without ignore files.
    is_exact: bool,
    /// Files in use that count without a matching glob.
    extra_files: Arc<ExtraFiles>,
}

impl Matcher {
    /// `cwd` must be canonical.
    pub(super) fn new(cwd: PathBuf, globs: Vec<String>) -> Result<Self, WatchError> {
        let mut matcher = Self {
            rules: compile_all(&cwd, &globs)?,
            cwd,
            globs,
            ignores: Ignores::new(),
            inferred: 0,
            skipped: &[],
            is_exact: false,
            extra_files: Arc::default(),
        };
        matcher.reread_ignores();
        Ok(matcher)
    }

    /// Returns the error of [`new`](Self::new). Reads no ignore file.
    pub(super) fn check(cwd: &Path, globs: &[String]) -> Result<(), WatchError> {
        compile_all(cwd, globs).map(drop)
    }

    /// Like [`new`](Self::new), with inferred globs before the given ones. Inferred globs skip directories of other
    /// tools and of the names in `skipped`.
    pub(super) fn inferred(
        cwd: PathBuf,
        inferred: &[String],
        globs: Vec<String>,
        skipped: &'static [&'static str],
    ) -> Result<Self, WatchError> {
        let all = inferred.iter().cloned().chain(globs).collect();
        Ok(Self {
            inferred: inferred.len(),
            skipped,
            ..Self::new(cwd, all)?
        })
    }

    /// Selects exactly these files, whose directories must be canonical.
    pub(super) fn exact(cwd: PathBuf, files: &BTreeSet<PathBuf>) -> Self {
        let rules = files.iter().enumerate().filter_map(|(glob_index, file)| {
            let name = globset::escape(file.file_name()?.to_str()?);
            // An escaped name is a valid glob.
            rule(glob_index, &name, true, file.parent()?, &[&name]).ok()
        });
        Self {
            cwd,
            globs: Vec::new(),
            rules: rules.collect(),
            ignores: Ignores::new(),
            inferred: 0,
            skipped: &[],
            is_exact: true,
            extra_files: Arc::default(),
        }
    }

    pub(super) fn cwd(&self) -> &Path {
        &self.cwd
    }

    /// Returns the original globs, inferred ones first.
    pub(super) fn globs(&self) -> &[String] {
        &self.globs
    }

    /// Returns the directories to walk: roots of the including globs, and directories of files in use.
    pub(super) fn roots(&self) -> impl Iterator<Item = &Path> {
        let begin = self.includes().map(|rule| rule.root.as_path());
        begin.chain(self.extra_files.directories())
    }

    fn includes(&self) -> impl Iterator<Item = &GlobRule> {
        self.rules.iter().filter(|rule| rule.include)
    }

    /// Returns additional directories to watch: parents of the roots, where a rename of a root shows, and other
    /// directories whose ignore files apply.
    pub(super) fn ancestors_to_watch(&self) -> impl Iterator<Item = &Path> {
        let around_used = self.extra_files.directories().filter_map(Path::parent);
        let of_globs = self.includes().flat_map(|rule| {
            let top = &rule.ignores_from;
            let parent = rule.root.parent();
            let above = rule.root.ancestors().skip(1);
            parent
                .into_iter()
                .chain(above.take_while(move |dir| dir.starts_with(top)))
        });
        of_globs
            .chain(around_used)
            .chain(self.ignores.directories())
    }

    /// Clears the cached ignore rules and determines again which globs name an ignored location.
    pub(super) fn reread_ignores(&mut self) {
        if self.is_exact {
            return;
        }
        self.ignores.forget();
        for rule in &mut self.rules {
            // Without a repository, ignore files apply from the server's directory on.
            let top = repository(&rule.root).unwrap_or(if rule.root.starts_with(&self.cwd) {
                &self.cwd
            } else {
                &rule.root
            });
            // `out/` ignores the directory, `out/**` only its entries; the glob names the location in both cases.
            let named = [rule.root.clone(), rule.root.join("x")].iter().any(|path| {
                path.ancestors()
                    .take_while(|path| path.starts_with(top) && *path != top)
                    .any(|path| self.ignores.lists(path, true, top))
            });
            rule.ignores_from = if named { &rule.root } else { top }.to_owned();
        }
        let tops = self.rules.iter().map(|rule| &*rule.ignores_from);
        self.ignores.find_directories(tops);
    }

    /// Whether a change of this file may change the ignored files.
    pub(super) fn affects_rules(&self, path: &Path) -> bool {
        !self.is_exact && (self.ignores.is_rule_file(path) || self.is_new_checkout(path))
    }

    /// Whether the touched entry may be selected, may contain a selected file, or affects the selection.
    #[cfg_attr(
        not(target_os = "linux"),
        expect(dead_code, reason = "only Linux has a queue that can be read")
    )]
    pub(super) fn is_relevant(&self, touch: &Touch) -> bool {
        let path = touch.path.as_path();
        if self.roots().any(|root| root.starts_with(path)) {
            true
        } else if self.affects_rules(path) {
            // Not `may_lead_to_files`: the entry may be a marker that excludes its directory.
            path.parent().is_some_and(|directory| {
                self.includes().any(|rule| rule.reaches(directory))
                    || self
                        .ancestors_to_watch()
                        .any(|passage| passage == directory)
            })
        } else if touch.is_dir {
            self.may_lead_to_files(path)
        } else {
            self.selects(path)
        }
    }

    /// Returns the extent of the watch of a walked directory: a glob may select files of its subdirectories, or none.
    pub(super) fn reach(&self, directory: &Path) -> Reach {
        let subdirectory = directory.join("_");
        let below = self.includes().any(|rule| rule.reaches(&subdirectory));
        if below { Reach::Below } else { Reach::Entries }
    }

    /// Whether the directory may contain selected files or lead to them.
    pub(super) fn may_lead_to_files(&self, directory: &Path) -> bool {
        if !self.is_exact && Ignores::is_virtual(directory) {
            return false;
        }
        self.extra_files.has_directory(directory) || self.globs_may_reach(directory)
    }

    fn globs_may_reach(&self, directory: &Path) -> bool {
        if self.includes().any(|rule| rule.root == directory) {
            return true;
        }
        let is_checkout = self.inferred > 0 && Ignores::is_checkout(directory);
        self.includes().any(|rule| {
            !(is_checkout && self.is_inferred(rule))
                && rule.reaches(directory)
                && !self.is_ignored(rule, directory, true)
        }) && !Ignores::is_marked(directory)
    }

    /// Classifies a file, assuming that its directory is kept.
    pub(super) fn classify(&self, path: &Path) -> PathClass {
        let mut ignored = None;
        for rule in self.rules.iter().rev() {
            if !rule.matches(path) {
                continue;
            }
            if !rule.include {
                break;
            }
            if !self.is_ignored(rule, path, false) {
                return PathClass::Selected(rule.glob_index);
            }
            ignored = Some(rule.glob_index);
        }
        ignored.map_or(PathClass::Unselected, PathClass::Ignored)
    }

    pub(super) fn selects(&self, path: &Path) -> bool {
        matches!(self.classify(path), PathClass::Selected(_))
            || self.extra_files.selects(path) && !self.excludes(path)
    }

    /// Returns the index of each including glob that matches the file, regardless of other globs.
    pub(super) fn matching(&self, path: &Path) -> impl Iterator<Item = usize> {
        self.includes()
            .filter(move |rule| rule.matches(path))
            .map(|rule| rule.glob_index)
    }

    fn is_inferred(&self, rule: &GlobRule) -> bool {
        rule.glob_index < self.inferred
    }

    /// Whether `path` or a directory between it and the rule's root is ignored.
    fn is_ignored(&self, rule: &GlobRule, path: &Path, is_dir: bool) -> bool {
        self.ignored_part(rule, path, is_dir).is_some()
    }

    /// Returns the topmost part of `path` below the rule's root that is ignored, and the kind of its reason.
    fn ignored_part(
        &self,
        rule: &GlobRule,
        path: &Path,
        is_dir: bool,
    ) -> Option<(PathBuf, IgnoreReason)> {
        let below = path.strip_prefix(&rule.root).ok()?;
        let mut current = rule.root.clone();
        let mut names = below.components().peekable();
        while let Some(Component::Normal(name)) = names.next() {
            current.push(name);
            let is_dir = is_dir || names.peek().is_some();
            if is_dir {
                if Ignores::is_tool_directory(name) {
                    return Some((current, IgnoreReason::ToolDirectory));
                }
                let is_skipped = || self.skipped.iter().any(|skipped| name == *skipped);
                if self.is_inferred(rule) && (is_skipped() || Ignores::is_of_other_tools(&current))
                {
                    return Some((current, IgnoreReason::SkippedDirectory));
                }
            } else if rule.names_file {
                return None;
            } else if self.ignores.is_leftover(name) {
                return Some((current, IgnoreReason::Leftover));
            }
            if self.ignores.lists(&current, is_dir, &rule.ignores_from) {
                return Some((current, IgnoreReason::Listed { is_dir }));
            }
        }
        None
    }
}
