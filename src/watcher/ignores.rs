//! What is not watched unless a glob names it: tool directories, editor leftovers, and what
//! `.gitignore`, `.ignore`, `.git/info/exclude` and git's global excludes list.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use globset::{Glob, GlobSet};
use ignore::Match;
use ignore::gitignore::{Gitignore, GitignoreBuilder};

/// Directories of tools, never of sources.
const DIRECTORIES: &[&str] = &[
    ".git",
    ".hg",
    ".svn",
    ".jj",
    "node_modules",
    ".venv",
    "venv",
    "__pycache__",
    ".mypy_cache",
    ".pytest_cache",
    ".ruff_cache",
    ".tox",
    "target",
    ".next",
    ".turbo",
    ".cache",
    ".idea",
    ".vscode",
];

/// Directories that hold other tools' files below a project, besides those whose names begin with a dot. A
/// glob that the user wrote may sweep over them.
const OF_OTHER_TOOLS: &[&str] = &[
    "coverage",
    "htmlcov",
    "test-results",
    "playwright-report",
    "bower_components",
    "site-packages",
    "__pypackages__",
];

/// Files that editors, interpreters and systems leave beside sources.
const FILES: &[&str] = &[
    "*.py[cod]",
    "*~",
    ".*.sw?",
    ".*.swx",
    "4913",
    ".#*",
    "#*#",
    "*___jb_tmp___",
    "*___jb_old___",
    ".DS_Store",
    "*.tmp",
    "*.log",
    "*.kate-swp",
];

/// Entries that mark their directory as made by a tool.
const MARKERS: &[&str] = &["pyvenv.cfg", "conda-meta", "CACHEDIR.TAG"];

/// The ignore files of one directory, in order of precedence.
type Level = Arc<[Gitignore; 3]>;

/// Every ignore rule, read from disk when first needed.
#[derive(Debug, Clone)]
pub(super) struct Ignores {
    files: GlobSet,
    levels: RefCell<HashMap<PathBuf, Level>>,
    global: Gitignore,
}

impl Ignores {
    pub(super) fn new() -> Self {
        let globs = FILES
            .iter()
            .map(|glob| Glob::new(glob).expect("a constant"));
        Self {
            files: GlobSet::new(globs).expect("constants"),
            levels: RefCell::default(),
            global: Gitignore::global().0,
        }
    }

    /// Reads the ignore files anew when they are next needed.
    pub(super) fn forget(&self) {
        self.levels.borrow_mut().clear();
    }

    /// Whether the change of this file changes what is ignored.
    pub(super) fn is_rule_file(path: &Path) -> bool {
        path.file_name().is_some_and(|name| {
            name == ".gitignore"
                || name == ".ignore"
                || MARKERS.iter().any(|marker| name == *marker)
        })
    }

    /// Whether a directory of this name is never entered on the way to a source.
    pub(super) fn is_tool_directory(name: &OsStr) -> bool {
        DIRECTORIES.iter().any(|directory| name == *directory)
    }

    /// Whether the directory says itself that a tool made it.
    pub(super) fn is_marked(directory: &Path) -> bool {
        MARKERS.iter().any(|marker| directory.join(marker).exists())
    }

    /// Whether the directory below a project holds another tool's files by its name.
    pub(super) fn is_of_other_tools(directory: &Path) -> bool {
        let Some(name) = directory.file_name() else {
            return false;
        };
        let bytes = name.as_encoded_bytes();
        bytes.starts_with(b".")
            || bytes.ends_with(b".egg-info")
            || OF_OTHER_TOOLS.iter().any(|other| name == *other)
            || directory.ends_with("build/lib")
    }

    /// Whether git has another work tree in the directory, such as one that an agent works in.
    pub(super) fn is_checkout(directory: &Path) -> bool {
        directory.join(".git").exists()
    }

    /// Whether the directory holds no files of a disk: the kernel makes them up.
    pub(super) fn is_virtual(directory: &Path) -> bool {
        let is_memory = directory.starts_with("/dev/shm");
        cfg!(unix)
            && !is_memory
            && ["/proc", "/sys", "/dev"]
                .iter()
                .any(|place| directory.starts_with(place))
    }

    /// Whether the file name is one that is never a source.
    pub(super) fn is_leftover(&self, name: &OsStr) -> bool {
        self.files.is_match(name)
    }

    /// Whether ignore files in `from` and below it list `path` itself (not a directory above it).
    pub(super) fn lists(&self, path: &Path, is_dir: bool, from: &Path) -> bool {
        let levels: Vec<Level> = path
            .ancestors()
            .skip(1)
            .take_while(|directory| directory.starts_with(from))
            .map(|directory| self.level(directory))
            .collect();
        (0..3)
            .flat_map(|kind| levels.iter().map(move |level| &level[kind]))
            .chain([&self.global])
            .filter(|rules| !rules.is_empty())
            .find_map(|rules| match rules.matched(path, is_dir) {
                Match::None => None,
                Match::Ignore(_) => Some(true),
                Match::Whitelist(_) => Some(false),
            })
            .unwrap_or(false)
    }

    fn level(&self, directory: &Path) -> Level {
        if let Some(level) = self.levels.borrow().get(directory) {
            return Arc::clone(level);
        }
        let read = |name: &str| {
            let file = directory.join(name);
            if !file.is_file() {
                return Gitignore::empty();
            }
            let mut builder = GitignoreBuilder::new(directory);
            // A bad line is skipped, as git does.
            builder.add(file);
            builder.build().unwrap_or_else(|_| Gitignore::empty())
        };
        let level = Arc::new([
            read(".ignore"),
            read(".gitignore"),
            read(".git/info/exclude"),
        ]);
        self.levels
            .borrow_mut()
            .insert(directory.to_owned(), Arc::clone(&level));
        level
    }
}
