//! Tests of the settings of yarn.

use super::*;

#[test]
fn yarn_gets_settings_that_are_known_to_be_harmless() {
    assert_refused(
        PackageManager::Yarn,
        ".yarnrc.yml",
        &[
            ("plugins: []", "sets `plugins`"),
            (
                "enableConstraintsChecks: true",
                "sets `enableConstraintsChecks`",
            ),
            (
                "injectEnvironmentFiles: [x]",
                "sets `injectEnvironmentFiles`",
            ),
            ("cacheFolder: ../x", "sets `cacheFolder`"),
            ("cacheFolder: ${HOME}/x", "sets `cacheFolder`"),
            ("globalFolder: /x", "sets `globalFolder`"),
            (
                "npmRegistryServer: http://x",
                "sets `npmRegistryServer` to an address",
            ),
            (
                "# yarn lockfile v1\nplugins \"./x\"",
                "looks like a lock file",
            ),
            ("catalog: {x: user/repo}", "names the source `user/repo`"),
        ],
    );
    assert_fine(
        PackageManager::Yarn,
        ".yarnrc.yml",
        &[
            "compressionLevel: mixed\nenableGlobalCache: false\ncacheFolder: ./.yarn/cache",
            "npmScopes:\n  me:\n    npmRegistryServer: https://npm.x\n    npmAuthToken: ${T-}",
        ],
    );
    assert_refused(
        PackageManager::Yarn,
        ".yarnrc",
        &[
            ("--modules-folder ../x", "sets `--modules-folder`"),
            (
                "--install.cache-folder \"../x\"",
                "sets `--install.cache-folder`",
            ),
            ("yarn-offline-mirror \"../x\"", "sets `yarn-offline-mirror`"),
            ("ignore-scripts false", "sets `ignore-scripts`"),
            (
                "registry \"x\" modules-folder \"y\"",
                "has a line in an unusual form",
            ),
            (
                "strict-ssl truemodules-folder \"y\"",
                "has a line in an unusual form",
            ),
            (
                "registry, modules-folder \"y\"",
                "has a line in an unusual form",
            ),
            (
                "registry: --modules-folder=x",
                "has a line in an unusual form",
            ),
            (
                "--ignore-engines \"--modules-folder=x\"",
                "has a line in an unusual form",
            ),
            ("env:\n  X \"y\"", "has a line in an unusual form"),
        ],
    );
    assert_fine(
        PackageManager::Yarn,
        ".yarnrc",
        &[
            "# c\nregistry \"https://registry.npmjs.org\"\nnetwork-timeout 600000\n",
            "yarn-path \".yarn/releases/yarn-1.22.19.cjs\"\n--install.ignore-engines true\nsave-prefix \"\"",
        ],
    );
    assert!(checked(PackageManager::Yarn, &[(".env.yarn", "X=1")]).is_err());
}

#[test]
fn yarn_fetches_nothing_by_git() {
    for source in [
        "git+https://x.example/y.git",
        "git://x/y",
        "git@github.com:x/y.git",
        "github:x/y",
        "x/y#main",
        "ssh://git@x/y",
        "https://github.com/x/y",
        "https://github.com/x/y.tgz",
        "https://x.example/x/y.git#a.tgz",
        "patch:z@x%2Fy#./z.patch",
        "exec:./evil.js",
        "portal:../../x",
        "file:/x",
    ] {
        let table = format!(r#"{{"dependencies": {{"z": "{source}"}}}}"#);
        let forced = format!(r#"{{"resolutions": {{"a/z": "{source}"}}}}"#);
        for text in [table, forced] {
            let told = checked(PackageManager::Yarn, &[("package.json", &text)]).expect_err(source);
            assert!(told.starts_with("package.json names"), "{told}");
        }
        let classic = format!("z@{source}:\n  version \"1.0.0\"\n");
        let berry = format!("__metadata:\n  version: 8\n\n\"z@{source}\":\n  version: 1.0.0\n");
        for text in [classic, berry] {
            let is_local = source.starts_with("portal") || source.starts_with("file");
            let told = checked(PackageManager::Yarn, &[("yarn.lock", &text)]);
            assert_eq!(told.is_err(), !is_local, "{text}");
        }
    }
    for text in [
        "a@^1:\n  version \"1\"\n  resolved \"git+ssh://x/y\"",
        "a@^1:\n  version \"1\"\n  resolved \"gi\\u0074+ssh://x/y\"",
    ] {
        assert!(checked(PackageManager::Yarn, &[("yarn.lock", text)]).is_err());
    }
    assert_fine(
        PackageManager::Yarn,
        "package.json",
        &[
            r#"{"dependencies": {"a": "^1 || 2", "b": "latest", "c": "npm:@x/y@1", "isomorphic-git": "1"}}"#,
            r#"{"dependencies": {"a": "workspace:^", "b": "https://x.example/b/b.tgz", "c": "file:./c"}}"#,
            r#"{"resolutions": {"**/a": "~1.0", "b": "patch:b@npm%3A1#./.yarn/b.patch"}}"#,
        ],
    );
    assert_fine(
        PackageManager::Yarn,
        "yarn.lock",
        &[
            "# yarn lockfile v1\n\n\n\"@x/y@>= 1, < 2\", isomorphic-git@^1.0, git@^1:\n  version \"1.0.0\"\n  \
             resolved \"https://registry.yarnpkg.com/isomorphic-git/-/isomorphic-git-1.tgz#a\"\n  dependencies:\n    \
             simple-git \"^3\"\n    git \"^1\"\n",
            "__metadata:\n  version: 8\n\n\"f@patch:f@npm%3A~2.3#optional!builtin<compat/f>\":\n  version: 2.3\n  \
             resolution: \"f@patch:f@npm%3A2.3#optional!builtin<compat/f>::version=2.3&hash=a\"\n\n\
             \"me@workspace:.\":\n  dependencies:\n    git: \"npm:^1\"\n    simple-git: \"npm:^1\"\n",
        ],
    );
}

#[test]
fn yarn_2_is_known_by_its_files() {
    let is_berry_with = |name: &str, text: &str| {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(name), text).unwrap();
        is_berry(folder.path())
    };
    assert!(is_berry_with(".yarnrc.yml", ""));
    assert!(is_berry_with(
        "yarn.lock",
        "# c\n\n__metadata:\n  version: 8\n"
    ));
    assert!(is_berry_with(
        "package.json",
        r#"{"packageManager": "yarn@4.1.0+sha224.a"}"#
    ));
    assert!(!is_berry_with(
        "package.json",
        r#"{"packageManager": "yarn@1.22.22"}"#
    ));
    assert!(!is_berry_with(
        "yarn.lock",
        "# yarn lockfile v1\n\na@1:\n  version \"1\"\n"
    ));
}
