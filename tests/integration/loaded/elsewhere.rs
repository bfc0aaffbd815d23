//! Code that lies outside of the server's own project, or where no glob looks.

use std::time::Instant;

use super::{IMPORT, REQUIRE, globs, in_node, in_python, link, project, saves_count, started};
use crate::harness::{DEADLINE, Project};

const NODE: [&str; 2] = ["server.mjs", "server.cjs"];

/// A server for Node.js in `app/server.mjs` or `app/server.cjs` whose mark comes from a module of this name.
fn node_project(server: &str, module: &str) -> Project {
    let project = project();
    let head = if server == "server.mjs" {
        format!("{IMPORT}\nimport shared from '{module}';")
    } else {
        format!("{REQUIRE}\nconst shared = require('{module}');")
    };
    project.write(&format!("app/{server}"), &in_node(&head, "shared.mark"));
    project
}

#[test]
fn an_editable_sibling_in_python() {
    for by_path_file in [true, false] {
        let project = project();
        project.write("lib/shared/__init__.py", "from .deep import MARK\n");
        project.write("lib/shared/deep.py", "MARK = 'v0'\n");
        let folder = project.path("lib");
        let folder = folder.display();
        // As `pip install -e` does: a path file, or a finder that knows where each package lies.
        let head = if by_path_file {
            project.write("site/site-packages/lib.pth", &format!("{folder}\n"));
            let site = project.path("site/site-packages").display().to_string();
            format!("import site; site.addsitedir({site:?})\nfrom shared import MARK")
        } else {
            format!(
                "import sys, importlib.util as u\nclass F:\n    @staticmethod\n    def find_spec(name, path=None, target=None):\n        \
                 if name == 'shared': return u.spec_from_file_location(name, '{folder}/shared/__init__.py', \
                 submodule_search_locations=['{folder}/shared'])\nsys.meta_path.append(F)\nfrom shared import MARK"
            )
        };
        project.write("app/server.py", &in_python(&head, "MARK"));
        let watched = started(project, &["python3", "server.py"]);
        saves_count(&watched, &["lib/shared/deep.py"]);
        watched.exactly("changed", 2);
        assert!(
            globs(&watched)
                .iter()
                .any(|it| it.ends_with("lib/shared/*.{py,pyi}"))
        );
    }
}

#[test]
fn a_package_of_the_workspace_in_node() {
    for server in NODE {
        let project = node_project(server, "shared");
        project.write(
            "packages/shared/package.json",
            r#"{"name": "shared", "main": "./dist/index.cjs"}"#,
        );
        project.write(
            "packages/shared/dist/index.cjs",
            "module.exports = require('./text.cjs');",
        );
        project.write(
            "packages/shared/dist/text.cjs",
            "module.exports = { mark: 'v0' };",
        );
        // Build output is not kept in git.
        project.write("packages/.gitignore", "dist\n");
        link(&project, "../../packages/shared", "app/node_modules/shared");
        let watched = started(project, &["node", server]);
        saves_count(&watched, &["packages/shared/dist/text.cjs"]);
    }
}

/// The server is another process than npm. With a build before it, a save must not meet a build of before.
#[test]
fn a_package_of_the_workspace_in_node_run_by_npm() {
    for (call, script) in [
        ("npm run start -w srv", r#""start": "node dist/server.mjs""#),
        (
            "npm --prefix packages/srv start",
            r#""prestart": "node -v >/dev/null", "start": "node dist/server.mjs""#,
        ),
    ] {
        let project = project();
        project.write(
            "app/package.json",
            r#"{"name": "app", "workspaces": ["packages/*"]}"#,
        );
        project.write(
            "app/packages/srv/package.json",
            &format!(r#"{{"name": "srv", "scripts": {{{script}}}}}"#),
        );
        let head = IMPORT.replace("./look.cjs", "../../../look.cjs");
        let head = format!("{head} import shared from 'shared';");
        let server = in_node(&head, "shared.mark + ' of v0'");
        project.write("app/packages/srv/dist/server.mjs", &server);
        project.write(
            "app/packages/shared/package.json",
            r#"{"name": "shared", "type": "module", "exports": "./dist/index.js"}"#,
        );
        let shared = "app/packages/shared/dist/index.js";
        project.write(shared, "export default { mark: 'v0' };");
        project.write("app/.gitignore", "dist\n");
        link(&project, "../packages/shared", "app/node_modules/shared");
        let words: Vec<&str> = call.split(' ').collect();
        let watched = started(project, &words);
        assert_eq!(watched.mark(), "v0 of v0");
        for round in 1..=3 {
            let mark = format!("v{round}");
            let text = format!("export default {{ mark: '{mark}' }};");
            watched.project.save(shared, &text);
            watched.until("reloaded", round);
            assert_eq!(watched.mark(), format!("{mark} of v0"), "{}", watched.log());
        }
        let text = server.replace("of v0", "of v1");
        watched
            .project
            .save("app/packages/srv/dist/server.mjs", &text);
        watched.until("reloaded", 4);
        assert_eq!(watched.mark(), "v3 of v1", "{}", watched.log());
        assert_eq!(watched.events("cold").len(), 0, "{}", watched.log());
        if script.contains("prestart") {
            assert_eq!(watched.events("standby").len(), 0, "{}", watched.log());
        }
    }
}

#[test]
fn a_globally_linked_package_in_node() {
    let project = node_project("server.mjs", "@me/shared");
    project.write(
        "elsewhere/shared/package.json",
        r#"{"name": "@me/shared", "type": "module", "exports": "./index.js"}"#,
    );
    project.write(
        "elsewhere/shared/index.js",
        "export default { mark: 'v0' };",
    );
    link(
        &project,
        "../../elsewhere/shared",
        "global/node_modules/linked",
    );
    link(
        &project,
        "../../../global/node_modules/linked",
        "app/node_modules/@me/shared",
    );
    let watched = started(project, &["node", "server.mjs"]);
    saves_count(&watched, &["elsewhere/shared/index.js"]);
}

#[test]
fn a_linked_directory_and_a_linked_module() {
    let project = project();
    project.write("other/kit/text.py", "MARK = 'v0'\n");
    project.write("other/one.py", "from kit.text import MARK\n");
    link(&project, "../other/kit", "app/kit");
    link(&project, "../other/one.py", "app/one.py");
    project.write("app/server.py", &in_python("from one import MARK", "MARK"));
    let watched = started(project, &["python3", "server.py"]);
    saves_count(&watched, &["other/kit/text.py"]);
    let text = "from kit.text import MARK as OTHER\nMARK = 'direct'\n";
    watched.project.save("other/one.py", text);
    watched.until("reloaded", 3);
    assert_eq!(watched.mark(), "direct");
}

#[test]
fn code_where_no_glob_looks() {
    let project = project();
    project.write("app/.gitignore", "generated/\n");
    project.write("app/generated/text.py", "MARK = 'v0'\n");
    project.write(
        "app/.plugins/plugin.py",
        "from generated.text import MARK\n",
    );
    let head = "import sys; sys.path.insert(0, '.plugins')\nfrom plugin import MARK";
    project.write("app/server.py", &in_python(head, "MARK"));
    let watched = started(project, &["python3", "server.py"]);
    saves_count(&watched, &["app/generated/text.py"]);
    watched
        .project
        .save("app/.plugins/plugin.py", "MARK = 'plugin'\n");
    watched.until("reloaded", 3);
    assert_eq!(watched.mark(), "plugin");
}

#[test]
fn modules_that_python_loads_during_a_call() {
    let project = project();
    project.write("lib/late.py", "MARK = 'v0'\n");
    let folder = project.path("lib").display().to_string();
    let head = format!(
        "def told():\n    import sys; sys.path.append({folder:?})\n    from late import MARK\n    return MARK"
    );
    project.write("app/server.py", &in_python(&head, "told()"));
    let watched = started(project, &["python3", "server.py"]);
    saves_count(&watched, &["lib/late.py"]);
    // The process of now has not been called yet.
    watched.project.save("lib/late.py", "MARK = 'unasked'\n");
    watched.until("reloaded", 3);
    watched.project.save("lib/late.py", "MARK = 'again'\n");
    watched.until("reloaded", 4);
    assert_eq!(watched.mark(), "again");
}

#[test]
fn modules_that_node_loads_during_a_call() {
    let by_import = "let late = { mark: '' };\nconst told = () => {\n    import('shared/late').then((it) => { late = it; });\n    return late.mark;\n};";
    let by_require = "const told = () => require('../lib/first.cjs').mark();";
    for (server, head) in [("server.mjs", by_import), ("server.cjs", by_require)] {
        let project = project();
        project.write(
            "lib/package.json",
            r#"{"name": "shared", "exports": {"./late": {"types": "./late.d.ts", "default": "./late.mjs"}}}"#,
        );
        project.write("lib/late.d.ts", "export const mark: string;\n");
        project.write("lib/late.mjs", "export { mark } from './deep.mjs';\n");
        project.write("lib/deep.mjs", "export const mark = 'v0';\n");
        project.write(
            "lib/first.cjs",
            "exports.mark = () => require('./second').mark;\n",
        );
        project.write("lib/second.js", "exports.mark = 'v0';\n");
        link(&project, "../../lib", "app/node_modules/shared");
        project.write("early/early.cjs", "exports.early = true;\n");
        let start = if server == "server.mjs" {
            format!("{IMPORT}\nimport '../early/early.cjs';")
        } else {
            format!("{REQUIRE}\nrequire('../early/early.cjs');")
        };
        project.write(
            &format!("app/{server}"),
            &in_node(&format!("{start}\n{head}"), "told()"),
        );
        let watched = started(project, &["node", server]);
        let file = if server == "server.mjs" {
            "lib/deep.mjs"
        } else {
            "lib/second.js"
        };
        for round in 1..3 {
            let deadline = Instant::now() + DEADLINE;
            // The process has reported its loaded files.
            while !globs(&watched).iter().any(|it| it.contains("early/")) {
                assert!(Instant::now() < deadline, "{}", watched.log());
            }
            // An import is done after the call that asks for it.
            while watched.mark().is_empty() {
                assert!(Instant::now() < deadline, "{}", watched.log());
            }
            let before = watched.mark();
            watched.project.edit(file, &before, &format!("v{round}"));
            watched.until("reloaded", round);
        }
    }
}

#[test]
fn a_fault_in_it_is_mended() {
    let project = project();
    project.write("lib/shared.py", "MARK = 'v0'\n");
    project.write("lib/other.py", "raise RuntimeError('half written')\n");
    let folder = project.path("lib").display().to_string();
    let head = format!("import sys; sys.path.append({folder:?})\nfrom shared import MARK");
    project.write("app/server.py", &in_python(&head, "MARK"));
    let watched = started(project, &["python3", "server.py"]);
    watched
        .project
        .save("lib/shared.py", "from other import MARK\n");
    watched.until("broken", 1);
    watched.project.save("lib/other.py", "MARK = 'mended'\n");
    watched.until("reloaded", 1);
    assert_eq!(watched.mark(), "mended");
}

#[test]
fn a_new_module_beside_it() {
    let project = project();
    project.write("lib/shared.py", "MARK = 'v0'\n");
    let folder = project.path("lib").display().to_string();
    let head = format!(
        "import os, sys; sys.path.append({folder:?})\nimport shared\n\
         MARK = ' '.join(sorted(it for it in os.listdir({folder:?}) if it.endswith('.py')))"
    );
    project.write("app/server.py", &in_python(&head, "MARK"));
    let watched = started(project, &["python3", "server.py"]);
    let deadline = Instant::now() + DEADLINE;
    while !globs(&watched).iter().any(|glob| glob.contains("lib/*")) {
        assert!(Instant::now() < deadline, "{}", watched.log());
    }
    watched.project.write("lib/added.py", "");
    watched.until("reloaded", 1);
    assert_eq!(watched.mark(), "added.py shared.py");
}
