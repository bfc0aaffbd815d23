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
