//! Tests for slots: kept files, removed files, and locks.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::install::source::{Source, SourcePermissions};

fn place(text: &str) -> StoreLocation {
    Source::parse(text, SourcePermissions::default(), Path::new("/"))
        .unwrap()
        .place
}

fn store() -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::at(folder.path().join("servers"));
    (folder, store)
}

/// Installs an empty folder.
fn install(store: &Store, source: &str, name: &str) -> InstallRecord {
    let slot = store.slot(&place(source), name).unwrap();
    fs::create_dir(slot.partial()).unwrap();
    let folder = slot.settle(&"ab".repeat(20)).unwrap();
    let record = InstallRecord {
        name: name.to_owned(),
        source: source.to_owned(),
        commit: "ab".repeat(20),
        reference: None,
        choices: StartSettings::default(),
        command: Vec::new(),
        previous: slot.record().map(|it| it.folder),
        folder: slot.name_of(&folder),
        registered: Vec::new(),
    };
    slot.write(&record).unwrap();
    record
}

#[test]
fn owners_and_names_do_not_meet() {
    let (_folder, store) = store();
    for (source, name) in [
        ("a/weather", "weather"),
        ("b/weather", "weather"),
        ("b/weather", "w2"),
    ] {
        install(&store, source, name);
    }
    let found = store.installed();
    let names: Vec<_> = found
        .iter()
        .map(|it| (&*it.record.source, &*it.record.name))
        .collect();
    assert_eq!(
        names,
        [
            ("a/weather", "weather"),
            ("b/weather", "w2"),
            ("b/weather", "weather")
        ]
    );
    assert!(found.iter().all(|it| it.folder.is_dir()));
    let slot = found[0].hold().unwrap();
    slot.discard().unwrap();
    assert_eq!(store.installed().len(), 2);
    assert!(!store.root.join("github.com/a").exists() && store.root.join("github.com/b").exists());
}

#[test]
fn leftovers_of_a_killed_installation_are_removed() {
    let (_folder, store) = store();
    install(&store, "a/weather", "weather");
    let second = install(&store, "a/weather", "weather");
    assert_eq!(second.folder, Path::new("abababababab-2"));
    let slot = store.root.join("github.com/a/weather/weather");
    for left in [slot.join("partial/.git"), slot.join("cdcdcdcdcdcd/x")] {
        fs::create_dir_all(left).unwrap();
    }
    fs::create_dir_all(store.root.join("github.com/b/half/half/partial/.git")).unwrap();
    assert_eq!(store.installed().len(), 1);
    assert!(!store.root.join("github.com/b").exists());
    store.slot(&place("a/weather"), "weather").unwrap();
    let mut left: Vec<_> = fs::read_dir(slot)
        .unwrap()
        .map(|it| it.unwrap().file_name())
        .collect();
    left.sort();
    assert_eq!(left, ["abababababab", "abababababab-2", "installed.json"]);
}

#[test]
fn a_slot_has_one_holder() {
    let (_folder, store) = store();
    let place = place("a/weather");
    let held = store.slot(&place, "weather").unwrap();
    fs::create_dir(held.partial()).unwrap();
    assert!(matches!(
        store.slot(&place, "weather"),
        Err(StoreError::Busy(_))
    ));
    assert!(store.installed().is_empty());
    assert!(
        held.partial().exists(),
        "an installation under way was tidied away"
    );
    store.slot(&place, "other").unwrap();
    drop(held);
    store.slot(&place, "weather").unwrap();
}

#[test]
fn names_are_checked_and_links_are_not_followed() {
    let (folder, store) = store();
    for name in ["", "..", "a/b", "a.b", &"x".repeat(65), "-\0"] {
        assert!(
            matches!(store.slot(&place("a/b"), name), Err(StoreError::Name(_))),
            "{name}"
        );
    }
    let precious = folder.path().join("precious");
    fs::create_dir_all(precious.join("child")).unwrap();
    install(&store, "a/weather", "weather");
    let slot = store.root.join("github.com/a/weather/weather");
    std::os::unix::fs::symlink(&precious, slot.join("abababababab/link")).unwrap();
    std::os::unix::fs::symlink(&precious, slot.join("stray")).unwrap();
    std::os::unix::fs::symlink(&precious, store.root.join("evil")).unwrap();
    let found = store.installed();
    found[0].hold().unwrap().discard().unwrap();
    assert!(!slot.exists() && precious.join("child").exists());
}

#[test]
fn a_record_cannot_name_a_folder_elsewhere() {
    let (_folder, store) = store();
    let mut record = install(&store, "a/weather", "weather");
    let slot = store.slot(&place("a/weather"), "weather").unwrap();
    for folder in ["..", "/etc", "a/b", ""] {
        record.folder = folder.into();
        slot.write(&record).unwrap();
        assert_eq!(slot.record(), None, "{folder}");
    }
}

#[test]
fn a_slot_has_one_holder_though_it_is_removed_all_the_time() {
    let (_folder, store) = store();
    let (place, inside) = (place("a/weather"), AtomicUsize::new(0));
    let come_and_go = || {
        for _ in 0..500 {
            let slot = match store.slot(&place, "weather") {
                Ok(slot) => slot,
                Err(StoreError::Busy(_)) => continue,
                Err(error) => panic!("{error}"),
            };
            assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0, "two hold it");
            fs::create_dir(slot.partial()).unwrap();
            std::thread::yield_now();
            inside.fetch_sub(1, Ordering::SeqCst);
            slot.discard().unwrap();
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(come_and_go);
        }
    });
}

#[test]
fn a_record_keeps_paths_that_are_not_utf_8() {
    use std::os::unix::ffi::OsStrExt as _;
    let (_folder, store) = store();
    let mut record = install(&store, "https://h/o/r", "weather");
    let odd = std::ffi::OsStr::from_bytes(b"/b\xe9d/.mcp.json");
    record.registered = vec!["/good/.mcp.json".into(), odd.into()];
    let slot = store.slot(&place(&record.source), "weather").unwrap();
    slot.write(&record).unwrap();
    assert_eq!(slot.record(), Some(record));
}
