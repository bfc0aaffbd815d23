//! `check --against REF`: writes the files of a commit to a temporary directory, starts the servers there, and reads
//! their lists. The repository stays as it is.
//!
//! A server there has the settings of this tree's configuration; the commit's configuration tells only which servers
//! there were. Paths below this tree in its command and variables lead to the files of the commit instead.

mod dependencies;
mod links;

use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use git2::Repository;
use git2::build::CheckoutBuilder;
use tempfile::TempDir;

use super::super::selection::{ServerSelection, run_visit};
use super::super::{CliError, Global, config};
use super::baseline::Baseline;
use super::{CheckArgs, visit};
use crate::app::visit::{ServerVisit, VisitOutcome};
use crate::app::{self, AppError};
use crate::config::{ConfigContext, ServerSpec};
use crate::error_chain::with_causes;
use crate::output::clean;
use crate::suggestions::nearest;

/// Returns the lists that the chosen servers have at the commit `reference`; `None` if a signal interrupted the check.
pub(super) fn baseline(
    reference: &str,
    args: &CheckArgs,
    chosen: &ServerSelection,
    global: &Global,
) -> Result<Option<Baseline>, CliError> {
    let (name, servers) = (reference.to_owned(), chosen.servers.clone());
    let written = app::interruptible(move || trees(&name, &servers));
    let failure = |error: AppError| CliError::Failure(with_causes(&error));
    let Some(trees) = written.map_err(failure)?.transpose()? else {
        return Ok(None);
    };
    let notes: Vec<String> = trees.iter().filter_map(CommitTree::note).collect();
    config::print_notes(&notes, global);
    let configured = configured(args, chosen, &trees)?;
    let is_there = |spec: &&ServerSpec| {
        let names = configured.as_ref();
        names.is_none_or(|names| names.contains(&spec.name))
    };
    let former: Vec<ServerSpec> = chosen.servers.iter().filter(is_there).cloned().collect();
    let servers = former.iter().map(|spec| {
        let tree = tree_of(&trees, spec);
        let tree = tree.ok_or_else(|| CliError::Failure(in_no_repository(reference, spec)))?;
        tree.moved(reference, spec)
    });
    let servers = servers.collect::<Result<_, _>>()?;
    let there = ServerSelection {
        servers,
        max_message: chosen.max_message,
        faults: Vec::new(),
        files: Vec::new(),
    };
    let Some(mut visited) = run_visit(visit(args, &there, Vec::new(), args.server.era), global)?
    else {
        return Ok(None);
    };
    for (visited, spec) in visited.iter_mut().zip(&former) {
        visited.server.clone_from(&spec.name);
    }
    if let Some(error) = broken(reference, &visited, &former, &trees) {
        return Err(error);
    }
    let baseline = Baseline::of(&visited);
    let failure = |why| CliError::Failure(format!("--against {}: {why}", clean(reference)));
    let mut baseline = baseline.map_err(failure)?;
    baseline.add_names(configured.unwrap_or_default());
    Ok(Some(baseline))
}

/// Returns the names of the servers in the commit's configuration, with those in files that no commit has; `None` if it has
/// none, or if a fault hides some.
fn configured(
    args: &CheckArgs,
    chosen: &ServerSelection,
    trees: &[CommitTree],
) -> Result<Option<Vec<String>>, CliError> {
    if !args.server.command.is_empty() {
        return Ok(None);
    }
    let around = config::surroundings(args.config.as_ref())?;
    let files = config::places(&around, &chosen.files).into_iter();
    let there = files.filter_map(|file| {
        let folder = dunce::canonicalize(file.parent()?).ok()?;
        let tree = trees.iter().find(|tree| folder.starts_with(&tree.own))?;
        let there = tree.path(&folder.join(file.file_name()?));
        there.is_file().then_some(there)
    });
    let mut names = Vec::new();
    let mut is_known = false;
    for file in there {
        is_known = true;
        let loaded = crate::config::load(&ConfigContext {
            explicit: Some(file),
            ..around.clone()
        });
        for fault in &loaded.faults {
            match &fault.server {
                Some(server) => names.push(server.clone()),
                None => return Ok(None),
            }
        }
        names.extend(loaded.names);
    }
    let of_now = crate::config::load(&around).shown.outlines().into_iter();
    let uncommitted = of_now.filter(|it| it.files.iter().all(|file| is_uncommitted(trees, file)));
    names.extend(uncommitted.map(|it| it.name));
    Ok(is_known.then_some(names))
}

/// Returns true if no commit has a configuration file, so that it tells nothing about the servers of a commit: git ignores
/// the file, or it is outside of the trees.
fn is_uncommitted(trees: &[CommitTree], file: &Path) -> bool {
    let Ok(file) = dunce::canonicalize(file) else {
        return false;
    };
    let Some(tree) = trees.iter().find(|tree| file.starts_with(&tree.own)) else {
        return true;
    };
    let inside = file.strip_prefix(&tree.own).unwrap_or(&file);
    let is_ignored = Repository::open(&tree.own).and_then(|it| it.is_path_ignored(inside));
    is_ignored.unwrap_or(false) && !tree.path(&file).exists()
}

/// Files of a commit in a directory of their own, which is removed when dropped.
struct CommitTree {
    /// Directory with the files that the user works on.
    own: PathBuf,
    directory: TempDir,
    /// Names of entries that were linked, because git ignores them.
    linked: Vec<String>,
    /// Directories to import Python packages from, instead of those of the user's own files.
    imports: Vec<PathBuf>,
}

/// Writes the files of the commit `reference`, once for each repository with a server.
fn trees(reference: &str, servers: &[ServerSpec]) -> Result<Vec<CommitTree>, CliError> {
    let mut trees: Vec<CommitTree> = Vec::new();
    for spec in servers {
        let repository = repository(reference, spec)?;
        let own = repository.workdir().map(dunce::canonicalize);
        let Some(Ok(own)) = own else {
            return Err(CliError::Failure(in_no_repository(reference, spec)));
        };
        if trees.iter().any(|tree| tree.own == own) {
            continue;
        }
        let failed = |error: String| {
            let (name, own) = (clean(reference), own.display());
            CliError::Failure(format!(
                "--against {name}: cannot write the files of {own}: {error}"
            ))
        };
        let directory = TempDir::with_prefix("mcp-proxy-check-");
        let directory = directory.map_err(|error| failed(error.to_string()))?;
        check_out(&repository, reference, &own, directory.path())?;
        let of_tree = servers.iter().filter(|it| it.cwd.starts_with(&own));
        let linked = dependencies::link(&repository, &own, directory.path(), of_tree);
        let (linked, imports) = linked.map_err(|error| failed(error.to_string()))?;
        trees.push(CommitTree {
            own,
            directory,
            linked,
            imports,
        });
    }
    Ok(trees)
}

/// Returns the tree of the innermost repository with the server.
fn tree_of<'t>(trees: &'t [CommitTree], spec: &ServerSpec) -> Option<&'t CommitTree> {
    let around = trees.iter().filter(|tree| spec.cwd.starts_with(&tree.own));
    around.max_by_key(|tree| tree.own.as_os_str().len())
}

fn repository(reference: &str, spec: &ServerSpec) -> Result<Repository, CliError> {
    if let Some(remote) = &spec.remote {
        return Err(CliError::Usage(format!(
            "--against {}: no commit has the code of `{}`, which runs at {}; select other servers with --server",
            clean(reference),
            clean(&spec.name),
            clean(&remote.shown),
        )));
    }
    Repository::discover(&spec.cwd).map_err(|error| match error.code() {
        git2::ErrorCode::NotFound => CliError::Failure(in_no_repository(reference, spec)),
        _ => CliError::Failure(format!(
            "--against {}: cannot read the repository around {}: {}",
            clean(reference),
            spec.cwd.display(),
            error.message()
        )),
    })
}

fn in_no_repository(reference: &str, spec: &ServerSpec) -> String {
    format!(
        "--against {}: there is no such file, and `{}` runs in {}, which is in the working tree of no git repository",
        clean(reference),
        clean(&spec.name),
        spec.cwd.display()
    )
}

/// Writes the files of the commit `reference` into `directory`.
fn check_out(
    repository: &Repository,
    reference: &str,
    own: &Path,
    directory: &Path,
) -> Result<(), CliError> {
    let found = repository.revparse_single(reference);
    let tree = found.and_then(|object| object.peel_to_tree());
    let tree = tree.map_err(|_| CliError::Failure(unknown(repository, reference, own)))?;
    let mut options = CheckoutBuilder::new();
    options.force().update_index(false).target_dir(directory);
    let written = repository.checkout_tree(tree.as_object(), Some(&mut options));
    written.map_err(|error| {
        CliError::Failure(format!(
            "--against {}: cannot write the files of the commit: {}",
            clean(reference),
            error.message()
        ))
    })
}

/// Returns the error for a name that is neither a file nor a commit.
fn unknown(repository: &Repository, reference: &str, own: &Path) -> String {
    let all = repository.references().ok();
    let all = all.into_iter().flatten().flatten();
    let names: Vec<String> = all
        .filter_map(|it| Some(it.shorthand().ok()?.to_owned()))
        .collect();
    let name = clean(reference);
    let mut text = format!(
        "--against {name}: there is no such file, and {} has no commit of that name",
        own.display()
    );
    let at_remote = names
        .iter()
        .find(|it| it.ends_with(&format!("/{reference}")));
    let near = match at_remote {
        Some(only) => vec![only.as_str()],
        None => nearest(reference, names.iter().map(String::as_str)),
    };
    if !near.is_empty() {
        let near: Vec<String> = near.iter().map(|it| format!("`{}`", clean(it))).collect();
        let _ = write!(text, "; did you mean {}?", near.join(" or "));
    } else if repository.is_shallow() {
        text += ", which is a shallow clone; fetch the commit first (`fetch-depth: 0` in GitHub Actions)";
    }
    text
}

impl CommitTree {
    /// Returns the note about entries that are not from the commit.
    fn note(&self) -> Option<String> {
        let linked: Vec<_> = self.linked.iter().map(|it| clean(it)).collect();
        (!linked.is_empty()).then(|| {
            format!(
                "the commit runs with these entries of {}, which git ignores: {}",
                self.own.display(),
                linked.join(", ")
            )
        })
    }

    /// Returns the server with the files of the commit.
    fn moved(&self, reference: &str, spec: &ServerSpec) -> Result<ServerSpec, CliError> {
        let mut there = spec.clone();
        there.name = format!("{}@{reference}", spec.name);
        there.cwd = self.path(&spec.cwd);
        if !there.cwd.is_dir() {
            let (reference, name) = (clean(reference), clean(&spec.name));
            let cwd = spec.cwd.strip_prefix(&self.own).unwrap_or(&spec.cwd);
            return Err(CliError::Failure(format!(
                "--against {reference}: the commit has no directory {}, in which `{name}` runs",
                cwd.display()
            )));
        }
        there.program = self.word(&spec.program);
        there.args = spec.args.iter().map(|it| self.word(it)).collect();
        for (_, value) in &mut there.env {
            *value = self.word(value);
        }
        if !self.imports.is_empty() {
            let name = OsStr::new("PYTHONPATH");
            let given = there.env.iter().rev().find(|(it, _)| it == name);
            let before = given.map(|(_, value)| value.clone());
            let before = before
                .or_else(|| std::env::var_os(name))
                .unwrap_or_default();
            let before: Vec<PathBuf> = std::env::split_paths(&before).collect();
            if let Ok(paths) = std::env::join_paths(self.imports.iter().chain(&before)) {
                there.env.push((name.to_owned(), paths));
            }
        }
        Ok(there)
    }

    /// Returns the path of the commit's file for one of the user's.
    fn path(&self, path: &Path) -> PathBuf {
        match path.strip_prefix(&self.own) {
            Ok(inside) => self.directory.path().join(inside),
            Err(_) => path.to_owned(),
        }
    }

    /// Returns a word of a command line with the commit's paths instead of the user's.
    fn word(&self, word: &OsStr) -> OsString {
        let own = (
            word.to_str(),
            self.own.to_str(),
            self.directory.path().to_str(),
        );
        if let (Some(word), Some(own), Some(there)) = own {
            let replaced = replaced(word, own, there);
            if replaced != word {
                return replaced.into();
            }
        }
        let path = Path::new(word);
        // The tree may be named through a symbolic link.
        let real = dunce::canonicalize(path)
            .ok()
            .filter(|_| path.is_absolute());
        let inside = real.filter(|it| it.starts_with(&self.own));
        inside.map_or_else(|| word.to_owned(), |it| self.path(&it).into())
    }
}

/// Replaces the directory `own` by `there` in a text such as `--root=/home/me/weather/src`.
fn replaced(text: &str, own: &str, there: &str) -> String {
    let mut done = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(own) {
        let (before, after) = (&rest[..at], &rest[at + own.len()..]);
        let is_path = |it: char| it.is_alphanumeric() || "/\\._-~".contains(it);
        let begins = !before.ends_with(is_path);
        let ends = !after.starts_with(|it: char| is_path(it) && it != '/' && it != '\\');
        done += before;
        done += if begins && ends { there } else { own };
        rest = after;
    }
    done + rest
}

/// Returns the error about servers that do not start at the commit; their stderr was shown.
fn broken(
    reference: &str,
    visited: &[ServerVisit],
    servers: &[ServerSpec],
    trees: &[CommitTree],
) -> Option<CliError> {
    let mut both = visited.iter().zip(servers);
    let (name, reason, spec) = both.find_map(|(visited, spec)| match &visited.outcome {
        VisitOutcome::Broken(failure) => Some((&visited.server, &failure.reason, spec)),
        _ => None,
    })?;
    let mut text = format!(
        "--against {}: `{}` does not start from the files of this commit: {reason}",
        clean(reference),
        clean(name)
    );
    let missing = tree_of(trees, spec)
        .map(|tree| dependencies::missing(&tree.own, tree.directory.path(), &spec.cwd));
    let missing = missing.unwrap_or_default();
    if !missing.is_empty() {
        let names: Vec<_> = missing.iter().map(|it| clean(it)).collect();
        let _ = write!(
            text,
            "; git ignores {}, which the commit therefore lacks: set `build`, so that they are made",
            names.join(", ")
        );
    }
    Some(CliError::Start(text))
}
