//! Files named in the arguments of a command.

use std::path::{Path, PathBuf};

use super::command::UnwrappedCommand;
use super::language::{LANGUAGES, Language};
use super::project::{around_environment, is_installed, read_json};
use crate::command_line::{Argument, ArgumentKind, CommandLine};

/// Extensions of configuration files.
#[rustfmt::skip] // A table.
const SETTINGS: &[&str] = &[
    "json", "jsonc", "json5", "yaml", "yml", "toml", "ini", "cfg", "conf", "env", "properties", "xml",
];

/// Parts of option names and file names that distinguish configuration from data.
const SETTINGS_NAMES: &[&str] = &["conf", "settings", "env", "spec", "schema", "manifest"];

/// Files named by a command; they exist unless stated otherwise.
#[derive(Debug, Default)]
pub(super) struct NamedFiles {
    /// First source file; need not exist if a `fastmcp.json` names it.
    pub(super) script: Option<PathBuf>,
    /// Whether the name of the script or module is relative.
    pub(super) is_relative: bool,
    /// Further source files.
    pub(super) sources: Vec<PathBuf>,
    /// Directory or file of the module that `python -m` runs.
    pub(super) module: Option<PathBuf>,
    /// Built files and directories, such as a jar, which need not exist yet.
    pub(super) built: Vec<PathBuf>,
    /// Configuration files.
    pub(super) settings: Vec<PathBuf>,
}

impl NamedFiles {
    pub(super) fn by(unwrapped: &UnwrappedCommand) -> Self {
        let command = &unwrapped.command;
        let mut named = Self::default();
        let language = Language::of_program(&command.program());
        let program = &command.words[0];
        named.take_file("", program, file_of(command, program));
        named.take_executable(command, program);
        let mut has_positional = false;
        for argument in command.arguments() {
            named.take(command, &argument);
            if argument.kind == ArgumentKind::Plain && !has_positional {
                has_positional = true;
                named.take_first(command, language, &argument);
            }
        }
        named.read_fastmcp(command);
        named
    }

    /// Records the files that an argument names.
    fn take(&mut self, command: &CommandLine, argument: &Argument) {
        let Some(value) = argument.value else { return };
        if is_class_path(argument.option) {
            let paths =
                std::env::split_paths(value).map(|path| command.path(&path.to_string_lossy()));
            let near = paths.filter(|path| path.starts_with(&command.base));
            self.built.extend(near);
            return;
        }
        let file = file_of(command, value);
        let is_built = LANGUAGES.iter().any(|language| language.builds(&file));
        if argument.option == "-jar" || is_built && file.is_file() {
            self.built.push(file);
        } else {
            self.take_file(argument.option, value, file);
        }
    }

    /// Records a source or configuration file, given as `value`, perhaps to an option.
    fn take_file(&mut self, option: &str, value: &str, file: PathBuf) {
        if !is_users_file(&file) {
            return;
        }
        if Language::of_source(&file).is_some() {
            if self.script.is_none() && !is_preload(option) {
                self.is_relative = !Path::new(value).is_absolute();
                self.script = Some(file);
            } else {
                self.sources.push(file);
            }
        } else if is_settings(option, &file) {
            self.settings.push(file);
        }
    }

    /// Records a program given by its path if it is an executable script of the user without an extension. A shell
    /// script is no source of a server but a launcher.
    fn take_executable(&mut self, command: &CommandLine, program: &str) {
        let file = command.path(program);
        let is_path = program.contains(std::path::is_separator);
        if is_path && self.script.is_none() && is_users_file(&file) {
            let language = Language::of_shebang(&file);
            if language.is_some_and(|language| !language.globs.is_empty()) {
                self.is_relative = !Path::new(program).is_absolute();
                self.script = Some(file);
            }
        }
    }

    /// Records the first positional word: a script without an extension, or a module.
    fn take_first(
        &mut self,
        command: &CommandLine,
        language: Option<&'static Language>,
        argument: &Argument,
    ) {
        let word = argument.word;
        let is_python = language.is_some_and(|language| language.globs == super::PYTHON);
        if is_python && argument.option == "-m" {
            self.module = module(command, word);
            self.is_relative = true;
            return;
        }
        let file = command.path(word);
        let is_script = file.extension().is_none() && is_users_file(&file);
        if language.is_some() && self.script.is_none() && is_script {
            self.is_relative = !Path::new(word).is_absolute();
            self.script = Some(file);
        }
    }

    /// Records the script named in the `fastmcp.json` of `fastmcp run`.
    fn read_fastmcp(&mut self, command: &CommandLine) {
        if command.program() != "fastmcp" || self.script.is_some() {
            return;
        }
        let words = command.words.iter().skip(1);
        let file = words
            .map(|word| command.path(word))
            .find(|file| file.extension().is_some_and(|end| end == "json") && file.is_file())
            .unwrap_or_else(|| command.path("fastmcp.json"));
        let Some(settings) = read_json(&file) else {
            return;
        };
        if let Some(path) = settings["source"]["path"].as_str() {
            let directory = file.parent().unwrap_or(&command.base);
            self.script = Some(super::project::tidy(&directory.join(path)));
            self.is_relative = true;
        }
        if !self.settings.contains(&file) {
            self.settings.push(file);
        }
    }
}

/// Finds a module: in `src` or directly below the base directory or the project around the interpreter.
fn module(command: &CommandLine, name: &str) -> Option<PathBuf> {
    let first = name.split('.').next()?;
    let project = around_environment(&command.path(&command.words[0]));
    [Some(command.base.clone()), project]
        .into_iter()
        .flatten()
        .flat_map(|root| [root.join("src"), root])
        .flat_map(|root| [root.join(first), root.join(format!("{first}.py"))])
        .find(|place| place.is_dir() && !is_installed(place) || place.is_file())
}

/// Returns the file named by a word; `server.py:app` names an object in a file.
fn file_of(command: &CommandLine, word: &str) -> PathBuf {
    let whole = command.path(word);
    match word.rsplit_once(':') {
        Some((file, _)) if !whole.exists() => command.path(file),
        _ => whole,
    }
}

/// Whether the file exists and no package manager installed it.
pub(super) fn is_users_file(file: &Path) -> bool {
    file.is_file() && !is_installed(file) && around_environment(file).is_none()
}

fn is_class_path(option: &str) -> bool {
    matches!(option, "-cp" | "-classpath" | "--class-path")
}

/// Whether the option loads a file before the script.
fn is_preload(option: &str) -> bool {
    matches!(
        option,
        "-r" | "--require" | "--import" | "--loader" | "--preload"
    )
}

fn is_settings(option: &str, file: &Path) -> bool {
    let has_end = file
        .extension()
        .and_then(|extension| extension.to_str())
        .is_some_and(|extension| SETTINGS.contains(&extension));
    let name = file
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .to_lowercase();
    let tells = |text: &str| SETTINGS_NAMES.iter().any(|part| text.contains(part));
    let is_option = option.starts_with('-') && tells(option);
    has_end && (is_option || tells(&name))
}
