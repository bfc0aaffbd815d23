//! Detection of file watchers within the command, which restart the server without the proxy's knowledge.

use crate::command_line::{ArgumentKind, CommandLine};
use crate::watcher::ignores::Ignores;

/// File watcher that the command starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct InnerWatcher {
    /// Words that start it, as in `node --watch`.
    words: String,
    /// Advice on removing it.
    advice: String,
    /// Script of the `package.json` that starts it.
    script: Option<String>,
}

/// Programs whose only purpose is to restart another program on changes.
#[rustfmt::skip] // A table.
const WATCHERS: &[&str] = &[
    "nodemon", "watchexec", "entr", "air", "wgo", "gow", "reflex", "watchfiles", "watchmedo", "hupper", "jurigged",
    "npm-watch", "tsc-watch", "onchange", "chokidar", "node-dev", "cargo-watch", "rerun", "mcp-hmr", "mcpmon",
    "reloaderoo",
];

/// Subcommands that enable watching.
const SUBCOMMANDS: &[(&str, &str)] = &[
    ("tsx", "watch"),
    ("dotnet", "watch"),
    ("cargo", "watch"),
    ("fastapi", "dev"),
];

impl InnerWatcher {
    fn new(words: String, advice: String) -> Self {
        Self {
            words,
            advice,
            script: None,
        }
    }

    fn left_out(program: &str, word: &str) -> Self {
        Self::new(format!("{program} {word}"), format!("leave out `{word}`"))
    }

    /// Marks the watcher as part of a script of `package.json`.
    pub(super) fn of_script(self, name: String) -> Self {
        Self {
            script: Some(name),
            ..self
        }
    }

    /// Returns a sentence with the problem and the remedy.
    pub(super) fn warning(&self) -> String {
        let Self { words, advice, .. } = self;
        let location = match &self.script {
            Some(script) => format!("the script `{script}` of package.json"),
            None => "the command".to_owned(),
        };
        format!(
            "{location} has its own watcher, `{words}`, which restarts the server and breaks the client's session at each \
             save; {advice}: the proxy restarts the server itself"
        )
    }
}

/// Returns the watcher that the command is or enables.
pub(super) fn of(command: &CommandLine) -> Option<InnerWatcher> {
    let program = command.program();
    let own = command.own_arguments();
    let found = own.iter().find(|it| it.kind == ArgumentKind::Watching);
    if let Some(option) = found {
        return Some(InnerWatcher::left_out(&program, option.word));
    }
    let first = command
        .arguments()
        .find(|it| it.kind == ArgumentKind::Plain);
    let first = first.map(|argument| argument.word);
    if SUBCOMMANDS
        .iter()
        .any(|(name, subcommand)| *name == program && Some(*subcommand) == first)
    {
        return Some(InnerWatcher::left_out(&program, first?));
    }
    if matches!(program.as_str(), "ts-node-dev" | "tsnd") {
        let advice = format!("use `ts-node` instead of `{program}`");
        return Some(InnerWatcher::new(program, advice));
    }
    if WATCHERS.contains(&program.as_str()) && !is_own(command) {
        let advice = format!("start the server without `{program}`");
        return Some(InnerWatcher::new(program, advice));
    }
    within(command, &program)
}

/// Returns the watcher in a nested command that is not unwrapped.
fn within(command: &CommandLine, program: &str) -> Option<InnerWatcher> {
    if matches!(program, "concurrently" | "conc") {
        let lines = command.words[1..].iter().filter(|word| word.contains(' '));
        let mut commands = lines.flat_map(|line| CommandLine::of_shell(line, &command.base));
        return commands.find_map(|command| of(&command));
    }
    // `python -m uvicorn --reload`; options after a script belong to the script.
    of(&command.module()?)
}

/// Whether the program is the user's own, as in `./bin/air`.
fn is_own(command: &CommandLine) -> bool {
    let program = &command.words[0];
    let path = command.path(program);
    program.contains(std::path::is_separator)
        && path
            .strip_prefix(&command.base)
            .is_ok_and(|below| !below.iter().any(Ignores::is_tool_directory))
}
