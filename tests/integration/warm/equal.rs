//! A standby sees exactly the environment of a plain start of the same command.

use std::ffi::OsString;

use serde_json::Value;

use super::{Warmed, executable, project, python, python_path};
use crate::harness::{Project, Proxy};

#[track_caller]
fn all_alike(make: impl Fn(&Project) -> Vec<OsString>, source: &'static str) {
    let project = project();
    let command = make(&project);
    super::all_alike(
        project,
        source,
        || Proxy::dev(command.clone()),
        assert_same_modules,
    );
}

/// The same modules are loaded in the same order.
#[track_caller]
fn assert_same_modules(expected: &Value, found: &Value, which: &str) {
    let names = |told: &Value| {
        let modules = told["modules"].as_array().unwrap().iter();
        let names = modules.map(|it| it.as_str().unwrap().to_owned());
        // The user's own modules are loaded later, and the module that loads the bootstrap is done only after it.
        names
            .filter(|name| {
                !["look", "server", "fast", "server_module", "site"].contains(&name.as_str())
            })
            .collect::<Vec<_>>()
    };
    let (expected, found) = (names(expected), names(found));
    if let Some(at) =
        (0..expected.len().max(found.len())).find(|at| expected.get(*at) != found.get(*at))
    {
        let of = |names: &[String]| {
            names[at.saturating_sub(1)..]
                .iter()
                .take(5)
                .cloned()
                .collect::<Vec<_>>()
        };
        panic!(
            "{which}: modules from {at} on: {:?} instead of {:?}",
            of(&found),
            of(&expected)
        );
    }
}

fn words<const N: usize>(words: [&str; N]) -> Vec<OsString> {
    words.map(Into::into).to_vec()
}

#[track_caller]
fn with_python<const N: usize>(arguments: [&str; N]) -> Vec<OsString> {
    [vec![python("python")], words(arguments)].concat()
}

#[track_caller]
fn with_uv<const N: usize>(arguments: [&str; N]) -> Vec<OsString> {
    let python = python("python");
    let base = ["run", "--no-project", "--offline", "--python"];
    [
        vec![python_path("uv").into()],
        words(base),
        vec![python],
        words(arguments),
    ]
    .concat()
}

/// A program of the project, as pip writes them.
#[track_caller]
fn console_script(project: &Project, path: &str, options: &str) -> OsString {
    let interpreter = python_path("python");
    let text = format!(
        "#!{} {options}\nimport sys\nsys.path.insert(0, '{}')\nfrom server import main\nsys.exit(main())\n",
        interpreter.display(),
        project.root().display()
    );
    executable(project, path, &text)
}

macro_rules! alike {
    ($($name:ident: $source:literal $make:expr;)*) => {
        $(#[test]
        fn $name() {
            all_alike($make, $source);
        })*
    };
}

alike! {
    a_script: "server.py" |_| with_python(["server.py", "--port", "1"]);
    a_script_elsewhere: "server.py" |project| {
        vec![python("python"), project.path("server.py").into()]
    };
    a_module: "server.py" |_| with_python(["-m", "server", "x"]);
    a_script_with_options: "server.py" |_| with_python(["-u", "-OO", "-X", "dev", "-Wignore", "server.py"]);
    a_script_of_fastmcp: "fast.py" |_| with_python(["fast.py"]);
    fastmcp_run: "fast.py" |_| [vec![python("fastmcp")], words(["run", "--no-banner", "fast.py"])].concat();
    fastmcp_run_of_an_object: "fast.py" |_| {
        [vec![python("fastmcp")], words(["run", "--no-banner", "fast.py:mcp"])].concat()
    };
    uv_run_of_a_script: "server.py" |_| with_uv(["server.py", "1"]);
    uv_run_of_a_module: "server.py" |_| with_uv(["-m", "server"]);
    uv_run_of_python: "server.py" |_| with_uv(["python", "-B", "server.py"]);
    a_console_script: "server.py" |project| vec![console_script(project, "bin/look", "-u"), "1".into()];
}

#[test]
fn a_script_with_a_python_path_and_a_sitecustomize() {
    for original in ["", ":", "/no/such::more:", "more"] {
        let project = project();
        project.write("more/extra.py", "");
        let command = with_python(["server.py"]);
        let variable = format!("PYTHONPATH={original}");
        let proxy = || Proxy::dev(command.clone()).options(["--env", &variable]);
        super::all_alike(project, "server.py", proxy, assert_same_modules);
    }
}

/// As in the Python of Debian, whose `sitecustomize` is a link to a file in /etc.
#[test]
fn a_linked_sitecustomize_of_the_packages_leaves_it_warm() {
    let project = project();
    let hook = "import builtins\n\nbuiltins.hooked = 'v1'\n";
    project.write("etc/sitecustomize.py", hook);
    project.write("lib/site-packages/other.py", "");
    let link = project.path("lib/site-packages/sitecustomize.py");
    std::os::unix::fs::symlink(project.path("etc/sitecustomize.py"), link).unwrap();
    let line = "# Here a test puts what it is about.";
    project.edit("server.py", line, "MARK += hooked");
    let proxy = Proxy::dev(with_python(["server.py"]));
    let proxy = proxy.options(["--env", "PYTHONPATH=lib/site-packages"]);
    let warmed = Warmed::of(project, "server.py", proxy);
    let save = |mark: &str| {
        let reloads = warmed.log.events("reloaded").len();
        warmed.until_prepared();
        warmed.save(mark);
        warmed.log.until("reloaded", reloads + 1);
        warmed.mark()
    };
    assert_eq!(save("a"), "av1");
    assert_eq!(save("b"), "bv1");
    let hook = hook.replace("v1", "v22");
    warmed.project.write("etc/sitecustomize.py", &hook);
    assert_eq!(save("c"), "cv22");
    assert_eq!(warmed.log.events("cold"), [] as [Value; 0]);
}
