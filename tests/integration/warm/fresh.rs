//! The saved code answers, all of it and nothing older, and in the end no process is left.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use super::{Warmed, environment, executable, project, python, python_path};
use crate::harness::{DEADLINE, Proxy, eventually, processes_with_tag};

/// From a save on, so long may old code still answer a call that arrives.
const GRACE: Duration = Duration::from_millis(100);

#[track_caller]
fn warmed() -> Warmed {
    Warmed::start(
        project(),
        "server.py",
        vec![python("python"), "server.py".into()],
    )
}

/// The processes that are told of by the test's tag, without the proxy and its guard.
fn servers(warmed: &Warmed) -> usize {
    let processes = processes_with_tag(warmed.peer.tag());
    processes
        .iter()
        .filter(|(_, command)| command.contains("server.py") && !command.contains("mcp-proxy"))
        .count()
}

#[test]
fn no_save_is_answered_by_older_code() {
    let warmed = warmed();
    for round in 1..=60 {
        if round % 2 == 0 {
            warmed.until_prepared();
        }
        let mark = format!("v{round}");
        warmed.save(&mark);
        // The time that old code has left.
        std::thread::sleep(GRACE);
        assert_eq!(warmed.mark(), mark, "{}", warmed.log.text());
    }
    assert_eq!(warmed.log.events("cold"), [] as [Value; 0]);
}

#[test]
fn each_generation_begins_anew() {
    let warmed = warmed();
    for mark in ["v1", "v2", "v3"] {
        warmed.warm_save(mark);
        assert_eq!(warmed.ask("mark")["count"], 2, "of this generation");
    }
}

#[test]
fn a_save_while_packages_are_loaded_is_served_by_that_process() {
    let project = project();
    // Where a cold start takes clearly longer than its packages do, the next process is worth waiting for.
    let began = Instant::now();
    let packages = Command::new(python("python"))
        .args(["-c", "import fastmcp"])
        .status();
    assert!(packages.unwrap().success());
    let pause = 3 + 2 * began.elapsed().as_secs();
    project.edit(
        "fast.py",
        "import look\n",
        &format!("import time\n\nimport look\n\ntime.sleep({pause})\n"),
    );
    let warmed = Warmed::start(project, "fast.py", vec![python("python"), "fast.py".into()]);
    let is_served_by_it = |round: usize| {
        // How long the packages take is known from now on.
        warmed.warm_save(&format!("v{round}-1"));
        let reloads = warmed.log.events("reloaded").len();
        let ready = warmed.log.events("standby").len();
        eventually(DEADLINE, || warmed.standby().is_some());
        let before = warmed.standby();
        let is_early = warmed.log.events("standby").len() == ready;
        let mark = format!("v{round}-2");
        warmed.save(&mark);
        warmed.log.until("reloaded", reloads + 1);
        assert_eq!(warmed.mark(), mark);
        is_early && before == Some(warmed.newest())
    };
    // On a busy machine the packages may take much longer than before.
    assert!((0..5).any(is_served_by_it), "{}", warmed.log.text());
}

/// Saves several times in quick succession; whether one process was started for all of that, one that was there
/// before the last of the saves.
#[track_caller]
fn is_served_by_one(warmed: &Warmed) -> bool {
    let saved = |number: usize| format!("save-{number}");
    // Goes live at once: nobody knows yet that more will follow.
    warmed.warm_save(&saved(0));
    let started = warmed.log.events("spawned").len();
    let mut before = Vec::new();
    for number in 1..=10 {
        // The rhythm of the saves; after the last one, the time that old code has left.
        let next = Instant::now() + GRACE;
        warmed.save(&saved(number));
        if number == 9 {
            before = processes_with_tag(warmed.peer.tag());
        }
        std::thread::sleep(next.saturating_duration_since(Instant::now()));
    }
    assert_eq!(warmed.mark(), saved(10));
    let one = warmed.log.events("spawned").len() == started + 1;
    one && before.iter().any(|(pid, _)| *pid == warmed.newest())
}

#[test]
fn the_last_save_of_a_flurry_is_served_by_what_was_prepared() {
    // A short start would not be worth the wait.
    let code = "import time\ntime.sleep(1)\n# Here a test";
    // On a busy machine the saves come as they can, and one may look like the last. The server has two standbys from
    // then on for a while.
    let is_served_by_one = || {
        let project = project();
        project.edit("server.py", "# Here a test", code);
        let command = vec![python("python"), "server.py".into()];
        is_served_by_one(&Warmed::start(project, "server.py", command))
    };
    assert!((0..20).any(|_| is_served_by_one()));
}

#[test]
fn a_save_while_new_code_starts_is_prepared_as_well() {
    let project = project();
    // Where a cold start takes clearly longer than its packages do, the next process is worth waiting for.
    let code = "import time\ntime.sleep(3)\n# Here a test";
    project.edit("server.py", "# Here a test", code);
    let command = vec![python("python"), "server.py".into()];
    let warmed = Warmed::start(project, "server.py", command);
    warmed.warm_save("v1");
    warmed.until_prepared();
    let code = "import time\ntime.sleep(60)  # Here a test";
    warmed.project.edit("server.py", "# Here a test", code);
    warmed.log.until("spawned", 3);
    let standbys = warmed.log.events("standby").len();
    warmed.project.edit("server.py", code, "# Here a test");
    warmed.log.until("reloaded", 2);
    let log = warmed.log.text();
    let at = |name: &str| log.rfind(&format!(r#""event":"{name}""#));
    assert!(warmed.log.events("standby").len() > standbys, "{log}");
    assert!(at("standby") < at("spawned"), "{log}");
}

#[test]
fn stderr_of_a_start_is_reported_once_and_for_its_generation() {
    let project = project();
    let code = "print('hello', file=sys.stderr)  # Here a test";
    project.edit("server.py", "# Here a test", code);
    let code = "print('called', file=sys.stderr)\n        count += 1";
    project.edit("server.py", "count += 1", code);
    let command = vec![python("python"), "server.py".into()];
    let warmed = Warmed::start(project, "server.py", command);
    warmed.mark();
    warmed.warm_save("v1");
    warmed.warm_save("v2");
    let generations = |name: &str| {
        let events = warmed.log.events(name).into_iter();
        events
            .map(|event| event["generation"].clone())
            .collect::<Vec<_>>()
    };
    warmed.log.until("stderr", 6);
    let twice = generations("spawned")
        .into_iter()
        .flat_map(|it| [it.clone(), it]);
    assert_eq!(generations("stderr"), twice.collect::<Vec<_>>());
}

#[test]
fn a_killed_standby_is_reported_and_replaced() {
    let warmed = warmed();
    warmed.until_prepared();
    let standby = warmed.standby().unwrap();
    let standby = Pid::from_raw(standby.cast_signed()).unwrap();
    kill_process(standby, Signal::KILL).unwrap();
    let cold = warmed.log.until("cold", 1).remove(0);
    assert_eq!(cold["for_good"], false, "{cold}");
    warmed.cold_save("v1", "exited early");
    warmed.warm_save("v2");
}

#[test]
fn a_program_that_is_gone_is_told_although_a_process_waits() {
    let project = project();
    let text = format!(
        "#!/bin/sh\nexec {} \"$@\"\n",
        python_path("python").display()
    );
    let program = executable(&project, "python", &text);
    let command = vec![program.clone(), "server.py".into()];
    let warmed = Warmed::start(project, "server.py", command);
    warmed.until_prepared();
    std::fs::remove_file(program).unwrap();
    warmed.save("v1");
    let broken = warmed.log.until("broken", 1).remove(0);
    assert!(broken.to_string().contains("/python"), "{broken}");
    executable(&warmed.project, "python", &text);
    warmed.save("v2");
    warmed.log.until("reloaded", 1);
    assert_eq!(warmed.mark(), "v2");
}

#[test]
fn files_of_starts_are_removed_after_their_last_use() {
    let warmed = warmed();
    warmed.until_prepared();
    let room = room(&warmed);
    let folders = || std::fs::read_dir(&room).unwrap().count();
    eventually(DEADLINE, || folders() == 2);
    for mark in ["v1", "v2", "v3"] {
        warmed.warm_save(mark);
        warmed.until_prepared();
        let those = "those of the processes that wait, answer and answered before";
        assert_eq!(folders(), 3, "{those}");
    }
}

#[test]
fn a_broken_save_is_told_as_by_a_plain_start() {
    let broken = |proxy: Proxy, warm: bool| {
        let warmed = Warmed::of(project(), "server.py", proxy);
        let root = warmed.project.root().to_str().unwrap().to_owned();
        if warm {
            warmed.until_prepared();
        }
        warmed.project.edit(
            "server.py",
            "# Here a test",
            "raise KeyError(FIRST['cwd'])  # Here a test",
        );
        let failure = warmed.log.until("broken", 1)[0]["failure"].to_string();
        let lines = warmed.log.events("stderr");
        let lines: Vec<String> = lines
            .iter()
            .map(|it| it["line"].to_string().replace(&root, "~"))
            .collect();
        // The cure is live, and started warm again.
        warmed
            .project
            .edit("server.py", "raise KeyError(FIRST['cwd'])", "");
        warmed.log.until("reloaded", 1);
        (failure.replace(&root, "~"), lines)
    };
    let command = [python("python"), "server.py".into()];
    let plain = broken(Proxy::dev(command.clone()).option("--no-warm"), false);
    assert!(plain.0.contains("KeyError"), "{plain:?}");
    assert_eq!(broken(Proxy::dev(command), true), plain);
}

#[test]
fn a_standby_is_reported_and_ends_with_the_proxy() {
    type End = fn(&Warmed);
    let ends: [(&str, End); 3] = [
        ("its client goes", |warmed| warmed.peer.close_stdin()),
        ("a signal", |warmed| warmed.peer.signal(Signal::TERM)),
        ("SIGKILL", |warmed| warmed.peer.signal(Signal::KILL)),
    ];
    for (how, end) in ends {
        let command = vec![python("python"), "server.py".into()];
        let proxy = Proxy::dev(command).options(["--meta-tools", "dev"]);
        let warmed = Warmed::meeting(project(), "server.py", proxy);
        let standby = warmed.log.until("standby", 1).remove(0);
        assert!(standby["memory"].as_u64().unwrap() > 1 << 20, "{standby}");
        let told = warmed.peer.call("get_loaded_servers", &json!({}));
        let told = told.result()["structuredContent"]["servers"][0]["standby"].clone();
        assert!(told["memory_mib"].as_u64().unwrap() > 0, "{told}");
        assert_eq!(servers(&warmed), 2, "{how}");
        let room = room(&warmed);
        assert!(Path::new(&room).exists(), "{room}");
        end(&warmed);
        eventually(DEADLINE, || {
            processes_with_tag(warmed.peer.tag()).is_empty()
        });
        eventually(DEADLINE, || !Path::new(&room).exists());
    }
}

/// The private directory of the proxy, found by the environment that the standby was started with.
#[track_caller]
fn room(warmed: &Warmed) -> String {
    let processes = processes_with_tag(warmed.peer.tag());
    let environments = processes
        .iter()
        .filter_map(|(pid, _)| std::fs::read_to_string(format!("/proc/{pid}/environ")).ok());
    let mut rooms = environments.filter_map(|environment| {
        let begin = environment.find("PYTHONPATH=")? + "PYTHONPATH=".len();
        let folder = environment[begin..].split(['\0', ':']).next()?;
        Some(Path::new(folder).parent()?.to_str()?.to_owned())
    });
    rooms.next_back().unwrap()
}

#[test]
fn nothing_is_prepared_where_it_is_not_wanted() {
    let command = || vec![python("python"), "server.py".into()];
    let without = Warmed::of(
        project(),
        "server.py",
        Proxy::dev(command()).option("--no-warm"),
    );
    without.save("v1");
    without.log.until("reloaded", 1);
    assert_eq!(without.mark(), "v1");
    eventually(DEADLINE, || servers(&without) == 1);
    // Nor is anything learned.
    assert!(!environment(without.newest()).contains("PYTHONPATH="));
    assert_eq!(without.log.events("standby"), [] as [Value; 0]);
}
