//! Detection of file watchers within the command, which restart the server without the proxy's knowledge.

use super::command::{CommandLine, commands_of, takes_value};
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
const WATCHERS: &[&str] = &[
    "nodemon",
    "watchexec",
    "entr",
    "air",
    "wgo",
    "gow",
    "reflex",
    "watchfiles",
    "watchmedo",
    "hupper",
    "jurigged",
    "npm-watch",
    "tsc-watch",
    "onchange",
    "chokidar",
    "node-dev",
    "cargo-watch",
    "rerun",
    "mcp-hmr",
    "mcpmon",
    "reloaderoo",
];

/// Options that enable watching if they precede the script or command.
const BEFORE_SCRIPT: &[(&str, &[&str])] = &[
    ("node", &["--watch", "--watch-path"]),
    ("tsx", &["--watch"]),
    ("bun", &["--watch", "--hot"]),
    (
        "deno",
        &["--watch", "--watch-hmr", "--watch-exclude", "--hmr"],
    ),
    ("vite-node", &["--watch", "-w"]),
];

/// Options that enable watching in any position.
const ANYWHERE: &[(&str, &[&str])] = &[
    ("fastmcp", &["--reload"]),
    ("uvicorn", &["--reload"]),
    ("gunicorn", &["--reload"]),
    ("hypercorn", &["--reload"]),
    ("granian", &["--reload"]),
    ("flask", &["--reload", "--debug"]),
    ("litestar", &["--reload"]),
    ("sanic", &["--auto-reload", "--dev"]),
    ("nest", &["--watch"]),
    ("gradle", &["--continuous", "-t"]),
    ("gradlew", &["--continuous", "-t"]),
];

/// Subcommands that enable watching.
const SUBCOMMANDS: &[(&str, &str)] = &[
    ("tsx", "watch"),
    ("dotnet", "watch"),
    ("cargo", "watch"),
    ("fastapi", "dev"),
];

impl InnerWatcher {
    fn left_out(program: &str, word: &str) -> Self {
        Self {
            words: format!("{program} {word}"),
            advice: format!("leave out `{word}`"),
            script: None,
        }
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
    let words = &command.words;
    let program = command.program();
    let options = match options_of(&program, ANYWHERE) {
        // Words after `--` belong to the server.
        Some(options) => Some((options, words.iter().position(|word| word == "--"))),
        None => options_of(&program, BEFORE_SCRIPT)
            .map(|options| (options, script_position(&program, words))),
    };
    if let Some((options, end)) = options {
        let given = words[1..end.unwrap_or(words.len()).max(1)].iter();
        let found = given.into_iter().find(|word| {
            let name = word.split_once('=').map_or(word.as_str(), |(name, _)| name);
            options.contains(&name)
        });
        if let Some(word) = found {
            return Some(InnerWatcher::left_out(&program, word));
        }
    }
    let first = words[1..].iter().position(|word| !word.starts_with('-'));
    let first = first.map(|at| words[at + 1].as_str());
    if SUBCOMMANDS
        .iter()
        .any(|(name, subcommand)| *name == program && Some(*subcommand) == first)
    {
        return Some(InnerWatcher::left_out(&program, first?));
    }
    if matches!(program.as_str(), "ts-node-dev" | "tsnd") {
        return Some(InnerWatcher {
            advice: format!("use `ts-node` instead of `{program}`"),
            words: program,
            script: None,
        });
    }
    if WATCHERS.contains(&program.as_str()) && !is_own(command) {
        return Some(InnerWatcher {
            advice: format!("start the server without `{program}`"),
            words: program,
            script: None,
        });
    }
    within(command, &program)
}

/// Returns the watcher in a nested command that is not unwrapped.
fn within(command: &CommandLine, program: &str) -> Option<InnerWatcher> {
    let words = &command.words;
    if program.starts_with("python") {
        // `python -m uvicorn --reload`; options after a script belong to the script.
        let at = script_position(program, words)?;
        let is_module = words[at - 1] == "-m";
        return is_module.then(|| of(&command.with(&words[at..]))).flatten();
    }
    if matches!(program, "concurrently" | "conc") {
        return words[1..]
            .iter()
            .filter(|word| word.contains(' '))
            .flat_map(|line| commands_of(line, &command.base))
            .find_map(|command| of(&command));
    }
    None
}

fn options_of(program: &str, table: &'static [(&str, &[&str])]) -> Option<&'static [&'static str]> {
    let row = table.iter().find(|(name, _)| *name == program)?;
    Some(row.1)
}

/// Returns the index of the script or command, to which all later options belong.
fn script_position(program: &str, words: &[String]) -> Option<usize> {
    let has_run = matches!(program, "bun" | "deno");
    let mut is_value = false;
    for (at, word) in words.iter().enumerate().skip(1) {
        let is_run = has_run && matches!(word.as_str(), "run" | "serve");
        if std::mem::replace(&mut is_value, takes_value(word)) || is_run {
            continue;
        }
        if word == "--" || !word.starts_with('-') {
            return Some(at);
        }
    }
    None
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
