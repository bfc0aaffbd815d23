//! Tests of the settings of package managers for Node.js.

mod yarn;

use super::*;

fn refused(packager: PackageManager, name: &str, text: &str) -> bool {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join(name), text).unwrap();
    check(packager, folder.path(), folder.path()).is_err()
}

#[test]
fn settings_that_run_programs_are_refused() {
    for (packager, name, text) in [
        (PackageManager::Npm, ".npmrc", "git=./evil.sh"),
        (
            PackageManager::Npm,
            ".npmrc",
            "registry=https://x\n  \"git\" = ./evil.sh",
        ),
        (PackageManager::Npm, ".npmrc", "script-shell=./evil.sh"),
        (PackageManager::Npm, ".npmrc", r#""\u0067it"=./evil.sh"#),
        (PackageManager::Npm, ".npmrc", "g${NOPE?}it=./evil.sh"),
        (PackageManager::Npm, ".npmrc", "; c\rgit=./evil.sh"),
        (PackageManager::Npm, ".npmrc", "global=true"),
        (
            PackageManager::Npm,
            "package.json",
            r#"{"x":"\ud800","packageManager":"yarn@https://x"}"#,
        ),
        (
            PackageManager::Pnpm,
            "package.json",
            r#"{"pnpm":{"executionEnv":{"nodeVersion":"1"}}}"#,
        ),
        (
            PackageManager::Yarn,
            ".yarnrc",
            r#""script\u002dshell" "./evil.sh""#,
        ),
        (
            PackageManager::Pnpm,
            ".npmrc",
            "node_options=--import=./evil.mjs",
        ),
        (PackageManager::Pnpm, ".pnpmfile.cjs", ""),
        (
            PackageManager::Pnpm,
            "pnpm-workspace.yaml",
            "packages: []\nconfigDependencies:\n  x: 1",
        ),
        (
            PackageManager::Pnpm,
            "pnpm-workspace.yaml",
            "{packages: [], \"pnpmfile\": ./evil.cjs}",
        ),
        (
            PackageManager::Pnpm,
            "pnpm-workspace.yaml",
            "\"pnpm\\u0066ile\": ./evil.cjs",
        ),
        (
            PackageManager::Yarn,
            ".yarnrc.yml",
            "plugins:\n  - ./evil.cjs",
        ),
        (
            PackageManager::Yarn,
            ".yarnrc",
            "script-shell \"./evil.sh\"",
        ),
        (
            PackageManager::Bun,
            "bunfig.toml",
            "[install.security]\nscanner = 'x'",
        ),
        (
            PackageManager::Npm,
            "package.json",
            r#"{"packageManager": "yarn@https://x.example/y.js"}"#,
        ),
    ] {
        assert!(refused(packager, name, text), "{name}: {text}");
    }
}

#[test]
fn usual_settings_are_fine() {
    for (packager, name, text) in [
        (
            PackageManager::Npm,
            ".npmrc",
            "registry=https://registry.npmjs.org/\n//npm.x/:_authToken=${T}\nengine-strict=true\n; git=x\n# git=x",
        ),
        (
            PackageManager::Npm,
            ".npmrc",
            "legacy-peer-deps=true\ngit-tag-version=false\n@me:registry=https://npm.pkg.github.com",
        ),
        (PackageManager::Npm, ".pnpmfile.cjs", ""),
        (
            PackageManager::Pnpm,
            "pnpm-workspace.yaml",
            "packages:\n  - 'packages/*'\nonlyBuiltDependencies:\n  - esbuild\ncatalog:\n  python-shell: ^1",
        ),
        (
            PackageManager::Yarn,
            ".yarnrc.yml",
            "nodeLinker: node-modules\nyarnPath: .yarn/releases/yarn-4.5.0.cjs\nenableTelemetry: false",
        ),
        (
            PackageManager::Bun,
            "bunfig.toml",
            "[install]\nexact = true",
        ),
        (
            PackageManager::Npm,
            "package.json",
            r#"{"packageManager": "pnpm@9.1.0+sha512.abc"}"#,
        ),
    ] {
        assert!(!refused(packager, name, text), "{name}: {text}");
    }
}

/// Checks a repository with these files.
fn checked(packager: PackageManager, files: &[(&str, &str)]) -> Result<(), String> {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let file = folder.path().join(name);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, text).unwrap();
    }
    check(packager, folder.path(), folder.path()).map_err(|error| error.to_string())
}

/// Asserts that each file is refused for the reason at its side.
fn assert_refused(packager: PackageManager, name: &str, cases: &[(&str, &str)]) {
    for (text, reason) in cases {
        let told = checked(packager, &[(name, text)]).expect_err(text);
        assert!(
            told.starts_with(&format!("{name} {reason}")),
            "{text}: {told}"
        );
        assert!(told.contains("--scripts"), "{told}");
    }
}

fn assert_fine(packager: PackageManager, name: &str, cases: &[&str]) {
    for text in cases {
        assert_eq!(checked(packager, &[(name, text)]), Ok(()), "{text}");
    }
}

#[test]
fn npm_reads_keys_in_many_spellings() {
    assert_refused(
        PackageManager::Npm,
        ".npmrc",
        &[
            ("x=1\ngit = ./evil", "sets `git` (line 2)"),
            ("git[]=./evil", "sets `git`"),
            ("'\"git\"'=./evil", "sets `git`"),
            ("git;x=./evil", "sets `git`"),
            ("git#x=./evil", "sets `git`"),
            ("git", "sets `git`"),
            ("[git]\nx=1", "sets `git`"),
            ("[x]\ngit=./evil", "sets `git` (line 2)"),
            ("Script_Shell=./evil", "sets `scriptshell`"),
            ("cache=../..", "sets `cache`"),
            ("logs-dir=../..", "sets `logsdir`"),
            ("lockfile-dir=../..", "sets `lockfiledir`"),
            ("npm-path=./evil", "sets `npmpath`"),
            ("${X}=1", "has a key with an escape or a variable (line 1)"),
        ],
    );
    assert_fine(
        PackageManager::Npm,
        ".npmrc",
        &[
            "ignore-scripts=true\nfund=false\nsave-exact=true",
            "; git=x\n # git=x",
        ],
    );
}

#[test]
fn pnpm_gets_settings_that_are_known_to_be_harmless() {
    assert_refused(
        PackageManager::Pnpm,
        "pnpm-workspace.yaml",
        &[
            ("packages: []\nnewSetting: 1", "sets `newSetting` (line 2)"),
            ("configDependencies: {x: 1}", "sets `configDependencies`"),
            ("nodeOptions: --require=./evil", "sets `nodeOptions`"),
            ("storeDir: store", "sets `storeDir`"),
            ("stateDir: ../x", "sets `stateDir`"),
            ("modulesDir: ../x", "sets `modulesDir`"),
            ("virtualStoreDir: ~/x", "sets `virtualStoreDir`"),
            ("virtualStoreDir: .git/hooks", "sets `virtualStoreDir`"),
            ("packages: ['../x']", "has a workspace `../x`"),
            ("packages: ['!/x']", "has a workspace `!/x`"),
            ("packages: ['.{.,x}/y']", "has a workspace `.{.,x}/y`"),
            ("overrides: {x: 'link:../x'}", "names a package outside"),
            (
                "patchedDependencies: {x: x.patch}",
                "names a patch `x.patch`",
            ),
            ("a: &x 1", "has an anchor (line 1)"),
        ],
    );
    assert_fine(
        PackageManager::Pnpm,
        "pnpm-workspace.yaml",
        &[
            "packages:\n  - .\n  - packages/*\n  - '!**/test/**'\nminimumReleaseAge: 1440",
            "overrides:\n  x@1: ^2\n  y: workspace:*\nvirtualStoreDir: node_modules/.pnpm",
            "allowBuilds:\n  esbuild: true\npackageExtensions:\n  x:\n    dependencies:\n      y: '*'",
        ],
    );
    let named = ("package.json", r#"{"packageManager": "pnpm@10.1.0"}"#);
    let evil = (".npmrc", "registry=https://evil.example/");
    let usual = (".npmrc", "registry=https://registry.npmjs.org/");
    assert!(checked(PackageManager::Pnpm, &[named, evil]).is_err());
    assert_eq!(checked(PackageManager::Pnpm, &[named, usual]), Ok(()));
    assert_eq!(checked(PackageManager::Pnpm, &[evil]), Ok(()));
    let settings = r#"{"pnpm": {"pnpmfile": "x"}}"#;
    assert_refused(
        PackageManager::Pnpm,
        "package.json",
        &[(settings, "sets `pnpm.pnpmfile`")],
    );
}

#[test]
fn a_patch_changes_files_of_its_package_only() {
    let manifest = r#"{"pnpm": {"patchedDependencies": {"x@1": "p/x.patch"}}}"#;
    let patched = |patch: &str| {
        let files = [("package.json", manifest), ("p/x.patch", patch)];
        checked(PackageManager::Pnpm, &files)
    };
    let plain = "diff --git a/i.js b/i.js\n--- a/i.js\n+++ b/i.js\n@@ -1 +1 @@\n-../a\n+../b\n";
    assert_eq!(patched(plain), Ok(()));
    assert!(patched(&plain.replace("b/i.js", "b/../../i.js")).is_err());
}

#[test]
fn bun_gets_settings_that_are_known_to_be_harmless() {
    assert_refused(
        PackageManager::Bun,
        "bunfig.toml",
        &[
            (
                "x = 1\n[install]\nglobalDir = 'x'",
                "sets `install.globalDir` (line 3)",
            ),
            (
                "[install]\n\"glob\\u0061lDir\" = 'x'",
                "sets `install.globalDir`",
            ),
            ("install.security.scanner = 'x'", "sets `install.security`"),
            (
                "[install.cache]\ndir = '../x'",
                "sets `install.cache.dir` (line 2)",
            ),
            ("[install]\ncache = '~/x'", "sets `install.cache`"),
            (
                "[install.lockfile]\npath = '../x'",
                "sets `install.lockfile.path`",
            ),
            ("[install", "cannot be read as TOML"),
        ],
    );
    assert_fine(
        PackageManager::Bun,
        "bunfig.toml",
        &[
            "preload = ['./x.ts']\n[run]\nshell = 'bun'\n[test]\npreload = 'x'",
            "[install]\nregistry = 'https://x'\nlinker = 'hoisted'\n[install.cache]\ndir = '.cache'",
        ],
    );
    assert_refused(
        PackageManager::Bun,
        ".env",
        &[
            (
                "A=1\nBUN_INSTALL_CACHE_DIR=../x",
                "sets `BUN_INSTALL_CACHE_DIR`",
            ),
            ("export git_ssh_command=x", "sets `GIT_SSH_COMMAND`"),
            ("A='1' PATH=x", "sets `PATH`"),
        ],
    );
    assert_fine(
        PackageManager::Bun,
        ".env",
        &["API_KEY=x\n# BUN_X=1\nGITHUB_TOKEN=y"],
    );
}

#[test]
fn packages_lie_in_the_repository() {
    for packager in [
        PackageManager::Npm,
        PackageManager::Pnpm,
        PackageManager::Bun,
    ] {
        for text in [
            r#"{"workspaces": ["../x"]}"#,
            r#"{"workspaces": {"packages": ["a/*", "/x"]}}"#,
            r#"{"dependencies": {"x": "file:../x"}}"#,
            r#"{"devDependencies": {"x": "link:/x"}}"#,
            r#"{"dependencies": {"x": "../x"}}"#,
            r#"{"dependencies": {"../../x": "1"}}"#,
            r#"{"dependencies": {"@../x": "1"}}"#,
            r#"{"overrides": {"x": {".": "file:../x"}}}"#,
            r#"{"devEngines": {"packageManager": {"name": "yarn", "version": "https://x"}}}"#,
        ] {
            assert!(
                checked(packager, &[("package.json", text)]).is_err(),
                "{text}"
            );
        }
    }
    // Members and packages in the repository count too.
    let root = ("package.json", r#"{"workspaces": ["packages/*"]}"#);
    let user = (
        "package.json",
        r#"{"dependencies": {"a": "file:packages/a"}}"#,
    );
    let evil = (
        "packages/a/package.json",
        r#"{"dependencies": {"x": "link:../../../x"}}"#,
    );
    let fine = (
        "packages/a/package.json",
        r#"{"dependencies": {"x": "link:../b"}}"#,
    );
    for top in [root, user] {
        let told = checked(PackageManager::Npm, &[top, evil]).unwrap_err();
        assert!(told.starts_with("packages/a/package.json names"), "{told}");
        assert_eq!(checked(PackageManager::Npm, &[top, fine]), Ok(()));
    }
    let stray = ("tests/broken/package.json", "{");
    assert_eq!(checked(PackageManager::Npm, &[root, stray]), Ok(()));

    let lock =
        |path: &str| format!(r#"{{"packages": {{"": {{}}, "{path}": {{"version": "1"}}}}}}"#);
    let outside = lock("../x/node_modules/y");
    let inside = lock("node_modules/@a/b");
    assert!(checked(PackageManager::Npm, &[("package-lock.json", &outside)]).is_err());
    assert_eq!(
        checked(PackageManager::Npm, &[("package-lock.json", &inside)]),
        Ok(())
    );
    let old = r#"{"dependencies": {"a": {"dependencies": {"../../x": {"version": "1"}}}}}"#;
    assert!(checked(PackageManager::Npm, &[("npm-shrinkwrap.json", old)]).is_err());
}

#[test]
fn symlinks_lead_no_package_manager_outside() {
    let (folder, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let root = folder.path();
    let link = |to: &Path, name: &str| std::os::unix::fs::symlink(to, root.join(name)).unwrap();
    link(outside.path(), "out");
    std::fs::create_dir(root.join("sub")).unwrap();
    let place = SettingsFolder {
        root,
        folder: root.join("sub"),
    };
    for path in ["../out", "../out/new", "../../x", "/x", "../.GIT/x", "C:x"] {
        assert_eq!(place.inside(path), None, "{path}");
    }
    assert_eq!(place.inside("../new/./x"), Some(root.join("new/x")));

    assert!(check(PackageManager::Npm, root, &root.join("sub/..")).is_ok());
    link(Path::new("sub"), "node_modules");
    let told = check(PackageManager::Npm, root, &root.join("sub")).unwrap_err();
    assert!(
        told.to_string().starts_with("node_modules is a symlink"),
        "{told}"
    );
}
