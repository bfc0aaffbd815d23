//! Entries that run the proxy itself: the proxy would start itself endlessly. An entry that runs one server through it,
//! as `setup` writes them, stands for that server.

use std::path::{Path, PathBuf};

use super::keys::{self, ValueKind};
use super::location::Located;
use super::node::{Entries, Node, Value};
use super::section::Section;
use crate::command_line::{CommandLine, program_name};

/// Entry that runs a server through the proxy.
#[derive(Debug)]
pub(super) struct WrappedEntry {
    /// Entry without the proxy.
    pub(super) server: Node,
    /// Options of the proxy that are settings of a server, as keys of `keys::SERVER`.
    pub(super) options: Node,
}

/// Takes the proxy out of an entry `mcp-proxy dev [OPTION]… -- COMMAND`. Returns `None` for other entries.
pub(super) fn unwrapped(entry: &Node, this_program: Option<&Path>) -> Option<WrappedEntry> {
    let (program, args) = (entry.get("command")?, entry.get("args")?);
    let Value::List(items) = &args.value else {
        return None;
    };
    let nodes: Vec<&Node> = std::iter::once(program).chain(items).collect();
    let word = |node: &&Node| match &node.value {
        Value::Text(text) | Value::Number(text) => Some(text.clone()),
        _ => None,
    };
    let words: Vec<String> = nodes.iter().map(word).collect::<Option<_>>()?;
    let after_program = end_of_program(&words, this_program)?;
    let end = words.iter().position(|word| word == "--")?;
    let before = words.get(after_program..end)?;
    let dev = after_program + before.iter().position(|word| word == "dev")?;
    let [command, rest @ ..] = nodes.get(end + 1..)? else {
        return None;
    };
    let options = options(&nodes[dev + 1..end], &words[dev + 1..end], entry);
    let mut server = entry.clone();
    if let Value::Table(entries) = &mut server.value {
        for (key, value) in entries {
            match key.value.as_str() {
                "command" => *value = (*command).clone(),
                "args" => {
                    let rest = rest.iter().map(|node| (*node).clone());
                    value.value = Value::List(rest.collect());
                }
                _ => {}
            }
        }
    }
    Some(WrappedEntry { server, options })
}

/// Returns the index after the proxy's name, which begins the command or follows a program that fetches packages.
fn end_of_program(words: &[String], this_program: Option<&Path>) -> Option<usize> {
    let command = CommandLine {
        base: PathBuf::new(),
        words: words.to_vec(),
    };
    let inner = command.inner().filter(|inner| inner.fetches);
    let own = inner.map_or(command, |inner| inner.command);
    let is_own = names_proxy(own.words.first()?, this_program);
    (is_own && words.ends_with(&own.words)).then(|| words.len() - own.words.len() + 1)
}

/// Returns the options `words`, the values of `nodes`, that are keys of a server. A directory is relative to that of
/// `entry`.
fn options(nodes: &[&Node], words: &[String], entry: &Node) -> Node {
    let mut found: Entries = Vec::new();
    let mut words = nodes.iter().zip(words);
    while let Some((node, word)) = words.next() {
        let Some(option) = word.strip_prefix("--") else {
            continue;
        };
        let (name, attached) = match option.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (option, None),
        };
        let name = name.replace('-', "_");
        let Some(key) = keys::SERVER.iter().find(|key| key.name == name) else {
            continue;
        };
        let next = || words.next().map(|(node, word)| (*node, word.as_str()));
        let Some((node, value)) = attached.map(|value| (*node, value)).or_else(next) else {
            break;
        };
        let text = |text: &str| node.with(Value::Text(text.to_owned()));
        let key_at = |name: &str| Located {
            value: name.to_owned(),
            at: node.at.clone(),
        };
        let value = match key.kind {
            ValueKind::Globs | ValueKind::Texts | ValueKind::Calls => {
                Value::List(vec![text(value)])
            }
            ValueKind::Map => {
                let (name, value) = value.split_once('=').unwrap_or((value, ""));
                Value::Table(vec![(key_at(name), text(value))])
            }
            _ if key.name == "cwd" => Value::Text(in_directory_of(entry, value)),
            _ => Value::Text(value.to_owned()),
        };
        let known = found.iter_mut().find(|(it, _)| it.value == key.name);
        match (known.map(|(_, node)| &mut node.value), value) {
            (Some(Value::List(all)), Value::List(more)) => all.extend(more),
            (Some(Value::Table(all)), Value::Table(more)) => all.extend(more),
            (Some(known), value) => *known = value,
            (None, value) => found.push((key_at(key.name), node.with(value))),
        }
    }
    entry.with(Value::Table(found))
}

/// Returns a directory relative to the one that `entry` has, if any.
fn in_directory_of(entry: &Node, directory: &str) -> String {
    match entry.get("cwd").map(|node| &node.value) {
        Some(Value::Text(base)) if !base.trim().is_empty() => {
            Path::new(base).join(directory).display().to_string()
        }
        _ => directory.to_owned(),
    }
}

/// Names of the executable and of its packages.
const NAMES: [&str; 2] = ["mcp-proxy", "mcp-proxy-dev"];
/// Subcommands that serve a client. Other programs named `mcp-proxy` have no such subcommands.
const SERVING: [&str; 2] = ["dev", "serve"];

/// Whether the command runs the proxy: by name or path, or through `npx`, `cargo run`, `env` or a shell.
pub(crate) fn is_own(command: &str, args: &[String], this_program: Option<&Path>) -> bool {
    let words = std::iter::once(command).chain(args.iter().map(String::as_str));
    let command = CommandLine {
        base: PathBuf::new(),
        words: words.map(str::to_owned).collect(),
    };
    let mut words = Vec::new();
    // Unknown wrappers may come before the program.
    for word in command.innermost().words {
        match shlex::split(&word) {
            // The command line of a shell is a single word.
            Some(inner) if inner.len() > 1 => words.extend(inner),
            _ => words.push(word),
        }
    }
    let named = words
        .iter()
        .position(|word| names_proxy(word, this_program));
    named.is_some_and(|at| {
        words[at + 1..]
            .iter()
            .any(|word| SERVING.contains(&word.as_str()))
    })
}

/// Returns the configuration file that the arguments of the proxy name.
pub(super) fn config_file(args: &[String]) -> Option<&str> {
    let options = args.split(|word| word == "--").next()?;
    let mut attached = options.iter();
    match options.iter().position(|word| word == "--config") {
        Some(at) => options.get(at + 1).map(String::as_str),
        None => attached.find_map(|word| word.strip_prefix("--config=")),
    }
}

/// Whether the entry runs the proxy.
pub(super) fn is_own_entry(section: &Section, this_program: Option<&Path>) -> bool {
    let command = section.text("command");
    command.is_some_and(|(command, _)| is_own(command, &section.list("args"), this_program))
}

/// Returns the number of words of the proxy before a server's command: those that setup wrote (`words`), or a program
/// and `dev` with any options, up to `--`. Returns `None` if there are none, or no command after them.
pub(super) fn count_own_words(now: &[String], words: &[String]) -> Option<usize> {
    let (program, args) = now.split_first()?;
    let is_dev = args.first().is_some_and(|word| word == "dev") && is_own(program, args, None);
    let end = || args.iter().position(|word| word == "--").map(|at| at + 2);
    let count = if now.starts_with(words) {
        Some(words.len())
    } else {
        end().filter(|_| is_dev)
    };
    count.filter(|count| *count < now.len())
}

fn names_proxy(word: &str, this_program: Option<&Path>) -> bool {
    let path = Path::new(word);
    if this_program.is_some_and(|program| path.has_root() && path == program) {
        return true;
    }
    let is_named = |word: &str| NAMES.contains(&program_name(word).as_str());
    // `--manifest-path ~/mcp-proxy/Cargo.toml`
    let directory = path.parent().filter(|_| path.ends_with("Cargo.toml"));
    is_named(word) || directory.and_then(Path::to_str).is_some_and(is_named)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own(line: &str) -> bool {
        let words = shlex::split(line).unwrap();
        is_own(
            &words[0],
            &words[1..],
            Some(Path::new("/x/target/debug/proxy")),
        )
    }

    #[test]
    fn the_proxy_is_recognised_however_it_is_run() {
        for line in [
            "mcp-proxy dev",
            "mcp-proxy --log /tmp/l dev -- uv run server.py",
            "mcp-proxy serve",
            "/root/.cargo/bin/mcp-proxy dev",
            "${HOME}/.cargo/bin/mcp-proxy.exe dev",
            "/x/target/debug/proxy dev",
            "npx -y mcp-proxy-dev@latest dev",
            "cargo run -q -p mcp-proxy-dev -- dev",
            "cargo run --manifest-path ../mcp-proxy/Cargo.toml -- dev",
            "sh -c 'exec mcp-proxy dev'",
            "env A=1 mcp-proxy dev",
            "timeout 5 env -u A mcp-proxy dev",
            "npx -p mcp-proxy-dev mcp-proxy dev",
        ] {
            assert!(own(line), "{line}");
        }
    }

    #[test]
    fn words_of_the_proxy_are_counted() {
        let ours = ["/x/proxy", "dev", "--"].map(str::to_owned);
        for (line, count) in [
            ("/x/proxy dev -- y 1", Some(3)),
            ("/new/mcp-proxy dev --watch src -- y -- 1", Some(5)),
            ("/x/proxy dev --", None),
            ("mcp-proxy dev --", None),
            ("mcp-proxy dev y", None),
            ("mcp-proxy serve -- y", None),
            ("y dev -- 1", None),
            ("y", None),
        ] {
            let now = shlex::split(line).unwrap();
            assert_eq!(count_own_words(&now, &ours), count, "{line}");
        }
    }

    #[test]
    fn others_are_not() {
        for line in [
            "uv run server.py dev",
            "uvx mcp-proxy https://weather.example/sse",
            "npm run dev -- mcp-proxy",
            "node mcp-proxy/dist/index.js dev",
            "uv --directory ../mcp-proxy run server.py dev",
            "conda run -n mcp-proxy python server.py serve",
            "proxy dev",
        ] {
            assert!(!own(line), "{line}");
        }
    }
}
