use std::fs;
use std::path::Path;
use std::time::Instant;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::pipe::{Receiver, Sender};

use super::*;
use crate::transport::test_support::{events, living, sh, soon, tag, until_living};

const AT_ONCE: Duration = Duration::from_millis(50);

fn start(spec: &ServerSpec) -> Child {
    spawn(spec, 1, &EventSender::silent(), &Reaper::absent()).unwrap()
}

/// Returns the exit status and stderr of a server that runs `script` and is not stopped.
async fn exit_of(script: &str) -> (String, Vec<String>) {
    let child = start(&sh(script));
    let status = soon(child.exited().wait()).await;
    (status.to_string(), child.stderr().last(20))
}

#[tokio::test]
async fn the_pipes_reach_the_process() {
    let mut child = start(&sh("exec cat"));
    let mut stdin = Sender::from_owned_fd_unchecked(child.take_stdin()).unwrap();
    let mut stdout = Receiver::from_owned_fd_unchecked(child.take_stdout()).unwrap();
    // More than the pipes hold: a blocking end would block the runtime forever.
    let sent = vec![b'x'; 1 << 20];
    let mut echoed = Vec::new();
    let write = async {
        stdin.write_all(&sent).await.unwrap();
        drop(stdin);
    };
    let (read, ()) = soon(async { tokio::join!(stdout.read_to_end(&mut echoed), write) }).await;
    read.unwrap();
    assert_eq!(echoed.len(), sent.len());
    assert!(soon(child.exited().wait()).await.success());
}

#[tokio::test]
async fn the_exit_says_how() {
    let ends = [
        ("exit 0", "status 0"),
        ("exit 1", "status 1"),
        ("kill -9 $$", "signal 9 (SIGKILL)"),
        ("kill -SEGV $$", "signal 11 (SIGSEGV)"),
        ("kill -USR1 $$", "signal 10"),
    ];
    for (script, status) in ends {
        assert_eq!(exit_of(script).await.0, status, "{script}");
    }
}

#[tokio::test]
async fn stderr_is_complete_when_the_exit_is_told() {
    for _ in 0..20 {
        let script = r"seq 1000 >&2; printf 'bad \377 byte\nno newline' >&2; exit 1";
        let (status, stderr) = exit_of(script).await;
        assert_eq!(status, "status 1");
        assert_eq!(stderr[17..], ["1000", "bad \u{fffd} byte", "no newline"]);
    }
}

#[tokio::test]
async fn each_line_of_stderr_is_an_event() {
    let (events, heard) = events();
    let child = spawn(
        &sh("echo one >&2; echo two >&2"),
        7,
        &events,
        &Reaper::absent(),
    )
    .unwrap();
    soon(child.exited().wait()).await;
    let event = |line: &str| Event::Stderr {
        server: "weather".into(),
        generation: 7,
        line: line.into(),
    };
    assert_eq!(
        heard.try_iter().map(|it| it.event).collect::<Vec<_>>(),
        [event("one"), event("two")]
    );
}

#[tokio::test]
async fn a_flood_on_stderr_does_not_block_the_process() {
    let (events, unread) = events();
    let script = "yes 0123456789 | head -c 10000000 >&2; yes x | head -c 1000000 | tr -d '\\n' >&2";
    let child = spawn(&sh(script), 1, &events, &Reaper::absent()).unwrap();
    assert!(soon(child.exited().wait()).await.success());
    let tail = child.stderr().last(2);
    assert!(tail[0].starts_with("0123456789"), "{tail:?}");
    assert!(tail[1].ends_with("xxx…"), "{tail:?}");
    drop(unread);
}

#[tokio::test]
async fn closing_stdin_ends_a_server_that_reads_it() {
    let child = start(&sh("cd / && cat; exit 4"));
    let mut exited = child.exited();
    let started = Instant::now();
    soon(child.stop(Duration::from_mins(1))).await;
    assert_eq!(soon(exited.wait()).await.to_string(), "status 4");
    assert!(started.elapsed() < Duration::from_secs(30));
}

#[tokio::test]
async fn wrappers_end_with_what_they_wrap() {
    for script in [
        "cd / && sleep 300; true",
        "sh -c \"sh -c 'sleep 300; true'; true\"; true",
        "sleep 300 | sleep 300 & wait",
    ] {
        let spec = sh(script);
        let child = start(&spec);
        let mut exited = child.exited();
        soon(child.stop(AT_ONCE)).await;
        assert_eq!(
            soon(exited.wait()).await.to_string(),
            "signal 15 (SIGTERM)",
            "{script}"
        );
        until_living(&tag(&spec), 0).await;
    }
}

#[tokio::test]
async fn a_server_that_ignores_eof_and_sigterm_is_killed() {
    let spec = sh("trap '' TERM; echo ready >&2; while :; do sleep 300; done");
    let (events, ready) = events();
    let child = spawn(&spec, 1, &events, &Reaper::absent()).unwrap();
    let ready = tokio::task::spawn_blocking(move || ready.recv());
    soon(ready).await.unwrap().unwrap();
    let (mut exited, started) = (child.exited(), Instant::now());
    soon(child.stop(AT_ONCE)).await;
    assert_eq!(soon(exited.wait()).await.to_string(), "signal 9 (SIGKILL)");
    assert!(started.elapsed() >= AT_ONCE + TERM_GRACE);
    until_living(&tag(&spec), 0).await;
}

#[tokio::test]
async fn stragglers_are_swept_and_do_not_delay_the_exit() {
    let spec = sh("trap '' TERM; sleep 300 & sleep 300 & exit 3");
    let child = start(&spec);
    assert_eq!(soon(child.exited().wait()).await.to_string(), "status 3");
    until_living(&tag(&spec), 0).await;
}

#[tokio::test]
async fn an_escaped_process_that_holds_the_pipes_does_not_delay_the_exit() {
    let directory = tempfile::tempdir().unwrap();
    let mut spec = sh("mkfifo escaped; printf last >&2;
        setsid sh -c 'echo >escaped; exec timeout 60 cat escaped' & read line <escaped; exit 3");
    spec.cwd = directory.path().into();
    let child = start(&spec);
    assert_eq!(soon(child.exited().wait()).await.to_string(), "status 3");
    assert!(!living(&tag(&spec)).is_empty());
    assert_eq!(child.stderr().last(1), ["last"]);
    fs::write(spec.cwd.join("escaped"), "end").unwrap();
    until_living(&tag(&spec), 0).await;
}

#[tokio::test]
async fn dropping_a_child_kills_its_group() {
    let spec = sh("sleep 300; true");
    let child = start(&spec);
    let mut exited = child.exited();
    until_living(&tag(&spec), 2).await;
    drop(child);
    assert_eq!(soon(exited.wait()).await.to_string(), "signal 9 (SIGKILL)");
    until_living(&tag(&spec), 0).await;
}

#[tokio::test]
async fn dropping_the_stop_kills_at_once() {
    let spec = sh("sleep 300; true");
    let child = start(&spec);
    let mut exited = child.exited();
    until_living(&tag(&spec), 2).await;
    let stopping = child.stop(Duration::from_mins(1));
    assert!(timeout(AT_ONCE, stopping).await.is_err());
    assert_eq!(soon(exited.wait()).await.to_string(), "signal 9 (SIGKILL)");
    until_living(&tag(&spec), 0).await;
}

#[test]
fn the_end_of_the_runtime_kills_the_group() {
    let runtime = || {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
    };
    let spec = sh("sleep 300; true");
    let first = runtime();
    let mut exited = first.block_on(async {
        let child = start(&spec);
        until_living(&tag(&spec), 2).await;
        let exited = child.exited();
        // The handle is leaked, as when a task that holds it is never polled again.
        std::mem::forget(child);
        exited
    });
    drop(first);
    runtime().block_on(async {
        until_living(&tag(&spec), 0).await;
        assert_eq!(soon(exited.wait()).await.to_string(), "unknown status");
    });
}

#[tokio::test]
async fn the_environment_is_the_users_with_defaults_for_development() {
    let mut spec = sh("env >&2");
    spec.env.push(("NO_UPDATE_NOTIFIER".into(), "mine".into()));
    let child = start(&spec);
    soon(child.exited().wait()).await;
    let env = child.stderr().last(500);
    for variable in [
        "PYTHONUNBUFFERED=1",
        "PYTHONDONTWRITEBYTECODE=1",
        "NO_UPDATE_NOTIFIER=mine",
        "npm_config_update_notifier=false",
        &format!("PATH={}", std::env::var("PATH").unwrap()),
    ] {
        assert!(
            env.iter().any(|line| line == variable),
            "{variable} not in {env:?}"
        );
    }
    let command = resolve::command_in(&spec, Path::new("sh")).unwrap();
    let mut changes = command.as_std().get_envs();
    assert!(changes.any(|change| change == ("FORCE_COLOR".as_ref(), None)));
}

#[tokio::test]
async fn the_program_is_found_from_the_servers_directory_and_path() {
    let directory = tempfile::tempdir().unwrap();
    let bin = directory.path().join("bin");
    fs::create_dir(&bin).unwrap();
    script(&bin.join("server"), "#!/bin/sh\nexit 42\n", "755");
    let mut spec = sh("");
    spec.cwd = directory.path().into();
    spec.env.push(("PATH".into(), "bin:/usr/bin:/bin".into()));
    for program in ["server", "./bin/server", "bin/server"] {
        spec.program = program.into();
        let child = start(&spec);
        assert_eq!(
            soon(child.exited().wait()).await.to_string(),
            "status 42",
            "{program}"
        );
    }
}

/// Writes a script in another process, so that no process forked by a parallel test holds it open for writing.
fn script(path: &Path, text: &str, mode: &str) {
    let write = r#"printf %s "$1" >"$0" && chmod "$2" "$0""#;
    let mut shell = std::process::Command::new("sh");
    let status = shell
        .args(["-c", write])
        .arg(path)
        .args([text, mode])
        .status();
    assert!(status.unwrap().success());
}

#[tokio::test]
async fn a_start_that_fails_says_what_is_missing() {
    let directory = tempfile::tempdir().unwrap();
    let cwd = directory.path();
    script(&cwd.join("plain"), "#!/bin/sh\n", "644");
    script(&cwd.join("gone"), "#!/opt/none/python -u\n", "755");
    script(&cwd.join("dos"), "#!/bin/sh\r\n", "755");
    script(&cwd.join("bare"), "console.log(1)\n", "755");
    fs::create_dir(cwd.join("folder")).unwrap();
    let failure = |program: &str| {
        let spec = ServerSpec::new("weather".into(), program.into(), vec![], cwd.into());
        let error = spawn(&spec, 1, &EventSender::silent(), &Reaper::absent()).unwrap_err();
        let text = format!("{error}: {}", error.advice().unwrap());
        text.replace(cwd.to_str().unwrap(), "DIR")
    };
    let failures = [
        (
            "no-such-mcp",
            "the program no-such-mcp of server weather is not in PATH: install no-such-mcp, or give its full path; a program in the server's directory is written ./no-such-mcp",
        ),
        (
            "./none",
            "the program DIR/./none of server weather does not exist: build it, or correct its path; it is relative to the server's directory",
        ),
        (
            "./plain",
            "the program DIR/./plain of server weather is not an executable file: run chmod +x DIR/./plain",
        ),
        (
            "./folder",
            "the program DIR/./folder of server weather is a directory: name the program in it",
        ),
        (
            "./gone",
            "the interpreter \"/opt/none/python\" in the first line of DIR/gone does not exist: install it, or correct the `#!` line",
        ),
        (
            "./dos",
            "the interpreter \"/bin/sh\\r\" in the first line of DIR/dos does not exist: save the script with Unix line endings",
        ),
        (
            "./bare",
            "the program DIR/bare of server weather has no `#!` line and is not a native binary: add a `#!` line, or put the interpreter in front: node server.js",
        ),
    ];
    for (program, text) in failures {
        assert_eq!(failure(program), text);
    }
    let mut spec = sh("");
    spec.cwd = "/no/such/directory".into();
    let error = spawn(&spec, 1, &EventSender::silent(), &Reaper::absent()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the directory /no/such/directory of server weather does not exist"
    );
}

#[tokio::test]
async fn a_server_behind_a_shell_has_time_to_tidy_up() {
    let directory = tempfile::tempdir().unwrap();
    let mut spec = sh(
        "sh -c 'trap \"sleep 0.2; echo tidy > tidied; exit\" TERM; while :; do sleep 0.01; done'; true",
    );
    spec.cwd = directory.path().to_owned();
    let child = start(&spec);
    // The shell, the server, its sleep.
    until_living(&tag(&spec), 3).await;
    soon(child.stop(AT_ONCE)).await;
    let tidied = fs::read_to_string(directory.path().join("tidied"));
    assert_eq!(tidied.unwrap(), "tidy\n");
    until_living(&tag(&spec), 0).await;
}
