//! A client and a signal do not wait for the walk through a large tree.

use std::time::Duration;

use rustix::process::Signal;

use crate::harness::{Peer, Project, Proxy, SOURCE, example, initialize_params, marked};

/// As many directories take longer to walk than an answer takes, on an idle machine and on a busy one.
const DIRECTORIES: u32 = 16_000;
const STARTUP_WAIT: Duration = Duration::from_millis(200);

/// A project whose tree is being walked, and its proxy.
fn walking() -> (Project, Peer) {
    let project = Project::new();
    project.write(SOURCE, &marked("v0"));
    for number in 0..DIRECTORIES {
        let path = project.path(&format!("src/{}/{}", number / 100, number % 100));
        std::fs::create_dir_all(path).unwrap();
    }
    let server = [example("fake_server").into_os_string(), SOURCE.into()];
    let wait = format!("{}ms", STARTUP_WAIT.as_millis());
    let peer = Proxy::dev(server)
        .options(["--watch", "**/*.json", "--startup-wait", &wait])
        .within(&project)
        .spawn();
    (project, peer)
}

/// Asserts that the walk is not over, or was not when the proxy exited.
#[track_caller]
fn assert_is_walking(peer: &Peer) {
    let transcript = peer.transcript();
    assert!(!transcript.contains("watching"), "{transcript}");
}

#[test]
fn a_client_is_answered_while_the_tree_is_walked() {
    let (_project, peer) = walking();
    peer.initialize(&initialize_params()).result();
    assert_is_walking(&peer);
    peer.close_stdin();
    peer.wait_exit();
}

#[test]
fn a_signal_ends_the_proxy_while_the_tree_is_walked() {
    let (_project, peer) = walking();
    peer.initialize(&initialize_params()).result();
    peer.signal(Signal::TERM);
    peer.wait_exit();
    assert_is_walking(&peer);
}

#[test]
fn the_end_of_stdin_ends_the_proxy_while_the_tree_is_walked() {
    let (_project, peer) = walking();
    peer.initialize(&initialize_params()).result();
    peer.close_stdin();
    peer.wait_exit();
    assert_is_walking(&peer);
}
