//! Random programs for Node.js, one saved in place of another: each package sees the same when it is loaded,
//! whether the process was prepared or not.
//!
//! `MCP_PROXY_CASES` saves are made for each kind of program, from `MCP_PROXY_SEED` on.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::node::project;
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

struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % end
    }

    fn one_in(&mut self, count: u64) -> bool {
        self.below(count) == 0
    }

    fn of<'a>(&mut self, choices: &[&'a str]) -> &'a str {
        choices[usize::try_from(self.below(choices.len() as u64)).unwrap()]
    }
}

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

/// Writes one module after another.
struct Author<'a> {
    random: &'a mut Random,
    kind: Kind,
    root: String,
    names: u64,
    /// Whether modules begin with packages, then come others, then the rest.
    is_tidy: bool,
}

impl Author<'_> {
    fn name(&mut self) -> String {
        self.names += 1;
        format!("n{}", self.names)
    }

    /// A statement that loads `target`, a package or a file.
    fn load(&mut self, target: &str, is_package: bool) -> String {
        let it = self.name();
        let quoted = self.random.of(&["'", "\""]);
        let target = format!("{quoted}{target}{quoted}");
        if self.kind == Kind::CommonJs {
            return match self.random.below(if self.is_tidy { 5 } else { 8 }) {
                0 => format!("require({target});"),
                1 => format!("const {it} = require({target})"),
                2 => format!("const {{ name: {it} }} = require({target}); // it's one"),
                3 => format!("var {it} = require({target}).name, {it}b = require({target});"),
                4 => format!("/* first */ let {it} = require({target});"),
                5 => format!("if (process.pid) require({target});"),
                6 => format!("const {it} = [require({target})];"),
                _ => format!("function {it}() {{ return require({target}); }}\n{it}();"),
            };
        }
        let used = if self.kind == Kind::TypeScript && !self.random.one_in(6) {
            format!("\nBoolean({it});")
        } else {
            String::new()
        };
        match self.random.below(if self.is_tidy { 6 } else { 8 }) {
            1 => format!("import * as {it} from {target};{used}"),
            2 if is_package => format!("import {{ name as {it} }} from {target};{used}"),
            3 if is_package => {
                format!("import {{\n    // don't\n    name as {it},\n}} from {target}{used}")
            }
            4 if is_package => format!("export {{ name as {it} }} from {target};"),
            5 => format!("import/**/{target}"),
            6 => format!("await import({target});"),
            7 if self.kind == Kind::TypeScript && is_package => {
                format!("import type {it} from {target};")
            }
            _ => format!("import {target};"),
        }
    }

    /// A statement that a package may see something of.
    fn effect(&mut self) -> String {
        let (number, root) = (self.random.below(9) + 1, self.root.clone());
        let builtin = |name: &str| match self.kind {
            Kind::CommonJs => format!("require('node:{name}')"),
            _ => format!("(await import('node:{name}')).default"),
        };
        match self.random.below(13) {
            0 => format!("process.env.V{number} = 'set';"),
            1 => "delete process.env.BASE;".to_owned(),
            2 => format!("process.chdir('{root}/sub');"),
            3 => format!("globalThis.g{number} = 1;"),
            4 => format!(
                "{}.rmSync = function patched{number}() {{}};",
                builtin("fs")
            ),
            5 => format!(
                "Object.defineProperty(Array.prototype, 'q{number}', {{ value: 1, configurable: true }});"
            ),
            6 => format!("Error.stackTraceLimit = 2{number};"),
            7 => format!(
                "for (const it of {}.readFileSync('{root}/.env', 'utf8').trim().split('\\n')) process.env[it.split('=')[0]] = it;",
                builtin("fs")
            ),
            8 => format!("process.loadEnvFile?.('{root}/.env');"),
            9 => "process.on('SIGUSR2', () => {});".to_owned(),
            10 => "process.umask(0o27);".to_owned(),
            11 => format!("console.debug = function patched{number}() {{}};"),
            _ => match self.kind {
                Kind::CommonJs => format!("require('p0').settings.value = {number};"),
                _ => format!("(await import('p0')).default.settings.value = {number};"),
            },
        }
    }

    fn package(&mut self) -> String {
        let number = match self.kind {
            Kind::CommonJs => self.random.below(3) * 2,
            // Few packages wait for something.
            _ if self.random.one_in(30) => 5,
            _ => self.random.below(5),
        };
        format!("p{number}")
    }

    /// Another module of the program, of those with a higher number.
    fn other(&mut self, number: u64) -> Option<String> {
        let left = MODULES.checked_sub(number).filter(|left| *left > 0)?;
        let other = number + self.random.below(left);
        if self.kind != Kind::CommonJs && self.random.one_in(4) {
            return Some("./common.cjs".to_owned());
        }
        Some(format!("./m{other}.{}", self.kind.named()))
    }

    /// The text of the module with this number, of which the entry has 0.
    fn module(&mut self, number: u64) -> String {
        let mut first = Vec::new();
        for _ in 0..self.random.below(4) {
            let package = self.package();
            first.push(self.load(&package, true));
        }
        let mut then = Vec::new();
        for _ in 0..self.random.below(3) {
            if let Some(other) = self.other(number) {
                then.push(self.load(&other, false));
            }
        }
        let mut last = Vec::new();
        for _ in 0..self.random.below(3) {
            last.push(self.effect());
        }
        if self.random.one_in(2) {
            let name = self.name();
            last.push(format!("const {name} = 1;"));
        }
        let mut lines = [first, then, last].concat();
        if !self.is_tidy {
            for at in (1..lines.len()).rev() {
                let with = self.random.below(at as u64 + 1);
                lines.swap(at, usize::try_from(with).unwrap());
            }
        }
        let mut text = self
            .random
            .of(&["", "'use strict';\n", "// It's a program.\n\n"])
            .to_owned();
        for line in lines {
            let _ = writeln!(text, "{line}");
        }
        text
    }
}

/// The files of a program.
fn program(random: &mut Random, kind: Kind, root: &str) -> Vec<(String, String)> {
    let is_tidy = !random.one_in(3);
    let mut author = Author {
        random,
        kind,
        root: root.to_owned(),
        names: 0,
        is_tidy,
    };
    let ending = kind.ending();
    let mut files: Vec<_> = (0..MODULES)
        .map(|number| (format!("m{number}.{ending}"), author.module(number + 1)))
        .collect();
    if kind != Kind::CommonJs {
        author.kind = Kind::CommonJs;
        files.push(("common.cjs".to_owned(), author.module(MODULES)));
        author.kind = kind;
    }
    files.push((format!("server.{ending}"), author.module(0)));
    files
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
    let cases = setting("MCP_PROXY_CASES", 4);
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
    assert!(all.warm * 3 >= cases && all.ahead > 0, "{all:?}");
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
