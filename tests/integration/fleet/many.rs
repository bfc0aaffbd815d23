//! Twenty servers: a save touches those whose files were saved, and the others do not notice.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::json;

use super::{Fleet, LIST_CHANGED, Servers, under_load};
use crate::harness::{DEADLINE, eventually, initialize_params, marked, processes_with_tag};

const COUNT: usize = 20;

fn names() -> Vec<String> {
    (0..COUNT).map(|number| format!("s{number:02}")).collect()
}

/// Twenty servers, each of which takes `delay_ms` to start.
#[track_caller]
fn twenty(delay_ms: u64) -> Fleet {
    let mut servers = Servers::new();
    for name in names() {
        servers = servers.with(&name, &json!({"mark": "v1", "start_delay_ms": delay_ms}));
    }
    let fleet = servers.legacy();
    for name in names() {
        fleet.until("ready", &name, 1);
    }
    fleet
}

fn marks(fleet: &Fleet) -> BTreeMap<String, (String, u64)> {
    let names = names().into_iter();
    let marks = names.map(|name| {
        let mark = fleet.mark(&name);
        (name, mark)
    });
    marks.collect()
}

#[test]
fn one_save_restarts_exactly_one_server() {
    let fleet = twenty(0);
    let before = marks(&fleet);
    let told = fleet.told();
    under_load(&fleet, "s08__mark", || {
        // Slow enough that a call which waited for it would be seen.
        let slow = json!({"mark": "v2", "start_delay_ms": 1000});
        fleet.save("s07", &slow);
        fleet.until("reloaded", "s07", 1);
        fleet.peer.expect_notification(LIST_CHANGED);
    });
    let after = marks(&fleet);
    for (name, (mark, pid)) in &before {
        let now = &after[name];
        if name == "s07" {
            assert!(now.0 == "v2" && now.1 != *pid, "{now:?}");
        } else {
            assert_eq!(now, &(mark.clone(), *pid), "{name}");
        }
    }
    fleet.log.exactly("reloaded", 1);
    fleet.spawned(COUNT + 1);
    assert_eq!(fleet.told(), told + 1);
}

#[test]
fn they_start_side_by_side() {
    let started = Instant::now();
    let fleet = twenty(6000);
    let took = started.elapsed();
    // One after the other they would take two minutes.
    assert!(took < Duration::from_secs(60), "{took:?}");
    let tools = fleet.names("tools/list");
    let first = tools.iter().filter(|name| name.ends_with("__mark"));
    let expected: Vec<String> = names().iter().map(|name| format!("{name}__mark")).collect();
    assert!(first.eq(&expected), "{tools:?}");
}

#[test]
fn a_file_of_several_servers_reloads_all_of_them_at_once() {
    let mut servers = Servers::new();
    let shared = "watch = ['shared.json']\nstart_timeout = '1m'";
    servers.project.write("shared.json", "1");
    for name in ["a", "b", "c", "d"] {
        servers = servers.with(name, &json!({"mark": name}));
    }
    // In TOML a key may stand only once: these four are written by hand.
    let sections = ["e", "f", "g", "h"].map(|name| {
        let script = json!({"mark": name, "start_delay_ms": 6000});
        servers
            .project
            .write(&format!("{name}.json"), &script.to_string());
        let command = super::servers::command();
        format!("[servers.{name}]\ncommand = {command}\nargs = ['{name}.json']\n{shared}\n")
    });
    let fleet = servers.text(&sections.concat()).legacy();
    for name in ["a", "e", "f", "g", "h"] {
        fleet.until("ready", name, 1);
    }
    let pids = ["a", "b", "c", "d"].map(|name| fleet.mark(name));
    under_load(&fleet, "a__mark", || {
        let started = Instant::now();
        fleet.project.save("shared.json", "2");
        for name in ["e", "f", "g", "h"] {
            fleet.until("reloaded", name, 1);
        }
        let took = started.elapsed();
        // One after the other they would take 24 seconds.
        assert!(took < Duration::from_secs(20), "{took:?}");
    });
    assert_eq!(pids, ["a", "b", "c", "d"].map(|name| fleet.mark(name)));
    fleet.log.exactly("reloaded", 4);
}

#[test]
fn all_twenty_reload_and_lose_nothing() {
    let fleet = twenty(0);
    for name in names() {
        fleet.project.save(&format!("{name}.json"), &marked("v2"));
    }
    for name in names() {
        fleet.until("reloaded", &name, 1);
    }
    assert!(marks(&fleet).values().all(|(mark, _)| mark == "v2"));
}

/// Servers start with the client's first message, and none outlives the session.
#[test]
fn none_runs_before_the_client_or_after_it() {
    let mut servers = Servers::new();
    for name in names() {
        servers = servers.with(&name, &json!({"ignore_eof": false}));
    }
    let fleet = servers.dev();
    fleet.peer.ask("ping", &json!({})).result();
    assert_eq!(fleet.running(), []);
    fleet.peer.initialize(&initialize_params()).result();
    assert_eq!(fleet.running().len(), COUNT);
    fleet.peer.close_stdin();
    assert!(fleet.peer.wait_exit().success());
    eventually(DEADLINE, || processes_with_tag(fleet.peer.tag()).is_empty());
}
