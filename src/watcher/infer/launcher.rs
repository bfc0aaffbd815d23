//! Shell scripts that start a server, such as `run.sh`.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::language::Language;
use super::named::is_users_file;
use crate::command_line::{CommandLine, program_name};

/// Maximum size of such a script in bytes; a larger one is a program of its own.
const MAX_SIZE: u64 = 64 << 10;
/// Stands for the directory of the script while its text is split into words.
const HERE: &str = "/\u{1}";

/// Shell script of the user.
#[derive(Debug)]
pub(super) struct Launcher {
    pub(super) path: PathBuf,
    /// Command that starts the server; `None` if the script does not tell.
    pub(super) command: Option<CommandLine>,
}

/// Returns the script that the command runs: `./run.sh`, `bash run.sh`. Reads the file system.
pub(super) fn of(command: &CommandLine) -> Option<Launcher> {
    let program = command.words.first()?;
    let (path, args) = match command.shell_script() {
        Some((at, word)) => (command.path(word), &command.words[at + 1..]),
        None if program.contains(std::path::is_separator) => {
            (command.path(program), &command.words[1..])
        }
        None => return None,
    };
    if !is_users_file(&path) || path.metadata().is_ok_and(|it| it.len() > MAX_SIZE) {
        return None;
    }
    let text = String::from_utf8(std::fs::read(&path).ok()?).ok()?;
    if command.shell_script().is_none() && !is_of_shell(program, &text) {
        return None;
    }
    let mut found = server(&text, &command.base, path.parent()?);
    if let Some(found) = &mut found {
        let forwards = |word: &String| ["$@", "$*"].contains(&&**word);
        if found.words.iter().any(forwards) {
            found.words.retain(|word| !forwards(word));
            found.words.extend_from_slice(args);
        }
    }
    Some(Launcher {
        path,
        command: found,
    })
}

/// Whether the file is a shell script, and no wrapper of a build tool, such as `gradlew`.
fn is_of_shell(program: &str, text: &str) -> bool {
    let line = text.lines().next().and_then(|line| line.strip_prefix("#!"));
    let mut words = line.into_iter().flat_map(str::split_whitespace);
    let language = |word: &str| Language::of_program(&program_name(word));
    let interpreter = words.find_map(language);
    language(program).is_none() && interpreter.is_some_and(|it| !has_sources(it))
}

/// Whether the language is none of a shell, whose scripts only start other programs.
fn has_sources(language: &Language) -> bool {
    !language.globs.is_empty()
}

/// Whether the command of a shell starts a program of a known language, a program given by its path, or a program in
/// place of the shell.
pub(super) fn may_start_server(command: &CommandLine) -> bool {
    let program = &command.words[0];
    let is_named = program == "exec" || program.contains('/');
    let programs = [command.program(), command.clone().innermost().program()];
    let mut languages = programs.iter().filter_map(|it| Language::of_program(it));
    is_named || languages.any(has_sources)
}

/// Returns the last command of a script that may start the server; `None` if its program or directory is uncertain.
fn server(text: &str, base: &Path, here: &Path) -> Option<CommandLine> {
    let commands = CommandLine::of_shell(&expanded(text), base);
    let mut commands = commands.into_iter().rev();
    let mut command = commands.find(may_start_server)?;
    let located = |word: &str| word.replace(HERE, &here.to_string_lossy());
    command.words = command.words.iter().map(|word| located(word)).collect();
    command.base = PathBuf::from(located(&command.base.to_string_lossy()));
    let is_uncertain = |text: &str| text.contains(['$', '`', '(']);
    let inner = command.clone().innermost();
    let program = inner.words.first()?;
    (!is_uncertain(program) && !is_uncertain(&inner.base.to_string_lossy())).then_some(command)
}

/// Returns the text of a script without comments, with its own directory and with the variables that it sets.
fn expanded(text: &str) -> String {
    let mut text = text.replace("\\\n", " ");
    for (idiom, plain) in [
        ("${BASH_SOURCE[0]}", "$0"),
        ("${BASH_SOURCE}", "$0"),
        ("$BASH_SOURCE", "$0"),
        (" >/dev/null 2>&1", ""),
        (" &>/dev/null", ""),
        ("dirname -- ", "dirname "),
        ("cd -- ", "cd "),
        ("pwd -P", "pwd"),
        ("\"$0\"", "$0"),
        ("$(readlink -f $0)", "$0"),
        ("$(realpath $0)", "$0"),
        ("\"$0\"", "$0"),
        ("$(dirname $0)", HERE),
        ("${0%/*}", HERE),
    ] {
        text = text.replace(idiom, plain);
    }
    text = text.replace(&format!("\"{HERE}\""), HERE);
    for idiom in ["$(cd HERE && pwd)", "$(cd HERE; pwd)"] {
        text = text.replace(&idiom.replace("HERE", HERE), HERE);
    }
    let mut variables = HashMap::new();
    let mut lines = Vec::new();
    for line in text
        .lines()
        .filter(|line| !line.trim_start().starts_with('#'))
    {
        let line = substituted(line, &variables);
        let words = shlex::split(line.trim()).unwrap_or_default();
        let assignment = match &words[..] {
            [assignment] => assignment.split_once('='),
            [export, assignment] if export == "export" => assignment.split_once('='),
            _ => None,
        };
        match assignment {
            Some((name, value)) if !value.contains(['$', '`']) => {
                variables.insert(name.to_owned(), value.to_owned());
            }
            _ => lines.push(line),
        }
    }
    lines.join("\n")
}

/// Replaces `$NAME` and `${NAME}` by the value of a known variable.
fn substituted(line: &str, variables: &HashMap<String, String>) -> String {
    let mut parts = line.split('$');
    let mut result = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let is_braced = part.starts_with('{');
        let start = &part[usize::from(is_braced)..];
        let is_other = |c: char| c != '_' && !c.is_ascii_alphanumeric();
        let end = start.find(is_other).unwrap_or(start.len());
        let rest = &start[end..];
        let rest = if is_braced {
            rest.strip_prefix('}')
        } else {
            Some(rest)
        };
        match variables.get(&start[..end]).zip(rest) {
            Some((value, rest)) => result.extend([value, rest]),
            None => result.extend(["$", part]),
        }
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[rustfmt::skip] // A table.
    fn the_command_of_a_server_is_found() {
        for (text, base, words) in [
            ("#!/bin/sh\ncd \"$(dirname \"$0\")\" && exec python3 src/server.py\n", "/s", "exec python3 src/server.py"),
            ("set -e\nDIR=\"$(cd \"$(dirname \"${BASH_SOURCE[0]}\")\" >/dev/null 2>&1 && pwd)\"\n\
              \"$DIR/.venv/bin/python\" \"${DIR}/server.py\" \"$@\"\n", "/b", "/s/.venv/bin/python /s/server.py $@"),
            ("npm ci\nnpm run build\n# node old.js\nPORT=1 node dist/index.js \\\n  --stdio\n", "/b",
             "node dist/index.js --stdio"),
            ("if [ -f .env ]; then . ./.env; fi\ncd server\nuv run weather\n", "/b/server", "uv run weather"),
            ("export APP=server.py\nexec env A=$B python $APP\necho over\n", "/b", "exec env A=$B python server.py"),
            ("cd ${0%/*}\nnpm run build\n./build/server\n", "/s", "./build/server"),
        ] {
            let found = server(text, Path::new("/b"), Path::new("/s")).unwrap_or_else(|| panic!("{text}"));
            assert_eq!((&*found.base, &*found.words.join(" ")), (Path::new(base), words), "{text}");
        }
        for text in ["", "echo hello", "exec $PROGRAM server.py", "cd $PLACE\npython server.py", "$HERE/server"] {
            assert!(server(text, Path::new("/b"), Path::new("/s")).is_none(), "{text}");
        }
    }
}
