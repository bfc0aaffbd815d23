//! Detection of file watchers within the command, which restart the server without the proxy's knowledge.

use std::path::{Component, Path};

use super::{ArgumentKind, CommandLine, MAX_WRAPPERS, PackageScript, ScriptCall};

/// File watcher that the command starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct InnerWatcher {
    /// Words that start it, as in `node --watch`.
    words: String,
    /// Advice on removing it.
    advice: String,
    /// Script of the `package.json` that starts it.
    script: Option<String>,
    /// Whether a second instance would disturb the first.
    is_alone: bool,
    /// Signs of its reports on a save, if it makes such.
    report: Option<ReportSigns>,
}

/// Parts of the lines by which a development server reports on a save.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ReportSigns {
    /// It keeps the former code.
    pub(crate) failure: &'static str,
    /// It has taken the saved code over.
    pub(crate) success: &'static str,
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

/// Signs of `xmcp dev`. It also reports errors of types, as "ERROR in", for code that it takes over.
const XMCP: ReportSigns = ReportSigns {
    failure: "compiled with ",
    success: "Compiled in ",
};
/// Signs of `mcp-use dev`.
const MCP_USE: ReportSigns = ReportSigns {
    failure: "reload failed",
    success: "reloaded server entry",
};

/// Subcommands of frameworks that run a development server, of which each project can have only one, with the signs of
/// its reports. Next.js compiles a file at the next request only, and fails that.
const DEVELOPMENT_SERVERS: &[(&str, &str, Option<ReportSigns>)] = &[
    ("next", "dev", None),
    ("xmcp", "dev", Some(XMCP)),
    ("mcp-use", "dev", Some(MCP_USE)),
];

/// Directories of installed programs.
const INSTALLED: &[&str] = &["node_modules", "venv", "env", "vendor"];

impl InnerWatcher {
    fn new(words: String, advice: String) -> Self {
        Self {
            words,
            advice,
            script: None,
            is_alone: false,
            report: None,
        }
    }

    fn left_out(program: &str, word: &str) -> Self {
        Self::new(format!("{program} {word}"), format!("leave out `{word}`"))
    }

    /// Marks the watcher as part of a script of `package.json`.
    pub(crate) fn of_script(self, name: String) -> Self {
        Self {
            script: Some(name),
            ..self
        }
    }

    /// Returns a sentence with the problem and the remedy.
    pub(crate) fn warning(&self) -> String {
        let Self { words, advice, .. } = self;
        format!(
            "{} has its own watcher, `{words}`, which restarts the server and breaks the client's session at each \
             save; {advice}: the proxy restarts the server itself",
            self.location()
        )
    }

    /// Returns a sentence about a server over HTTP, which the proxy leaves to this watcher.
    pub(crate) fn note(&self) -> String {
        let Self { words, advice, .. } = self;
        let location = self.location();
        let remedy = if self.is_alone {
            "it cannot run twice, so no save starts a second process".to_owned()
        } else {
            format!(
                "a save ends the calls in flight; {advice}, and the proxy starts the saved code beside the running \
                 server instead"
            )
        };
        format!(
            "{location} reloads itself, by `{words}`: the proxy lets it, and calls wait for the saved code; {remedy}"
        )
    }

    /// Whether a second instance of the server would disturb the first.
    pub(crate) fn is_alone(&self) -> bool {
        self.is_alone
    }

    /// Returns the signs of its reports on a save, if it makes such.
    pub(crate) fn report(&self) -> Option<ReportSigns> {
        self.report
    }

    fn location(&self) -> String {
        match &self.script {
            Some(script) => format!("the script `{script}` of package.json"),
            None => "the command".to_owned(),
        }
    }
}

/// Returns the watcher of a command or of a command that it wraps. `find` looks up scripts of `package.json` files.
pub(crate) fn within(
    mut command: CommandLine,
    find: impl Fn(&ScriptCall) -> Option<PackageScript>,
) -> Option<InnerWatcher> {
    // Scripts may be recursive.
    for _ in 0..MAX_WRAPPERS {
        let found = of(&command);
        if found.is_some() {
            return found;
        }
        let script = ScriptCall::of(&command).as_ref().and_then(&find);
        let name = script.as_ref().map(|script| script.name.clone());
        let commands = script.map(|script| script.commands);
        let commands = commands.or_else(|| command.shell_commands());
        let Some(commands) = commands else {
            command = command.inner()?.command;
            continue;
        };
        if let Some(found) = commands.iter().find_map(of) {
            return Some(match name {
                Some(name) => found.of_script(name),
                None => found,
            });
        }
        command = commands.into_iter().next_back()?;
    }
    None
}

/// Returns the watcher that the command is or enables.
pub(crate) fn of(command: &CommandLine) -> Option<InnerWatcher> {
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
    let is_called = |name: &str, subcommand: &str| name == program && Some(subcommand) == first;
    if SUBCOMMANDS.iter().any(|it| is_called(it.0, it.1)) {
        return Some(InnerWatcher::left_out(&program, first?));
    }
    let mut servers = DEVELOPMENT_SERVERS.iter();
    if let Some((_, word, report)) = servers.find(|it| is_called(it.0, it.1)) {
        return Some(InnerWatcher {
            advice: "start the built server".to_owned(),
            is_alone: true,
            report: *report,
            ..InnerWatcher::left_out(&program, word)
        });
    }
    if matches!(program.as_str(), "ts-node-dev" | "tsnd") {
        let advice = format!("use `ts-node` instead of `{program}`");
        return Some(InnerWatcher::new(program, advice));
    }
    if WATCHERS.contains(&program.as_str()) && !is_own(command) {
        let advice = format!("start the server without `{program}`");
        return Some(InnerWatcher::new(program, advice));
    }
    nested(command, &program)
}

/// Returns the watcher in a nested command that is not unwrapped.
fn nested(command: &CommandLine, program: &str) -> Option<InnerWatcher> {
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
    let path = Path::new(&command.words[0]);
    let below = if path.has_root() {
        path.strip_prefix(&command.base).ok()
    } else {
        Some(path)
    };
    let is_of_project = |component: Component<'_>| match component {
        Component::CurDir => true,
        Component::Normal(name) => {
            let name = name.to_string_lossy();
            !name.starts_with('.') && !INSTALLED.contains(&&*name)
        }
        _ => false,
    };
    let is_named = path.components().count() > 1;
    is_named && below.is_some_and(|below| below.components().all(is_of_project))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(line: &str) -> Option<InnerWatcher> {
        let words = shlex::split(line).unwrap();
        let command = CommandLine {
            base: "/p".into(),
            words,
        };
        within(command, |call| {
            let line = ["npm run build", "next dev -p 1"];
            let commands = line.map(|line| CommandLine::of_shell(line, Path::new("/p")).remove(0));
            (call.name == "dev").then(|| PackageScript {
                name: call.name.clone(),
                commands: commands.to_vec(),
                has_more: false,
            })
        })
    }

    #[test]
    fn watchers_of_servers_over_http_are_noted() {
        for (line, words, is_alone) in [
            (
                "uvicorn app:app --reload --port 1",
                "uvicorn --reload",
                false,
            ),
            (
                "uv run -- uvicorn app:app --reload",
                "uvicorn --reload",
                false,
            ),
            (
                "python -m uvicorn app:app --reload",
                "uvicorn --reload",
                false,
            ),
            ("fastmcp run server.py --reload", "fastmcp --reload", false),
            ("node --watch server.js", "node --watch", false),
            ("npx tsx watch src/index.ts", "tsx watch", false),
            (
                "sh -c 'cd a && exec node --watch server.js'",
                "node --watch",
                false,
            ),
            ("npx next dev -p 1", "next dev", true),
            ("xmcp dev", "xmcp dev", true),
            ("npx mcp-use dev --port 1", "mcp-use dev", true),
            ("npm run dev", "next dev", true),
        ] {
            let note = found(line).unwrap().note();
            assert!(note.contains(&format!("`{words}`")), "{line}: {note}");
            assert_eq!(
                note.contains("cannot run twice"),
                is_alone,
                "{line}: {note}"
            );
        }
        let note = found("npm run dev").unwrap().note();
        assert!(note.contains("the script `dev`"), "{note}");
        for line in [
            "python server.py --reload",
            "node server.js",
            "next start",
            "npm run build",
        ] {
            assert_eq!(found(line), None, "{line}");
        }
    }

    #[test]
    fn programs_of_the_user_are_no_watchers() {
        assert_eq!(found("./bin/air"), None);
        assert_eq!(found("/p/bin/air"), None);
        for line in [
            "air",
            "node_modules/.bin/nodemon x.js",
            "/usr/bin/watchexec x",
        ] {
            assert!(found(line).is_some(), "{line}");
        }
    }
}
