//! Kinds of stdin and stdout of the proxy, and clients that go away.

use std::fs;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::harness::{DEADLINE, Project, Proxy, SOURCE, eventually, initialize_params, new_tag};
use crate::processes::{LADDER, Start, nothing_left, serves};

#[test]
fn a_client_that_vanishes() {
    for start in [Start::Direct, Start::Stubborn] {
        let project = Project::new();
        let tag = new_tag();
        let mut proxy = Proxy::dev(start.command(&project))
            .env("MCP_PROXY_TEST_TAG", &tag)
            .within(&project)
            .command()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        speak(proxy.stdin.as_mut().unwrap(), &hello());
        eventually(DEADLINE, || serves(&tag));
        drop((proxy.stdin.take(), proxy.stdout.take(), proxy.stderr.take()));
        eventually(LADDER, || proxy.try_wait().unwrap().is_some());
        nothing_left(&tag, &format!("{start:?}"));
    }
}

#[test]
fn a_client_that_no_longer_reads() {
    let project = Project::new();
    let tag = new_tag();
    let mut proxy = Proxy::dev(Start::Direct.command(&project))
        .env("MCP_PROXY_TEST_TAG", &tag)
        .within(&project)
        .command()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    speak(proxy.stdin.as_mut().unwrap(), &hello());
    eventually(DEADLINE, || serves(&tag));
    // Its stdin stays open: somebody else may have inherited that end.
    drop(proxy.stdout.take());
    eventually(LADDER, || proxy.try_wait().unwrap().is_some());
    nothing_left(&tag, "a closed stdout");
    assert_eq!(proxy.wait().unwrap().code(), Some(0));
}

fn hello() -> String {
    let initialize =
        json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": initialize_params()});
    format!("{initialize}\n{{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"}}\n")
}

fn speak(pipe: &mut impl std::io::Write, text: &str) {
    pipe.write_all(text.as_bytes()).unwrap();
    pipe.flush().unwrap();
}

/// A session that a client writes into a pipe, which it closes at once.
fn one_shot() -> String {
    let call = json!({"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": {"name": "mark", "arguments": {}}});
    let list = json!({"jsonrpc": "2.0", "id": 3, "method": "tools/list", "params": {}});
    format!("{}{call}\n{list}\n", hello())
}

#[track_caller]
fn all_answered(output: &[u8]) {
    let text = String::from_utf8(output.to_vec()).unwrap();
    let answers: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    for id in 1..=3 {
        let answers = answers.iter().filter(|answer| answer["id"] == id);
        let answers: Vec<&Value> = answers.collect();
        assert_eq!(answers.len(), 1, "{id}: {text}");
        assert!(answers[0]["result"].is_object(), "{text}");
    }
}

/// A proxy with a tag, to be given streams.
fn tagged(start: Start, project: &Project) -> (Command, String) {
    let tag = new_tag();
    let proxy = Proxy::dev(start.command(project)).env("MCP_PROXY_TEST_TAG", &tag);
    let mut command = proxy.within(project).command();
    command.stderr(Stdio::null());
    (command, tag)
}

#[test]
fn a_pipe_that_is_closed_at_once_gets_its_answers() {
    // The slow one is as slow as many a real server.
    for delay in [0, 3000] {
        let project = Project::new();
        project.write(
            SOURCE,
            &json!({"mark": "v0", "start_delay_ms": delay}).to_string(),
        );
        let (mut command, tag) = tagged(Start::Direct, &project);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut proxy = command.spawn().unwrap();
        speak(&mut proxy.stdin.take().unwrap(), &one_shot());
        let output = proxy.wait_with_output().unwrap();
        all_answered(&output.stdout);
        assert_eq!(output.status.code(), Some(0));
        nothing_left(&tag, "one shot");
    }
}

#[test]
fn stdin_and_stdout_may_be_files() {
    let project = Project::new();
    project.write("in", &one_shot());
    let (mut command, tag) = tagged(Start::Direct, &project);
    let file = |name: &str| {
        fs::File::options()
            .create(true)
            .append(true)
            .open(project.path(name))
    };
    let input = fs::File::open(project.path("in")).unwrap();
    let status = command.stdin(input).stdout(file("out").unwrap()).status();
    assert_eq!(status.unwrap().code(), Some(0));
    all_answered(&fs::read(project.path("out")).unwrap());
    nothing_left(&tag, "files");
}

#[test]
fn stdin_and_stdout_may_be_null() {
    let project = Project::new();
    let (mut command, tag) = tagged(Start::Direct, &project);
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).status();
    assert_eq!(status.unwrap().code(), Some(0));
    nothing_left(&tag, "/dev/null");

    project.write("in", &one_shot());
    let (mut command, tag) = tagged(Start::Direct, &project);
    let input = fs::File::open(project.path("in")).unwrap();
    let status = command.stdin(input).stdout(Stdio::null()).status();
    assert_eq!(status.unwrap().code(), Some(0));
    nothing_left(&tag, "stdout /dev/null");
}

/// Node gives its children sockets, one for each direction.
#[test]
fn stdin_and_stdout_may_be_sockets() {
    use std::io::{BufRead as _, BufReader};
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixStream;

    for both_in_one in [false, true] {
        let project = Project::new();
        let (mut command, tag) = tagged(Start::Direct, &project);
        let (mut ours, theirs) = UnixStream::pair().unwrap();
        let (reading, their_stdout) = if both_in_one {
            (ours.try_clone().unwrap(), theirs.try_clone().unwrap())
        } else {
            UnixStream::pair().unwrap()
        };
        reading.set_read_timeout(Some(DEADLINE)).unwrap();
        command
            .stdin(OwnedFd::from(theirs))
            .stdout(OwnedFd::from(their_stdout));
        let mut proxy = command.spawn().unwrap();
        // It holds the other ends too.
        drop(command);
        speak(&mut ours, &one_shot());
        let mut output = Vec::new();
        let mut reader = BufReader::new(reading);
        for _ in 0..3 {
            assert!(reader.read_until(b'\n', &mut output).unwrap() > 0);
        }
        all_answered(&output);
        assert!(serves(&tag));
        ours.shutdown(std::net::Shutdown::Write).unwrap();
        eventually(LADDER, || proxy.try_wait().unwrap().is_some());
        assert_eq!(proxy.wait().unwrap().code(), Some(0));
        nothing_left(&tag, "sockets");
    }
}

/// Lines that end in the middle of the last one are still answered.
#[test]
fn the_last_line_needs_no_end() {
    let project = Project::new();
    let (mut command, tag) = tagged(Start::Direct, &project);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut proxy = command.spawn().unwrap();
    speak(&mut proxy.stdin.take().unwrap(), one_shot().trim_end());
    all_answered(&proxy.wait_with_output().unwrap().stdout);
    nothing_left(&tag, "no line end");
}
