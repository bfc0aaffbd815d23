//! Inference of watch globs from the server command, for servers without globs.
//!
//! `command` unwraps common launchers, `launcher` reads shell scripts, `packages` detects third-party packages,
//! `project` finds the server's project, `language` selects its source files, `named` adds files of the arguments.

mod command;
mod language;
mod launcher;
mod named;
mod packages;
mod project;

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use self::command::UnwrappedCommand;
use self::language::Language;
#[cfg(test)]
pub(super) use self::language::{GO, RUST};
pub(super) use self::language::{JAVASCRIPT, NODE, PYTHON};
use self::named::NamedFiles;
use self::project::{DirectoryLimits, around_environment, is_installed};
use crate::command_line::CommandLine;
use crate::command_line::inner_watcher::InnerWatcher;
use crate::program_search;

/// Result of the inference.
#[derive(Debug, Default)]
pub(super) struct Inference {
    /// Globs, relative to the server's directory where possible; empty if nothing is to be watched or nothing can be
    /// inferred.
    pub(super) globs: Vec<String>,
    /// Names of directories below the project that contain built or third-party files.
    pub(super) skipped: &'static [&'static str],
    /// Whether the sources may import JSON files, which then count as well.
    pub(super) imports_json: bool,
    /// Sentences that ask the user for a change.
    pub(super) warnings: Vec<String>,
    /// Sentences for information only.
    pub(super) notes: Vec<String>,
}

/// Location of the sources.
#[derive(Debug)]
enum SourceLocation {
    /// This directory and all directories below it.
    Project(PathBuf),
    /// Only this directory, since the directories below it belong to much else.
    Beside(PathBuf),
    /// Unknown: the server's directory contains much more than one project.
    Unknown,
}

/// Infers watch globs for a command that is started in `cwd`. `home` is the user's home directory; `builds` means that
/// a build runs before each start, `may_reload` that a watcher within the command is no problem.
pub(super) fn infer(
    program: &OsStr,
    args: &[OsString],
    cwd: &Path,
    home: Option<&Path>,
    builds: bool,
    may_reload: bool,
) -> Inference {
    let limits = DirectoryLimits::new(home);
    let unwrapped = command::unwrap(CommandLine::new(cwd, program, args), &limits);
    let named = NamedFiles::by(&unwrapped);
    let mut inferred = Inference::default();
    let watcher = unwrapped.watcher.as_ref().filter(|_| !may_reload);
    inferred.warnings.extend(watcher.map(InnerWatcher::warning));
    let globs = match &unwrapped.foreign {
        Some(package) => {
            inferred.notes.push(format!(
                "{package} is third-party, so saves do not restart it; if it uses your own files, name them with \
                 --watch"
            ));
            let files = named.settings.iter().chain(&unwrapped.launchers);
            let files = files.chain(&unwrapped.env_files);
            files.map(|file| glob_below(file, "", cwd)).collect()
        }
        None => SourceSearch {
            cwd,
            limits: &limits,
            unwrapped: &unwrapped,
            named: &named,
            builds,
        }
        .globs(&mut inferred),
    };
    for glob in globs {
        if !inferred.globs.contains(&glob) {
            inferred.globs.push(glob);
        }
    }
    inferred
}

/// Search for the sources of a server developed by the user.
struct SourceSearch<'a> {
    cwd: &'a Path,
    limits: &'a DirectoryLimits,
    unwrapped: &'a UnwrappedCommand,
    named: &'a NamedFiles,
    builds: bool,
}

impl SourceSearch<'_> {
    /// Returns globs; adds messages and related settings to `inferred`.
    fn globs(&self, inferred: &mut Inference) -> Vec<String> {
        let cwd = self.cwd;
        let base = self.base();
        let (language, globs) = self.language(&base);
        inferred.imports_json = globs == NODE || globs == JAVASCRIPT;
        inferred.skipped = language.map_or(&[], |language| language.skipped);
        let built_globs = self.built_files(language, inferred);
        let mut found = Vec::new();
        if built_globs.is_empty() {
            match &base {
                SourceLocation::Project(directory) => {
                    found.extend(globs.iter().map(|glob| glob_below(directory, glob, cwd)));
                }
                SourceLocation::Beside(directory) => {
                    let flat = globs.iter().filter_map(|glob| glob.strip_prefix("**/"));
                    found.extend(flat.map(|glob| glob_below(directory, glob, cwd)));
                }
                SourceLocation::Unknown => {}
            }
            found.extend(
                self.binary(language)
                    .map(|binary| glob_below(&binary, "", cwd)),
            );
        }
        found.extend(built_globs);
        found.extend(self.named_files(&base, globs));
        let is_blind = found.is_empty() || globs.is_empty() && self.named.script.is_none();
        match &base {
            SourceLocation::Beside(directory) => inferred.warnings.push(format!(
                "{} contains more than one project, so only the files beside the server are watched; name the other \
                 sources with --watch",
                directory.display()
            )),
            SourceLocation::Unknown if is_blind && self.binary(language).is_none() => {
                inferred.warnings.push(format!(
                    "the server is started in {}, which contains more than one project, so nothing in it is watched; \
                     name the sources with --watch, or the project's directory with --cwd",
                    self.unwrapped.command.base.display()
                ));
            }
            SourceLocation::Project(_) | SourceLocation::Unknown if found.is_empty() => inferred.warnings.push(format!(
                "cannot infer from the command `{}` which files to watch; name the sources with --watch, as in --watch \
                 'src/**'",
                self.unwrapped.command.words.first().map_or("", String::as_str)
            )),
            SourceLocation::Project(_) => inferred.warnings.extend(self.doubt(globs)),
            SourceLocation::Unknown => {}
        }
        found
    }

    /// Returns a warning if only a file that is no source is watched, or if the command is not known.
    fn doubt(&self, globs: &[&str]) -> Option<String> {
        let unwrapped = self.unwrapped;
        let shown = |path: &Path| glob_below(path, "", self.cwd);
        let advice = "name the sources with --watch, as in --watch 'src/**'";
        if unwrapped.has_unknown_script {
            Some(
                "the script that the command calls is in no package.json here, so the files that it runs are unknown; \
                 start it in the directory of its package with --cwd, or name its files with --watch"
                    .to_owned(),
            )
        } else if !globs.is_empty() {
            None
        } else if let Some(path) = &unwrapped.unclear_launcher {
            Some(format!(
                "cannot infer from {} which files the server uses, so only this script is watched; {advice}",
                shown(path)
            ))
        } else if self.builds && self.named.script.is_none() {
            let program = self.named_program()?;
            Some(format!(
                "cannot infer from which sources the build makes {}, so a save of them builds nothing; {advice}",
                shown(&program)
            ))
        } else {
            None
        }
    }

    fn base(&self) -> SourceLocation {
        let UnwrappedCommand {
            command, project, ..
        } = self.unwrapped;
        let wide = |place: &Path| self.limits.is_too_wide(place);
        let of_command = || {
            let own = self.limits.project(&command.base);
            own.or_else(|| (!wide(&command.base)).then(|| command.base.clone()))
        };
        if let Some(project) = project.clone().filter(|project| !wide(project)) {
            return SourceLocation::Project(project);
        }
        let program = command.words.first().map(|word| command.path(word));
        let source = self.named.script.as_ref().or(self.named.module.as_ref());
        let source = source.or(self.named.built.first());
        if let Some(directory) = source.and_then(|source| source.parent()) {
            if let Some(project) = self.limits.project(directory) {
                return SourceLocation::Project(project);
            }
            // A relative name refers to the directory in which the command starts.
            let is_relative = self.named.is_relative && directory.starts_with(&command.base);
            if is_relative && !wide(&command.base) {
                return SourceLocation::Project(command.base.clone());
            }
            return if wide(directory) {
                SourceLocation::Beside(directory.to_owned())
            } else {
                SourceLocation::Project(directory.to_owned())
            };
        }
        let environment = || program.as_deref().and_then(around_environment);
        of_command()
            .or_else(|| environment().filter(|place| !wide(place)))
            .map_or(SourceLocation::Unknown, SourceLocation::Project)
    }

    /// Returns the language and the globs of its sources.
    fn language(
        &self,
        base: &SourceLocation,
    ) -> (Option<&'static Language>, &'static [&'static str]) {
        let Self {
            unwrapped, named, ..
        } = self;
        let program = unwrapped.command.program();
        let script = named.script.as_deref();
        let of_project = || match base {
            SourceLocation::Project(directory) => Language::of_project(directory),
            SourceLocation::Beside(_) | SourceLocation::Unknown => None,
        };
        let language = Language::of_program(&program)
            .or_else(|| script.and_then(Language::of_source))
            .or_else(|| script.and_then(Language::of_shebang))
            .or_else(|| self.interpreter())
            .filter(|language| !language.globs.is_empty())
            .or_else(|| {
                let mut wrappers = unwrapped.wrappers.iter().rev();
                wrappers.find_map(|name| Language::of_program(name).filter(|it| it.is_sure))
            })
            .or_else(|| {
                // A program given by its path is the source itself.
                let is_named = self.named_program().is_some() && script.is_none();
                if is_named && !self.builds {
                    None
                } else {
                    of_project()
                }
            });
        let Some(language) = language else {
            return (None, &[]);
        };
        let has_manifest = || match base {
            SourceLocation::Project(directory) => language.has_manifest(directory),
            SourceLocation::Beside(_) | SourceLocation::Unknown => false,
        };
        let is_script = script.is_some_and(|script| {
            script.extension().is_none() || Language::of_source(script).is_some()
        });
        if !(language.is_sure || is_script || has_manifest()) {
            return (Some(language), &[]);
        }
        let is_javascript = language.globs == NODE
            && program == "node"
            && !self.builds
            && script.is_some_and(is_javascript);
        let globs = if is_javascript {
            JAVASCRIPT
        } else {
            language.globs
        };
        (Some(language), globs)
    }

    /// Returns the built files that the command runs, such as a jar. Their sources have no effect without a build; with
    /// a configured build, the result is empty.
    fn built_files(&self, language: Option<&Language>, inferred: &mut Inference) -> Vec<String> {
        if self.builds || self.named.built.is_empty() {
            return Vec::new();
        }
        let built = &self.named.built;
        let names: Vec<String> = built
            .iter()
            .map(|path| glob_below(path, "", self.cwd))
            .collect();
        let build = match language {
            Some(language) if language.builds(Path::new("x.dll")) => "dotnet build",
            _ => "mvn package",
        };
        inferred.notes.push(format!(
            "watching the build output {}, not its sources; to build at each save of the sources, add --build, as in \
             --build '{build}'",
            names.join(", ")
        ));
        names
    }

    /// Returns the program's own file if the command gives its path and no language was found.
    fn binary(&self, language: Option<&Language>) -> Option<PathBuf> {
        if language.is_some() || self.named.script.is_some() {
            return None;
        }
        self.named_program()
    }

    fn named_program(&self) -> Option<PathBuf> {
        let command = &self.unwrapped.command;
        let word = command.words.first()?;
        let is_named = word.contains(std::path::is_separator);
        is_named.then(|| command.path(word))
    }

    /// Returns the language of the program's shebang, as in a console script (`.venv/bin/weather`) or an executable
    /// `server`.
    fn interpreter(&self) -> Option<&'static Language> {
        let command = &self.unwrapped.command;
        let program = command.words.first()?;
        let path = std::env::var_os("PATH");
        let file = program_search::find(program, path.as_deref(), &command.base)?;
        Language::of_shebang(&file)
    }

    fn named_files(&self, base: &SourceLocation, globs: &[&str]) -> Vec<String> {
        let cwd = self.cwd;
        let named = self.named;
        let script = named.script.as_deref();
        let mut found: Vec<String> = Vec::new();
        // A build before each start rewrites this file, which would count as a second save.
        let is_output = self.builds && script.is_some_and(is_javascript);
        if let Some(script) = script.filter(|_| !is_output) {
            found.push(glob_below(script, "", cwd));
            // The glob names the directory, so build output counts although it is ignored.
            if let (SourceLocation::Project(base), Some(directory)) = (base, script.parent())
                && globs == JAVASCRIPT
                && directory != base
            {
                found.push(glob_below(directory, JAVASCRIPT[0], cwd));
            }
        }
        let files = named.sources.iter().chain(&named.settings);
        let files = files.chain(&self.unwrapped.launchers);
        let files = files.chain(&self.unwrapped.env_files);
        found.extend(files.map(|file| glob_below(file, "", cwd)));
        if globs == PYTHON || globs == NODE || globs == JAVASCRIPT {
            found.extend(
                self.dotenv_paths(base)
                    .iter()
                    .map(|file| glob_below(file, "", cwd)),
            );
        }
        found
    }

    /// Returns the possible locations of `.env`: beside the script, in its project, in the starting directory.
    fn dotenv_paths(&self, base: &SourceLocation) -> Vec<PathBuf> {
        let beside = self.named.script.as_deref().and_then(Path::parent);
        let base = match base {
            SourceLocation::Project(directory) => Some(directory.as_path()),
            SourceLocation::Beside(_) | SourceLocation::Unknown => None,
        };
        [beside, base, Some(&self.unwrapped.command.base)]
            .into_iter()
            .flatten()
            .filter(|place| !self.limits.is_too_wide(place) && !is_installed(place))
            .map(|place| place.join(".env"))
            .collect()
    }
}

fn is_javascript(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str());
    matches!(extension, Some("js" | "mjs" | "cjs"))
}

/// Formats a glob below `directory`, relative to `cwd` where possible. Glob characters in names are escaped.
pub(super) fn glob_below(directory: &Path, glob: &str, cwd: &Path) -> String {
    let directory: PathBuf = directory.components().collect();
    if directory == *cwd {
        return glob.to_owned();
    }
    let (shown, prefix) = match directory.strip_prefix(cwd) {
        Ok(below) if cwd.parent().is_some() => (below, "./"),
        _ => (directory.as_path(), ""),
    };
    let shown = globset::escape(&shown.to_string_lossy());
    // A bare name would match at any depth.
    let prefix = if shown.contains('/') || !glob.is_empty() {
        ""
    } else {
        prefix
    };
    let slash = if glob.is_empty() { "" } else { "/" };
    format!("{prefix}{shown}{slash}{glob}")
}
