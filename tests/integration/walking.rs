//! A client and a signal do not wait for the walk through a large tree.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::harness::{Peer, Project, Proxy, SOURCE, example, initialize_params, marked};

/// As many directories take longer to walk than the tests below permit for an answer.
const DIRECTORIES: u32 = 16_000;
const STARTUP_WAIT: Duration = Duration::from_millis(200);
/// Two cores may be shared by many tests; the walk takes several times as long then.
const SOON: Duration = Duration::from_secs(3);

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

#[test]
fn a_client_is_answered_while_the_tree_is_walked() {
    let (_project, peer) = walking();
    let begun = Instant::now();
    peer.initialize(&initialize_params()).result();
    assert!(
        begun.elapsed() < STARTUP_WAIT + SOON,
        "{:?}",
        begun.elapsed()
    );
    peer.close_stdin();
    peer.wait_exit();
}

#[test]
fn a_signal_ends_the_proxy_while_the_tree_is_walked() {
    let (_project, peer) = walking();
    peer.initialize(&initialize_params()).result();
    let begun = Instant::now();
    peer.signal(Signal::TERM);
    peer.wait_exit();
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
}

#[test]
fn the_end_of_stdin_ends_the_proxy_while_the_tree_is_walked() {
    let (_project, peer) = walking();
    peer.initialize(&initialize_params()).result();
    let begun = Instant::now();
    peer.close_stdin();
    peer.wait_exit();
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
}
