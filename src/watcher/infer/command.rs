//! Unwrapping of common launchers (`uv run`, `npx`, `npm run`, `sh -c`), down to the command that runs the server.

use std::path::{Path, PathBuf};

use super::inner_watcher::{self, InnerWatcher};
use super::packages::{self, ProgramOrigin};
use super::project::{DirectoryLimits, read_json, tidy};
use super::wrappers::{DIRECTORY, RUNNERS, VALUED};

/// Command, possibly wrapped.
#[derive(Debug, Clone)]
pub(super) struct CommandLine {
    /// Base directory of relative names.
    pub(super) base: PathBuf,
    pub(super) words: Vec<String>,
}

/// Innermost command, and findings about its wrappers.
#[derive(Debug)]
pub(super) struct UnwrappedCommand {
    pub(super) command: CommandLine,
    /// Names of the removed wrappers, the outermost first.
    pub(super) wrappers: Vec<String>,
    /// Third-party package that is run.
    pub(super) foreign: Option<String>,
    /// The user's project that a wrapper runs, as in `uvx --from .`.
    pub(super) project: Option<PathBuf>,
    /// Env files for the server, which need not exist.
    pub(super) env_files: Vec<PathBuf>,
    pub(super) watcher: Option<InnerWatcher>,
}

/// Command without its outermost wrapper.
#[derive(Debug)]
pub(super) struct InnerCommand {
    pub(super) command: CommandLine,
    /// Packages that the wrapper fetches for the command.
    pub(super) packages: Vec<String>,
    /// Source directory that the wrapper makes importable.
    pub(super) editable: Option<String>,
    fetches: bool,
}

impl CommandLine {
    pub(super) fn program(&self) -> String {
        stem(self.words.first().map_or("", String::as_str))
    }

    /// Returns a command with the same base directory and other words.
    pub(super) fn with(&self, words: &[String]) -> Self {
        Self {
            base: self.base.clone(),
            words: words.to_vec(),
        }
    }

    /// Returns the path named by a word.
    pub(super) fn path(&self, word: &str) -> PathBuf {
        tidy(&self.base.join(word))
    }
}

/// Removes wrappers until the command is none.
pub(super) fn unwrap(command: CommandLine, limits: &DirectoryLimits) -> UnwrappedCommand {
    let mut unwrapped = UnwrappedCommand {
        command,
        wrappers: Vec::new(),
        foreign: None,
        project: None,
        env_files: Vec::new(),
        watcher: None,
    };
    // Bounds recursive scripts; real commands nest fewer wrappers.
    for _ in 0..8 {
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
        let program = command.program();
        if matches!(
            program.as_str(),
            "sh" | "bash" | "zsh" | "dash" | "ksh" | "fish"
        ) {
            let commands = shell(command)?;
            let watcher = commands.iter().find_map(inner_watcher::of);
            self.watcher = self.watcher.take().or(watcher);
            return commands.into_iter().next().map(InnerCommand::plain);
        }
        if program == "cmd" {
            let slash = |word: &String| word.eq_ignore_ascii_case("/c");
            let at = command.words.iter().position(slash)?;
            return Some(InnerCommand::plain(command.with(&command.words[at + 1..])));
        }
        if packages::is_inspector(&command.words[0]) {
            return packages::inspected(command).map(InnerCommand::plain);
        }
        if let Some(script) = package_script(command) {
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
        wrapped(command, &program)
    }

    fn note_env_files(&mut self) {
        let words = &self.command.words;
        for (index, word) in words.iter().enumerate() {
            let value = match word.strip_prefix("--env-file") {
                Some("" | "-if-exists") => words.get(index + 1).map(String::as_str),
                Some(rest) => rest.trim_start_matches("-if-exists").strip_prefix('='),
                None => None,
            };
            let file = value.map(|value| self.command.path(value));
            self.env_files
                .extend(file.filter(|file| !self.env_files.contains(file)));
        }
    }
}

impl InnerCommand {
    fn plain(command: CommandLine) -> Self {
        Self {
            command,
            packages: Vec::new(),
            editable: None,
            fetches: false,
        }
    }
}

/// Returns the commands within `sh -c "cd server && exec node index.js"`.
fn shell(command: &CommandLine) -> Option<Vec<CommandLine>> {
    let flag = command
        .words
        .iter()
        .position(|word| word.starts_with('-') && !word.starts_with("--") && word.ends_with('c'))?;
    let line = command.words.get(flag + 1)?;
    Some(commands_of(line, &command.base))
}

/// Splits a shell's command line into commands, without those that only prepare it.
pub(super) fn commands_of(line: &str, base: &Path) -> Vec<CommandLine> {
    let mut base = base.to_owned();
    let mut commands = Vec::new();
    for part in line.split(['&', ';', '|', '\n']) {
        // An unbalanced quote: the separator was part of a word.
        let Some(words) = shlex::split(part) else {
            break;
        };
        let words: Vec<String> = words
            .into_iter()
            .skip_while(|word| is_assignment(word))
            .collect();
        match words.first().map(String::as_str) {
            None | Some("set" | "export" | "source" | "." | "true") => {}
            Some("cd") => base = base.join(words.get(1).map_or("", String::as_str)),
            Some(_) => commands.push(CommandLine {
                base: base.clone(),
                words,
            }),
        }
    }
    commands
}

/// Script of a `package.json`.
struct PackageScript {
    name: String,
    commands: Vec<CommandLine>,
    /// Whether another script runs before it.
    has_more: bool,
}

/// Returns the script that `npm run dev`, `yarn dev` or `node --run dev` runs.
fn package_script(command: &CommandLine) -> Option<PackageScript> {
    let program = command.program();
    let mut here = command.clone();
    rebase(&mut here);
    let words = &here.words[1..];
    let mut plain = Vec::new();
    let mut at = 0;
    while at < words.len() && plain.len() < 2 {
        let word = words[at].as_str();
        if DIRECTORY.contains(&word) {
            at += 1;
        } else if word == "--run" {
            plain.push((at, "run"));
        } else if !word.starts_with('-') {
            plain.push((at, word));
        } else if matches!(word, "-w" | "--workspace" | "--filter" | "-F") {
            // Script of another package.
            return None;
        }
        at += 1;
    }
    let (first_at, first) = *plain.first()?;
    let (at, name) = match (program.as_str(), first) {
        ("npm" | "pnpm" | "yarn" | "bun" | "node", "run" | "run-script") => *plain.get(1)?,
        ("npm", "start" | "test" | "restart") | ("pnpm" | "yarn" | "bun", _) => (first_at, first),
        _ => return None,
    };
    let package = here
        .base
        .ancestors()
        .find(|place| place.join("package.json").is_file())?;
    let scripts = &read_json(&package.join("package.json"))?["scripts"];
    let line = scripts[name].as_str()?;
    let mut commands = commands_of(line, package);
    if let Some(last) = commands.last_mut() {
        let more = words[at + 1..].iter().skip_while(|word| *word == "--");
        last.words.extend(more.cloned());
    }
    Some(PackageScript {
        name: name.to_owned(),
        commands,
        has_more: scripts[format!("pre{name}")].is_string(),
    })
}

/// Returns the command after a wrapper such as `uv --directory server run --with mcp`.
fn wrapped(command: &CommandLine, program: &str) -> Option<InnerCommand> {
    let mut rows: Vec<_> = RUNNERS
        .iter()
        .filter(|(name, ..)| *name == program)
        .collect();
    let mut inner = InnerCommand::plain(command.with(&[]));
    let mut depth = 0;
    let mut words = command.words.iter().skip(1);
    while let Some(word) = words.next() {
        let is_complete = rows.iter().any(|(_, path, _)| path.len() == depth);
        if let Some(directory) = directory_option(word, &mut words.clone()) {
            inner.command.base = inner.command.base.join(directory);
            if !word.contains('=') {
                words.next();
            }
        } else if is_complete && matches!(word.as_str(), "-m" | "--module") && program == "uv" {
            let python = ["python".to_owned(), "-m".to_owned()];
            inner.command.words = python.into_iter().chain(words.cloned()).collect();
            return Some(inner);
        } else if VALUED.contains(&word.as_str()) {
            inner.note(program, word, words.next());
        } else if let Some((option, value)) =
            word.split_once('=').filter(|_| word.starts_with("--"))
        {
            inner.note(program, option, Some(&value.to_owned()));
        } else if word.starts_with('-') || is_assignment(word) {
        } else if let (true, Some((_, _, fetches))) = (is_complete, rows.first()) {
            inner.fetches = *fetches;
            inner.command.words = std::iter::once(word).chain(words).cloned().collect();
            return Some(inner);
        } else {
            rows.retain(|(_, path, _)| path.get(depth) == Some(&word.as_str()));
            depth += 1;
            if rows.is_empty() {
                return None;
            }
        }
    }
    None
}

impl InnerCommand {
    /// Records an option of the wrapper.
    fn note(&mut self, program: &str, option: &str, value: Option<&String>) {
        let Some(value) = value else { return };
        match option {
            "--from" | "--spec" | "--package" => self.packages.push(value.clone()),
            // For uv, `-p` selects the interpreter.
            "-p" if !program.starts_with("uv") => self.packages.push(value.clone()),
            "--with-editable" => self.editable = Some(value.clone()),
            _ => {}
        }
    }
}

/// Applies the directory options of the innermost command, as in `npm --prefix server start`.
fn rebase(command: &mut CommandLine) {
    let directory_aware = matches!(
        command.program().as_str(),
        "npm" | "pnpm" | "yarn" | "bun" | "go" | "uv" | "cargo" | "dotnet" | "gradle"
    );
    let words = command.words.clone();
    let mut words = words.iter().skip(1).filter(|_| directory_aware);
    while let Some(word) = words.next() {
        if word == "--manifest-path" {
            command.base.push(words.next().map_or("", String::as_str));
            command.base.pop();
        } else if let Some(directory) = directory_option(word, &mut words.clone()) {
            command.base = command.base.join(directory);
            // Project file, as in `dotnet run --project src/App.csproj`.
            if command.base.is_file() {
                command.base.pop();
            }
        }
    }
}

fn directory_option<'a>(
    word: &'a str,
    next: &mut dyn Iterator<Item = &'a String>,
) -> Option<&'a str> {
    if DIRECTORY.contains(&word) {
        return next.next().map(String::as_str);
    }
    word.split_once('=')
        .filter(|(name, _)| DIRECTORY.contains(name))
        .map(|(_, value)| value)
}

/// Whether the next word is the value of the option.
pub(super) fn takes_value(option: &str) -> bool {
    VALUED.contains(&option)
}

pub(super) fn is_assignment(word: &str) -> bool {
    word.split_once('=').is_some_and(|(name, _)| {
        !name.is_empty() && name.chars().all(|c| c == '_' || c.is_ascii_alphanumeric())
    })
}

/// Returns the name of a program without directory and Windows suffix, in lower case: `/usr/bin/python3.12` →
/// `python3.12`, `npx.cmd` → `npx`.
pub(super) fn stem(program: &str) -> String {
    let name = program
        .rsplit(std::path::is_separator)
        .next()
        .unwrap_or(program);
    ["exe", "cmd", "bat"]
        .iter()
        .find_map(|end| name.strip_suffix(end)?.strip_suffix('.'))
        .unwrap_or(name)
        .to_lowercase()
}
