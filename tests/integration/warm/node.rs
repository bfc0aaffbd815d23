//! As `equal` and `unlike`, for Node.js.

use std::ffi::OsString;
use std::os::unix::fs::symlink;

use serde_json::Value;

use super::{Warmed, environment, executable};
use crate::harness::{Project, Proxy, peers};

/// A project with servers for Node.js and the packages that the tests have installed.
#[track_caller]
pub(super) fn project() -> Project {
    filled(Project::new())
}

fn filled(project: Project) -> Project {
    for name in ["look.cjs", "server.mjs", "server.cjs", "server.mts"] {
        project.copy(&format!("fixtures/warm/{name}"), name);
    }
    let scripts = r#"{"start": "node server.mjs --port"}"#;
    project.write(
        "package.json",
        &format!(r#"{{"name": "here", "private": true, "scripts": {scripts}}}"#),
    );
    // As an installation lays it out: packages are real folders here.
    std::fs::create_dir_all(project.path("node_modules/.bin")).unwrap();
    let modules = peers().join("node/node_modules").canonicalize().unwrap();
    for entry in std::fs::read_dir(&modules).unwrap().flatten() {
        let name = entry.file_name();
        if name != ".bin" {
            symlink(entry.path(), project.path("node_modules").join(name)).unwrap();
        }
    }
    symlink(
        modules.join(".bin/tsx"),
        project.path("node_modules/.bin/tsx"),
    )
    .unwrap();
    project.write("node_modules/witness/package.json", "{}");
    project.copy("fixtures/warm/witness.cjs", "node_modules/witness/index.js");
    project.write("cli.mjs", "#!/usr/bin/env node\nimport './server.mjs';\n");
    let executable: std::fs::Permissions = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(project.path("cli.mjs"), executable).unwrap();
    symlink("../../cli.mjs", project.path("node_modules/.bin/look")).unwrap();
    project
}

fn words(line: &str) -> Vec<OsString> {
    line.split(' ').map(Into::into).collect()
}

#[track_caller]
fn all_alike(line: &str, source: &'static str) {
    // The first start would leave something for the second.
    let proxy = || Proxy::dev(words(line)).options(["--env", "TSX_DISABLE_CACHE=1"]);
    super::all_alike(project(), source, proxy, |_, _, _| {});
}

macro_rules! alike {
    ($($name:ident: $source:literal $line:literal;)*) => {
        $(#[test]
        fn $name() {
            all_alike($line, $source);
        })*
    };
}

alike! {
    an_es_module: "server.mjs" "node server.mjs --port 1";
    a_common_js_module: "server.cjs" "node --enable-source-maps ./server.cjs 1";
    a_package_script: "server.mjs" "node_modules/.bin/look 1";
    npx_of_a_local_package: "server.mjs" "npx look 1";
    tsx: "server.mts" "node_modules/.bin/tsx server.mts 1";
    a_script_of_package_json: "server.mjs" "npm run --silent start -- 1";
    a_script_whose_command_is_printed_first: "server.mjs" "npm start 1";
    npx_tsx: "server.mts" "npx tsx server.mts";
    node_with_tsx: "server.mts" "node --import tsx server.mts";
}

/// On macOS the folder for temporary files is `/var/folders/…`, and `/var` is a symlink, which Node.js resolves.
#[test]
fn a_folder_for_temporary_files_below_a_symlink() {
    let real = tempfile::tempdir().unwrap();
    let room = tempfile::tempdir().unwrap();
    let link = room.path().join("var");
    symlink(real.path(), &link).unwrap();
    let proxy = || Proxy::dev(words("node server.mjs")).env("TMPDIR", &link);
    super::all_alike(project(), "server.mjs", proxy, |_, _, _| {});
}

/// An ES module whose source has `code` in it, with a package of this text.
#[track_caller]
fn with(code: &str, package: &str) -> Warmed {
    with_ahead(project(), code, package)
}

#[track_caller]
fn with_ahead(project: Project, code: &str, package: &str) -> Warmed {
    let text = project.read("server.mjs");
    project.write(
        "server.mjs",
        &format!("import * as ahead from 'ahead';\n{text}\n{code}"),
    );
    project.write(
        "node_modules/ahead/package.json",
        r#"{"name": "ahead", "exports": {"import": "./ahead.mjs", "require": "./x.cjs"}}"#,
    );
    project.write("node_modules/ahead/ahead.mjs", package);
    Warmed::of(project, "server.mjs", Proxy::dev(words("node server.mjs")))
}

#[test]
fn code_that_starts_threads_and_processes_works() {
    let code = r"
import { Worker } from 'node:worker_threads';
import { execFileSync } from 'node:child_process';

setInterval(() => {
    new Worker('', { eval: true }).on('error', () => process.exit(3)).on('exit', () => console.error('one more'));
}, 100).unref();
const options = execFileSync(process.execPath, ['-p', 'process.env.NODE_OPTIONS'], { encoding: 'utf8' }).trim();
if (options !== 'undefined') throw new Error(options);
";
    let warmed = with(code, "export const x = 1;");
    for mark in ["v1", "v2"] {
        warmed.warm_save(mark);
    }
    // Workers are started although the process that taught the preload list is gone.
    warmed.until_prepared();
    let workers = warmed.log.events("stderr").len();
    warmed.log.until("stderr", workers + 5);
    assert_eq!(warmed.mark(), "v2");
    assert_eq!(warmed.log.events("exited"), [] as [Value; 0]);
}

/// Packages that change modules loaded after them, as servers use them, each with the expected result.
const HOOKED: [(&str, &str, &str); 4] = [
    (
        "server.cjs",
        "@opentelemetry/instrumentation",
        r"
const { InstrumentationBase, InstrumentationNodeModuleDefinition } = require('@opentelemetry/instrumentation');
class OfZod extends InstrumentationBase {
    constructor() {
        super('of-zod', '1', {});
    }
    init() {
        return new InstrumentationNodeModuleDefinition('zod', ['*'], (zod) => ({ ...zod, isHooked: true }));
    }
}
new OfZod();
if (!require('zod').isHooked) throw new Error('zod is as it was');
",
    ),
    (
        "server.mjs",
        "@opentelemetry/instrumentation",
        r"
import { register } from 'node:module';
import { InstrumentationBase, InstrumentationNodeModuleDefinition } from '@opentelemetry/instrumentation';
class OfExpress extends InstrumentationBase {
    constructor() {
        super('of-express', '1', {});
    }
    init() {
        return new InstrumentationNodeModuleDefinition('express', ['*'], (express) => {
            express.default.isHooked = true;
            return express;
        });
    }
}
register('@opentelemetry/instrumentation/hook.mjs', import.meta.url);
new OfExpress();
const { default: express } = await import('express');
if (!express.isHooked) throw new Error('express is as it was');
",
    ),
    (
        "server.cjs",
        "@sentry/server-runtime-injection",
        r"
require('@sentry/node').init({ dsn: 'http://key@127.0.0.1:1/1' });
require('express');
if (!globalThis.__SENTRY_ORCHESTRION__.runtime.includes('router')) throw new Error('express is as it was');
",
    ),
    (
        "server.mjs",
        "@sentry/server-runtime-injection",
        r"
import { init } from '@sentry/node';
init({ dsn: 'http://key@127.0.0.1:1/1' });
await import('express');
if (!globalThis.__SENTRY_ORCHESTRION__.runtime.includes('router')) throw new Error('express is as it was');
",
    ),
];

#[test]
fn packages_that_hook_others_are_never_loaded_ahead() {
    for (source, hook, code) in HOOKED {
        let project = project();
        let text = project.read(source);
        project.write(source, &format!("{code}\n{text}"));
        let proxy = Proxy::dev(words(&format!("node {source}")));
        let warmed = Warmed::of(project, source, proxy);
        warmed.is_never_prepared(hook);
    }
}

#[test]
fn packages_that_wait_for_something_when_they_are_loaded() {
    let warmed = with("", "export const x = await Promise.resolve(1);");
    for mark in ["v1", "v2"] {
        warmed.warm_save(mark);
    }
    assert_eq!(warmed.log.events("cold"), [] as [Value; 0]);
}

#[test]
fn packages_that_are_programs_if_nobody_asks_for_them() {
    let project = project();
    let text = project.read("server.cjs");
    let asked = "if (ahead.asker !== __filename || ahead.main !== __filename) throw new Error('by somebody else');";
    project.write(
        "server.cjs",
        &format!("const ahead = require('ahead');\n{text}\n{asked}"),
    );
    let package = "if (!module.parent) process.exit(3);\nexports.asker = module.parent.filename;\n\
                   exports.main = require.main.filename;";
    project.write("node_modules/ahead/index.js", package);
    project.write("node_modules/ahead/package.json", "{}");
    let warmed = Warmed::start(project, "server.cjs", words("node server.cjs"));
    warmed.warm_save("v1");
    warmed.warm_save("v2");
    assert_eq!(warmed.log.events("cold"), [] as [Value; 0]);
}

/// The TypeScript SDK builds its schemas at the first message, or when this function is called.
#[test]
fn schemas_of_the_sdk_are_built_ahead() {
    let states = "if (ahead.state.isPrepared !== ahead.state.isBuilt) throw new Error('built at another time');\n";
    for (source, import, package) in [
        (
            "server.mjs",
            "import * as ahead from '@modelcontextprotocol/ahead';\n",
            "import witness from 'witness';
            export const state = { isPrepared: witness.isPrepared(), isBuilt: false };
            export function preloadSchemas() { state.isBuilt = true; }",
        ),
        (
            "server.cjs",
            "const ahead = require('@modelcontextprotocol/ahead');\n",
            "const state = { isPrepared: require('witness').isPrepared(), isBuilt: false };
            module.exports = { state, preloadSchemas: () => { state.isBuilt = true; } };",
        ),
    ] {
        let project = project();
        let scope = project.path("node_modules/@modelcontextprotocol");
        let sdk = scope.join("sdk").canonicalize().unwrap();
        std::fs::remove_file(&scope).unwrap();
        std::fs::create_dir(&scope).unwrap();
        symlink(sdk, scope.join("sdk")).unwrap();
        let folder = "node_modules/@modelcontextprotocol/ahead";
        let index = source.replace("server", "index");
        project.write(
            &format!("{folder}/package.json"),
            &format!(r#"{{"exports": "./{index}"}}"#),
        );
        project.write(&format!("{folder}/{index}"), package);
        let text = project.read(source);
        project.write(source, &format!("{import}{text}\n{states}"));
        let warmed = Warmed::start(project, source, words(&format!("node {source}")));
        warmed.warm_save("v1");
        warmed.warm_save("v2");
        assert_eq!(warmed.log.events("cold"), [] as [Value; 0]);
    }
}

#[test]
fn packages_that_write_or_fail_or_end_or_start_threads() {
    let is_prepared =
        "import witness from 'witness';\nconst isPrepared = witness.isPrepared();\n".to_owned();
    for (package, reason) in [
        ("console.error('hello');", "wrote"),
        (
            "if (process.stdin.constructor && !globalThis.main) console.log('hello');",
            "wrote",
        ),
        (
            &(is_prepared.clone() + "if (isPrepared) throw new TypeError('late');"),
            "TypeError",
        ),
        (
            &(is_prepared.clone() + "if (isPrepared) process.exit(0);"),
            "exited early",
        ),
        (
            &(is_prepared.clone()
                + "import { Worker } from 'node:worker_threads';
                for (let count = 0; count < 8 && isPrepared; count += 1) {
                    new Worker('setInterval(() => {}, 1000)', { eval: true });
                }"),
            "start threads",
        ),
    ] {
        // URLs of files escape these characters.
        let project = filled(Project::beginning_with("mcp-proxy-test C# é%20?"));
        let warmed = with_ahead(project, "", package);
        for (count, mark) in [(1, "v1"), (2, "v2")] {
            let cold = warmed.log.until("cold", count);
            let told = cold[count - 1]["reason"].as_str().unwrap();
            assert!(told.contains(reason), "{reason}: {told}");
            warmed.cold_save(mark, "");
        }
        warmed.cold_save("v3", "");
        warmed.log.exactly("cold", 2);
    }
}

#[test]
fn output_and_children_of_a_wrapper_are_not_taken_for_the_server() {
    let project = project();
    for tool in ["tool.cjs", "tools/server.mjs"] {
        project.write(tool, "");
    }
    let text = "#!/bin/sh\necho hello >&2\nnode tool.cjs\nnode tools/server.mjs </dev/null >/dev/null\n\
                exec node \"$@\"\n";
    let command = vec![executable(&project, "bin/node", text), "server.mjs".into()];
    let warmed = Warmed::start(project, "server.mjs", command);
    warmed.warm_save("v1");
    warmed.warm_save("v2");
    assert_eq!(warmed.log.events("cold"), [] as [Value; 0]);
}

#[test]
fn options_of_the_environment_are_those_of_a_plain_start() {
    for original in ["", "--no-deprecation --stack-trace-limit=20"] {
        let variable = format!("NODE_OPTIONS={original}");
        let proxy = || Proxy::dev(words("node server.mjs")).options(["--env", &variable]);
        let plain = Warmed::of(project(), "server.mjs", proxy().option("--no-warm"));
        let expected = plain.look()["first"]["environment"].clone();
        let warmed = Warmed::of(project(), "server.mjs", proxy());
        let found = |which: &str| {
            assert_eq!(warmed.look()["first"]["environment"], expected, "{which}");
        };
        found("learned from");
        warmed.warm_save("v1");
        found("v1");
    }
}

#[test]
fn options_of_the_environment_that_must_take_effect_first_keep_it_cold() {
    for option in [
        "--require=./first.cjs",
        "-r ./first.cjs",
        "--import=./first.cjs",
        "--inspect=127.0.0.1:0",
    ] {
        let project = project();
        project.write("first.cjs", "");
        let variable = format!("NODE_OPTIONS={option}");
        let proxy = Proxy::dev(words("node server.mjs")).options(["--env", &variable]);
        let warmed = Warmed::of(project, "server.mjs", proxy);
        let environment = environment(warmed.newest());
        assert!(
            environment.split('\0').any(|it| it == variable),
            "{environment}"
        );
        warmed.cold_save("v1", "");
    }
}

/// As by a bundler that removes its output first.
#[test]
fn a_script_that_is_missing_for_a_while_leaves_it_warm() {
    let warmed = with("", "export const x = 1;");
    let script = warmed.project.path("server.mjs");
    for round in 1..=3 {
        warmed.until_prepared();
        let text = warmed.project.read("server.mjs");
        std::fs::remove_file(&script).unwrap();
        warmed.log.until("broken", round);
        warmed.project.save("server.mjs", &text);
        warmed.log.until("reloaded", round);
    }
    warmed.warm_save("v1");
    let cold = warmed.log.events("cold");
    assert_eq!(cold, [] as [Value; 0], "{}", warmed.log.text());
}

#[test]
fn code_of_the_user_that_packages_load_is_never_loaded_ahead() {
    for (package, own) in [
        (
            "import { createRequire } from 'node:module';\n\
             export const { mark } = createRequire(`${process.cwd()}/x`)('./settings.cjs');",
            "settings.cjs",
        ),
        (
            "export const { mark } = await import(`file://${process.cwd()}/settings.mjs`);",
            "settings.mjs",
        ),
    ] {
        let project = project();
        let settings = |mark: &str| match own {
            "settings.cjs" => format!("exports.mark = '{mark}';"),
            _ => format!("export const mark = '{mark}';"),
        };
        project.write(own, &settings("v0"));
        let warmed = with_ahead(
            project,
            "if (ahead.mark !== MARK) throw new Error(ahead.mark);",
            package,
        );
        let cold = warmed.log.until("cold", 1).remove(0);
        let reason = cold["reason"].as_str().unwrap();
        assert!(reason.contains(own), "{reason}");
        warmed.project.write(own, &settings("v1"));
        warmed.cold_save("v1", "");
    }
}

#[test]
fn a_changed_preloaded_module_is_loaded_anew() {
    let warmed = with("", "export const x = 1;");
    warmed.warm_save("v1");
    warmed.until_prepared();
    warmed
        .project
        .write("node_modules/ahead/ahead.mjs", "export const x = 2;");
    warmed.cold_save("v2", "");
    warmed.warm_save("v3");
    assert_eq!(warmed.log.events("cold"), [] as [Value; 0]);
}
