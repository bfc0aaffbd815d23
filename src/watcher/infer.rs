//! What to watch when no globs are given: found from the command, looking through the wrappers
//! (`uv run`, `npx`, `npm run`, `sh -c`) that servers are commonly started with.

use std::ffi::{OsStr, OsString};
use std::io::Read;
use std::path::{Path, PathBuf};

pub(super) const PYTHON: &[&str] = &["**/*.{py,pyi,toml}"];
pub(super) const NODE: &[&str] = &["**/*.{ts,tsx,mts,cts,js,mjs,cjs,json}"];
/// Plain `node` runs no TypeScript; what it runs is often built into an ignored directory.
pub(super) const JAVASCRIPT: &[&str] = &["**/*.{js,mjs,cjs,json}"];
pub(super) const RUST: &[&str] = &["**/*.rs", "Cargo.toml", "Cargo.lock"];
pub(super) const GO: &[&str] = &["**/*.go", "go.mod", "go.sum"];

/// Wrappers with a subcommand before the real command.
const RUNNERS: &[(&str, &[&str])] = &[
    ("uv", &["run"]),
    ("uvx", &[]),
    ("poetry", &["run"]),
    ("pdm", &["run"]),
    ("pipenv", &["run"]),
    ("hatch", &["run"]),
    ("npx", &[]),
    ("bunx", &[]),
    ("pnpm", &["exec", "dlx"]),
    ("env", &[]),
    ("exec", &[]),
    ("time", &[]),
    ("nice", &[]),
];

/// Options (of wrappers and interpreters) whose value is the next argument.
const VALUED: &[&str] = &[
    "--with",
    "--with-editable",
    "--with-requirements",
    "--python",
    "-p",
    "--package",
    "--extra",
    "--group",
    "--env-file",
    "--index",
    "--index-url",
    "--from",
    "-W",
    "-X",
    "-r",
    "--require",
    "--import",
    "--loader",
    "-u",
    "--bin",
    "--features",
    "-F",
    "--profile",
    "--target",
    "-n",
];

/// Options of wrappers that name the directory they work in.
const DIRECTORY: &[&str] = &[
    "--directory",
    "--project",
    "--prefix",
    "--dir",
    "--cwd",
    "-C",
];

/// A command being looked through.
#[derive(Debug)]
struct Command {
    base: PathBuf,
    words: Vec<String>,
}

/// Globs for the command, relative to `cwd`; empty if it tells nothing.
pub(super) fn globs(program: &OsStr, args: &[OsString], cwd: &Path) -> Vec<String> {
    let words = std::iter::once(program)
        .chain(args.iter().map(OsString::as_os_str))
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    let command = unwrap(Command {
        base: cwd.to_owned(),
        words,
    });
    let Some(inner) = command.words.first() else {
        return Vec::new();
    };
    let script = command
        .words
        .iter()
        .map(|word| command.base.join(word))
        .find(|path| is_script(path));
    let base = match &script {
        Some(script) if !script.starts_with(&command.base) => {
            script.parent().unwrap_or(&command.base).to_owned()
        }
        _ => command.base.clone(),
    };
    let language = language_of(inner, script.as_deref(), &command.base)
        .or_else(|| language_of(&program.to_string_lossy(), None, cwd));
    let mut found: Vec<String> = match (language, native(inner, &command.base)) {
        (Some(language), _) => language
            .iter()
            .map(|glob| place(&base, glob, cwd))
            .collect(),
        (None, Some(binary)) => vec![place(&binary, "", cwd)],
        (None, None) if script.is_some() => Vec::new(),
        (None, None) => by_manifest(&base)
            .iter()
            .map(|glob| place(&base, glob, cwd))
            .collect(),
    };
    if let Some(script) = script {
        found.push(place(&script, "", cwd));
        // Named by its directory, so that a build output counts though it is ignored.
        if let (Some(JAVASCRIPT), Some(directory)) = (language, script.parent())
            && directory != base
        {
            found.push(place(directory, JAVASCRIPT[0], cwd));
        }
    }
    found
}

/// Takes wrappers off until a command remains that is none.
fn unwrap(mut command: Command) -> Command {
    // A command line that wraps more often than this is not one anybody wrote.
    for _ in 0..8 {
        let Some(program) = command.words.first().map(|word| stem(word)) else {
            break;
        };
        let next = if matches!(program.as_str(), "sh" | "bash" | "zsh" | "dash") {
            shell(&command)
        } else if let Some((_, subcommands)) = RUNNERS.iter().find(|(name, _)| *name == program) {
            wrapped(&command, subcommands)
        } else {
            None
        };
        match next {
            Some(next) if !next.words.is_empty() => command = next,
            _ => break,
        }
    }
    rebase(command)
}

/// The command inside `sh -c "cd server && exec node index.js"`.
fn shell(command: &Command) -> Option<Command> {
    let flag = command
        .words
        .iter()
        .position(|word| word.starts_with('-') && !word.starts_with("--") && word.ends_with('c'))?;
    let line = command.words.get(flag + 1)?;
    let mut base = command.base.clone();
    for part in line.split(['&', ';', '|', '\n']) {
        let words = shlex::split(part)?;
        let words: Vec<String> = words
            .into_iter()
            .skip_while(|word| is_assignment(word))
            .collect();
        match words.first().map(String::as_str) {
            None | Some("set" | "export" | "source" | "." | "true") => {}
            Some("cd") => base = base.join(words.get(1)?),
            Some(_) => return Some(Command { base, words }),
        }
    }
    None
}

/// The command after `uv --directory server run --with mcp`.
fn wrapped(command: &Command, subcommands: &[&str]) -> Option<Command> {
    let mut base = command.base.clone();
    let mut wanted = !subcommands.is_empty();
    let mut words = command.words.iter().skip(1);
    while let Some(word) = words.next() {
        if let Some(directory) = directory_option(word, &mut words.clone()) {
            base = base.join(directory);
            if !word.contains('=') {
                words.next();
            }
        } else if VALUED.contains(&word.as_str()) {
            words.next();
        } else if word.starts_with('-') || is_assignment(word) {
        } else if wanted {
            if !subcommands.contains(&word.as_str()) {
                return None;
            }
            wanted = false;
        } else {
            let words = std::iter::once(word).chain(words).cloned().collect();
            return Some(Command { base, words });
        }
    }
    None
}

/// Applies the directory options of the last command itself: `npm --prefix server start`.
fn rebase(mut command: Command) -> Command {
    let directory_aware = matches!(
        stem(command.words.first().map_or("", String::as_str)).as_str(),
        "npm" | "pnpm" | "yarn" | "bun" | "go" | "uv" | "cargo"
    );
    let mut words = command.words.iter().skip(1).filter(|_| directory_aware);
    while let Some(word) = words.next() {
        if word == "--manifest-path" {
            command.base.push(words.next().map_or("", String::as_str));
            command.base.pop();
        } else if let Some(directory) = directory_option(word, &mut words.clone()) {
            command.base = command.base.join(directory);
        }
    }
    command
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

fn language_of(
    program: &str,
    script: Option<&Path>,
    base: &Path,
) -> Option<&'static [&'static str]> {
    let name = stem(program);
    let extension = script
        .and_then(Path::extension)
        .and_then(|extension| extension.to_str());
    match name.as_str() {
        "uv" | "uvx" | "poetry" | "pdm" | "pipenv" | "hatch" | "fastmcp" | "mcp" => {
            return Some(PYTHON);
        }
        _ if name.starts_with("python") || name.starts_with("pypy") => return Some(PYTHON),
        "node" if matches!(extension, Some("js" | "mjs" | "cjs")) => return Some(JAVASCRIPT),
        "node" | "npx" | "npm" | "pnpm" | "yarn" | "bun" | "bunx" | "deno" | "tsx" | "ts-node"
        | "nodemon" => return Some(NODE),
        "cargo" => return Some(RUST),
        "go" => return Some(GO),
        _ => {}
    }
    match extension {
        Some("py") => return Some(PYTHON),
        Some("ts" | "tsx" | "mts" | "cts" | "js" | "mjs" | "cjs") => return Some(NODE),
        Some("rs") => return Some(RUST),
        Some("go") => return Some(GO),
        _ => {}
    }
    // A console script of a package (`.venv/bin/weather`) or an executable `server.py`.
    let first_line = first_line(&resolve(program, base)?)?;
    if first_line.contains("python") {
        Some(PYTHON)
    } else if first_line.contains("node") {
        Some(NODE)
    } else {
        None
    }
}

/// The program's own file, if the command names a place and not something of the `PATH`.
fn native(program: &str, base: &Path) -> Option<PathBuf> {
    let named = program.contains(std::path::is_separator);
    // A program named by place may be built later; one on the `PATH` is there or unknown.
    let path = if named {
        base.join(program)
    } else {
        resolve(program, base)?
    };
    let system = ["/bin", "/sbin", "/usr/bin", "/usr/sbin"];
    let is_system = system
        .iter()
        .any(|directory| path.parent() == Some(Path::new(directory)));
    (named || !is_system).then_some(path)
}

fn resolve(program: &str, base: &Path) -> Option<PathBuf> {
    which::which_in(program, std::env::var_os("PATH"), base).ok()
}

fn first_line(path: &Path) -> Option<String> {
    let mut start = [0; 128];
    let count = std::fs::File::open(path).ok()?.read(&mut start).ok()?;
    let text = String::from_utf8_lossy(&start[..count]).into_owned();
    let line = text.lines().next()?;
    line.starts_with("#!").then(|| line.to_owned())
}

fn by_manifest(base: &Path) -> &'static [&'static str] {
    [
        ("pyproject.toml", PYTHON),
        ("package.json", NODE),
        ("Cargo.toml", RUST),
        ("go.mod", GO),
    ]
    .iter()
    .find(|(manifest, _)| base.join(manifest).is_file())
    .map_or(&[], |(_, globs)| globs)
}

fn is_script(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str());
    matches!(
        extension,
        Some(
            "py" | "ts"
                | "tsx"
                | "mts"
                | "cts"
                | "js"
                | "mjs"
                | "cjs"
                | "rb"
                | "sh"
                | "php"
                | "lua"
                | "rs"
                | "go"
        )
    ) && path.is_file()
}

fn is_assignment(word: &str) -> bool {
    word.split_once('=').is_some_and(|(name, _)| {
        !name.is_empty() && name.chars().all(|c| c == '_' || c.is_ascii_alphanumeric())
    })
}

/// `/usr/bin/python3.12` → `python3.12`, `npx.cmd` → `npx`.
fn stem(program: &str) -> String {
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

/// A glob below `place`, as short as can be written from `cwd`. Names with glob characters are escaped.
fn place(place: &Path, glob: &str, cwd: &Path) -> String {
    let place: PathBuf = place.components().collect();
    if place == *cwd {
        return glob.to_owned();
    }
    let (short, prefix) = match place.strip_prefix(cwd) {
        Ok(below) => (below, "./"),
        Err(_) => (place.as_path(), ""),
    };
    let short = globset::escape(&short.to_string_lossy());
    // A lone name would match at any depth.
    let prefix = if short.contains('/') || !glob.is_empty() {
        ""
    } else {
        prefix
    };
    let slash = if glob.is_empty() { "" } else { "/" };
    format!("{prefix}{short}{slash}{glob}")
}
