//! Test harness: a raw client, a builder that starts the proxy, a project to edit.
//!
//! The harness knows of MCP only the shape of its messages, and nothing in it is async. Lines of a peer are kept as
//! read, so that a test can compare bytes.

#[cfg(target_os = "linux")]
pub(crate) mod browser;
mod git_server;
pub(crate) mod http;
mod message;
mod peer;
mod ports;
mod processes;
mod project;
mod proxy;
pub(crate) mod remote;
mod run;
mod sdk;
#[cfg(unix)]
pub(crate) mod suite;
mod system;
mod transcript;
mod watched;

use std::time::{Duration, Instant};

pub(crate) use git_server::{GitServer, Repository};
pub(crate) use message::Message;
pub(crate) use peer::{Peer, initialize_params, modern_meta};
pub(crate) use ports::free_port;
pub(crate) use processes::new_tag;
pub(crate) use project::Project;
pub(crate) use proxy::{Proxy, scripted};
pub(crate) use run::Run;
pub(crate) use sdk::{ClientOn, ServerOn, example, peers, program};
pub(crate) use system::*;
pub(crate) use watched::{Log, SOURCE, Watched, marked};

/// Time limit for every wait of a test, ample for many tests on two cores that other programs keep busy.
pub(crate) const DEADLINE: Duration = Duration::from_secs(120);

/// Waits until `condition` holds; fails after `deadline`.
#[track_caller]
pub(crate) fn eventually(deadline: Duration, mut condition: impl FnMut() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(
            started.elapsed() < deadline,
            "the condition did not hold within {deadline:?}"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Fails unless `program` is in `PATH`. A test without its external program must fail, since it would prove nothing.
#[track_caller]
pub(crate) fn require(program: &str, how_to_install: &str) {
    if let Err(error) = which::which(program) {
        panic!("this test needs `{program}` ({error}): {how_to_install}");
    }
}

#[cfg(unix)]
#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Shell script that answers every line with a notification and the line itself, and writes to stderr.
    const PARROT: &str = r#"while read -r line; do
        echo "heard one" >&2
        printf '%s\n' '{"jsonrpc":"2.0","method":"heard"}' "$line"
    done"#;

    fn parrot() -> Peer {
        Peer::spawn(["sh", "-c", PARROT])
    }

    #[test]
    fn lines_are_recorded_and_matched() {
        let peer = parrot();
        peer.send(r#"{"jsonrpc":"2.0","id":7,"result":{"n":1E5}}"#);
        let answer = peer.await_response(7);
        assert_eq!(answer.result_text(), r#"{"n":1E5}"#);
        assert_eq!(peer.responses_to(7), 1);
        assert_eq!(peer.responses_to(8), 0);
        peer.expect_notification("heard");
        peer.expect_stderr("heard one");
        assert_eq!(peer.lines_since(0).len(), 2);
    }

    #[test]
    fn a_request_of_the_peer_is_not_a_response() {
        let peer = parrot();
        let id = peer.request("ping", &json!({}));
        assert_eq!(
            peer.expect_request("ping").id(),
            Some(id.to_string().as_str())
        );
        assert_eq!(peer.responses_to(id), 0);
    }

    #[test]
    fn a_peer_is_found_by_its_tag_and_gone_when_it_ends() {
        let peer = parrot();
        eventually(DEADLINE, || !processes_with_tag(peer.tag()).is_empty());
        peer.close_stdin();
        assert!(peer.wait_exit().success());
        assert_eq!(processes_with_tag(peer.tag()), []);
    }

    #[test]
    #[should_panic(expected = "heard one")]
    fn a_missed_deadline_shows_the_transcript() {
        let peer = parrot().with_deadline(Duration::from_millis(200));
        peer.send("{}");
        peer.await_response(1);
    }
}
