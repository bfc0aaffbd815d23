//! Recognition of supported commands: those whose program is certain, and that run nothing before it except tools of
//! the language. Their processes note loaded modules, and most of them can have a standby. Any other command starts
//! cold.

use std::ffi::OsStr;
use std::path::Path;

/// Options of a Python interpreter.
const PYTHON: ProgramOptions = ProgramOptions {
    // Without -I, -E and -S, which prevent the bootstrap, and -c and -i, which do not just run a program.
    flags: &[
        "-u", "-B", "-O", "-OO", "-b", "-bb", "-d", "-q", "-s", "-P", "-v",
    ],
    valued: &["-X", "-W"],
};

/// Options of `uv run`, before and after `run`.
#[rustfmt::skip] // A table.
const UV: ProgramOptions = ProgramOptions {
    flags: &[
        "--active", "--all-extras", "--all-groups", "--all-packages", "--dev", "--exact", "--frozen", "--isolated",
        "--locked", "--managed-python", "--native-tls", "--no-active", "--no-build", "--no-cache", "--no-config",
        "--no-default-groups", "--no-dev", "--no-editable", "--no-env-file", "--no-progress", "--no-project",
        "--no-python-downloads", "--no-sync", "--offline", "--only-dev", "--quiet", "--script", "--verbose", "-n",
        "-q", "-s", "-v",
    ],
    valued: &[
        "--cache-dir", "--color", "--config-file", "--default-index", "--directory", "--env-file", "--extra",
        "--extra-index-url", "--find-links", "--group", "--index", "--index-url", "--no-extra", "--no-group",
        "--only-group", "--package", "--project", "--python", "--with", "--with-editable", "--with-requirements",
        "-i", "-p",
    ],
};

/// Options of `uvx`.
#[rustfmt::skip] // A table.
const UVX: ProgramOptions = ProgramOptions {
    flags: &[
        "--isolated", "--managed-python", "--native-tls", "--no-cache", "--no-config", "--no-env-file", "--no-progress",
        "--no-python-downloads", "--offline", "--quiet", "--refresh", "--reinstall", "--verbose", "-n", "-q", "-v",
    ],
    valued: &[
        "--cache-dir", "--color", "--config-file", "--default-index", "--directory", "--env-file", "--extra-index-url",
        "--find-links", "--from", "--index", "--index-url", "--project", "--python", "--refresh-package",
        "--reinstall-package", "--with", "--with-editable", "--with-requirements", "-f", "-i", "-p", "-w",
    ],
};

/// Options of Node.js, without those that load modules first.
const NODE: ProgramOptions = ProgramOptions {
    flags: &[
        "--enable-source-maps",
        "--no-deprecation",
        "--no-warnings",
        "--trace-deprecation",
        "--trace-uncaught",
        "--trace-warnings",
    ],
    valued: &["--max-old-space-size", "--stack-trace-limit"],
};

/// Options of `npx` and of `tsx`.
const NPX: ProgramOptions = ProgramOptions {
    flags: &["--no", "--no-install", "--yes", "-y"],
    valued: &[],
};
const TSX: ProgramOptions = ProgramOptions {
    flags: &["--no-cache"],
    valued: &["--tsconfig"],
};

/// Known options of a program, which leave the choice of the program to the words after them.
struct ProgramOptions {
    flags: &'static [&'static str],
    /// Options with a value: the next word, after `=`, or directly after a single letter.
    valued: &'static [&'static str],
}

impl ProgramOptions {
    /// Returns the words after the options; `None` for an unknown option.
    fn skip<'a>(&self, mut words: &'a [String]) -> Option<&'a [String]> {
        while let Some((word, rest)) = words.split_first() {
            if !word.starts_with('-') || matches!(&**word, "-m" | "--module") {
                return Some(words);
            }
            words = if self.is_whole(word) {
                rest
            } else if self.valued.contains(&&**word) {
                rest.get(1..)?
            } else {
                return None;
            };
        }
        None
    }

    /// Whether an option needs no further word: a flag, or an option that contains its value.
    fn is_whole(&self, word: &str) -> bool {
        let named = word.split_once('=').map(|(name, _)| name);
        let short = word.get(..2).filter(|_| word.len() > 2);
        let has_value = |name: Option<&str>| name.is_some_and(|name| self.valued.contains(&name));
        self.flags.contains(&word) || has_value(named) || has_value(short)
    }
}

/// Runtime that loads packages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Runtime {
    Python,
    Node,
}

/// Program that a command finally runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Launch {
    pub(super) runtime: Runtime,
    /// Last words of the server process's command line: the script, module or program, and its arguments. Only the file
    /// name of the first word is compared.
    pub(super) words: Vec<String>,
    /// Whether packages may be loaded ahead of a save. False if a save may change the installed packages.
    pub(super) preloads: bool,
}

/// File access of [`parse_command`].
pub(super) trait ProgramReader {
    /// Returns the beginning of a program file, at a path relative to the server's directory or found in its PATH.
    fn beginning(&self, program: &str) -> Option<String>;
}

/// Returns the launch of the command; `None` unless it is certain.
pub(super) fn parse_command<S: AsRef<OsStr>>(
    program: &OsStr,
    args: &[S],
    files: &dyn ProgramReader,
) -> Option<Launch> {
    let words = std::iter::once(program).chain(args.iter().map(AsRef::as_ref));
    let words: Option<Vec<String>> = words.map(|word| word.to_str().map(str::to_owned)).collect();
    command(&words?, files)
}

fn command(words: &[String], files: &dyn ProgramReader) -> Option<Launch> {
    let (program, rest) = words.split_first()?;
    match name(program) {
        name if is_python(name) => python(rest),
        "uv" => uv(rest, files),
        "uvx" => uvx(rest),
        "node" | "nodejs" => node(rest),
        "npx" => npx(rest, files),
        "tsx" => tsx(rest),
        _ => console_script(words, files),
    }
}

/// Parses `python -u server.py --port 1`, `python -m weather`.
fn python(words: &[String]) -> Option<Launch> {
    let words = PYTHON.skip(words)?;
    let words = match words.first()?.as_str() {
        "-m" => &words[1..],
        _ => words,
    };
    launch(Runtime::Python, words)
}

/// Parses `node --enable-source-maps dist/index.js`, `node --import tsx src/index.ts`.
fn node(words: &[String]) -> Option<Launch> {
    let words = match words {
        [import, tsx, words @ ..] if import == "--import" && tsx == "tsx" => words,
        words => words,
    };
    let words = NODE.skip(words)?;
    let is_code = Path::new(words.first()?).extension().is_some();
    launch(Runtime::Node, words).filter(|_| is_code)
}

/// Parses `npx tsx src/index.ts`, `npx weather`; the package must be installed in the project.
fn npx(words: &[String], files: &dyn ProgramReader) -> Option<Launch> {
    let words = NPX.skip(words)?;
    let program = words.first()?;
    let beginning = files.beginning(&format!("node_modules/.bin/{program}"))?;
    match program.as_str() {
        "tsx" => tsx(&words[1..]),
        _ => interpreted(&beginning, words),
    }
}

/// Parses `tsx src/index.ts`.
fn tsx(words: &[String]) -> Option<Launch> {
    let words = TSX.skip(words)?;
    let is_code = Path::new(words.first()?).extension().is_some();
    launch(Runtime::Node, words).filter(|_| is_code)
}

/// Parses `uv --directory weather run --frozen server.py`.
fn uv(words: &[String], files: &dyn ProgramReader) -> Option<Launch> {
    let (run, rest) = UV.skip(words)?.split_first()?;
    if let ("tool", [run, rest @ ..]) = (run.as_str(), rest)
        && run == "run"
    {
        return uvx(rest);
    }
    let behind = UV.skip(rest)?;
    let options = &rest[..rest.len() - behind.len()];
    let mut launch = uv_run(behind, files).filter(|_| run == "run")?;
    // `uv` may install a copy of the saved code first.
    launch.preloads &= !installs_own(options);
    Some(launch)
}

/// Parses the command after `uv run` and its options.
fn uv_run(words: &[String], files: &dyn ProgramReader) -> Option<Launch> {
    let program = words.first()?;
    match program.as_str() {
        "-m" | "--module" => launch(Runtime::Python, &words[1..]),
        program if is_python_file(program) => launch(Runtime::Python, words),
        program if is_python(program) => python(&words[1..]),
        // A command of the project is in its environment.
        program if program.contains('/') => console_script(words, files),
        program => {
            let beginning = files.beginning(&format!(".venv/bin/{program}"))?;
            interpreted(&beginning, words)
        }
    }
}

/// Parses `uvx --from . weather`; the programs of other packages are unknown. The installed copy changes with a save.
fn uvx(words: &[String]) -> Option<Launch> {
    let behind = UVX.skip(words)?;
    let options = &words[..words.len() - behind.len()];
    let mut launch = launch(Runtime::Python, behind).filter(|_| installs_own(options))?;
    launch.preloads = false;
    Some(launch)
}

/// Whether options of uv install a copy of a local directory.
fn installs_own(options: &[String]) -> bool {
    let is_path = |value: &str| value.starts_with(['.', '/', '~']);
    let mut values = options.iter().zip(options.iter().skip(1));
    let is_given = |name: &str, value: &str| {
        matches!(name, "--from" | "--with" | "-w") && is_path(value)
            || name == "--no-editable"
            || name
                .split_once('=')
                .is_some_and(|(name, value)| matches!(name, "--from" | "--with") && is_path(value))
    };
    let last = options.last().is_some_and(|name| is_given(name, ""));
    last || values.any(|(name, value)| is_given(name, value))
}

/// Parses `weather --port 1`, a program whose first line names an interpreter.
fn console_script(words: &[String], files: &dyn ProgramReader) -> Option<Launch> {
    interpreted(&files.beginning(words.first()?)?, words)
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
    let mut line = shlex::split(line)?.into_iter();
    let mut interpreter = line.next()?;
    if name(&interpreter) == "env" {
        interpreter = line.next()?;
    }
    let options: Vec<String> = line.collect();
    match name(&interpreter) {
        name if is_python(name) => python(&[&options, words].concat()),
        "node" if options.is_empty() => launch(Runtime::Node, words),
        _ => None,
    }
}

fn launch(runtime: Runtime, words: &[String]) -> Option<Launch> {
    let first = words.first()?;
    (!first.starts_with('-') && !first.is_empty()).then(|| Launch {
        runtime,
        words: words.to_vec(),
        preloads: true,
    })
}

fn name(program: &str) -> &str {
    program.rsplit('/').next().unwrap_or(program)
}

/// Matches `python`, `python3`, `python3.13`.
fn is_python(name: &str) -> bool {
    let version = name.strip_prefix("python");
    version.is_some_and(|version| version.chars().all(|c| c == '.' || c.is_ascii_digit()))
}

fn is_python_file(name: &str) -> bool {
    Path::new(name).extension().is_some_and(|it| it == "py")
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
    ]);

    fn words(line: &str) -> Option<Vec<String>> {
        let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        let launch = parse_command(&words[0], &words[1..], &FILES)?;
        Some(launch.words)
    }

    #[test]
    #[rustfmt::skip] // A table.
    fn what_is_run_in_the_end_is_found() {
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
            ("tsx --tsconfig x.json src/index.ts 1", "src/index.ts 1"),
            ("npx -y tsx src/index.ts", "src/index.ts"),
            ("npx srv 1", "srv 1"),
            ("bin/srv.js 1", "bin/srv.js 1"),
        ] {
            assert_eq!(words(line).map(|it| it.join(" ")).as_deref(), Some(found), "{line}");
        }
    }

    #[test]
    fn what_a_save_is_installed_for_is_not_loaded_ahead() {
        let loads_ahead = |line: &str| {
            let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
            parse_command(&words[0], &words[1..], &FILES).map(|it| it.preloads)
        };
        for (line, ahead) in [
            ("uv run weather", true),
            ("uv run --with mcp server.py", true),
            ("uv run --with-editable ./lib server.py", true),
            ("uv run --no-editable weather", false),
            ("uv run --with ./lib server.py", false),
            ("uvx --from . weather", false),
            ("uv tool run --from=. weather", false),
        ] {
            assert_eq!(loads_ahead(line), Some(ahead), "{line}");
        }
    }

    #[test]
    #[rustfmt::skip] // A table.
    fn what_is_not_certain_is_left_alone() {
        for line in [
            "python", "python -", "python -I server.py", "python -E server.py", "python -uS server.py",
            "python -c pass", "python -i server.py", "python --new-option server.py", "pypy3 server.py",
            "pythonista server.py", "uv", "uv sync", "uv run", "uv run --unknown server.py", "uv run make",
            "uvx weather", "uv tool run weather", "isolated run", "script", "missing", "sh -c python",
            "poetry run python server.py", "docker run weather", "node", "node .", "node -e 1", "node --watch a.js",
            "node --import ./hook.mjs a.js", "node -r dotenv/config a.js", "node --inspect a.js", "npx missing",
            "npx -p x srv", "tsx watch a.ts", "tsx", "npm start",
        ] {
            assert_eq!(words(line), None, "{line}");
        }
    }
}
