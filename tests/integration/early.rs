//! Saved code starts before the quiet time of the save has passed, and goes live only after it.

use crate::harness::{DEADLINE, Project, Proxy, SOURCE, Watched, eventually, example, marked};

/// A quiet time long enough for the steps of a test before the save counts as over.
const QUIET: [&str; 2] = ["--debounce", "3s"];

/// A server that notes each of its starts in `starts` and does not start if the file `broken` has content.
fn noted(options: &[&str]) -> Watched {
    let project = Project::new();
    let fake = example("fake_server");
    let script = format!(
        "echo >> starts\n[ ! -s broken ] || exit 7\nexec {} {SOURCE}\n",
        fake.display()
    );
    project.write("server.sh", &script);
    project.write("broken", "");
    let proxy = Proxy::dev(["sh", "server.sh"]).options(QUIET);
    let proxy = proxy.options(["--watch", "src/**", "--watch", "broken"]);
    Watched::of(project, proxy.options(options))
}

fn starts(watched: &Watched) -> usize {
    watched.project.read("starts").lines().count()
}

#[track_caller]
fn until_started(watched: &Watched, count: usize) {
    eventually(DEADLINE, || starts(watched) == count);
}

#[test]
fn a_whole_save_is_started_at_once_and_live_when_it_is_over() {
    let watched = noted(&[]);
    for (at, mark) in ["v1", "v2"].into_iter().enumerate() {
        if at == 0 {
            watched.write(mark);
        } else {
            watched.project.save(SOURCE, &marked(mark));
        }
        until_started(&watched, at + 2);
        watched.exactly("reloaded", at);
        assert_eq!(watched.mark(), mark);
        watched.until("reloaded", at + 1);
        assert_eq!(starts(&watched), at + 2);
    }
}

#[test]
fn a_further_write_starts_anew_and_only_the_last_is_live() {
    let watched = noted(&[]);
    watched.write("v1");
    until_started(&watched, 2);
    watched.write("v2");
    assert_eq!(watched.mark(), "v2");
    assert_eq!(starts(&watched), 3);
    watched.exactly("reloaded", 1);
}

#[test]
fn the_failure_of_half_a_save_is_not_told() {
    let watched = noted(&[]);
    watched.project.write("broken", "yes");
    until_started(&watched, 2);
    watched.write("v1");
    watched.project.write("broken", "");
    assert_eq!(watched.mark(), "v1");
    assert_eq!(watched.events("broken").len(), 0, "{}", watched.log());
    // That of a whole one is.
    watched.project.write("broken", "yes");
    watched.until("broken", 1);
}

#[test]
fn builds_wait_for_the_end_of_the_save() {
    for options in [["--reload", "stop-first"], ["--build", "echo >> builds"]] {
        let watched = noted(&options);
        watched.write("v1");
        watched.project.write("broken", "yes");
        watched.project.write("broken", "");
        watched.write("v2");
        assert_eq!(watched.mark(), "v2");
        assert_eq!(starts(&watched), 2, "{}", watched.log());
        watched.exactly("changed", 1);
    }
}
