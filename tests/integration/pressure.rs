//! Clients and servers that take nothing more: the rest of the session goes on.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use crate::harness::{
    DEADLINE, Log, Project, Proxy, SOURCE, eventually, example, initialize_params, marked,
    processes_with_tag,
};

/// Longer than a reload may take here.
const DRAIN: &str = "40s";

#[test]
fn newer_code_frees_a_client_from_a_server_that_hangs() {
    let project = Project::new();
    project.write(SOURCE, &marked("v1"));
    let log = Log::new();
    let proxy = Proxy::dev([example("fake_server"), SOURCE.into()])
        .options(["--watch", SOURCE, "--drain-timeout", DRAIN])
        .within(&project);
    let peer = log.written_by(proxy).spawn();
    peer.initialize(&initialize_params()).result();
    peer.call("mark", &json!({})).result();
    let server = example("fake_server");
    let (pid, _) = processes_with_tag(peer.tag())
        .into_iter()
        .find(|(_, command)| command.starts_with(server.to_str().unwrap()))
        .unwrap();
    let pid = Pid::from_raw(pid.try_into().unwrap()).unwrap();
    kill_process(pid, Signal::STOP).unwrap();

    let started = Instant::now();
    let pad = "x".repeat(10_000);
    let sent = AtomicUsize::new(0);
    thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..400 {
                peer.request(
                    "tools/call",
                    &json!({"name": "echo", "arguments": {"pad": pad}}),
                );
                sent.fetch_add(1, Ordering::Relaxed);
            }
        });
        // About what the pipes and the queue take before the proxy reads no more.
        eventually(DEADLINE, || sent.load(Ordering::Relaxed) >= 150);
        project.save(SOURCE, &marked("v2"));
        log.until("reloaded", 1);
    });
    peer.ask("ping", &json!({})).result();
    let mark = peer.call("mark", &json!({})).result();
    assert_eq!(mark["structuredContent"]["mark"], "v2");
    assert!(started.elapsed() < DEADLINE);
}

#[test]
fn a_server_that_closes_its_stdin_has_ended() {
    let project = Project::new();
    project.write(
        SOURCE,
        &json!({"mark": "v1", "ignore_eof": true}).to_string(),
    );
    let peer = Proxy::dev([example("fake_server"), SOURCE.into()])
        .option("--no-watch")
        .within(&project)
        .spawn();
    peer.initialize(&initialize_params()).result();
    let slow = peer.request(
        "tools/call",
        &json!({"name": "slow", "arguments": {"ms": 600_000}}),
    );
    peer.call("close_stdin", &json!({})).result();
    let text = peer.await_response(slow).tool_text();
    assert!(text.contains("closed its stdin"), "{text}");
    // By its successor.
    peer.call("mark", &json!({})).result();
}
