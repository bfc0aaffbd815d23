//! Detects misplaced or misquoted server commands on the command line, and suggests the correct form.

use std::ffi::OsString;
use std::path::Path;

use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::CliError;
use crate::command_line::misread;
use crate::config::ServerSpec;
use crate::program_search;
use crate::transport::resolve::find;

/// Subcommands that take a server's command after `--`.
const TAKE_A_COMMAND: [&str; 4] = ["dev", "check", "tools", "call"];

/// Removes the value of `--env` from an error, since it may be a secret.
pub(super) fn without_values(mut error: clap::Error) -> clap::Error {
    let argument = error.get(ContextKind::InvalidArg).map(ToString::to_string);
    if argument.is_some_and(|it| it.starts_with("--env")) {
        error.insert(
            ContextKind::InvalidValue,
            ContextValue::String("***".to_owned()),
        );
    }
    error
}

/// Returns an error with the correct form if `words`, which clap rejected with `error`, lack the `--` or the
/// subcommand before the server's command. `words` begins with the program's own name.
pub(super) fn forgotten_dashes(error: &clap::Error, words: &[OsString]) -> Option<CliError> {
    let words: Vec<&str> = words
        .iter()
        .map(|word| word.to_str())
        .collect::<Option<_>>()?;
    let (is_word, kind) = match error.kind() {
        ErrorKind::UnknownArgument => (true, ContextKind::InvalidArg),
        ErrorKind::InvalidSubcommand => (false, ContextKind::InvalidSubcommand),
        _ => return None,
    };
    let Some(ContextValue::String(refused)) = error.get(kind) else {
        return None;
    };
    let mut at = words.iter().position(|word| word == refused)?;
    if let Some(error) = misspelt(refused, &words[1..]) {
        return Some(error);
    }
    // `tools` takes a first word as the name of a server.
    at -= usize::from(words[at - 1] != "tools" && words[1..at].contains(&"tools"));
    let (own, command) = words.split_at(at);
    let mut own = own[1..].to_vec();
    if refused.starts_with('-') || command.contains(&"--") {
        return None;
    }
    let mut missing = "--";
    if is_word {
        own.iter().find(|word| TAKE_A_COMMAND.contains(word))?;
    } else if is_program(refused) {
        if own.contains(&"--") {
            missing = "dev";
            own.retain(|word| *word != "--");
        }
        own.push("dev");
    } else {
        return None;
    }
    let command = apart(command);
    let own = join(own);
    Some(CliError::Usage(format!(
        "missing `{missing}` before the server's command: mcp-proxy {own} -- {command}"
    )))
}

/// Returns an error with the correct form if the argument `refused` is several words, or if a text editor made its dashes
/// typographic.
fn misspelt(refused: &str, words: &[&str]) -> Option<CliError> {
    let first = refused.split_whitespace().next().unwrap_or_default();
    let (fault, right) = if refused.starts_with(['–', '—']) {
        let name = refused.trim_start_matches(['–', '—', '-']);
        ("has typographic dashes", vec![format!("--{name}")])
    } else if has_several_words(refused)
        && (refused.starts_with('-') || TAKE_A_COMMAND.contains(&first))
    {
        ("is several words in one argument", shlex::split(refused)?)
    } else {
        return None;
    };
    let all = words.iter().flat_map(|word| {
        let is_refused = *word == refused;
        let kept = Some(*word).filter(|_| !is_refused);
        let replaced = right.iter().filter(move |_| is_refused);
        kept.into_iter().chain(replaced.map(String::as_str))
    });
    Some(CliError::Usage(format!(
        "`{refused}` {fault}; write: mcp-proxy {}",
        join(all)
    )))
}

/// Returns an error if the program of a server is a whole command line in one word.
pub(super) fn one_word(spec: &ServerSpec) -> Option<CliError> {
    let word = spec.program.to_str()?;
    if !has_several_words(word) || find(spec, Path::new(word)).is_some() {
        return None;
    }
    let args: Option<Vec<&str>> = spec.args.iter().map(|arg| arg.to_str()).collect();
    let command = [vec![word], args?].concat();
    let remedy = if misread::needs_shell(word) {
        let line = command.join(" ");
        format!("Let a shell read it: -- {}", misread::shell_call(&line))
    } else {
        format!("Remove the quotes around it: -- {}", apart(&command))
    };
    Some(CliError::Usage(format!(
        "program not found: `{word}` is a whole command in one argument. {remedy}"
    )))
}

fn has_several_words(word: &str) -> bool {
    word.trim().contains(char::is_whitespace)
}

/// Returns true if `word` begins with a program in `PATH`.
fn is_program(word: &str) -> bool {
    let first = word.split_whitespace().next().unwrap_or_default();
    program_search::find_own(first).is_some()
}

/// Quotes the command for a shell; splits the first word if it is a whole command.
fn apart(command: &[&str]) -> String {
    let (first, rest) = command.split_first().unwrap_or((&"", &[]));
    let rest = join(rest.iter().copied());
    // Copied text may contain spaces that a shell does not split at.
    let spaced: String = first
        .chars()
        .map(|it| if it.is_whitespace() { ' ' } else { it })
        .collect();
    let first = match shlex::split(&spaced) {
        Some(words) if has_several_words(first) && !Path::new(first).exists() => {
            join(words.iter().map(String::as_str))
        }
        _ => join([*first]),
    };
    format!("{first} {rest}").trim_end().to_owned()
}

fn join<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    let words: Vec<&str> = words.into_iter().collect();
    shlex::try_join(words.iter().copied()).unwrap_or_else(|_| words.join(" "))
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::super::Cli;
    use super::*;

    fn told(line: &str) -> Option<String> {
        let words = shlex::split(line).unwrap();
        let error = Cli::try_parse_from(&words).err()?;
        let words: Vec<OsString> = words.into_iter().map(OsString::from).collect();
        forgotten_dashes(&error, &words).map(|error| error.to_string())
    }

    #[cfg(unix)]
    #[test]
    fn dashes_are_put_where_they_are_missing() {
        for (line, right) in [
            ("mcp-proxy dev uv run server.py", "dev -- uv run server.py"),
            (
                "mcp-proxy dev 'uv run server.py'",
                "dev -- uv run server.py",
            ),
            (
                "mcp-proxy -q dev --watch 'src/**' python a.py --port 3",
                "-q dev --watch 'src/**' -- python a.py --port 3",
            ),
            (
                "mcp-proxy check node 'my server.js'",
                "check -- node 'my server.js'",
            ),
            (
                "mcp-proxy tools python server.py",
                "tools -- python server.py",
            ),
            ("mcp-proxy sh -c ls", "dev -- sh -c ls"),
            ("mcp-proxy -- sh -c ls", "dev -- sh -c ls"),
            ("mcp-proxy -q -- sh", "-q dev -- sh"),
            ("mcp-proxy 'dev -- node a.js'", "dev -- node a.js"),
            ("mcp-proxy dev '-- node a.js'", "dev -- node a.js"),
            (
                "mcp-proxy dev '--cwd /a' -- node a.js",
                "dev --cwd /a -- node a.js",
            ),
            ("mcp-proxy dev — node a.js", "dev -- node a.js"),
            (
                "mcp-proxy dev —-watch a -- node a.js",
                "dev --watch a -- node a.js",
            ),
        ] {
            let text = told(line).unwrap_or_default();
            assert!(
                text.ends_with(&format!(": mcp-proxy {right}")),
                "{line}: {text}"
            );
        }
    }

    #[test]
    fn options_that_a_server_may_get_by_mistake_are_those_of_the_proxy() {
        use clap::CommandFactory as _;
        let cli = Cli::command();
        let dev = cli.find_subcommand("dev").unwrap();
        let known: Vec<_> = dev.get_arguments().filter_map(|it| it.get_long()).collect();
        for option in misread::PROXY_OPTIONS {
            assert!(known.contains(&&option[2..]), "{option}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_whole_command_in_one_word_is_taken_apart() {
        for (word, right) in [
            ("no-such a.js", "-- no-such a.js"),
            ("no-such\u{a0}a.js", "-- no-such a.js"),
            ("no-such a.js && true", "-- sh -c 'no-such a.js && true'"),
            ("$(which no-such) a.js", "-- sh -c '$(which no-such) a.js'"),
        ] {
            let spec = ServerSpec::new("s".into(), word.into(), Vec::new(), "/".into());
            let text = one_word(&spec).unwrap().to_string();
            assert!(text.ends_with(right), "{text}");
        }
    }

    #[test]
    fn other_mistakes_are_left_to_clap() {
        for line in [
            "mcp-proxy dev -- uv run server.py",
            "mcp-proxy dev --wach x -- uv",
            "mcp-proxy dve -- uv",
            "mcp-proxy serve uv",
            "mcp-proxy no-such-program",
        ] {
            assert_eq!(told(line), None, "{line}");
        }
    }
}
