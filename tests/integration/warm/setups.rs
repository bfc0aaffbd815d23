//! Code that sets up its process before, between and behind its imports: each package sees the same in a prepared
//! process as after a plain start.

use serde_json::Value;

use super::random::Random;
use super::{Warmed, python};
use crate::harness::{Project, Proxy, processes_with_tag};

const PACKAGES: &str = "lib/site-packages";
/// Programs of the random test, one after the other; `MCP_PROXY_PROGRAMS` sets another number.
const PROGRAMS: u64 = 12;
const SEED: u64 = 20_261_128;

/// Packages that record their environment when they are imported.
const FILES: [(&str, &str); 11] = [
    (
        "keeps_loop.py",
        "import asyncio\nLOOP = asyncio.get_running_loop()\n",
    ),
    (
        "uses_loop.py",
        "import asyncio\nLOOP = asyncio.get_event_loop()\nassert LOOP.time() > 0\n",
    ),
    ("pkg_a.py", "import record\nSEEN = record.take()\n"),
    (
        "pkg_b.py",
        "import pkg_a\nimport record\nSEEN = record.take()\n",
    ),
    (
        "pkg_c.py",
        "import os\nos.environ['PKG_C'] = '1'\nimport warnings\nwarnings.filterwarnings('ignore', message='c')\nimport record\nSEEN = record.take()\n",
    ),
    (
        "pkg_d.py",
        "try:\n    import stub_e\nexcept ImportError:\n    pass\nimport record\nSEEN = record.take()\n",
    ),
    ("pkg_e/__init__.py", "import record\nSEEN = record.take()\n"),
    (
        "pkg_e/sub.py",
        "import pkg_b\nimport record\nSEEN = record.take()\n",
    ),
    (
        "pkg_f.py",
        "import sys\nsys.path.append('/of/pkg_f')\nimport json, logging\nimport record\nSEEN = record.take()\n",
    ),
    (
        "pkg_slow.py",
        "import record\nSEEN = record.take()\nimport time\ntime.sleep(float(record.SLOW))\n",
    ),
    (
        "pkg_dotenv.py",
        "import os\ndef load():\n    for line in open('.env'):\n        name, _, value = line.strip().partition('=')\n        os.environ[name] = value\n",
    ),
];

/// As frameworks do when they are run.
const IN_LOOP: &str =
    "import asyncio\nasync def main():\n    import pkg_b, pkg_slow\nasyncio.run(main())";
const IMPORTS: [&str; 11] = [
    "import pkg_a",
    "import pkg_b",
    "import pkg_c",
    "import pkg_d",
    "import pkg_e",
    "from pkg_e import sub",
    "import pkg_e.sub",
    "import pkg_f",
    "import own",
    IN_LOOP,
    "import asyncio\nasync def main():\n    import pkg_c\n    from pkg_e import sub\nasyncio.run(main())",
];

/// Statements that change the environment of a package.
const CHANGES: [&str; 16] = [
    "os.environ['OWN'] = 'set'",
    "os.environ.pop('BASE', None)",
    "os.environ['BASE'] = 'changed'",
    "os.putenv('UNSEEN', '1')",
    "import pkg_dotenv; pkg_dotenv.load()",
    "os.chdir('data')",
    "sys.modules['stub_e'] = None",
    "import types; sys.modules['stub_e'] = types.ModuleType('stub_e')",
    "import warnings; warnings.filterwarnings('error', message='own')",
    "import locale; locale.setlocale(locale.LC_ALL, 'C.UTF-8')",
    "import asyncio; asyncio.set_event_loop_policy(asyncio.DefaultEventLoopPolicy())",
    "sys.path.insert(0, os.path.abspath('data'))",
    "import builtins; builtins.test_own = 1",
    "import logging; logging.basicConfig(level=10)",
    "sys.setrecursionlimit(2000)",
    "open('own.txt', 'w').close()",
];

/// Two proxies before the same project: one prepares the next start, the other never does.
struct Pair {
    warm: Warmed,
    cold: Warmed,
    saves: usize,
    prepared: usize,
}

impl Pair {
    #[track_caller]
    fn start(program: &str) -> Self {
        let project = Project::new();
        for (name, text) in FILES {
            project.write(&format!("{PACKAGES}/{name}"), text);
        }
        project.copy("fixtures/warm/record.py", &format!("{PACKAGES}/record.py"));
        project.copy("fixtures/warm/serve.py", "serve.py");
        project.write("own.py", "import os\nHERE = os.getcwd()\n");
        project.write(".env", "FROM_FILE=1\n");
        project.write("data/.env", "FROM_FILE=2\n");
        project.write("server.py", &text("v0", program));
        let proxy = || {
            Proxy::dev([python("python"), "server.py".into(), "--port".into()]).options([
                "--env",
                "BASE=1",
                "--env",
                &format!("PYTHONPATH={PACKAGES}"),
            ])
        };
        let cold = Warmed::beside(&project, "server.py", proxy().option("--no-warm"));
        let warm = Warmed::of(project, "server.py", proxy());
        Self {
            warm,
            cold,
            saves: 0,
            prepared: 0,
        }
    }

    /// Saves a program once the standby is ready, and compares the observations of its packages.
    #[track_caller]
    fn save(&mut self, program: &str) {
        self.warm.until_prepared();
        let before = processes_with_tag(self.warm.peer.tag());
        self.saves += 1;
        let mark = format!("v{}", self.saves);
        let server = text(&mark, program);
        self.warm.project.save("server.py", &server);
        for proxy in [&self.warm, &self.cold] {
            proxy.log.until("reloaded", self.saves);
        }
        let pid = self.warm.newest();
        self.prepared += usize::from(before.iter().any(|(it, _)| *it == pid));
        self.compare(&mark, program);
    }

    #[track_caller]
    fn compare(&self, mark: &str, program: &str) {
        let (expected, found) = (self.cold.ask("look"), self.warm.ask("look"));
        let log = || self.warm.log.text();
        assert_eq!(found["mark"], mark, "{program}\n{}", log());
        for part in ["order", "own"] {
            assert_eq!(found[part], expected[part], "{program}\n{}", log());
        }
        for (package, seen) in expected["packages"].as_object().unwrap() {
            for (part, seen) in seen.as_object().unwrap() {
                let here = &found["packages"][package][part];
                assert_eq!(here, seen, "{part} of {package} in:\n{program}\n{}", log());
            }
        }
    }
}

fn text(mark: &str, program: &str) -> String {
    format!(
        "MARK = \"{mark}\"\nimport os, sys\nimport serve\n{program}\n\
         serve.serve(MARK, [os.environ.get('PKG_C'), 'pkg_a' in sys.modules, 'pkg_b' in sys.modules])\n"
    )
}

#[test]
fn a_package_sees_the_setup_before_its_import() {
    let plain = "import pkg_a\nimport pkg_d";
    let mut pair = Pair::start(plain);
    for change in CHANGES {
        let changed = format!("{change}\n{plain}");
        // The edit brings it, the next one keeps it, and the last one takes it away.
        for program in [&changed, &changed, plain] {
            pair.save(program);
        }
    }
    assert!(pair.prepared > pair.saves / 2, "{}", pair.prepared);
    for cold in pair.warm.log.events("cold") {
        assert_eq!(cold["for_good"], false, "{cold}");
    }
}

#[test]
fn setup_between_imports_is_seen_by_the_later_one_and_leaves_the_first_warm() {
    let mut pair = Pair::start("import pkg_c\nos.environ['OWN'] = '1'\nimport pkg_b");
    for _ in 0..4 {
        pair.save("import pkg_c\nos.environ['OWN'] = '1'\nimport pkg_b");
    }
    assert_eq!(pair.prepared, 4, "{}", pair.warm.log.text());
    assert_eq!(pair.warm.log.events("cold"), [] as [Value; 0]);
}

#[test]
fn imports_within_an_event_loop_are_preloaded_too() {
    const SLOW: f64 = 4000.0;
    let mut pair = Pair::start(IN_LOOP);
    let record = format!("{PACKAGES}/record.py");
    pair.warm.project.edit(&record, "SLOW = 0", "SLOW = 4");
    for _ in 0..3 {
        pair.save(IN_LOOP);
    }
    let took = |proxy: &Warmed| {
        let reloaded = proxy.log.until("reloaded", 3).remove(2);
        reloaded["took_ms"].as_f64().unwrap()
    };
    assert!(took(&pair.cold) > SLOW);
    assert!(took(&pair.warm) < SLOW, "{}", pair.warm.log.text());
    assert_eq!(pair.prepared, 3);
}

#[test]
fn a_package_that_uses_the_event_loop_is_not_prepared() {
    for package in ["keeps_loop", "uses_loop"] {
        let program = format!(
            "import asyncio\nasync def main():\n    import {package}\n    \
             assert {package}.LOOP is asyncio.get_running_loop()\nasyncio.run(main())"
        );
        let pair = Pair::start(&program);
        let cold = pair.warm.log.until("cold", 1).remove(0);
        let reason = cold["reason"].as_str().unwrap();
        assert!(reason.contains("uses the event loop"), "{reason}");
        pair.warm.save("v1");
        pair.warm.log.until("reloaded", 1);
        assert_eq!(pair.warm.ask("look")["mark"], "v1");
    }
}

fn program(random: &mut Random) -> String {
    let mut lines: Vec<&str> = Vec::new();
    for _ in 0..2 + random.below(4) {
        lines.push(random.of(&IMPORTS));
    }
    for _ in 0..random.below(3) {
        let at = usize::try_from(random.below(lines.len() as u64 + 1)).unwrap();
        lines.insert(at, random.of(&CHANGES));
    }
    lines.join("\n")
}

#[test]
fn random_programs_see_the_same_warm_and_cold() {
    let count = std::env::var("MCP_PROXY_PROGRAMS").map_or(PROGRAMS, |it| it.parse().unwrap());
    let mut random = Random(SEED);
    let mut text = program(&mut random);
    let mut pair = Pair::start(&text);
    pair.compare("v0", &text);
    for _ in 0..count {
        // Now and then only the mark differs, as in most edits.
        if !random.one_in(3) {
            text = program(&mut random);
        }
        pair.save(&text);
    }
    eprintln!(
        "{} of {} saves were prepared for",
        pair.prepared, pair.saves
    );
    assert!(pair.prepared * 4 > pair.saves, "{}", pair.prepared);
}

/// A module that runs as the program is never imported ahead of it.
#[test]
fn a_program_in_a_package_runs_once() {
    const MAIN: &str = "import os\nopen(os.environ['RUNS'], 'a').write('x')\nimport sys\nsys.path.insert(0, os.getcwd())\nimport serve\nimport settings\nserve.serve(settings.MARK, [])\n";
    for (module, file) in [
        ("tool", "tool/__main__.py"),
        ("tool.inner", "tool/inner/__main__.py"),
        ("tool.program", "tool/program.py"),
    ] {
        let project = Project::new();
        for package in ["tool", "tool/inner"] {
            project.write(&format!("{PACKAGES}/{package}/__init__.py"), "");
        }
        project.write(&format!("{PACKAGES}/{file}"), MAIN);
        project.copy("fixtures/warm/serve.py", "serve.py");
        project.write("settings.py", "MARK = \"v0\"\n");
        let runs = project.path("runs.txt");
        let proxy = Proxy::dev([python("python"), "-m".into(), module.into()])
            .options(["--env", &format!("PYTHONPATH={PACKAGES}")])
            .options(["--env", &format!("RUNS={}", runs.display())]);
        let warmed = Warmed::of(project, "settings.py", proxy);
        for (count, mark) in [(1, "v1"), (2, "v2")] {
            warmed.until_prepared();
            warmed.save(mark);
            warmed.log.until("reloaded", count);
            assert_eq!(warmed.ask("look")["mark"], mark);
        }
        let ran = warmed.project.read("runs.txt").len();
        assert_eq!(ran, 3, "{module}: {}", warmed.log.text());
    }
}

/// The error that a tool gives, which `FastMCP` masks if the variable is set when it is imported.
#[test]
fn fastmcp_masks_errors_after_a_save_as_before() {
    let project = Project::new();
    let text = |mark: &str| {
        format!(
            "import os\nos.environ['FASTMCP_MASK_ERROR_DETAILS'] = 'true'\nfrom fastmcp import FastMCP\n\
             MARK = \"{mark}\"\nmcp = FastMCP('masks')\n@mcp.tool\ndef boom() -> str:\n    raise RuntimeError('secret')\n\
             mcp.run(show_banner=False)\n"
        )
    };
    project.write("server.py", &text("v0"));
    let proxy = Proxy::dev([python("python"), "server.py".into()]);
    let warmed = Warmed::of(project, "server.py", proxy);
    for save in 1..=3 {
        let answer = warmed.peer.call("boom", &serde_json::json!({})).line;
        assert!(answer.contains("Error calling tool 'boom'\""), "{answer}");
        assert!(!answer.contains("secret"), "{answer}");
        warmed.until_prepared();
        warmed.project.save("server.py", &text(&format!("v{save}")));
        warmed.log.until("reloaded", save);
    }
    assert_eq!(warmed.log.events("cold"), [] as [Value; 0]);
}
