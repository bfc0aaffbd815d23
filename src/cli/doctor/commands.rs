//! Checks of commands: those of configured servers, those in clients' files, and the versions of runtimes.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use tokio::process::Command;
use tokio::runtime::Builder;
use tokio::time::timeout;

use super::report::Finding;
use crate::config::{ServerSpec, shown_words};
use crate::program_search;
use crate::setup::{ClientEntries, ClientEntry};
use crate::transport::resolve::{own_path, program_of};

const CHECK: &str = "command";
/// Programs that run a server's code or fetch its packages.
const RUNTIMES: [&str; 11] = [
    "python", "python3", "node", "uv", "uvx", "npx", "npm", "pnpm", "deno", "bun", "tsx",
];
/// Time limit for a program that tells something.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Time limit for the rest of its output after its end.
const AFTER_EXIT: Duration = Duration::from_millis(200);
/// Length of the output in bytes after which no more is read.
const MAX_OUTPUT: usize = 64 << 10;

/// Returns findings about the commands of configured servers, as the proxy's own `PATH` and `desktop_path` find them.
/// `files` are those of clients.
pub(super) fn servers(
    servers: &[ServerSpec],
    desktop_path: &OsStr,
    files: &[ClientEntries],
) -> Vec<Finding> {
    let on_desktop = files.iter().filter(|file| !file.client.is_in_terminal);
    let mut entries = on_desktop.flat_map(|file| file.entries.iter().flatten());
    let is_used = entries.any(|entry| entry.runs_proxy);
    let local = servers.iter().filter(|spec| spec.remote.is_none());
    local
        .map(|spec| server(spec, desktop_path, is_used))
        .collect()
}

/// Returns the finding about one server. A program that only a shell finds is a problem if a desktop application runs
/// the proxy (`is_used`).
fn server(spec: &ServerSpec, desktop_path: &OsStr, is_used: bool) -> Finding {
    let program = match program_of(spec) {
        Ok(program) => program,
        Err(error) => {
            let finding = Finding::problem(CHECK, spec.hidden.hide(error.to_string()));
            return match error.advice() {
                Some(advice) => finding.advice(spec.hidden.hide(advice)),
                None => finding,
            };
        }
    };
    let shown = spec.hidden.hide(program.display().to_string());
    let name = &spec.name;
    let from_desktop = program_search::find(&spec.program, Some(desktop_path), &spec.cwd);
    if own_path(spec).is_some() || from_desktop.as_ref() == Some(&program) {
        return Finding::good(CHECK, format!("server `{name}` starts {shown}"));
    }
    let is_wrong = is_used && from_desktop.is_none();
    let otherwise = match from_desktop {
        Some(other) => format!("is {}", spec.hidden.hide(other.display().to_string())),
        None => "is missing".to_owned(),
    };
    let text = format!(
        "server `{name}` starts {shown}, which {otherwise} in the PATH of desktop applications ({})",
        desktop_path.to_string_lossy()
    );
    let advice = format!(
        "for a client that was not started from a shell, write {shown} as the command, or set PATH in `env`"
    );
    let finding = if is_wrong {
        Finding::problem(CHECK, text)
    } else {
        Finding::note(CHECK, text)
    };
    finding.advice(advice)
}

/// Returns findings about the command of `entry`, an entry of `file` that runs the proxy, and about the command that it
/// gives the proxy.
pub(super) fn entry(
    entry: &ClientEntry,
    file: &ClientEntries,
    desktop_path: &OsStr,
    project: &Path,
) -> Vec<Finding> {
    let own_path = std::env::var_os("PATH").unwrap_or_default();
    let path: &OsStr = if file.client.is_in_terminal {
        &own_path
    } else {
        desktop_path
    };
    let words: Vec<&str> = entry.words.iter().map(String::as_str).collect();
    let shown = shown_words(&words);
    let wrapped = words.iter().position(|word| *word == "--").map(|at| at + 1);
    let cwd = words.iter().position(|word| *word == "--cwd");
    let cwd = cwd.and_then(|at| words.get(at + 1)).copied();
    // The directory of a relative program is certain only if it is given, and without variables.
    let cwd = cwd
        .filter(|cwd| !has_variables(cwd))
        .map(|cwd| project.join(cwd));
    let mut findings = Vec::new();
    for (at, cwd) in [(Some(0), None), (wrapped, cwd)] {
        let Some((at, word)) = at.and_then(|at| Some((at, *words.get(at)?))) else {
            continue;
        };
        let is_bare = Path::new(word).components().count() == 1;
        let is_certain = is_bare || Path::new(word).is_absolute() || cwd.is_some();
        let folder = cwd.as_deref().unwrap_or(project);
        if has_variables(word) || !is_certain || is_found(word.as_ref(), path, folder) {
            continue;
        }
        let place = if is_bare && !file.client.is_in_terminal {
            " in the PATH of desktop applications"
        } else {
            ""
        };
        let text = format!(
            "`{}` of entry `{}` is not found{place} ({}, {})",
            shown[at],
            entry.name,
            file.client.title,
            file.path.display()
        );
        let full = match program_search::find(word, Some(&own_path), folder) {
            None if at == 0 => std::env::current_exe().ok(),
            found => found,
        };
        let advice = match full {
            Some(full) => format!("write its full path: {}", full.display()),
            None => "install it, or correct its path".to_owned(),
        };
        findings.push(Finding::problem(CHECK, text).advice(advice));
    }
    findings
}

fn has_variables(word: &str) -> bool {
    word.contains(['$', '%', '{']) || word.starts_with('~')
}

fn is_found(program: &OsStr, path: &OsStr, cwd: &Path) -> bool {
    program_search::find(program, Some(path), cwd).is_some()
}

/// Returns the versions of the runtimes that start the servers, except of those that a server's own `PATH` finds: nobody
/// may have read that configuration yet, and nothing of its choice is run here.
pub(super) fn runtimes(servers: &[ServerSpec]) -> Vec<Finding> {
    let local = servers.iter().filter(|spec| spec.remote.is_none());
    let programs: BTreeSet<(OsString, PathBuf)> = local
        .filter(|spec| is_runtime(&spec.program))
        .filter(|spec| own_path(spec).is_none())
        .filter_map(|spec| Some((spec.program.clone(), program_of(spec).ok()?)))
        .collect();
    let findings = programs.into_iter().map(|(name, path)| {
        let (name, shown) = (name.to_string_lossy(), path.display());
        match version(&path) {
            Ok(version) => Finding::good("runtime", format!("{name}: {version} ({shown})")),
            Err(error) => {
                let text = format!("{name} does not tell its version: {error} ({shown})");
                Finding::problem("runtime", text)
                    .advice("reinstall it; servers cannot start with it")
            }
        }
    });
    findings.collect()
}

/// Whether the program is a bare name of a runtime, which only `PATH` can resolve.
fn is_runtime(program: &OsStr) -> bool {
    let name = program.to_string_lossy();
    RUNTIMES.contains(&name.as_ref()) || name.starts_with("python3.")
}

/// Returns the first line that `program --version` prints.
fn version(program: &Path) -> io::Result<String> {
    let text = stdout_of(Command::new(program).arg("--version"))?;
    Ok(text.lines().next().unwrap_or_default().to_owned())
}

/// Runs a program to its end and returns its short output. Returns an error if it fails or takes too long.
pub(super) fn stdout_of(command: &mut Command) -> io::Result<String> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let ended = runtime.block_on(async { timeout(TIMEOUT, run(command)).await });
    let (status, stdout) = ended.map_err(|_| io::Error::other("it does not end"))??;
    if !status.success() {
        return Err(io::Error::other(status.to_string()));
    }
    Ok(String::from_utf8_lossy(&stdout).into_owned())
}

/// Runs a program to its end, or kills it if the future is dropped. Returns its exit status and the beginning of its
/// output.
async fn run(command: &mut Command) -> io::Result<(ExitStatus, Vec<u8>)> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    let mut stdout = child.stdout.take();
    let mut bytes = Vec::new();
    let reading = async {
        if let Some(stdout) = &mut stdout {
            while bytes.len() < MAX_OUTPUT && stdout.read_buf(&mut bytes).await? > 0 {}
        }
        io::Result::Ok(())
    };
    let status = {
        let mut reading = pin!(reading);
        tokio::select! {
            status = child.wait() => {
                // A process that the program left behind may keep the pipe open.
                let _ = timeout(AFTER_EXIT, reading).await;
                status?
            }
            read = &mut reading => {
                read?;
                child.wait().await?
            }
        }
    };
    Ok((status, bytes))
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::super::report::Severity;
    use super::*;

    fn script(folder: &Path, name: &str, text: &str) -> PathBuf {
        let path = folder.join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    fn spec(program: &str) -> ServerSpec {
        ServerSpec::new(
            "weather".into(),
            program.into(),
            vec!["x.sh".into()],
            "/".into(),
        )
    }

    #[test]
    fn a_command_is_looked_up_with_both_paths() {
        let room = tempfile::tempdir().unwrap();
        script(room.path(), "sh", "#!/bin/sh\n");
        for (program, desktop_path, severity) in [
            (
                "sh",
                std::env::var("PATH").unwrap().as_str(),
                Severity::Good,
            ),
            ("sh", "/nowhere", Severity::Note),
            ("sh", room.path().to_str().unwrap(), Severity::Note),
            ("no-such-program", "/usr/bin:/bin", Severity::Problem),
            ("/bin/sh", "/nowhere", Severity::Good),
        ] {
            let finding = server(&spec(program), desktop_path.as_ref(), false);
            assert_eq!(finding.severity, severity, "{finding:?}");
            assert_eq!(finding.advice.is_some(), severity != Severity::Good);
        }
        let of_desktop = server(&spec("sh"), "/nowhere".as_ref(), true);
        assert_eq!(of_desktop.severity, Severity::Problem);
        let mut own = spec("sh");
        own.env.push(("PATH".into(), "/bin".into()));
        assert_eq!(
            server(&own, "/nowhere".as_ref(), true).severity,
            Severity::Good
        );
    }

    #[test]
    fn a_version_is_asked_for() {
        let room = tempfile::tempdir().unwrap();
        let good = script(room.path(), "good", "#!/bin/sh\necho v1.2\necho more\n");
        assert_eq!(version(&good).unwrap(), "v1.2");
        let bad = script(room.path(), "bad", "#!/bin/sh\nexit 3\n");
        assert!(version(&bad).unwrap_err().to_string().contains('3'));
        assert!(is_runtime("python3.13".as_ref()) && !is_runtime("./node".as_ref()));
    }

    #[test]
    fn a_process_that_keeps_the_output_open_is_not_waited_for() {
        let room = tempfile::tempdir().unwrap();
        let text = "#!/bin/sh\necho v1.2\nsleep 1000 &\necho $! >\"$0.pid\"\n";
        let program = script(room.path(), "daemon", text);
        let version = version(&program);
        let pid = std::fs::read_to_string(room.path().join("daemon.pid")).unwrap();
        let pid = rustix::process::Pid::from_raw(pid.trim().parse().unwrap()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
        assert_eq!(version.unwrap(), "v1.2");
    }
}
