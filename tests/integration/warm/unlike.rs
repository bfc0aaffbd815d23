//! Servers whose next start cannot be prepared, or not this time, start cold; what they do stays the same.

use serde_json::Value;

use super::{Warmed, project, python};
use crate::harness::{Project, Proxy};

/// Where a test puts packages of its own.
const PACKAGES: &str = "lib/site-packages";

/// A server whose source has `code` in it, with these packages.
#[track_caller]
fn with(code: &str, packages: &[(&str, &str)]) -> Warmed {
    let project = project();
    project.edit("server.py", "# Here a test puts what it is about.", code);
    for (name, text) in packages {
        project.write(&format!("{PACKAGES}/{name}"), text);
    }
    start(project)
}

#[track_caller]
fn start(project: Project) -> Warmed {
    let proxy = Proxy::dev([python("python"), "server.py".into()]);
    let path = format!("PYTHONPATH={PACKAGES}");
    Warmed::of(project, "server.py", proxy.options(["--env", &path]))
}

/// It fails to be prepared twice, says so, and is cold from then on.
#[track_caller]
fn stays_cold(warmed: &Warmed, reason: &str) {
    for (count, mark) in [(1, "v1"), (2, "v2")] {
        let cold = warmed.log.until("cold", count);
        let known = |event: &Value| event["reason"].as_str().unwrap().contains(reason);
        assert!(cold.iter().all(known), "{reason}:\n{}", warmed.log.text());
        assert_eq!(cold[count - 1]["for_good"], count == 2);
        warmed.cold_save(mark, "");
    }
    warmed.cold_save("v3", "");
    assert_eq!(warmed.log.events("cold").len(), 2, "{}", warmed.log.text());
}

#[test]
fn packages_that_write_or_fail_or_start_threads_or_warn_when_they_are_loaded_ahead() {
    for (text, reason) in [
        ("import sys\nprint('hello', file=sys.stderr)", "writes"),
        ("import os\nos.write(2, b'hello\\n')", "writes"),
        ("import __main__\n__main__.__file__", "AttributeError"),
        (
            "import threading, time\nthreading.Thread(target=time.sleep, args=(60,), daemon=True).start()",
            "threads",
        ),
        (
            "import warnings\nwarnings.warn('old', DeprecationWarning, stacklevel=2)",
            "warns",
        ),
        ("raise SystemExit(3)", "SystemExit"),
    ] {
        let code = "try:\n    import ahead\nexcept SystemExit:\n    pass";
        let warmed = with(code, &[("ahead.py", text)]);
        stays_cold(&warmed, reason);
    }
}

#[test]
fn packages_that_patch_others_are_never_loaded_ahead() {
    let code = "from gevent import monkey\nmonkey.patch_all()\nimport socket\nassert 'gevent' in socket.socket.__module__";
    let project = project();
    let source = project.read("server.py");
    project.write("server.py", &format!("{code}\n{source}"));
    let warmed = start(project);
    let cold = warmed.log.until("cold", 1).remove(0);
    assert_eq!(cold["for_good"], true, "{cold}");
    warmed.cold_save("v1", "gevent.monkey");
}

#[test]
fn code_that_minds_how_it_was_started_works() {
    let code = r#"
import asyncio
import multiprocessing
import subprocess

import anyio

asyncio.set_event_loop_policy(asyncio.DefaultEventLoopPolicy())
context = multiprocessing.get_context("spawn")


def square(number):
    return number * number


if __name__ == "__main__":
    with context.Pool(1) as pool:
        assert pool.map(square, [3]) == [9]
    fork = multiprocessing.get_context("fork")
    with fork.Pool(1) as pool:
        assert pool.map(square, [4]) == [16]
    look_again = "import os, sys; print('PYTHONPATH' in os.environ and 'warm' in os.environ['PYTHONPATH'])"
    told = subprocess.run([sys.executable, "-c", look_again], stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert told.stdout.strip() == "False", told

    async def main_loop():
        await anyio.sleep(0)

    asyncio.run(main_loop())
"#;
    let warmed = with(code, &[]);
    warmed.warm_save("v1");
    warmed.warm_save("v2");
}

#[test]
fn a_sitecustomize_of_the_packages_runs_first_as_ever() {
    let hook = r"
import builtins
import sys

builtins.hooked = [name for name in ('yaml', 'pydantic') if name in sys.modules]
";
    let code = "assert hooked == [], hooked\nassert 'sitecustomize' in sys.modules";
    let warmed = with(code, &[("sitecustomize.py", hook)]);
    warmed.warm_save("v1");
    warmed.warm_save("v2");
}

#[test]
fn a_sitecustomize_of_the_user_keeps_it_cold() {
    let project = project();
    project.write("own/sitecustomize.py", "");
    let command = [python("python"), "server.py".into()];
    let proxy = Proxy::dev(command).options(["--env", "PYTHONPATH=own"]);
    let warmed = Warmed::of(project, "server.py", proxy);
    assert_eq!(warmed.log.until("cold", 1)[0]["for_good"], true);
    warmed.cold_save("v1", "runs before the server");
}

#[test]
fn what_was_loaded_is_loaded_anew_once_it_changes() {
    let warmed = with(
        "import ahead\nMARK += ahead.MARK",
        &[("ahead.py", "MARK = ''")],
    );
    warmed.warm_save("v1");
    for (file, text) in [
        (format!("{PACKAGES}/ahead.py"), "MARK = '!'"),
        (format!("{PACKAGES}/another.py"), ""),
        (".env".to_owned(), "A=1"),
        ("uv.lock".to_owned(), "version = 1"),
    ] {
        warmed.until_prepared();
        warmed.project.write(&file, text);
        let known = warmed.log.events("reloaded").len();
        warmed.save("v2");
        warmed.log.until("reloaded", known + 1);
        assert_eq!(warmed.mark(), "v2!", "{file}");
        warmed.until_prepared();
        warmed.save("v1");
        warmed.log.until("reloaded", known + 2);
    }
    assert_eq!(warmed.log.events("cold"), [] as [Value; 0]);
}

#[test]
fn a_module_beside_the_script_comes_before_a_package_of_its_name() {
    let warmed = with(
        "import ahead\nMARK += ahead.MARK",
        &[("ahead.py", "MARK = ''")],
    );
    warmed.warm_save("v1");
    warmed.until_prepared();
    warmed.project.write("ahead.py", "MARK = ' of its own'");
    warmed.save("v2");
    warmed.log.until("reloaded", 2);
    assert_eq!(warmed.mark(), "v2 of its own");
}
