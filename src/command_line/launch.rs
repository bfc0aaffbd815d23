//! Certain readings: of commands whose script or module is certain, and that run nothing before it except tools of the
//! language.

use std::ffi::OsStr;
use std::path::Path;

use super::arguments::{Argument, ArgumentKind, Reading};
use super::package_script::PackageScript;
use super::programs::{Program, Role};
use super::{CommandLine, program_name};

/// Programs, besides wrappers, that start the server as another process.
#[rustfmt::skip] // A table.
const STARTERS: &[&str] = &[
    "concurrently", "hupper", "nodemon", "npm-run-all", "ts-node-dev", "tsnd", "watchfiles",
];

/// Runtime that loads packages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Runtime {
    Python,
    Node,
}

/// Program that a command finally runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Launch {
    pub(crate) runtime: Runtime,
    /// Last words of the server process's command line: the script, module or program, and its arguments. Only the file
    /// name of the first word is compared.
    pub(crate) words: Vec<String>,
    /// Whether packages may be loaded ahead of a save. False if a save may change the installed packages, or if other
    /// commands, such as a build, run before the server.
    pub(crate) preloads: bool,
}

/// File access of [`Launch::of`].
pub(crate) trait ProgramReader {
    /// Returns the beginning of a program file, at a path relative to the server's directory or found in its PATH.
    fn beginning(&self, program: &str) -> Option<String>;

    /// Returns the script of a `package.json` that the command, started in the server's directory, calls.
    fn script(&self, words: &[String]) -> Option<PackageScript>;
}

/// Knows no program: the commands of a script start in another directory, with another PATH.
struct NoPrograms;

impl ProgramReader for NoPrograms {
    fn beginning(&self, _: &str) -> Option<String> {
        None
    }

    fn script(&self, _: &[String]) -> Option<PackageScript> {
        None
    }
}

impl Launch {
    /// Returns the launch of a command; `None` unless it is certain.
    pub(crate) fn of<S: AsRef<OsStr>>(
        program: &OsStr,
        args: &[S],
        files: &dyn ProgramReader,
    ) -> Option<Self> {
        let words = std::iter::once(program).chain(args.iter().map(AsRef::as_ref));
        let words: Option<Vec<_>> = words.map(|word| word.to_str().map(str::to_owned)).collect();
        Self::of_words(&words?, files)
    }

    fn of_words(words: &[String], files: &dyn ProgramReader) -> Option<Self> {
        if let Some(script) = files.script(words) {
            return of_script(&script);
        }
        match usual_name(words.first()?) {
            Some("python") => python(words),
            Some("node" | "tsx") => node(words),
            Some("npx") => npx(words, files),
            Some("uv" | "uvx") => uv(words, files),
            _ => console_script(words, files),
        }
    }

    fn new(runtime: Runtime, words: &[String]) -> Option<Self> {
        let first = words.first()?;
        (!first.starts_with('-') && !first.is_empty()).then(|| Self {
            runtime,
            words: words.to_vec(),
            preloads: true,
        })
    }
}

fn usual_name(program: &str) -> Option<&'static str> {
    let rows = Program::rows(&program_name(program));
    rows.first().map(|row| row.usual_name())
}

fn certain(words: &[String]) -> Option<Reading<'_>> {
    Reading::of(words).filter(Reading::is_certain)
}

/// Reads `python -u server.py --port 1`, `python -m weather`.
fn python(words: &[String]) -> Option<Launch> {
    Launch::new(Runtime::Python, certain(words)?.rest)
}

/// Reads `node --enable-source-maps dist/index.js`, `node --import tsx src/index.ts`, `tsx src/index.ts`.
fn node(words: &[String]) -> Option<Launch> {
    let words = certain(words)?.rest;
    Path::new(words.first()?).extension()?;
    Launch::new(Runtime::Node, words)
}

/// Reads `npx tsx src/index.ts`, `npx weather`; the package must be installed in the project.
fn npx(words: &[String], files: &dyn ProgramReader) -> Option<Launch> {
    let Reading { options, rest, .. } = certain(words)?;
    let program = rest.first()?;
    let is_flag = |option: &Argument| option.kind == ArgumentKind::Flag;
    let is_of_project = options.iter().all(is_flag);
    let path = format!("node_modules/.bin/{program}");
    let beginning = files.beginning(&path).filter(|_| is_of_project)?;
    match program.as_str() {
        "tsx" => node(rest),
        _ => interpreted(&beginning, rest),
    }
}

/// Reads `uv --directory weather run --frozen server.py`, `uvx --from . weather`.
fn uv(words: &[String], files: &dyn ProgramReader) -> Option<Launch> {
    let reading = certain(words)?;
    let installs_own = reading.options.iter().any(installs_own);
    let rest = reading.rest;
    let program = rest.first()?.as_str();
    if reading.program.role == Role::Fetcher {
        // The programs of other packages are unknown. The installed copy changes with a save.
        let launch = Launch::new(Runtime::Python, rest).filter(|_| installs_own)?;
        return Some(Launch {
            preloads: false,
            ..launch
        });
    }
    let launch = if reading.is_module || Path::new(program).extension() == Some("py".as_ref()) {
        Launch::new(Runtime::Python, rest)
    } else if usual_name(program) == Some("python") {
        python(rest)
    } else if program.contains('/') {
        console_script(rest, files)
    } else {
        // A command of the project is in its environment.
        interpreted(&files.beginning(&format!(".venv/bin/{program}"))?, rest)
    };
    // `uv` may install a copy of the saved code first.
    launch.map(|launch| Launch {
        preloads: launch.preloads && !installs_own,
        ..launch
    })
}

/// Whether an option of uv installs a copy of a local directory.
fn installs_own(option: &Argument) -> bool {
    let is_path = |value: &str| value.starts_with(['.', '/', '~']);
    match option.option {
        "--from" | "--with" | "-w" => option.value.is_some_and(is_path),
        name => name == "--no-editable",
    }
}

/// Reads the last command of `npm run dev`.
fn of_script(script: &PackageScript) -> Option<Launch> {
    let CommandLine { words, .. } = script.commands.last()?;
    let is_alone = script.commands.len() == 1 && !script.has_more;
    let launch = Launch::of_words(words, &NoPrograms)?;
    Some(Launch {
        preloads: launch.preloads && is_alone,
        ..launch
    })
}

/// Reads `weather --port 1`, a program whose first line names an interpreter. A wrapper such as `npm` or `poetry` is
/// one too, but not the server.
fn console_script(words: &[String], files: &dyn ProgramReader) -> Option<Launch> {
    let program = words.first()?;
    let name = program_name(program);
    let is_wrapper =
        |row: &&Program| matches!(row.role, Role::Wrapper | Role::Fetcher | Role::Shell);
    if STARTERS.contains(&&*name) || Program::rows(&name).iter().any(is_wrapper) {
        return None;
    }
    interpreted(&files.beginning(program)?, words)
}

fn interpreted(beginning: &str, words: &[String]) -> Option<Launch> {
    let mut lines = beginning.lines();
    let first = lines.next()?.strip_prefix("#!")?.trim();
    // A path too long for the first line is in the second one, which is also valid shell syntax.
    let line = match first {
        "/bin/sh" => lines
            .next()?
            .strip_prefix("'''exec' ")?
            .strip_suffix(" \"$0\" \"$@\"")?,
        line => line,
    };
    let line = shlex::split(line)?;
    let interpreter = match line.as_slice() {
        [env, interpreter @ ..] if program_name(env) == "env" => interpreter,
        interpreter => interpreter,
    };
    match usual_name(interpreter.first()?)? {
        "python" => python(&[interpreter, words].concat()),
        "node" if interpreter.len() == 1 => Launch::new(Runtime::Node, words),
        _ => None,
    }
}
#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::*;

    /// Programs by name, with their first lines.
    struct FakePrograms(&'static [(&'static str, &'static str)]);

    impl ProgramReader for FakePrograms {
        fn beginning(&self, program: &str) -> Option<String> {
            let found = self.0.iter().find(|(name, _)| *name == program);
            found.map(|(_, beginning)| (*beginning).to_owned())
        }

        /// The script of `npm run X` is the command X.
        fn script(&self, words: &[String]) -> Option<PackageScript> {
            let [npm, run, line] = words else { return None };
            (npm == "npm" && run == "run").then(|| PackageScript {
                name: "dev".to_owned(),
                commands: CommandLine::of_shell(&line.replace('+', " "), Path::new("")),
                has_more: line.contains("++"),
            })
        }
    }

    const FILES: FakePrograms = FakePrograms(&[
        (".venv/bin/weather", "#!/srv/.venv/bin/python3\nimport sys"),
        (
            "fastmcp",
            "#!/bin/sh\n'''exec' \"/a long path/bin/python\" \"$0\" \"$@\"\n' '''",
        ),
        ("isolated", "#!/usr/bin/python3 -I\nimport sys"),
        ("./server.py", "#!/usr/bin/env python3\nimport sys"),
        (
            "node_modules/.bin/srv",
            "#!/usr/bin/env node\nimport './x.js'",
        ),
        ("node_modules/.bin/tsx", "#!/usr/bin/env node\n"),
        ("bin/srv.js", "#!/usr/bin/env node\n"),
        ("script", "#!/bin/bash\npython server.py"),
        ("npm", "#!/usr/bin/env node\n"),
        ("yarn", "#!/usr/bin/env node\n"),
        ("nodemon", "#!/usr/bin/env node\n"),
        ("poetry", "#!/usr/bin/python3\n"),
    ]);

    fn words(line: &str) -> Option<Vec<String>> {
        let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        let launch = Launch::of(&words[0], &words[1..], &FILES)?;
        Some(launch.words)
    }

    #[test]
    #[rustfmt::skip] // A table.
    fn the_program_behind_wrappers_is_found() {
        for (line, found) in [
            ("python server.py", "server.py"),
            ("/srv/.venv/bin/python3.13 -u -X dev src/server.py -x 1", "src/server.py -x 1"),
            ("python -OO -Werror -m weather.main --port 1", "weather.main --port 1"),
            ("uv run server.py", "server.py"),
            ("uv --directory srv run --with mcp --frozen server.py -v", "server.py -v"),
            ("uv run --with=mcp -m weather", "weather"),
            ("uv run python -B -m weather", "weather"),
            ("uv run weather --port 1", "weather --port 1"),
            ("uvx --from . weather 1", "weather 1"),
            ("uv tool run -q --from=./srv weather", "weather"),
            ("fastmcp run server.py:mcp", "fastmcp run server.py:mcp"),
            ("./server.py 1", "./server.py 1"),
            ("node dist/index.js --port 1", "dist/index.js --port 1"),
            ("/usr/bin/node --enable-source-maps --max-old-space-size=99 a.mjs", "a.mjs"),
            ("node --import tsx src/index.ts", "src/index.ts"),
            ("node --enable-source-maps --import=tsx src/index.ts", "src/index.ts"),
            ("tsx --tsconfig x.json src/index.ts 1", "src/index.ts 1"),
            ("npx -y tsx src/index.ts", "src/index.ts"),
            ("npx srv 1", "srv 1"),
            ("bin/srv.js 1", "bin/srv.js 1"),
            ("npm run node+dist/index.js+1", "dist/index.js 1"),
            ("npm run A=1+uv+run+server.py", "server.py"),
            ("npm run tsc&&node+dist/index.js", "dist/index.js"),
        ] {
            assert_eq!(words(line).map(|it| it.join(" ")).as_deref(), Some(found), "{line}");
        }
    }

    #[test]
    fn an_installed_project_is_not_preloaded() {
        let loads_ahead = |line: &str| {
            let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
            Launch::of(&words[0], &words[1..], &FILES).map(|it| it.preloads)
        };
        for (line, ahead) in [
            ("uv run weather", true),
            ("uv run --with mcp server.py", true),
            ("uv run --with-editable ./lib server.py", true),
            ("uv run --no-editable weather", false),
            ("uv run --with ./lib server.py", false),
            ("uvx --from . weather", false),
            ("uvx -w./lib weather", false),
            ("uv tool run --from=. weather", false),
            ("npm run node+dist/index.js", true),
            ("npm run node++dist/index.js", false),
            ("npm run tsc&&node+dist/index.js", false),
        ] {
            assert_eq!(loads_ahead(line), Some(ahead), "{line}");
        }
    }

    #[test]
    #[rustfmt::skip] // A table.
    fn uncertain_command_lines_are_left_alone() {
        for line in [
            "python", "python -", "python -I server.py", "python -E server.py", "python -uS server.py",
            "python A=1", "python -c pass", "python -i server.py", "python --new-option server.py", "pypy3 server.py",
            "pythonista server.py", "uv", "uv sync", "uv run", "uv run --unknown server.py", "uv run make",
            "uvx weather", "uv tool run weather", "isolated run", "script", "missing", "sh -c python",
            "poetry run python server.py", "docker run weather", "node", "node .", "node -e 1", "node --watch a.js",
            "node --import ./hook.mjs a.js", "node -r dotenv/config a.js", "node --inspect a.js", "npx missing",
            "npx -p x srv", "npx --prefix a srv", "tsx watch a.ts", "tsx", "npm start", "npm exec srv", "yarn srv",
            "nodemon a.js", "npm run ./server.py", "npm run bin/srv.js",
        ] {
            assert_eq!(words(line), None, "{line}");
        }
    }
}
