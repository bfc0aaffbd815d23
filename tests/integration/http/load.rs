//! Many clients of both eras at once, while the server is being saved.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::Stage;
use crate::harness::http::{Connection, Legacy, Modern, request};
use crate::harness::{DEADLINE, eventually, initialize_params, processes_with_tag};

/// When each mark was saved.
struct Saves {
    start: Instant,
    /// Milliseconds after the start, by mark.
    at: Vec<AtomicUsize>,
}

impl Saves {
    /// The newest mark that has been saved for long enough that nothing older may answer.
    fn least(&self) -> usize {
        let now = self.start.elapsed().as_millis();
        let due = |at: &AtomicUsize| {
            let at = at.load(Ordering::SeqCst) as u128;
            at > 0 && at + 100 <= now
        };
        self.at.iter().rposition(due).unwrap_or(0)
    }
}

fn marked(answer: &Value) -> usize {
    answer["structuredContent"]["mark"]
        .as_str()
        .and_then(|mark| mark.parse().ok())
        .unwrap_or_else(|| panic!("{answer}"))
}

#[test]
fn nothing_is_lost_or_stale_while_the_server_is_saved() {
    const CLIENTS: usize = 100;
    const SAVES: usize = 5;
    let stage = Stage::new(
        &json!({"mark": "0"}),
        &["--startup-wait", "60s", "--max-sessions", "150"],
    );
    let saves = Saves {
        start: Instant::now(),
        at: (0..=SAVES).map(|_| AtomicUsize::new(0)).collect(),
    };
    let (over, calls) = (AtomicBool::new(false), AtomicUsize::new(0));
    let ready = std::sync::Barrier::new(2 * CLIENTS + 1);
    let check = |least: usize, answer: &Value| {
        let mark = marked(answer);
        assert!(mark >= least, "{mark} after {least} was saved");
        calls.fetch_add(1, Ordering::Relaxed);
    };
    thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                let client = Legacy::begin(&stage.site);
                client.call("mark", &json!({}));
                ready.wait();
                while !over.load(Ordering::Relaxed) {
                    let least = saves.least();
                    check(least, &client.call("mark", &json!({})).result());
                    thread::sleep(Duration::from_millis(50));
                }
                client.end();
            });
            scope.spawn(|| {
                ready.wait();
                // The front closes connections on which no request arrives.
                let mut connection = Connection::to(stage.site.address);
                while !over.load(Ordering::Relaxed) {
                    let least = saves.least();
                    Modern::call(&json!(1), "mark", &json!({})).send(&connection);
                    check(least, &connection.answer().last().result());
                    thread::sleep(Duration::from_millis(50));
                }
            });
        }
        ready.wait();
        for mark in 1..=SAVES {
            let before = calls.load(Ordering::Relaxed);
            stage.save(&mark.to_string());
            let at = saves.start.elapsed().as_millis();
            saves.at[mark].store(usize::try_from(at).unwrap(), Ordering::SeqCst);
            eventually(4 * DEADLINE, || {
                calls.load(Ordering::Relaxed) > before + 6 * CLIENTS
            });
        }
        over.store(true, Ordering::Relaxed);
    });
    eventually(DEADLINE, || {
        stage.site.log.events("session_ended").len() == CLIENTS
    });
}

/// Begins and ends this many sessions, which leave nothing behind.
fn come_and_go(sessions: usize) {
    let stage = Stage::within(&json!({}), &["--no-watch"]);
    let usage = || {
        let directory = format!("/proc/{}", stage.site.peer.pid());
        let count = |what: &str| {
            std::fs::read_dir(format!("{directory}/{what}"))
                .unwrap()
                .count()
        };
        let status = std::fs::read_to_string(format!("{directory}/status")).unwrap();
        let line = status
            .lines()
            .find(|line| line.starts_with("VmRSS"))
            .unwrap();
        let resident: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
        (count("fd"), resident)
    };
    let round = |count: usize| {
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let initialize = request(&json!(1), "initialize", &initialize_params());
                    for at in 0..count / 4 {
                        let answer = stage.site.post(&[], &initialize);
                        let id = answer.head.header("mcp-session-id").unwrap().to_owned();
                        let headers = [("Mcp-Session-Id", &*id)];
                        // Some clients go without a word, and some in the middle of a call.
                        if at % 3 == 0 {
                            let slow = request(
                                &json!(2),
                                "tools/call",
                                &json!({"name": "slow", "arguments": {"ms": 60_000}}),
                            );
                            let connection = Connection::to(stage.site.address);
                            let kinds = [
                                ("Content-Type", "application/json"),
                                ("Accept", "*/*"),
                                headers[0],
                            ];
                            connection.request("POST", &kinds, &slow);
                        }
                        assert_eq!(stage.site.ask("DELETE", &headers, "").status(), 200);
                    }
                });
            }
        });
    };
    round(40);
    eventually(DEADLINE, || {
        stage.site.log.events("session_ended").len() == 40
    });
    let (files, resident) = usage();
    round(sessions);
    eventually(4 * DEADLINE, || {
        stage.site.log.events("session_ended").len() == 40 + sessions
    });
    eventually(DEADLINE, || {
        processes_with_tag(stage.site.peer.tag()).len() <= 2
    });
    eventually(DEADLINE, || usage().0 <= files);
    let grown = usage().1.saturating_sub(resident);
    eprintln!("{sessions} sessions: {resident} KiB before, {grown} KiB more after");
    assert!(grown < 16 * 1024, "{grown} KiB");
}

#[test]
fn sessions_that_end_leave_nothing_behind() {
    come_and_go(400);
}

#[test]
#[ignore = "takes minutes; for a person who has changed how sessions end"]
fn ten_thousand_sessions_leave_nothing_behind() {
    come_and_go(10_000);
}
