//! Compilation of globs into rules.

use std::path::{Component, Path, PathBuf};

use globset::{GlobBuilder, GlobMatcher};
use unicode_normalization::UnicodeNormalization as _;

use super::super::WatchError;
use super::super::paths::{canonical, composed};

/// One interpretation of a glob: a root directory and a pattern below it.
#[derive(Debug, Clone)]
pub(super) struct GlobRule {
    /// Index of the original glob.
    pub(super) glob_index: usize,
    pub(super) include: bool,
    /// Literal prefix of the glob; its existing part is canonical.
    pub(super) root: PathBuf,
    pub(super) pattern: GlobMatcher,
    /// Number of levels below the root that the pattern reaches; `None` for unlimited.
    depth: Option<usize>,
    /// Whether the last component is a literal name, so that the glob names each file it matches.
    pub(super) names_file: bool,
    /// Topmost directory whose ignore files apply.
    pub(super) ignores_from: PathBuf,
}

impl GlobRule {
    /// Whether the glob matches the file; disregards ignore rules.
    pub(super) fn matches(&self, path: &Path) -> bool {
        path.strip_prefix(&self.root)
            .is_ok_and(|below| self.pattern.is_match(composed(below)))
    }

    /// Whether the directory may contain a match or lead to one; disregards ignore rules.
    pub(super) fn reaches(&self, directory: &Path) -> bool {
        directory.strip_prefix(&self.root).is_ok_and(|below| {
            self.depth
                .is_none_or(|depth| below.components().count() < depth)
        })
    }
}

/// Compiles globs.
pub(super) fn compile_all(cwd: &Path, globs: &[String]) -> Result<Vec<GlobRule>, WatchError> {
    let mut rules = Vec::new();
    for (glob_index, glob) in globs.iter().enumerate() {
        rules.extend(compile(glob_index, glob, cwd)?);
    }
    Ok(rules)
}

/// Compiles one glob.
fn compile(glob_index: usize, glob: &str, cwd: &Path) -> Result<Vec<GlobRule>, WatchError> {
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
        None if Path::new(&body).is_absolute() => {
            // With the drive, on Windows.
            let is_root =
                |it: &Component<'_>| matches!(it, Component::Prefix(_) | Component::RootDir);
            let root: PathBuf = Path::new(&body).components().take_while(is_root).collect();
            let rest = format!("./{}", &body[root.as_os_str().len()..]);
            (root, rest)
        }
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
    // An exclude without a slash applies at any depth, even if the directory exists.
    let here = include || anchored;
    interpretations(&base, &parts, anchored, only_below, here)
        .into_iter()
        .map(|(root, pattern)| rule(glob_index, glob, include, &root, &pattern))
        .collect()
}

/// Returns root and pattern for each interpretation of the glob: `src` matches a file and everything below a directory.
fn interpretations<'a>(
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
        // As in `.gitignore` and nodemon, a bare name matches at any depth.
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

pub(super) fn rule(
    glob_index: usize,
    glob: &str,
    include: bool,
    root: &Path,
    pattern: &[&str],
) -> Result<GlobRule, WatchError> {
    let matcher = GlobBuilder::new(&pattern.join("/").nfc().collect::<String>())
        .literal_separator(true)
        .case_insensitive(cfg!(any(target_os = "macos", windows)))
        .build()
        .map_err(|source| WatchError::Glob {
            glob: glob.to_owned(),
            source,
        })?
        .compile_matcher();
    let root = canonical(root);
    Ok(GlobRule {
        glob_index,
        include,
        pattern: matcher,
        depth: (!pattern.iter().any(|part| part.contains("**"))).then_some(pattern.len()),
        names_file: pattern.last().is_some_and(|part| is_literal(part)),
        ignores_from: root.clone(),
        root,
    })
}

/// Whether the component of a glob has no special characters.
fn is_literal(part: &str) -> bool {
    !part.contains(['*', '?', '[', ']', '{', '}', '\\'])
}
