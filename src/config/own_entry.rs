//! Detection of entries that run the proxy itself: the proxy would start itself endlessly.

use std::path::{Path, PathBuf};

use crate::command_line::{CommandLine, program_name};

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
    if this_program.is_some_and(|program| path.is_absolute() && path == program) {
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
