//! Commands found in scripts of a `package.json`.

use super::super::infer::NODE;
use super::inferring::inferred;

#[test]
fn a_script_of_a_workspace_is_found() {
    let files = [
        r#"package.json={"workspaces":["packages/*"]}"#,
        r#"packages/srv/package.json={"name":"srv","scripts":{"start":"node dist/index.js"}}"#,
        "packages/srv/dist/index.js",
    ];
    for command in [
        "npm run start -w srv",
        "npm -w packages/srv start",
        "yarn workspace srv start",
    ] {
        let found = inferred(&files, command);
        let dist = "packages/srv/dist/index.js".to_owned();
        assert!(found.globs.contains(&dist), "{command}: {found:?}");
        assert!(found.warnings.is_empty(), "{command}: {found:?}");
    }
    for command in ["npm -w other start", "pnpm --filter other start"] {
        let found = inferred(&files, command);
        assert_eq!(found.globs[0], NODE[0], "{command}: {found:?}");
        let [warning] = &found.warnings[..] else {
            panic!("{command}: {found:?}");
        };
        assert!(warning.contains("--cwd"), "{command}: {found:?}");
    }
}
