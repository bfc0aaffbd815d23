//! The official conformance suite: the same checks pass through the proxy as without it.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crate::harness::http::Site;
use crate::harness::suite::{
    Check, Everything, EverythingProject, approved, everything_project_over_http, passing,
    passing_of,
};
use crate::harness::{Project, Proxy};

/// A revision and how many checks of it the everything-server passes by itself.
const REVISIONS: [(&str, usize); 2] = [("2025-11-25", 84), ("2026-07-28", 169)];

/// The checks that pass without the proxy. The suite is deterministic: all runs are equal.
#[track_caller]
fn direct(revision: &str) -> &'static BTreeSet<Check> {
    static DIRECT: [OnceLock<BTreeSet<Check>>; 2] = [const { OnceLock::new() }; 2];
    let at = usize::from(revision == REVISIONS[1].0);
    DIRECT[at].get_or_init(|| {
        let passed = approved(&format!("{revision}/server"), || {
            passing(&Everything::start().url, revision, |_| {})
        });
        // Against nothing at all some checks pass as well.
        assert_eq!(passed.len(), REVISIONS[at].1, "{passed:#?}");
        passed
    })
}

/// Checks that the proxy costs no check but `excused`.
#[track_caller]
fn same(through: &BTreeSet<Check>, revision: &str, excused: &[&str]) {
    let lost: Vec<_> = direct(revision)
        .difference(through)
        .filter(|(_, id, _)| !excused.contains(&id.as_str()))
        .collect();
    let gained: Vec<_> = through.difference(direct(revision)).collect();
    assert!(
        lost.is_empty() && gained.is_empty(),
        "lost {lost:#?}, gained {gained:#?}"
    );
}

/// Number of scenarios from one save to the next.
const OFTEN: usize = 3;

/// A busy machine takes longer for a start than the default time limits.
const BUSY: [&str; 4] = ["--start-timeout", "5m", "--hold-timeout", "5m"];

/// The server cannot close a stream of which it knows nothing: its way to the proxy is a pipe.
const OF_A_PIPE: [&str; 1] = ["server-sse-disconnect-resume"];

/// Check that the suite aborts after 5 s of its own, and its scenario.
const TIMED: (&str, &str) = ("server-session-id-visible-ascii", "server-initialize");

/// Tries the check with the time limit again if it was lost. On a busy machine a start takes longer than the suite waits,
/// so that the proxy of `site` has to answer before it.
fn try_timed(through: &mut BTreeSet<Check>, revision: &str, site: impl FnOnce() -> Site) {
    let (check, scenario) = TIMED;
    let holds = |checks: &BTreeSet<Check>| checks.iter().any(|(_, id, _)| id == check);
    if holds(direct(revision)) && !holds(through) {
        through.extend(passing_of(scenario, &site().url, revision));
    }
}

/// Runs scenarios that lost checks again, without saves, if reloads took longer than the suite waits for some answers.
fn try_slow(through: &mut BTreeSet<Check>, revision: &str, site: &Site) {
    let reloads = site.log.events("reloaded");
    if reloads.iter().all(|it| it["took_ms"].as_u64() < Some(5000)) {
        return;
    }
    let lost = direct(revision).difference(through);
    let scenarios: BTreeSet<String> = lost.map(|(scenario, ..)| scenario.clone()).collect();
    for scenario in scenarios {
        let scenario = scenario.strip_prefix("server-").unwrap();
        let passed = passing_of(scenario, &site.url, revision);
        through.extend(passed.intersection(direct(revision)).cloned());
    }
}

fn behind_a_pipe(revision: &str) {
    let server = EverythingProject::new();
    let through = behind_a_process(&server.project, &server.command, &[], revision, OFTEN);
    same(&through, revision, &OF_A_PIPE);
}

/// Returns the checks that pass through a proxy that starts the server with this command and these options, and that
/// meets a save before every `every`th scenario.
fn behind_a_process(
    project: &Project,
    command: &[OsString],
    options: &[&str],
    revision: &str,
    every: usize,
) -> BTreeSet<Check> {
    let start = |startup_wait: &str| {
        let proxy = Proxy::dev(command)
            .options(options.iter().copied())
            .options(["--meta-tools", "none", "--watch", "server.py"])
            .options(["--startup-wait", startup_wait, "--session-idle", "2s"])
            .options(BUSY)
            .within(project);
        Site::start(proxy)
    };
    let site = start("2m");
    let source = project.read("server.py");
    let save = |why: &str| project.save("server.py", &format!("{source}\n# {why}\n"));
    let mut through = checks_while_saved(&site, revision, "spawned", every, &save);
    try_timed(&mut through, revision, || start("1s"));
    through
}

/// Returns the checks that pass through the proxy while the server is saved by `save`, with any text that was not there
/// before: before every `every`th scenario, and while every second session begins, since few last long. `begins` names
/// the event that begins a server.
#[track_caller]
fn checks_while_saved(
    site: &Site,
    revision: &str,
    begins: &str,
    every: usize,
    save: &(dyn Fn(&str) + Sync),
) -> BTreeSet<Check> {
    let over = AtomicBool::new(false);
    let mut through = thread::scope(|scope| {
        scope.spawn(|| {
            let mut seen = 0;
            while !over.load(Ordering::Relaxed) {
                let events = site.log.events(begins);
                let begun = events.iter().filter(|it| it["generation"] == 1).count();
                if begun / 2 > seen / 2 {
                    save(&format!("start {begun}"));
                }
                seen = begun;
                thread::sleep(Duration::from_millis(5));
            }
        });
        let mut scenarios = 0;
        let through = passing(&site.url, revision, |scenario| {
            scenarios += 1;
            if scenarios % every == 0 {
                save(scenario);
            }
        });
        over.store(true, Ordering::Relaxed);
        through
    });
    let noticed = site.log.events("changed").len();
    assert!(noticed > 2, "only {noticed} saves were noticed");
    try_slow(&mut through, revision, site);
    through
}

/// The same server behind an address of its own; a save edits its definition, so that it is connected to anew.
fn behind_an_address(revision: &str) {
    let server = Everything::start();
    let project = Project::new();
    let define = |round: &str| {
        let url = &server.url;
        let text =
            format!("[servers.everything]\nurl = '{url}'\nheaders = {{ X-Round = '{round}' }}\n");
        project.save("mcp-proxy.toml", &text);
    };
    define("0");
    let proxy = Proxy::configured("dev")
        .options(["--server", "everything", "--meta-tools", "none"])
        .options(["--startup-wait", "2m", "--session-idle", "2s"])
        .options(BUSY)
        .within(&project);
    let site = Site::start(proxy);
    let through = checks_while_saved(&site, revision, "connecting", OFTEN, &define);
    same(&through, revision, &[]);
}

#[test]
fn sessions_with_a_server_that_is_connected_to_anew() {
    behind_an_address("2025-11-25");
}

#[test]
fn requests_to_a_server_that_is_connected_to_anew() {
    behind_an_address("2026-07-28");
}

#[test]
fn sessions_with_a_server_that_is_saved() {
    behind_a_pipe("2025-11-25");
}

#[test]
fn requests_to_a_server_that_is_saved() {
    behind_a_pipe("2026-07-28");
}

/// The link is that of an address, and the life of the process that of one behind a pipe: few saves show that both work
/// together.
#[test]
fn requests_to_a_server_over_http_that_is_saved() {
    let (revision, _) = REVISIONS[1];
    let (project, command) = everything_project_over_http();
    let url = ["--url", "http://127.0.0.1:{port}/mcp"];
    let through = behind_a_process(&project, &command, &url, revision, 4 * OFTEN);
    same(&through, revision, &[]);
}

/// A client of `revision` before a server to which the proxy speaks `era`, its other one: no check is lost but those
/// that `other_era.txt` names.
#[track_caller]
fn before_the_other_era(revision: &str, era: &str) {
    let server = EverythingProject::asking();
    let (project, command) = (&server.project, &server.command);
    let start = |startup_wait: &str| {
        let proxy = Proxy::dev(command)
            .options(["--meta-tools", "none", "--era", era])
            .options(["--no-watch", "--startup-wait", startup_wait])
            .options(BUSY)
            .within(project);
        Site::start(proxy)
    };
    let site = start("2m");
    let known = include_str!("other_era.txt").lines();
    let known = known.filter_map(|line| line.strip_prefix(revision)?.trim().split_once(' '));
    let known: BTreeSet<(&str, &str)> = known.collect();
    let mut through = passing(&site.url, revision, |_| {});
    try_timed(&mut through, revision, || start("1s"));
    let lost = direct(revision).difference(&through);
    let is_unknown = |(scenario, id, _): &&Check| {
        !known.contains(&(scenario.as_str(), id.as_str())) && !OF_A_PIPE.contains(&id.as_str())
    };
    let lost: Vec<_> = lost.filter(is_unknown).collect();
    assert!(lost.is_empty(), "lost {lost:#?}");
}

#[test]
fn sessions_with_a_server_of_the_modern_era() {
    before_the_other_era("2025-11-25", "modern");
}

#[test]
fn requests_to_a_server_of_the_legacy_era() {
    before_the_other_era("2026-07-28", "legacy");
}
