//! A save never waits longer for a process that is being prepared than the last cold start took.

use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::unlike::with;
use super::{Warmed, project, python};
use crate::harness::{DEADLINE, eventually};

/// A server with a package that takes so many seconds more when it is loaded ahead.
#[track_caller]
fn slow(seconds: u32) -> Warmed {
    let text = format!(
        "import __main__, time\nif not hasattr(__main__, '__file__'):\n    time.sleep({seconds})"
    );
    let warmed = with("import slow", &[("slow.py", &text)]);
    eventually(DEADLINE, || warmed.standby().is_some());
    warmed
}

/// Saves, and checks that it went live although nothing was ready for it.
#[track_caller]
fn save_past_standby(warmed: &Warmed, mark: &str) {
    let standbys = warmed.log.events("standby").len();
    warmed.cold_save(mark, "");
    warmed.log.exactly("standby", standbys);
}

#[test]
fn a_save_does_not_wait_for_what_takes_longer_to_prepare_than_to_start() {
    let warmed = slow(8);
    // Nobody knows yet how long it takes.
    save_past_standby(&warmed, "v1");
    warmed.log.until("standby", 2);
    for (mark, reloads) in [("v2", 2), ("v3", 3)] {
        warmed.save(mark);
        warmed.log.until("reloaded", reloads);
    }
    // The next one is not begun.
    save_past_standby(&warmed, "v4");
    // It is begun now, and far from ready.
    eventually(DEADLINE, || warmed.standby().is_some());
    save_past_standby(&warmed, "v5");
    assert_eq!(warmed.log.events("cold"), [] as [Value; 0]);
}

#[test]
fn a_save_does_not_wait_for_what_hangs_as_it_is_prepared() {
    let warmed = slow(600);
    for mark in ["v1", "v2"] {
        warmed.cold_save(mark, "");
    }
    // One that was waited for until it had to be ready would have been given up, and told.
    assert_eq!(warmed.log.events("cold"), [] as [Value; 0]);
    assert_eq!(warmed.log.events("standby"), [] as [Value; 0]);
}

#[test]
fn a_save_does_not_wait_for_what_is_stopped_as_it_loads_packages() {
    let warmed = slow(2);
    warmed.log.until("standby", 1);
    warmed.save("v1");
    warmed.log.until("reloaded", 1);
    eventually(DEADLINE, || warmed.standby().is_some());
    stop(&warmed);
    save_past_standby(&warmed, "v2");
}

#[test]
fn a_save_does_not_wait_for_what_is_stopped_as_it_waits() {
    let command = vec![python("python"), "server.py".into()];
    let warmed = Warmed::start(project(), "server.py", command);
    // On a busy machine anything takes long.
    let rounds = (1..=5).map(|round| {
        warmed.until_prepared();
        stop(&warmed);
        let start = Instant::now();
        warmed.cold_save(&format!("v{round}"), "the standby did not respond in time");
        start.elapsed()
    });
    let soon = rounds.take_while(|took| *took > Duration::from_secs(2));
    assert!(soon.count() < 5, "{}", warmed.log.text());
}

/// Stops the process that is prepared.
#[track_caller]
fn stop(warmed: &Warmed) {
    let standby = warmed.standby().unwrap().cast_signed();
    kill_process(Pid::from_raw(standby).unwrap(), Signal::STOP).unwrap();
}
