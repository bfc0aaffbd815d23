//! Reasons for which files are watched or not.

use std::time::SystemTime;

use super::*;
use crate::watcher::FilesInUse;

const FILES: [&str; 12] = [
    "server.py",
    "lib/a.py",
    "lib/skip.py",
    "lib/a.gen.py",
    "out/b.py",
    "node_modules/c.py",
    "notes.txt",
    "lib/x.log",
    "data/rates.csv",
    ".hidden/d.py",
    "env/e.py",
    "env/pyvenv.cfg",
];

/// Paths, whether each is watched, and the beginning of the reason.
const REASONS: [(&str, bool, &str); 13] = [
    ("server.py", true, "named by the command: `./server.py`"),
    (
        "./lib/a.py",
        true,
        "sources, inferred from the command: `**/*.{py,pyi,toml}`",
    ),
    (
        "data/rates.csv",
        true,
        "read by the process before its first response",
    ),
    ("lib/skip.py", false, "`!lib/skip.py` excludes it."),
    (
        "lib/a.gen.py",
        false,
        "`.gitignore`, line 3, ignores `lib/a.gen.py` by `*.gen.py`.",
    ),
    (
        "out/b.py",
        false,
        "`.gitignore`, line 2, ignores `out` by `out/`.",
    ),
    (
        "node_modules/c.py",
        false,
        "`node_modules` is a directory of tools.",
    ),
    (
        ".hidden/d.py",
        false,
        "`.hidden` is a directory of built or third-party files.",
    ),
    ("env/e.py", false, "A tool has generated the directory"),
    ("notes.txt", false, "No glob matches it."),
    ("lib", false, "It is a directory"),
    (
        "lib/new.py",
        false,
        "There is no such file. `**/*.{py,pyi,toml}` selects it",
    ),
    (
        "../server.py",
        false,
        "It lies outside of the watched directories.",
    ),
];

#[tokio::test]
async fn each_file_has_its_reason() {
    let dir = tempfile::tempdir().unwrap();
    for file in FILES {
        put(&dir.path().join(file), file);
    }
    put(&dir.path().join(".gitignore"), "# built\nout/\n*.gen.py\n");
    let watcher =
        Watcher::start(WatchOptions::default(), |_, _| {}, EventSender::silent()).unwrap();
    let mut request = sources(dir.path(), &["!lib/skip.py"]);
    let WatchRequest::Sources { args, .. } = &mut request else {
        unreachable!();
    };
    args.push("server.py".into());
    watcher.add(1, request).await.unwrap();
    let in_use = FilesInUse {
        read: [dir.path().join("data/rates.csv")].into(),
        // Newer files would count as saves first.
        since: SystemTime::now() + DEADLINE,
        ..FilesInUse::default()
    };
    watcher.downgrade().watch_in_use(1, in_use);
    for (path, is_watched, reason) in REASONS {
        let described = watcher.describe(1, Some(path.into()), 2).await.unwrap();
        let answer = described.answer.unwrap();
        assert_eq!(answer.is_watched, is_watched, "{path}: {}", answer.reason);
        // Paths of Windows have backslashes.
        let told = answer.reason.replace('\\', "/");
        assert!(told.starts_with(reason), "{path}: {told}");
        let is_selected = is_watched || reason.contains("selects it");
        assert_eq!(answer.lacks_glob, !is_selected, "{path}");
        assert_eq!(
            (described.files.len(), described.count),
            (2, 3),
            "{:?}",
            described.files
        );
    }
    assert!(watcher.describe(2, None, 1).await.is_none());
}
