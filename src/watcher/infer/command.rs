//! Unwrapping of common launchers (`uv run`, `npx`, `npm run`, `sh -c`, `run.sh`), down to the command of the server.

use std::path::PathBuf;

use super::launcher;
use super::packages::{self, ProgramOrigin};
use super::project::{DirectoryLimits, tidy};
use crate::command_line::inner_watcher::{self, InnerWatcher};
use crate::command_line::{ArgumentKind, CommandLine, InnerCommand, MAX_WRAPPERS, ScriptCall};
use crate::package_scripts;

/// Innermost command, and findings about its wrappers.
#[derive(Debug, Default)]
pub(super) struct UnwrappedCommand {
    pub(super) command: CommandLine,
    /// Names of the removed wrappers, the outermost first.
    pub(super) wrappers: Vec<String>,
    /// Third-party package that is run.
    pub(super) foreign: Option<String>,
    /// The user's project that a wrapper runs, as in `uvx --from .`.
    pub(super) project: Option<PathBuf>,
    /// Shell scripts on the way to the command.
    pub(super) launchers: Vec<PathBuf>,
    /// Shell script that does not tell which command it starts.
    pub(super) unclear_launcher: Option<PathBuf>,
    /// Env files for the server, which need not exist.
    pub(super) env_files: Vec<PathBuf>,
    pub(super) watcher: Option<InnerWatcher>,
    /// Whether the command calls a script of a `package.json` that was not found.
    pub(super) has_unknown_script: bool,
}

/// Removes wrappers until the command is none.
pub(super) fn unwrap(command: CommandLine, limits: &DirectoryLimits) -> UnwrappedCommand {
    let mut unwrapped = UnwrappedCommand {
        command,
        ..UnwrappedCommand::default()
    };
    // Scripts may be recursive.
    for _ in 0..MAX_WRAPPERS {
        unwrapped.note_env_files();
        unwrapped.watcher = unwrapped
            .watcher
            .take()
            .or_else(|| inner_watcher::of(&unwrapped.command));
        let Some(next) = unwrapped.next() else { break };
        if next.command.words.is_empty() {
            break;
        }
        unwrapped.wrappers.push(unwrapped.command.program());
        let owner = if next.fetches {
            packages::owner(&next, limits)
        } else {
            ProgramOrigin::Tool
        };
        unwrapped.command = next.command;
        match owner {
            ProgramOrigin::Tool => {}
            ProgramOrigin::Project { directory, bin } => {
                if let Some(bin) = bin {
                    unwrapped.command.words[0] = bin.to_string_lossy().into_owned();
                    unwrapped.command.words.insert(0, "node".to_owned());
                }
                unwrapped.project = Some(directory);
            }
            ProgramOrigin::Foreign(name) => {
                unwrapped.foreign = Some(name);
                break;
            }
        }
    }
    if unwrapped.foreign.is_none() {
        unwrapped.foreign = packages::run_directly(&unwrapped.command);
    }
    rebase(&mut unwrapped.command);
    unwrapped
}

impl UnwrappedCommand {
    fn next(&mut self) -> Option<InnerCommand> {
        let command = &self.command;
        if let Some(commands) = command.shell_commands() {
            let watcher = commands.iter().find_map(inner_watcher::of);
            self.watcher = self.watcher.take().or(watcher);
            // Commands before may prepare the start, as in `nvm use 20 && node server.js`.
            let at = commands.iter().position(launcher::may_start_server);
            let mut commands = commands.into_iter();
            return commands.nth(at.unwrap_or(0)).map(InnerCommand::plain);
        }
        if let Some(launcher) = launcher::of(command) {
            if launcher.command.is_some() {
                self.launchers.push(launcher.path);
            } else {
                self.unclear_launcher = Some(launcher.path);
            }
            return launcher.command.map(InnerCommand::plain);
        }
        if packages::is_inspector(&command.words[0]) {
            return packages::inspected(command);
        }
        let call = ScriptCall::of(command);
        if let Some(script) = call.as_ref().and_then(package_scripts::find) {
            let watcher = script.commands.iter().find_map(inner_watcher::of);
            self.watcher = self
                .watcher
                .take()
                .or(watcher.map(|watcher| watcher.of_script(script.name)));
            let is_all = script.commands.len() == 1 && !script.has_more;
            // With several commands, the others may build the sources of the last.
            return is_all
                .then(|| script.commands.into_iter().next())?
                .map(InnerCommand::plain);
        }
        let inner = command.inner();
        self.has_unknown_script |= call.is_some_and(|call| call.is_certain);
        inner
    }

    fn note_env_files(&mut self) {
        let files = self
            .command
            .arguments()
            .filter(|argument| matches!(argument.option, "--env-file" | "--env-file-if-exists"));
        for value in files.filter_map(|argument| argument.value) {
            let file = self.command.path(value);
            if !self.env_files.contains(&file) {
                self.env_files.push(file);
            }
        }
    }
}

impl CommandLine {
    /// Returns the path named by a word.
    pub(super) fn path(&self, word: &str) -> PathBuf {
        tidy(&self.base.join(word))
    }
}

impl InnerCommand {
    fn plain(command: CommandLine) -> Self {
        Self {
            command,
            package: None,
            editable: None,
            fetches: false,
        }
    }
}

/// Applies the directory options of the innermost command, as in `npm --prefix server start`.
fn rebase(command: &mut CommandLine) {
    let mut base = command.base.clone();
    for argument in command.arguments() {
        let Some(value) = argument.value else {
            continue;
        };
        if argument.option == "--manifest-path" {
            base.push(value);
            base.pop();
        } else if argument.kind == ArgumentKind::Directory {
            base.push(value);
            // Project file, as in `dotnet run --project src/App.csproj`.
            if base.is_file() {
                base.pop();
            }
        }
    }
    command.base = base;
}
