//! Random programs for Node.js, one saved in place of another: each package sees the same when it is loaded,
//! whether the process was prepared or not.
//!
//! `MCP_PROXY_CASES` saves are made for each kind of program, from `MCP_PROXY_SEED` on.

use std::fmt::Write as _;
mod author;

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use self::author::program;
use super::node::project;
use super::random::Random;
use crate::harness::suite::node;
use crate::harness::{DEADLINE, Log, Peer, Project, Proxy, initialize_params, processes_with_tag};

/// As many saves a proxy sees.
const SESSION: u64 = 10;
/// As many modules a program has besides its entry.
const MODULES: u64 = 4;

/// Packages with the text of each. Those of even numbers can be required. Which modules there are is told by `CommonJS` only:
/// all that ES modules will ever import is known before the first of them runs.
const PACKAGES: [&str; 6] = [
    "const settings = { value: 0 };
     require('witness').witness('p0', { asker: module.parent?.filename, main: require.main?.filename });
     exports.name = 'p0';
     exports.settings = settings;",
    "import witness from 'witness';
     import { settings } from 'p0';
     witness.witness('p1', { settings: { ...settings } });
     export const name = 'p1';
     export default name;",
    "const { settings } = require('p0');
     require('witness').witness('p2', { settings: { ...settings }, cached: require.main && Object.keys(require.cache).filter((file) => !file.includes('warm')).sort() });
     exports.name = 'p2';",
    "import 'p2';
     import witness from 'witness';
     import 'p1';
     witness.witness('p3');
     export const name = 'p3';
     export default name;",
    "process.env.P4 = 'set by p4';
     globalThis.fourth = 4;
     require('witness').witness('p4', { exit: process.exit === global.process.exit });
     exports.name = 'p4';",
    "import witness from 'witness';
     import 'p0';
     witness.witness('p5');
     await Promise.resolve();
     witness.witness('p5, later');
     export const name = 'p5';
     export default name;",
];

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    EsModule,
    CommonJs,
    TypeScript,
}

impl Kind {
    fn ending(self) -> &'static str {
        match self {
            Self::EsModule => "mjs",
            Self::CommonJs => "cjs",
            Self::TypeScript => "mts",
        }
    }

    /// How a module names another one's file.
    fn named(self) -> &'static str {
        if self == Self::TypeScript {
            "mjs"
        } else {
            self.ending()
        }
    }

    fn command(self, version: u64) -> Vec<std::ffi::OsString> {
        let node = if version == 0 { "node".into() } else { node() };
        let options: &[&str] = match self {
            Self::TypeScript => &["--import", "tsx"],
            _ => &[],
        };
        let entry = format!("server.{}", self.ending());
        let words = options
            .iter()
            .map(Into::into)
            .chain([entry.into(), "1".into()]);
        std::iter::once(node).chain(words).collect()
    }
}

/// A proxy in front of the programs.
struct Side {
    peer: Peer,
    log: Log,
}

impl Side {
    #[track_caller]
    fn start(project: &Project, proxy: Proxy, entry: &str) -> Self {
        let log = Log::new();
        let proxy = proxy
            .options(["--meta-tools", "none", "--watch", entry])
            .options(["--env", "BASE=1", "--env", "TSX_DISABLE_CACHE=1"]);
        let peer = log.written_by(proxy).within(project).spawn();
        peer.initialize(&initialize_params()).result();
        log.until("ready", 1);
        Self { peer, log }
    }

    #[track_caller]
    fn look(&self) -> Value {
        let answer = self.peer.call("look", &json!({}));
        answer.result()["structuredContent"].clone()
    }

    /// Waits until something is prepared, or is known not to be.
    #[track_caller]
    fn until_settled(&self) {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let text = self.log.text();
            let newest = |name: &str| text.rfind(&format!(r#""event":"{name}""#));
            let live = newest("ready").max(newest("reloaded"));
            if newest("standby").max(newest("cold")) > live || text.contains(r#""for_good":true"#) {
                return;
            }
            assert!(Instant::now() < deadline, "nothing is prepared:\n{text}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |value| value.parse().unwrap())
}

#[track_caller]
fn write(project: &Project, files: &[(String, String)], mark: u64) {
    let (entry, others) = files.split_last().unwrap();
    for (file, text) in others {
        project.write(file, text);
    }
    let is_common = others.iter().all(|(file, _)| file != "common.cjs");
    let last = if is_common {
        "require('./serve.cjs').run(MARK);"
    } else {
        "import serve from './serve.cjs';\nserve.run(MARK);"
    };
    project.save(
        &entry.0,
        &format!("{}const MARK = {mark};\n{last}\n", entry.1),
    );
}

/// Tells which packages saw something else.
fn difference(expected: &Value, found: &Value) -> String {
    let names = |seen: &Value| {
        let seen = seen.as_array().unwrap().iter();
        seen.map(|it| it["name"].clone()).collect::<Vec<_>>()
    };
    let (order, other) = (names(expected), names(found));
    if order != other {
        return format!("{other:?} instead of {order:?}");
    }
    let mut text = String::new();
    for (expected, found) in expected
        .as_array()
        .unwrap()
        .iter()
        .zip(found.as_array().unwrap())
    {
        for (member, value) in expected.as_object().unwrap() {
            if found[member] != *value {
                let name = &expected["name"];
                let _ = writeln!(
                    text,
                    "{name} saw {member} as {} instead of {value}",
                    found[member]
                );
            }
        }
    }
    text
}

/// The saves that were made, how many of them went live warm, and how many packages those had loaded ahead.
#[derive(Debug, Default)]
struct Found {
    saves: u64,
    warm: u64,
    ahead: u64,
}

/// Saves one program after the other, until the server is cold for good.
#[track_caller]
fn session(kind: Kind, random: &mut Random, version: u64, saves: u64) -> Found {
    let project = project();
    let root = project.root().to_str().unwrap().to_owned();
    for (number, text) in PACKAGES.iter().enumerate() {
        let ending = ["cjs", "mjs"][number % 2];
        project.write(&format!("node_modules/p{number}/index.{ending}"), text);
        let description = format!(r#"{{"name": "p{number}", "exports": "./index.{ending}"}}"#);
        project.write(
            &format!("node_modules/p{number}/package.json"),
            &description,
        );
    }
    project.write(
        "serve.cjs",
        "const { seen, count } = require('witness');
         exports.run = (mark) => require('./look.cjs').serve('2025-06-18', () => ({ mark, seen, ahead: count.ahead }));",
    );
    project.write(".env", "FROM_FILE=1\nV1=file\n");
    project.write("sub/x", "");
    let entry = format!("server.{}", kind.ending());
    let mut files = program(random, kind, &root);
    write(&project, &files, 0);
    let proxy = || Proxy::dev(kind.command(version));
    let plain = Side::start(&project, proxy().option("--no-warm"), &entry);
    let warmed = Side::start(&project, proxy(), &entry);
    let mut found = Found::default();
    for save in 1..=saves {
        warmed.until_settled();
        let before = processes_with_tag(warmed.peer.tag());
        let mut next = program(random, kind, &root);
        let at = usize::try_from(random.below(next.len() as u64)).unwrap();
        match random.below(3) {
            0 => files = next,
            1 => files[at] = next.swap_remove(at),
            _ => files[at].1 += "process.env.LAST = 'set';\n",
        }
        write(&project, &files, save);
        let count = usize::try_from(save).unwrap();
        plain.log.until("reloaded", count);
        warmed.log.until("reloaded", count);
        let (expected, told) = (plain.look(), warmed.look());
        assert_eq!(told["mark"], save);
        let difference = difference(&expected["seen"], &told["seen"]);
        let log = warmed.log.text();
        assert!(
            difference.is_empty(),
            "save {save}: {difference}\n{files:#?}\n{log}"
        );
        let pid = &warmed.log.events("spawned").pop().unwrap()["pid"];
        if before.iter().any(|(it, _)| *pid == *it) {
            found.warm += 1;
            found.ahead += told["ahead"].as_u64().unwrap();
        }
        found.saves += 1;
        if warmed.log.text().contains(r#""for_good":true"#) {
            break;
        }
    }
    found
}

#[track_caller]
fn all_see_the_same(kind: Kind) {
    let cases = setting("MCP_PROXY_CASES", 12);
    let mut random = Random(setting("MCP_PROXY_SEED", 20).wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    let mut all = Found::default();
    for version in (0..=1).cycle() {
        let saves = SESSION.min(cases - all.saves);
        if saves == 0 {
            break;
        }
        let found = session(kind, &mut random, version, saves);
        all.saves += found.saves;
        all.warm += found.warm;
        all.ahead += found.ahead;
    }
    eprintln!("{}: {all:?}", kind.ending());
    assert!(all.warm * 4 >= cases && all.ahead > 0, "{all:?}");
}

#[test]
fn packages_of_random_es_modules_see_the_same() {
    all_see_the_same(Kind::EsModule);
}

#[test]
fn packages_of_random_common_js_modules_see_the_same() {
    all_see_the_same(Kind::CommonJs);
}

#[test]
fn packages_of_random_modules_in_typescript_see_the_same() {
    all_see_the_same(Kind::TypeScript);
}
