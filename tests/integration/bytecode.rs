//! Compiled Python that another process left behind never answers in place of saved code.

use std::process::Command;
use std::time::SystemTime;

use serde_json::json;

use crate::harness::{DEADLINE, Project, Proxy, eventually, initialize_params, peers};

fn program() -> std::path::PathBuf {
    peers().join("python/.venv/bin/python")
}

/// Waits for the beginning of a second, so that all that follows happens within it.
fn until_a_second_begins() {
    eventually(DEADLINE, || {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        now.unwrap().subsec_millis() < 50
    });
}

#[track_caller]
fn run(project: &Project, code: &str) {
    let mut python = Command::new(program());
    python.args(["-c", code]).current_dir(project.root());
    python.env_remove("PYTHONDONTWRITEBYTECODE");
    assert!(python.status().unwrap().success());
}

/// Saves two texts of equal length, with `compile` run in between, and asks for the second one each time.
#[track_caller]
fn is_fresh(compile: &str, options: &[&str]) {
    let project = Project::new();
    project.copy("fixtures/warm/serve.py", "serve.py");
    let text = |number: u32| format!("MARK = 'v{number:03}'\n");
    project.write("mark.py", &text(0));
    project.write(
        "server.py",
        "import serve, mark\nserve.serve(mark.MARK, [])\n",
    );
    let proxy = Proxy::dev([program().into_os_string(), "server.py".into()])
        .options(options.iter().copied())
        .options(["--env", "PYTHONDONTWRITEBYTECODE="]);
    let peer = proxy.within(&project).spawn();
    peer.initialize(&initialize_params()).result();
    for number in 1..6 {
        until_a_second_begins();
        project.write("mark.py", &text(number + 100));
        run(&project, compile);
        project.write("mark.py", &text(number));
        let saved = format!("v{number:03}");
        let mark = || {
            let answer = peer.call("look", &json!({})).result();
            answer["structuredContent"]["mark"]
                .as_str()
                .unwrap()
                .to_owned()
        };
        // In the end the last text answers, regardless of requests held and reloads meanwhile.
        eventually(DEADLINE, || mark() == saved);
    }
}

#[test]
fn an_edit_of_equal_length_within_the_second_of_a_compilation() {
    is_fresh("import mark", &[]);
    is_fresh("import mark", &["--no-warm"]);
}

#[test]
fn a_compilation_that_is_never_compared_with_its_source() {
    const UNCHECKED: &str = "import py_compile\nmode = py_compile.PycInvalidationMode.UNCHECKED_HASH\n\
         py_compile.compile('mark.py', invalidation_mode=mode)";
    is_fresh(UNCHECKED, &[]);
}
