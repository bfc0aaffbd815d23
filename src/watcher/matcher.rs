//! Which files a server's globs want. Ordered: the last glob that matches a file decides, `!`
//! excludes. A glob that names an ignored place (`dist/**/*.js`, `.env`) beats the ignore files;
//! one that only sweeps over it (`**/*.js`) does not.

mod alike;
mod checkouts;
mod used;

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use globset::{GlobBuilder, GlobMatcher};

use super::WatchError;
use super::ignores::Ignores;
use super::source::Touch;
pub(super) use used::Used;

/// One way in which a glob matches: a place, and a pattern below it.
#[derive(Debug, Clone)]
struct Rule {
    /// Index into the globs as given.
    given: usize,
    include: bool,
    /// The literal beginning of the glob, canonical as far as it exists.
    root: PathBuf,
    pattern: GlobMatcher,
    /// How many levels below the root the pattern reaches; `None` is any number.
    depth: Option<usize>,
    /// The pattern ends in a plain name, so it names each file it matches.
    names_file: bool,
    /// Ignore files above this directory do not count.
    ignores_from: PathBuf,
}

impl Rule {
    /// Whether the glob matches the file, ignored or not.
    fn matches(&self, path: &Path) -> bool {
        path.strip_prefix(&self.root)
            .is_ok_and(|below| self.pattern.is_match(below))
    }

    /// Whether the directory may hold or lead to what the glob matches, ignored or not.
    fn reaches(&self, directory: &Path) -> bool {
        directory.strip_prefix(&self.root).is_ok_and(|below| {
            self.depth
                .is_none_or(|depth| below.components().count() < depth)
        })
    }
}

/// What becomes of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Wanted because of the glob of this index.
    Wanted(usize),
    /// The glob of this index matches it, but it is ignored.
    Ignored(usize),
    Unwanted,
}

/// The globs of one server.
#[derive(Debug, Clone)]
pub(super) struct Matcher {
    cwd: PathBuf,
    globs: Vec<String>,
    rules: Vec<Rule>,
    ignores: Ignores,
    /// This many globs at the beginning were inferred. Other tools' files are not for them,
    inferred: usize,
    /// nor are directories of these names.
    skipped: &'static [&'static str],
    /// Names its files; no ignore file counts.
    exact: bool,
    /// Counts although no glob wants it.
    used: Arc<Used>,
}

impl Matcher {
    /// `cwd` must be canonical.
    pub(super) fn new(cwd: PathBuf, globs: Vec<String>) -> Result<Self, WatchError> {
        let mut rules = Vec::new();
        for (given, glob) in globs.iter().enumerate() {
            rules.extend(compile(given, glob, &cwd)?);
        }
        let mut matcher = Self {
            cwd,
            globs,
            rules,
            ignores: Ignores::new(),
            inferred: 0,
            skipped: &[],
            exact: false,
            used: Arc::default(),
        };
        matcher.reread_ignores();
        Ok(matcher)
    }

    /// As [`new`](Self::new), but the first globs were inferred: they do not enter directories of
    /// other tools nor those named in `skipped`.
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

    /// Wants exactly these files, whose directories are canonical.
    pub(super) fn exact(cwd: PathBuf, files: &BTreeSet<PathBuf>) -> Self {
        let rules = files.iter().enumerate().filter_map(|(given, file)| {
            let name = globset::escape(file.file_name()?.to_str()?);
            // An escaped name is a valid glob.
            rule(given, &name, true, file.parent()?, &[&name]).ok()
        });
        Self {
            cwd,
            globs: Vec::new(),
            rules: rules.collect(),
            ignores: Ignores::new(),
            inferred: 0,
            skipped: &[],
            exact: true,
            used: Arc::default(),
        }
    }

    pub(super) fn cwd(&self) -> &Path {
        &self.cwd
    }

    /// The globs as given.
    pub(super) fn globs(&self) -> &[String] {
        &self.globs
    }

    /// The places to look at: where the including globs begin, and where other files lie that count.
    pub(super) fn roots(&self) -> impl Iterator<Item = &Path> {
        let begin = self.includes().map(|rule| rule.root.as_path());
        begin.chain(self.used.directories())
    }

    fn includes(&self) -> impl Iterator<Item = &Rule> {
        self.rules.iter().filter(|rule| rule.include)
    }

    /// Directories above the roots whose ignore files count, or whose renaming moves a root.
    pub(super) fn passages(&self) -> impl Iterator<Item = &Path> {
        let around_used = self.used.directories().filter_map(Path::parent);
        let of_globs = self.includes().flat_map(|rule| {
            let top = &rule.ignores_from;
            let parent = rule.root.parent();
            let above = rule.root.ancestors().skip(1);
            parent
                .into_iter()
                .chain(above.take_while(move |dir| dir.starts_with(top)))
        });
        of_globs.chain(around_used)
    }

    /// Forgets what the ignore files said, and finds out anew which globs name an ignored place.
    pub(super) fn reread_ignores(&mut self) {
        if self.exact {
            return;
        }
        self.ignores.forget();
        for rule in &mut self.rules {
            // Without a repository they count from the server's directory on.
            let top = repository(&rule.root).unwrap_or(if rule.root.starts_with(&self.cwd) {
                &self.cwd
            } else {
                &rule.root
            });
            // `out/` lists the directory, `out/**` only what is in it; either way the glob names the place.
            let named = [rule.root.clone(), rule.root.join("x")].iter().any(|path| {
                path.ancestors()
                    .take_while(|path| path.starts_with(top) && *path != top)
                    .any(|path| self.ignores.lists(path, true, top))
            });
            rule.ignores_from = if named { &rule.root } else { top }.to_owned();
        }
    }

    /// Whether the change of this file may change what is ignored here.
    pub(super) fn is_ruled_by(&self, path: &Path) -> bool {
        !self.exact && (Ignores::is_rule_file(path) || self.is_new_checkout(path))
    }

    /// Whether the touched entry may be wanted, may hold something that is, or decides what is.
    #[cfg_attr(
        not(target_os = "linux"),
        expect(dead_code, reason = "only Linux has a queue that can be read")
    )]
    pub(super) fn concerns(&self, touch: &Touch) -> bool {
        let path = touch.path.as_path();
        if self.roots().any(|root| root.starts_with(path)) {
            true
        } else if self.is_ruled_by(path) {
            // It may be a mark by which its directory is not kept any more.
            path.parent().is_some_and(|directory| {
                self.includes().any(|rule| rule.reaches(directory))
                    || self.passages().any(|passage| passage == directory)
            })
        } else if touch.is_dir {
            self.keeps(path)
        } else {
            self.wants(path)
        }
    }

    /// Whether the directory may hold wanted files or lead to them.
    pub(super) fn keeps(&self, directory: &Path) -> bool {
        if !self.exact && Ignores::is_virtual(directory) {
            return false;
        }
        self.used.holds(directory) || self.keeps_for_globs(directory)
    }

    fn keeps_for_globs(&self, directory: &Path) -> bool {
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

    /// Whether the file at `path` is watched. Its directory must be one that is kept.
    pub(super) fn judge(&self, path: &Path) -> Verdict {
        let mut ignored = None;
        for rule in self.rules.iter().rev() {
            if !rule.matches(path) {
                continue;
            }
            if !rule.include {
                break;
            }
            if !self.is_ignored(rule, path, false) {
                return Verdict::Wanted(rule.given);
            }
            ignored = Some(rule.given);
        }
        ignored.map_or(Verdict::Unwanted, Verdict::Ignored)
    }

    pub(super) fn wants(&self, path: &Path) -> bool {
        matches!(self.judge(path), Verdict::Wanted(_))
            || self.used.wants(path) && !self.excludes(path)
    }

    /// Every including glob that matches the file, whatever the others say.
    pub(super) fn matching(&self, path: &Path) -> impl Iterator<Item = usize> {
        self.includes()
            .filter(move |rule| rule.matches(path))
            .map(|rule| rule.given)
    }

    fn is_inferred(&self, rule: &Rule) -> bool {
        rule.given < self.inferred
    }

    /// Whether anything between the rule's root and `path` (inclusive) is ignored.
    fn is_ignored(&self, rule: &Rule, path: &Path, is_dir: bool) -> bool {
        let Ok(below) = path.strip_prefix(&rule.root) else {
            return false;
        };
        let mut place = rule.root.clone();
        let mut names = below.components().peekable();
        while let Some(Component::Normal(name)) = names.next() {
            place.push(name);
            let is_dir = is_dir || names.peek().is_some();
            let by_name = if is_dir {
                Ignores::is_tool_directory(name)
                    || self.is_inferred(rule)
                        && (self.skipped.iter().any(|skipped| name == *skipped)
                            || Ignores::is_of_other_tools(&place))
            } else if rule.names_file {
                return false;
            } else {
                self.ignores.is_leftover(name)
            };
            if by_name || self.ignores.lists(&place, is_dir, &rule.ignores_from) {
                return true;
            }
        }
        false
    }
}

/// The rules of one glob.
fn compile(given: usize, glob: &str, cwd: &Path) -> Result<Vec<Rule>, WatchError> {
    let (include, body) = match glob.strip_prefix('!') {
        Some(body) => (false, body),
        None => (true, glob),
    };
    let body = if cfg!(windows) {
        body.replace('\\', "/")
    } else {
        body.to_owned()
    };
    let only_below = body.ends_with('/');
    let (base, body) = match body.strip_prefix("~/") {
        Some(rest) => (
            std::env::home_dir().unwrap_or_else(|| cwd.to_owned()),
            format!("./{rest}"),
        ),
        None if Path::new(&body).is_absolute() => (PathBuf::from("/"), body),
        None => (cwd.to_owned(), body),
    };
    let anchored = body.trim_end_matches('/').contains('/');
    let parts: Vec<&str> = body
        .split('/')
        .filter(|part| !part.is_empty() && *part != ".")
        .collect();
    if body.is_empty() {
        return Err(WatchError::EmptyGlob);
    }
    // An exclude without a slash holds at any depth, even if there is such a directory.
    let here = include || anchored;
    places(&base, &parts, anchored, only_below, here)
        .into_iter()
        .map(|(root, pattern)| rule(given, glob, include, &root, &pattern))
        .collect()
}

/// The place and pattern of each way to read the glob: `src` is the file, and what is below the directory.
fn places<'a>(
    base: &Path,
    parts: &[&'a str],
    anchored: bool,
    only_below: bool,
    here: bool,
) -> Vec<(PathBuf, Vec<&'a str>)> {
    let literal = parts.iter().take_while(|part| is_literal(part)).count();
    let (leading, rest) = parts.split_at(literal);
    let below = |rest: &[&'a str]| [rest, &["**"]].concat();
    let mut root = base.to_owned();
    for part in leading {
        if *part == ".." {
            root.pop();
        } else {
            root.push(part);
        }
    }
    if rest.is_empty() {
        // Gitignore's rule, and what nodemon users expect: a bare name matches at any depth.
        let lone = !anchored && !parts.is_empty();
        if here && root.is_dir() || parts.last().is_none_or(|part| *part == "..") {
            return vec![(root, below(&[]))];
        }
        if lone {
            let name = ["**", parts[0]];
            let mut found = vec![(base.to_owned(), below(&name))];
            if !only_below {
                found.push((base.to_owned(), name.to_vec()));
            }
            return found;
        }
        let mut found = Vec::new();
        if !root.is_file() {
            found.push((root.clone(), below(&[])));
        }
        if let (false, Some(parent), Some(name)) = (only_below, root.parent(), parts.last()) {
            found.push((parent.to_owned(), vec![*name]));
        }
        return found;
    }
    let rest = if anchored {
        rest.to_vec()
    } else {
        ["**"].iter().chain(rest).copied().collect()
    };
    let mut found = Vec::new();
    if only_below || rest.last().is_some_and(|part| is_literal(part)) {
        found.push((root.clone(), below(&rest)));
    }
    if !only_below {
        found.push((root, rest));
    }
    found
}

fn rule(
    given: usize,
    glob: &str,
    include: bool,
    root: &Path,
    pattern: &[&str],
) -> Result<Rule, WatchError> {
    let matcher = GlobBuilder::new(&pattern.join("/"))
        .literal_separator(true)
        .case_insensitive(cfg!(any(target_os = "macos", windows)))
        .build()
        .map_err(|source| WatchError::Glob {
            glob: glob.to_owned(),
            source,
        })?
        .compile_matcher();
    let root = canonical(root);
    Ok(Rule {
        given,
        include,
        pattern: matcher,
        depth: (!pattern.iter().any(|part| part.contains("**"))).then_some(pattern.len()),
        names_file: pattern.last().is_some_and(|part| is_literal(part)),
        ignores_from: root.clone(),
        root,
    })
}

/// Whether the part of a glob means only itself.
pub(super) fn is_literal(part: &str) -> bool {
    !part.contains(['*', '?', '[', ']', '{', '}', '\\'])
}

/// Canonical as far as the path exists, so that events, which carry canonical paths, match.
pub(super) fn canonical(path: &Path) -> PathBuf {
    path.ancestors()
        .find_map(|existing| {
            let rest = path.strip_prefix(existing).ok()?;
            let found = existing.canonicalize().ok()?;
            Some(if rest.as_os_str().is_empty() {
                found
            } else {
                found.join(rest)
            })
        })
        .unwrap_or_else(|| path.to_owned())
}

/// The work tree of the git repository that holds `path`.
pub(super) fn repository(path: &Path) -> Option<&Path> {
    path.ancestors().find(|place| place.join(".git").exists())
}
