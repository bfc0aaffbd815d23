//! An installation that its client loses interest in, and those who have nothing to do with it.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use rustix::process::Signal;
use serde_json::json;

use super::super::client::Client;
use super::super::{INSTALL, INSTALL_AND_LOAD, LOAD, UNINSTALL};
use super::World;
use crate::harness::{DEADLINE, eventually, processes_with_tag};

/// Number of calls during an installation that shows that none waits for its end: an installation takes as long as
/// hundreds of calls.
const CALLS: usize = 20;

/// Where an installation can stand still.
#[derive(Clone, Copy, Debug)]
enum Standstill {
    /// The server answers nothing.
    Connecting,
    /// The server announces data and does not send it.
    Receiving,
    /// A command does not end.
    Preparing,
}

const ALL: [Standstill; 3] = [
    Standstill::Connecting,
    Standstill::Receiving,
    Standstill::Preparing,
];

/// Begins an installation that has come to stand still when this returns.
#[track_caller]
fn begun(world: &World, client: &Client, standstill: Standstill) -> u64 {
    let how = match standstill {
        Standstill::Connecting => "silent",
        Standstill::Receiving => "silent-pack",
        Standstill::Preparing => "git",
    };
    let url = world.git.url(&format!("{how}/weather"));
    let call = client.peer.request(
        "tools/call",
        &json!({"name": INSTALL_AND_LOAD, "arguments": {"git_url": url}, "_meta": {"progressToken": "p"}}),
    );
    let sentence = match standstill {
        Standstill::Connecting => "connecting to",
        Standstill::Receiving => "is commit",
        Standstill::Preparing => "running uv pip install",
    };
    while !client
        .peer
        .expect_notification("notifications/progress")
        .line
        .contains(sentence)
    {}
    if let Standstill::Preparing = standstill {
        eventually(DEADLINE, || sleeps(client));
    }
    call
}

/// The command that does not end is there.
fn sleeps(client: &Client) -> bool {
    let processes = processes_with_tag(client.peer.tag());
    processes.iter().any(|(_, line)| line.contains("sleep 300"))
}

#[test]
fn a_cancelled_installation_leaves_nothing() {
    let world = World::needing("waits");
    let client = world.serve();
    for standstill in ALL {
        let call = begun(&world, &client, standstill);
        client
            .peer
            .notify("notifications/cancelled", &json!({ "requestId": call }));
        eventually(DEADLINE, || world.left().is_empty() && !sleeps(&client));
        client.peer.ask("ping", &json!({})).result();
        assert_eq!(client.peer.responses_to(call), 0, "{standstill:?}");
        world.assert_untouched();
    }
    world.repository.commit(&[("requirements.txt", "comes\n")]);
    client.success(INSTALL, &world.arguments(json!({})));
}

/// An end from outside; an unfinished installation is gone when the proxy is.
#[track_caller]
fn ends(world: &World, standstill: Standstill, end: impl Fn(&Client)) {
    let client = world.serve();
    begun(world, &client, standstill);
    end(&client);
    client.peer.wait_exit();
    world.assert_untouched();
    eventually(DEADLINE, || {
        processes_with_tag(client.peer.tag()).is_empty()
    });
}

/// It waits a while for responses that may still come.
#[test]
fn a_client_that_goes_away_while_a_repository_is_fetched_leaves_nothing() {
    let world = World::simple();
    ends(&world, Standstill::Receiving, |it| it.peer.close_stdin());
}

#[test]
fn a_client_that_goes_away_while_a_command_runs_leaves_nothing() {
    let world = World::needing("waits");
    ends(&world, Standstill::Preparing, |it| it.peer.close_stdin());
}

#[test]
fn a_signal_leaves_nothing() {
    let world = World::needing("waits");
    for standstill in ALL {
        ends(&world, standstill, |it| it.peer.signal(Signal::TERM));
    }
}

/// Two at once, of one repository and one name: one is installed, and the other says so or waits.
#[test]
fn two_installations_of_one_server() {
    let world = World::simple();
    let client = world.serve();
    let calls = [(); 2].map(|()| client.begin(INSTALL, &world.arguments(json!({}))));
    let outcomes = calls.map(|call| client.peer.await_response(call).tool_text());
    let well = |text: &String| text.contains(r#""success":true"#);
    assert!(outcomes.iter().any(well), "{outcomes:?}");
    assert_eq!(world.config().matches("\"weather\"").count(), 1);
    client.success(
        UNINSTALL,
        &json!({"server_name": "weather", "delete_files": true}),
    );
    world.assert_untouched();
}

/// A call every 5 ms to another server, while one is installed, loaded and uninstalled.
#[test]
fn other_servers_do_not_notice() {
    let world = World::needing("a-package");
    let client = world.serve();
    client.success(LOAD, &json!({"server_name": "clock"}));
    let before = client.pid_of("clock__mark");
    let over = AtomicBool::new(false);
    let calls = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                let answer = client.call("clock__mark", &json!({}));
                assert_eq!(answer.result()["structuredContent"]["pid"], before);
                calls.fetch_add(1, Ordering::Relaxed);
                // The rhythm of the load, not a wait for anything.
                std::thread::sleep(Duration::from_millis(5));
            }
        });
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            client.success(INSTALL_AND_LOAD, &world.arguments(json!({})));
            let arguments = json!({"server_name": "weather", "delete_files": true});
            client.success(UNINSTALL, &arguments);
        }));
        over.store(true, Ordering::Relaxed);
        done.unwrap();
    });
    let calls = calls.into_inner();
    assert!(calls > CALLS, "only {calls} calls were answered");
    world.assert_untouched();
}
