//! Servers for which no standby can be prepared start cold, and behave the same.

use std::process::Command;

use serde_json::Value;

use super::{Warmed, executable, project, python, python_path};
use crate::harness::{Project, Proxy, Run};

/// Where a test puts packages of its own.
const PACKAGES: &str = "lib/site-packages";

/// A package that knows whether it is loaded before the program.
const EARLY: &str = "import __main__\nEARLY = not hasattr(__main__, '__file__')";

/// A server whose source has `code` in it, with these packages.
#[track_caller]
pub(super) fn with(code: &str, packages: &[(&str, &str)]) -> Warmed {
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
    warmed.log.exactly("cold", 2);
}

#[test]
fn packages_that_write_or_fail_or_start_threads_or_warn_when_they_are_loaded_ahead() {
    for (text, reason) in [
        ("import sys\nprint('hello', file=sys.stderr)", "wrote"),
        ("import os\nos.write(2, b'hello\\n')", "wrote"),
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
        (
            "import __main__, os\nif not hasattr(__main__, '__file__'):\n    os._exit(3)",
            "exited early",
        ),
    ] {
        let code = "try:\n    import ahead\nexcept SystemExit:\n    pass";
        let warmed = with(code, &[("ahead.py", text)]);
        stays_cold(&warmed, reason);
    }
}

#[test]
fn a_package_that_waits_for_ever_when_it_is_loaded_ahead() {
    let project = project();
    project.edit("server.py", "# Here a test puts", "import ahead  #");
    let text = "import __main__, time\nif not hasattr(__main__, '__file__'):\n    time.sleep(600)";
    project.write(&format!("{PACKAGES}/ahead.py"), text);
    let path = format!("PYTHONPATH={PACKAGES}");
    let proxy = Proxy::dev([python("python"), "server.py".into()])
        .options(["--env", &path])
        .options(["--start-timeout", "5s"]);
    let warmed = Warmed::of(project, "server.py", proxy);
    let cold = warmed.log.until("cold", 1).remove(0);
    assert_eq!(
        cold["reason"], "the standby did not get ready in time",
        "{cold}"
    );
    warmed.cold_save("v1", "");
}

/// Patches modules that others have loaded.
const GEVENT: &str = r"
from gevent import monkey
monkey.patch_all()
import socket
assert 'gevent' in socket.socket.__module__
";

/// Replaces methods, which may as well be done later, and functions, of which `ahead` takes one as it is loaded.
const SENTRY: &str = r"
import logging
import threading
import sentry_sdk
from sentry_sdk.integrations.starlette import StarletteIntegration
from sentry_sdk.transport import Transport

class Nowhere(Transport):
    sent = []

    def capture_envelope(self, envelope):
        self.sent.append(envelope.get_event())

sentry_sdk.init(
    dsn='https://key@localhost/1',
    transport=Nowhere,
    auto_enabling_integrations=False,
    integrations=[StarletteIntegration()],
)
import ahead

logging.getLogger('here').error('told')
assert [event['logentry']['message'] for event in Nowhere.sent] == ['told']
assert hasattr(threading.Thread.start, '__wrapped__')
assert 'sentry' in ahead.request_response.__module__
";

/// As above, with an instrumentor of a package and one of its own.
const OPENTELEMETRY: &str = r"
import wrapt
import yaml
from opentelemetry import trace
from opentelemetry.instrumentation.httpx import HTTPX2ClientInstrumentor
from opentelemetry.instrumentation.instrumentor import BaseInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

class OfYaml(BaseInstrumentor):
    def instrumentation_dependencies(self):
        return ()

    def _instrument(self, **_):
        def traced(wrapped, _, args, kwargs):
            with trace.get_tracer('here').start_as_current_span('load'):
                return wrapped(*args, **kwargs)

        wrapt.wrap_function_wrapper(yaml, 'safe_load', traced)

    def _uninstrument(self, **_):
        pass

exporter = InMemorySpanExporter()
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(exporter))
trace.set_tracer_provider(provider)
HTTPX2ClientInstrumentor().instrument()
OfYaml().instrument()
import ahead
import httpx2

try:
    httpx2.get('http://127.0.0.1:1')
except httpx2.ConnectError:
    pass
ahead.safe_load('1')
assert [span.name for span in exporter.get_finished_spans()] == ['GET', 'load']
";

#[test]
fn packages_that_patch_others_are_never_loaded_ahead() {
    for (code, patch) in [
        (GEVENT, "gevent.monkey"),
        (SENTRY, "sentry_sdk"),
        (OPENTELEMETRY, "opentelemetry.instrumentation.instrumentor"),
    ] {
        let project = project();
        let source = project.read("server.py");
        project.write("server.py", &format!("{code}\n{source}"));
        let ahead = "from starlette.routing import request_response\nfrom yaml import safe_load";
        project.write(&format!("{PACKAGES}/ahead.py"), ahead);
        start(project).is_never_prepared(patch);
    }
}

/// By a program that puts a `sitecustomize` in the server's way, and by that alone.
#[test]
fn modules_patched_before_the_server_runs_are_not_preloaded() {
    let code = "import httpx2\nassert hasattr(httpx2.HTTPTransport.handle_request, '__wrapped__')";
    let mut command = Command::new(python_path("python"));
    command.arg("-c").arg(
        "import opentelemetry.instrumentation.auto_instrumentation as it; print(*it.__path__)",
    );
    let folder = Run::of(command).stdout;
    let plain = vec![python("python"), "server.py".into()];
    let instrumented = [vec![python("opentelemetry-instrument")], plain.clone()].concat();
    for (command, path) in [(instrumented, ""), (plain, folder.trim())] {
        let project = project();
        project.edit("server.py", "# Here a test puts what it is about.", code);
        let path = format!("PYTHONPATH={path}");
        let proxy = Proxy::dev(command).options(["--env", &path]);
        let warmed = Warmed::of(project, "server.py", proxy);
        warmed.is_never_prepared("opentelemetry.instrumentation.instrumentor");
    }
}

#[test]
fn tracing_that_patches_nothing_works() {
    let code = r"
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

exporter = InMemorySpanExporter()
provider = TracerProvider()
provider.add_span_processor(BatchSpanProcessor(exporter))
trace.set_tracer_provider(provider)
with trace.get_tracer('here').start_as_current_span('told'):
    pass
assert provider.force_flush()
assert [span.name for span in exporter.get_finished_spans()] == ['told']
";
    let warmed = with(code, &[]);
    warmed.warm_save("v1");
    warmed.warm_save("v2");
    assert_eq!(warmed.log.events("cold"), [] as [Value; 0]);
}

#[test]
fn code_that_minds_how_it_was_started_works() {
    let code = r#"
import asyncio
import multiprocessing
import os
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
    child = os.fork()
    if child == 0:
        import tabnanny

        os._exit(0)
    os.waitpid(child, 0)
    assert "tabnanny" not in sys.modules, "it is the child's"
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
fn a_changed_preloaded_module_is_loaded_anew() {
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
fn code_of_the_user_that_packages_load_is_never_loaded_ahead() {
    for (module, file) in [
        ("settings", "own/settings.py"),
        ("conf.settings", "own/conf/settings.py"),
    ] {
        let project = project();
        project.edit(
            "server.py",
            "# Here a test puts",
            "import ahead\nMARK += ahead.MARK  #",
        );
        let package = format!("from {module} import MARK");
        project.write(&format!("{PACKAGES}/ahead.py"), &package);
        project.write(file, "MARK = ''");
        let path = format!("PYTHONPATH={PACKAGES}:own");
        let proxy = Proxy::dev([python("python"), "server.py".into()]).options(["--env", &path]);
        let warmed = Warmed::of(project, "server.py", proxy);
        let cold = warmed.log.until("cold", 1).remove(0);
        let reason = cold["reason"].as_str().unwrap();
        assert!(reason.contains(file), "{reason}");
        warmed.project.write(file, "MARK = '!'");
        warmed.save("v1");
        warmed.log.until("reloaded", 1);
        assert_eq!(warmed.mark(), "v1!");
    }
}

#[test]
fn output_and_children_of_a_wrapper_are_not_taken_for_the_server() {
    let project = project();
    for tool in ["tool.py", "tools/server.py"] {
        project.write(tool, "import tabnanny");
    }
    let python = python_path("python").display().to_string();
    let text = format!(
        "#!/bin/sh\necho hello >&2\n{python} tool.py\n{python} tools/server.py </dev/null >/dev/null\n\
         exec {python} \"$@\"\n"
    );
    let command = vec![executable(&project, "python", &text), "server.py".into()];
    let warmed = Warmed::start(project, "server.py", command);
    warmed.warm_save("v1");
    warmed.warm_save("v2");
    assert_eq!(warmed.log.events("cold"), [] as [Value; 0]);
}

#[test]
fn imports_of_saved_code_are_preloaded_for_the_next() {
    let warmed = with("import json", &[("ahead.py", EARLY)]);
    warmed.warm_save("v1");
    let saved = |count: usize, from: &str, to: &str| {
        warmed.until_prepared();
        warmed.project.edit("server.py", from, to);
        warmed.log.until("reloaded", count);
    };
    saved(2, "import json\n\nif", "import ahead\n\nif");
    saved(3, "import ahead\n", "import ahead\nassert ahead.EARLY\n");
    assert_eq!(warmed.log.events("cold"), [] as [Value; 0]);
}

#[test]
fn code_that_runs_only_after_a_plain_start_gets_one_and_that_is_told() {
    let warmed = with(
        "import ahead\nassert not ahead.EARLY, 'too early'",
        &[("ahead.py", EARLY)],
    );
    for (count, mark) in [(1, "v1"), (2, "v2")] {
        warmed.until_prepared();
        warmed.cold_save(mark, "");
        let cold = warmed.log.until("cold", count);
        assert_eq!(cold[count - 1]["for_good"], count == 2, "{cold:?}");
    }
    assert_eq!(warmed.log.events("broken"), [] as [Value; 0]);
}

#[test]
fn a_process_that_is_not_found_is_told() {
    let project = project();
    // Without the content of its environment.
    let text = format!(
        "#!/bin/sh\nexec {} -E \"$@\"\n",
        python_path("python").display()
    );
    let command = vec![executable(&project, "python", &text), "server.py".into()];
    let warmed = Warmed::start(project, "server.py", command);
    let cold = warmed.log.until("cold", 1).remove(0);
    assert_eq!(cold["reason"], "the server's own process was not found");
    assert_eq!(cold["for_good"], true, "{cold}");
    warmed.cold_save("v1", "");
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
