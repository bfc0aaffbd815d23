//! Writes random modules for Node.js.

use std::fmt::Write as _;

use super::super::random::Random;
use super::{Kind, MODULES};

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
pub(super) fn program(random: &mut Random, kind: Kind, root: &str) -> Vec<(String, String)> {
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
