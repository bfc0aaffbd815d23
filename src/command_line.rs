//! Reader of command lines that start servers: wrappers such as `uv run`, runtimes, their options, scripts and modules.
//!
//! `programs` is the table of known programs and their options, `arguments` tells options from other words by it,
//! `package_script` reads calls such as `npm run`, `inner_watcher` detects watchers within a command, and `launch` accepts
//! only readings that are certain. The other functions also read unknown programs and options: a word with a dash is an
//! option without a value then. This module does no I/O; callers look up files.

#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

mod arguments;
pub(crate) mod inner_watcher;
mod launch;
pub(crate) mod misread;
mod package_script;
mod programs;

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use self::arguments::Reading;
use self::programs::{Program, Role};
pub(crate) use arguments::{Argument, ArgumentKind};
pub(crate) use launch::{Launch, ProgramReader, Runtime};
pub(crate) use package_script::{PackageScript, ScriptCall};
pub(crate) use programs::unversioned;

/// Bound of nested wrappers, which real commands do not reach.
pub(crate) const MAX_WRAPPERS: usize = 8;

/// Extensions of scripts that a server can be named after.
#[rustfmt::skip] // A table.
const SCRIPTS: &[&str] = &["py", "pyz", "js", "mjs", "cjs", "jsx", "ts", "mts", "cts", "tsx", "sh", "rb"];

/// Command, possibly wrapped.
#[derive(Debug, Clone, Default)]
pub(crate) struct CommandLine {
    /// Base directory of relative names.
    pub(crate) base: PathBuf,
    pub(crate) words: Vec<String>,
}

/// Command without its outermost wrapper.
#[derive(Debug)]
pub(crate) struct InnerCommand {
    pub(crate) command: CommandLine,
    /// Package with the command, if the wrapper has an option for it.
    pub(crate) package: Option<String>,
    /// Source directory that the wrapper makes importable.
    pub(crate) editable: Option<String>,
    /// Whether the wrapper fetches the package of the command.
    pub(crate) fetches: bool,
}

impl CommandLine {
    /// Returns the command of a program and its arguments, started in `base`.
    pub(crate) fn new(base: &Path, program: &OsStr, args: &[OsString]) -> Self {
        let words = std::iter::once(program).chain(args.iter().map(OsString::as_os_str));
        Self {
            base: base.to_owned(),
            words: words
                .map(|word| word.to_string_lossy().into_owned())
                .collect(),
        }
    }

    /// Returns a command with the same base directory and other words.
    pub(crate) fn with(&self, words: &[String]) -> Self {
        Self {
            base: self.base.clone(),
            words: words.to_vec(),
        }
    }

    /// Returns the program's name as by [`program_name`].
    pub(crate) fn program(&self) -> String {
        program_name(self.words.first().map_or("", String::as_str))
    }

    /// Returns the words after the program, each option with its value.
    pub(crate) fn arguments(&self) -> impl Iterator<Item = Argument<'_>> {
        arguments::arguments(&self.words)
    }

    /// Returns the command after a wrapper such as `uv --directory server run --with mcp`.
    pub(crate) fn inner(&self) -> Option<InnerCommand> {
        let reading = Reading::of(&self.words)?;
        let role = reading.program.role;
        if !matches!(role, Role::Wrapper | Role::Fetcher) || reading.rest.is_empty() {
            return None;
        }
        let mut inner = InnerCommand {
            command: self.with(reading.rest),
            package: None,
            editable: None,
            fetches: role == Role::Fetcher,
        };
        if reading.is_module {
            let python = ["python".to_owned(), "-m".to_owned()];
            inner.command.words.splice(..0, python);
        }
        for option in reading.options {
            let Some(value) = option.value else { continue };
            if option.kind == ArgumentKind::Directory {
                inner.command.base.push(value);
            } else if option.kind == ArgumentKind::Package {
                inner.package.get_or_insert_with(|| value.to_owned());
            } else if option.option == "--with-editable" {
                inner.editable = Some(value.to_owned());
            }
        }
        Some(inner)
    }

    /// Returns the command after all wrappers; the command itself if it has none.
    pub(crate) fn innermost(self) -> Self {
        let inner = |command: &Self| command.inner().map(|inner| inner.command);
        let commands = std::iter::successors(Some(self.clone()), inner);
        commands.take(MAX_WRAPPERS).last().unwrap_or(self)
    }

    /// Returns the commands within `sh -c "cd server && exec node index.js"`, or after `cmd /c`.
    pub(crate) fn shell_commands(&self) -> Option<Vec<Self>> {
        let mut words = self.words.iter();
        let program = self.program();
        let shell = *Program::rows(&program).first()?;
        if shell.role != Role::Shell {
            return None;
        }
        if program == "cmd" {
            words.find(|word| word.eq_ignore_ascii_case("/c"))?;
            return Some(vec![self.with(words.as_slice())]);
        }
        let (at, is_line) = self.shell_argument()?;
        is_line.then(|| Self::of_shell(&self.words[at], &self.base))
    }

    /// Returns the script that a shell runs, with its index: `run.sh` for `bash -e run.sh`.
    pub(crate) fn shell_script(&self) -> Option<(usize, &str)> {
        let shell = *Program::rows(&self.program()).first()?;
        let (at, is_line) = self.shell_argument()?;
        let is_script = shell.role == Role::Shell && !is_line;
        is_script.then(|| (at, self.words[at].as_str()))
    }

    /// Returns the index of a shell's first word that is no option, and whether this word is a command line.
    fn shell_argument(&self) -> Option<(usize, bool)> {
        let mut is_line = false;
        let mut at = 1;
        loop {
            let Some(letters) = self.words.get(at)?.strip_prefix(['-', '+']) else {
                return Some((at, is_line));
            };
            let is_short = !letters.starts_with('-');
            is_line |= is_short && self.words[at].starts_with('-') && letters.contains('c');
            let is_valued = is_short && letters.ends_with(['o', 'O']);
            let takes_word = is_valued || ["-init-file", "-rcfile"].contains(&letters);
            at += if takes_word { 2 } else { 1 };
        }
    }

    /// Splits a shell's command line into commands, without those that only prepare it.
    pub(crate) fn of_shell(line: &str, base: &Path) -> Vec<Self> {
        let mut base = base.to_owned();
        let mut commands = Vec::new();
        for part in line.split(['&', ';', '|', '\n']) {
            // An unbalanced quote: the separator was part of a word.
            let Some(words) = shlex::split(part) else {
                break;
            };
            let words = words.into_iter().skip_while(|word| is_assignment(word));
            let words: Vec<String> = words.collect();
            match words.first().map(String::as_str) {
                None | Some("set" | "export" | "source" | "." | "true") => {}
                Some("cd") => base.push(words.get(1).map_or("", String::as_str)),
                Some(_) => commands.push(Self {
                    base: base.clone(),
                    words,
                }),
            }
        }
        commands
    }

    /// Returns the arguments in which the program takes options of its own: those before the script or command, or all
    /// before `--` if the options may follow it.
    pub(crate) fn own_arguments(&self) -> Vec<Argument<'_>> {
        match Reading::of(&self.words) {
            Some(reading) if reading.program.role != Role::Server => reading.options,
            _ => self
                .arguments()
                .take_while(|argument| argument.word != "--")
                .collect(),
        }
    }

    /// Returns the module that a runtime such as Python runs, as a command.
    pub(crate) fn module(&self) -> Option<Self> {
        let reading = Reading::of(&self.words)?;
        (reading.is_module && !reading.rest.is_empty()).then(|| self.with(reading.rest))
    }

    /// Whether a shell, an interpreter or a wrapper is given nothing to run. Most would then read code from stdin, and so
    /// execute what the client sends. A program of the user's own may have the name of any of them.
    pub(crate) fn runs_nothing(&self) -> bool {
        let Some(reading) = Reading::of(&self.words) else {
            return false;
        };
        let path = Path::new(&self.words[0]);
        let is_of_base = !self.base.as_os_str().is_empty() && path.starts_with(&self.base);
        if !path.has_root() && path.components().count() > 1 || is_of_base {
            return false;
        }
        let Program { role, .. } = reading.program;
        if !reading.rest.is_empty() {
            // The programs of packages are unknown.
            let inner = self.inner().filter(|_| *role == Role::Wrapper);
            return inner.is_some_and(|inner| inner.command.runs_nothing());
        }
        let name = reading.program.usual_name();
        let runs_words = match role {
            Role::Fetcher => true,
            Role::Wrapper => reading.program.subcommands().next().is_some(),
            Role::Shell => self.program() != "cmd",
            // Others find their script or project themselves, such as `cargo run`.
            Role::Runtime => ["python", "node", "tsx"].contains(&name),
            Role::Server => false,
        };
        runs_words && reading.is_certain()
    }

    /// Returns the script or module that a known program runs: `src/weather.py` for `uv run src/weather.py`.
    pub(crate) fn script(self) -> Option<String> {
        if !is_known(&self.program()) {
            return None;
        }
        let command = self.innermost();
        let commands = command.shell_commands();
        let mut commands = commands.unwrap_or_else(|| vec![command]).into_iter();
        commands.find_map(|command| {
            let command = command.innermost();
            let plain = command
                .arguments()
                .filter(|it| it.kind == ArgumentKind::Plain);
            let program = command.words.first().map(String::as_str);
            let mut words = program
                .into_iter()
                .chain(plain.map(|argument| argument.word));
            let script = words.find(|word| is_script(word)).map(str::to_owned);
            script.or_else(|| command.module()?.words.into_iter().next())
        })
    }
}

/// Returns the name of a program without directory, suffix of Windows and version of a package, in lower case:
/// `/usr/bin/python3.12` → `python3.12`, `uv.EXE` → `uv`, `tsx@4` → `tsx`.
pub(crate) fn program_name(program: &str) -> String {
    let mut parts = program.rsplit(std::path::is_separator);
    let name = parts.next().unwrap_or(program).to_lowercase();
    let name = match name.split_once('@') {
        Some((name, _)) if !name.is_empty() => name,
        _ => &name,
    };
    ["exe", "cmd", "bat"]
        .iter()
        .find_map(|end| name.strip_suffix(end)?.strip_suffix('.'))
        .unwrap_or(name)
        .to_owned()
}

/// Whether the program of this name runs commands or scripts.
pub(crate) fn is_known(name: &str) -> bool {
    !Program::rows(name).is_empty()
}

fn is_assignment(word: &str) -> bool {
    word.split_once('=').is_some_and(|(name, _)| {
        !name.is_empty() && name.chars().all(|c| c == '_' || c.is_ascii_alphanumeric())
    })
}

fn is_script(word: &str) -> bool {
    let extension = Path::new(word).extension();
    extension.is_some_and(|extension| SCRIPTS.iter().any(|script| extension == *script))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(line: &str) -> CommandLine {
        CommandLine {
            base: PathBuf::new(),
            words: shlex::split(line).unwrap(),
        }
    }

    #[test]
    #[rustfmt::skip] // A table.
    fn wrappers_and_their_options_are_removed() {
        for (line, base, found) in [
            ("uv --directory a run --with mcp server.py 1", "a", "server.py 1"),
            ("uv run -n --project=a server.py", "a", "server.py"),
            ("uv run -q -m weather 1", "", "python -m weather 1"),
            ("uvx --from . weather", "", "weather"),
            ("env -C a -u HOME A=1 uv --directory b run x", "a/b", "x"),
            ("hatch -e dev run python x", "", "python x"),
            ("pixi run -e dev python x", "", "python x"),
            ("conda run -n dev --prefix a --cwd b python x", "b", "python x"),
            ("npx.cmd -w a weather", "", "weather"),
            ("doppler run --project a -c dev -- node x.js", "", "node x.js"),
            ("dotenv -e .env -- dotenvx run -f .env -- node x.js", "", "node x.js"),
            ("caffeinate -u stdbuf -o L nice -n5 node x.js", "", "node x.js"),
            ("mcp-inspector -e K=V bun x weather", "", "weather"),
        ] {
            let inner = command(line).innermost();
            assert_eq!((&*inner.base, &*inner.words.join(" ")), (Path::new(base), found), "{line}");
        }
        for line in ["python -u server.py", "uv sync", "uv run", "npm run dev", "bun run x", "weather -- uv run x"] {
            assert_eq!(command(line).innermost().words.join(" "), line);
        }
    }

    #[test]
    fn the_package_of_a_command_is_found() {
        let package = |line: &str| command(line).inner().unwrap().package;
        for line in [
            "uvx -p 3 --from x y",
            "npx -px y",
            "npm exec --package=x -- y",
        ] {
            assert_eq!(package(line).as_deref(), Some("x"), "{line}");
        }
        assert_eq!(package("uvx -p 3 y"), None);
    }

    #[test]
    #[rustfmt::skip] // A table.
    fn scripts_and_modules_are_found() {
        for (line, found) in [
            ("uv run src/weather.py x.js", Some("src/weather.py")),
            ("conda run -n dev python3.13 -u server.py", Some("server.py")),
            ("node -r ./hook.js --env-file x.sh dist/index.js", Some("dist/index.js")),
            ("bash -lc 'npm run build && exec node dist/index.js'", Some("dist/index.js")),
            ("bash -euo pipefail -c 'node dist/index.js'", Some("dist/index.js")),
            ("sh -c -x 'node dist/index.js'", Some("dist/index.js")),
            ("bash --rcfile x +B -ce 'exec node a.js'", Some("a.js")),
            ("bash run.sh -c 'node dist/index.js'", Some("run.sh")),
            ("bash -x run.sh -c 'node dist/index.js'", Some("run.sh")),
            ("uv.EXE run python.exe -Xdev -m weather.main", Some("weather.main")),
            ("python -m fastmcp run server.py", Some("server.py")),
            ("./target/debug/weather server.py", None),
            ("npx -y @acme/weather", None),
            ("poetry run weather -m x", None),
        ] {
            assert_eq!(command(line).script().as_deref(), found, "{line}");
        }
    }

    #[test]
    fn programs_without_anything_to_run_are_found() {
        for line in [
            "npx",
            "npx -y",
            "npx -p x",
            "uvx",
            "uv run",
            "uv run python3",
            "pnpm dlx",
            "python3.12 -u",
            "node --no-warnings",
            "bash",
            "/bin/sh",
            "env nice node",
        ] {
            assert!(command(line).runs_nothing(), "{line}");
        }
        for line in [
            "npx x",
            "npm start",
            "uv run x",
            "python -m x",
            "python -c 'import x'",
            "node -e x",
            "bash -c x",
            "bash x",
            "bash -s",
            "cargo run",
            "go run .",
            "bun run dev",
            "nodemon",
            "fastmcp run",
            "weather",
            "./time",
            "bin/python",
            "cmd",
            "time",
            "uv run time",
            "npx -y @acme/time",
            "uvx node",
        ] {
            assert!(!command(line).runs_nothing(), "{line}");
        }
    }

    #[test]
    fn values_belong_to_their_options() {
        let line = command("node --env-file .env -r./a.js --max-old-space-size=9 --new 1 x.js A=1");
        let read = line
            .arguments()
            .map(|it| (it.option, it.value.unwrap_or("")));
        let expected = [
            ("--env-file", ".env"),
            ("-r", "./a.js"),
            ("--max-old-space-size", "9"),
            ("--new", ""),
            ("--new", "1"),
            ("", "x.js"),
            ("", "A=1"),
        ];
        assert_eq!(read.collect::<Vec<_>>(), expected);
    }
}
