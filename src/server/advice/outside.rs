//! Advice for causes outside of the code: a host that does not answer, a wrong directory, words of the command that
//! nothing reads.

use super::said;
use crate::config::ServerSpec;
use crate::server::handshake::ProofFailure;
use crate::transport::resolve::shown_command;

/// Advice for a server that cannot reach a program or host.
const START_OTHER: &str = "a program or host that the server connects to does not answer: start it, or correct its \
    address, and call again";

/// Messages about programs and hosts that do not answer.
#[rustfmt::skip] // A table.
const UNREACHABLE: &[&str] = &[
    "econnrefused", "connection refused", "connectionrefused", "actively refused", "enotfound", "getaddrinfo",
    "name or service not known", "temporary failure in name resolution", "nodename nor servname", "no such host",
    "no route to host", "ehostunreach", "enetunreach", "network is unreachable", "etimedout", "connection timed out",
    "connecttimeout", "cannot connect to the docker daemon",
];

/// Messages of programs that do not find their script.
#[rustfmt::skip] // A table.
const NOT_FOUND: &[&str] = &[
    "no such file", "cannot find module", "can't open file", "cannot open", "not found", "does not exist",
];

/// Messages about a script with line endings of Windows.
const WINDOWS_LINES: &[&str] = &["\\r'", "\\r’", "\\r\"", "^m: "];

/// Messages of package managers and build tools in a directory without a project.
#[rustfmt::skip] // A table.
const NO_PROJECT: &[&str] = &[
    "could not read package.json", "no package.json", "find a package.json", "find a pyproject.toml",
    "no `pyproject.toml` found", "could not find `cargo.toml`", "go.mod file not found", "could not locate gemfile",
    "does not contain a gradle build", "couldn't find a project to run", "there is no pom in this directory",
];

/// Returns the advice for a server that exited for another reason than a taken port or lock, if its cause is known not
/// to be the code, and whether this cause may pass by itself. Reads the file system.
pub(in super::super) fn of_exit(
    stderr: &[String],
    proof_failure: &ProofFailure,
    spec: &ServerSpec,
) -> (Option<String>, bool) {
    let reports = |lines, signs: &[&str]| {
        said(lines).any(|line| {
            let line = line.to_lowercase();
            signs.iter().any(|sign| line.contains(sign))
        })
    };
    let is_at_once = matches!(
        proof_failure,
        ProofFailure::Lost("initialize" | "server/discover") | ProofFailure::NotListening(_)
    );
    if !is_at_once {
        return (None, false);
    }
    let command = shown_command(spec);
    let base = command.clone().innermost().base;
    let script = command.clone().script().filter(|script| {
        let is_missed = |line: &String| {
            let lower = line.to_lowercase();
            line.contains(script.as_str()) && NOT_FOUND.iter().any(|sign| lower.contains(sign))
        };
        stderr.iter().any(is_missed) && !base.join(script).exists()
    });
    let set_cwd = "set the server's directory by `--cwd` (`cwd` in the configuration)";
    let base = base.display();
    let known = if let Some(remedy) = command.misread_arguments(stderr) {
        Some(remedy)
    } else if reports(stderr, WINDOWS_LINES) {
        Some("save the script with Unix line endings".to_owned())
    } else if reports(stderr, NO_PROJECT) {
        Some(format!(
            "there is no project of this kind in {base}: {set_cwd}"
        ))
    } else {
        script.map(|script| format!("{script} is not in {base}: correct its path, or {set_cwd}"))
    };
    // A program may go on without a host, and end for another reason.
    let is_trace = |line: &String| line.starts_with("Traceback (");
    let end = &stderr[stderr.iter().position(is_trace).unwrap_or(0)..];
    let may_pass = known.is_none() && reports(end, UNREACHABLE);
    (
        known.or_else(|| may_pass.then(|| START_OTHER.to_owned())),
        may_pass,
    )
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    #[rustfmt::skip] // A table.
    fn causes_outside_of_the_code_are_recognised() {
        for (line, stderr, advice, passes) in [
            ("node a.js", "Error: connect ECONNREFUSED 127.0.0.1:5432", "start it", true),
            ("uv run a.py", "httpx.ConnectError: [Errno -2] Name or service not known", "start it", true),
            ("a", "dial tcp 10.0.0.1:80: connect: no route to host", "start it", true),
            ("python3 missing.py", "python3: can't open file '/nowhere/missing.py': [Errno 2]", "missing.py is not in /nowhere", false),
            ("uv --directory x run missing.py", "can't open file '/nowhere/x/missing.py'", "is not in /nowhere/x", false),
            ("npm start", "npm error enoent Could not read package.json: Error: ENOENT", "no project", false),
            ("cargo run", "error: could not find `Cargo.toml` in `/nowhere` or any parent directory", "--cwd", false),
            ("./run.py", "/usr/bin/env: ‘python3\\r’: No such file or directory", "line endings", false),
            ("bash run.sh", "run.sh: line 2: $'\\r': command not found", "line endings", false),
            ("python3 ~/a.py", "can't open file '/nowhere/~/a.py': [Errno 2]", "sh -c 'python3 ~/a.py'", false),
        ] {
            let (found, may_pass) = advice_on(line, stderr);
            assert!(found.as_deref().unwrap_or_default().contains(advice), "{line}: {found:?}");
            assert_eq!(may_pass, passes, "{line}");
        }
        for (line, stderr) in [
            ("node a.js", "TypeError: x is not a function"),
            ("python3 a.py", "  File \"/p/a.py\", line 1\n    connect('connection refused')\nNameError: connect"),
            ("python3 -c x", "NameError: x"),
            ("python3 a.py", "redis: connection refused, using memory\nTraceback (most recent call last):\nKeyError: 'x'"),
            ("sh -c 'cd app && python3 a.py'", "  File \"/nowhere/app/a.py\", line 1\nKeyError: 1"),
        ] {
            assert_eq!(advice_on(line, stderr), (None, false), "{stderr}");
        }
    }

    fn advice_on(line: &str, stderr: &str) -> (Option<String>, bool) {
        let words = shlex::split(line).expect("the line is well quoted");
        let args = words[1..].iter().map(Into::into).collect();
        let spec = ServerSpec::new("s".into(), words[0].clone().into(), args, "/nowhere".into());
        let stderr: Vec<String> = stderr.lines().map(ToOwned::to_owned).collect();
        of_exit(&stderr, &ProofFailure::Lost("initialize"), &spec)
    }
}
