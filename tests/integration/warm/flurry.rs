//! A server that is saved again before a process can be prepared keeps two of them, for as long as that goes on.

use std::time::Duration;

use super::unlike::with;
use super::{Warmed, project, python};
use crate::harness::{DEADLINE, Proxy, eventually, processes_with_tag};

/// How long a second process may be kept after the last quick save, and time to end it.
const OVER: Duration = Duration::from_secs(60);

/// A server whose package takes so long to load ahead that no save waits for it, when two processes are ready for
/// its next saves.
#[track_caller]
fn pressed() -> Warmed {
    let text = "import __main__, time\nif not hasattr(__main__, '__file__'):\n    time.sleep(4)";
    let warmed = with("import slow", &[("slow.py", text)]);
    warmed.warm_save("v1");
    warmed.save("v2");
    warmed.log.until("reloaded", 2);
    eventually(DEADLINE, || {
        let text = warmed.log.text();
        let live = text.rfind(r#""event":"reloaded""#).unwrap();
        text[live..].matches(r#""event":"standby""#).count() == 2
    });
    assert_eq!(warmed.standbys().len(), 2, "{}", warmed.log.text());
    warmed
}

#[test]
fn two_quick_saves_are_each_served_by_a_process_that_was_ready() {
    let warmed = pressed();
    let ready = warmed.standbys();
    for (mark, reloads) in [("v3", 3), ("v4", 4)] {
        warmed.save(mark);
        warmed.log.until("reloaded", reloads);
        let log = warmed.log.text();
        assert!(ready.contains(&warmed.newest()), "{mark} waited:\n{log}");
        assert_eq!(warmed.mark(), mark);
    }
    assert!(
        warmed.log.events("cold").is_empty(),
        "{}",
        warmed.log.text()
    );
}

/// A prepared process can be started from once only, so not before all files of a save are there.
#[test]
fn several_files_of_one_save_need_one_process() {
    let files = ["a.py", "b.py", "c.py", "d.py"];
    let project = project();
    let code = "import a, b, c, d\nMARK = a.MARK if a.MARK == d.MARK else 'half'";
    project.edit("server.py", "# Here a test puts what it is about.", code);
    for file in files {
        project.write(file, "MARK = 'v0'");
    }
    let proxy = Proxy::dev([python("python"), "server.py".into()]);
    // Time for all files, also on a busy machine.
    let proxy = proxy.options(["--watch", "*.py", "--debounce", "1s"]);
    let warmed = Warmed::of(project, "server.py", proxy);
    for mark in ["v1", "v2", "v3"] {
        warmed.until_prepared();
        let ready = warmed.standbys();
        let reloads = warmed.log.events("reloaded").len();
        for file in files {
            warmed.project.save(file, &format!("MARK = '{mark}'"));
        }
        warmed.log.until("reloaded", reloads + 1);
        assert_eq!(warmed.mark(), mark);
        assert!(ready.contains(&warmed.newest()), "{}", warmed.log.text());
    }
}

#[test]
fn imports_of_a_quick_save_are_preloaded_for_later_ones() {
    let early = "import __main__\nEARLY = not hasattr(__main__, '__file__')";
    let warmed = pressed();
    warmed.project.write("lib/site-packages/early.py", early);
    // New packages make the standbys worthless.
    let code = "import slow\nimport early\nMARK += ' early' * early.EARLY";
    warmed.project.edit("server.py", "import slow", code);
    warmed.log.until("reloaded", 3);
    assert_eq!(warmed.mark(), "v2");
    for (mark, reloads) in [("v3", 4), ("v4", 5)] {
        warmed.until_prepared();
        warmed.save(mark);
        warmed.log.until("reloaded", reloads);
        assert_eq!(warmed.mark(), format!("{mark} early"));
    }
}

#[test]
fn when_both_are_killed_the_next_save_is_live_and_two_are_prepared_again() {
    let warmed = pressed();
    for pid in warmed.standbys() {
        let pid = rustix::process::Pid::from_raw(pid.cast_signed()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    }
    eventually(DEADLINE, || warmed.standbys().is_empty());
    warmed.cold_save("v3", "");
    eventually(DEADLINE, || warmed.standbys().len() == 2);
    let cold = warmed.log.events("cold");
    assert!(cold.iter().all(|it| it["for_good"] == false), "{cold:?}");
    warmed.warm_save("v4");
}

#[test]
fn one_is_enough_once_the_saves_are_over_and_none_is_left_in_the_end() {
    let warmed = pressed();
    let ready = warmed.standbys();
    eventually(OVER, || warmed.standbys().len() == 1);
    warmed.save("v3");
    warmed.log.until("reloaded", 3);
    assert!(ready.contains(&warmed.newest()), "{}", warmed.log.text());
    warmed.peer.close_stdin();
    eventually(DEADLINE, || {
        processes_with_tag(warmed.peer.tag()).is_empty()
    });
}
