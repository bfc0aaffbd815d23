//! Tests of updates, removals and installations that would lose files of a person or of the server.

use std::fs;

use super::*;
use crate::install::changes;

const IGNORED: &str = ".env\n*.log\ndata/\nnode_modules/\n";

/// Returns a world with a server whose repository ignores some names.
async fn world() -> (World, Installed) {
    let world = World::new();
    world.repository.commit(&[(".gitignore", IGNORED)]);
    let installed = world.install(world.request()).await.unwrap();
    world.repository.commit(&[("serve.sh", "newer")]);
    (world, installed)
}

fn put(installed: &Installed, file: &str) {
    let path = installed.folder.join(file);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, "mine").unwrap();
}

#[tokio::test]
async fn ignored_files_stop_an_update_and_a_removal() {
    for (file, shown) in [
        (".env", r#"".env""#),
        ("data/weather.db", r#""data/weather.db""#),
        ("server.log", r#""server.log""#),
        ("node_modules/mine.js", r#""node_modules""#),
        (
            "data/x\nSAFE \u{1b}[2K.db",
            r#""data/x\nSAFE \u{1b}[2K.db""#,
        ),
    ] {
        let (world, installed) = world().await;
        put(&installed, file);
        for refused in [
            world.update(false).await.map(drop),
            world.remove("weather", true).await.map(drop),
        ] {
            let error = refused.unwrap_err();
            assert!(matches!(error, InstallError::Changed { .. }), "{error}");
            let text = error.to_string();
            assert!(text.contains(&format!(": {shown}; copy")), "{text}");
            assert!(text.contains("--force") && !text.contains('\n'), "{text}");
        }
        assert!(installed.folder.join(file).exists());
        world.remove("weather", false).await.unwrap();
        assert!(installed.folder.join(file).exists());
    }
}

#[tokio::test]
async fn files_that_somebody_committed_are_changes() {
    let (world, installed) = world().await;
    put(&installed, "mine.txt");
    let repository = git2::Repository::open(&installed.folder).unwrap();
    let mut index = repository.index().unwrap();
    index.add_path(Path::new("mine.txt")).unwrap();
    index.write().unwrap();
    let refused = world.update(false).await.unwrap_err().to_string();
    assert!(refused.contains(r#": "mine.txt";"#), "{refused}");
    let tree = repository.find_tree(index.write_tree().unwrap()).unwrap();
    let who = git2::Signature::now("a", "a@b.example").unwrap();
    let head = repository.head().unwrap().peel_to_commit().unwrap();
    repository
        .commit(Some("HEAD"), &who, &who, "mine", &tree, &[&head])
        .unwrap();
    let refused = world.update(false).await.unwrap_err().to_string();
    assert!(refused.contains(r#": "mine.txt";"#), "{refused}");
}

#[tokio::test]
async fn without_gits_folder_every_file_may_be_changed() {
    let (world, installed) = world().await;
    fs::remove_dir_all(installed.folder.join(".git")).unwrap();
    let refused = world.update(false).await.unwrap_err().to_string();
    assert!(refused.contains(r#"".git""#), "{refused}");
    assert_eq!(
        world.update(true).await.unwrap().outcome,
        InstallOutcome::Updated
    );
}

#[tokio::test]
async fn a_new_installation_replaces_no_changed_files_in_silence() {
    let (world, installed) = world().await;
    put(&installed, ".env");
    let replacing = |origin, overwrite| InstallRequest {
        overwrite,
        origin,
        ..world.request()
    };
    let refused = world.install(replacing(RequestOrigin::Tool, true)).await;
    let refused = refused.unwrap_err().to_string();
    assert!(refused.contains("`force`"), "{refused}");
    world.remove("weather", false).await.unwrap();
    let refused = world.install(replacing(PERSON, false)).await;
    let refused = refused.unwrap_err().to_string();
    assert!(refused.contains("--overwrite"), "{refused}");
    world.install(replacing(PERSON, true)).await.unwrap();
}

#[test]
fn products_of_the_preparation_may_change() {
    let server = GitServer::new();
    let files = [
        (".gitignore", "target/\nignored/\n__pycache__/\n"),
        ("main.py", "1"),
        ("lock", "1"),
    ];
    let folder = server.repository("weather", &files).folder;
    let put_all = |files: &[&str]| {
        for file in files {
            let path = folder.join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, file).unwrap();
        }
    };
    let left = ["target/a", "node_modules/b", "ignored/c", "made/d", "lock"];
    put_all(&left);
    changes::begin(&folder);
    let by_products = ["target/new", "node_modules/new", "__pycache__/x", "e.pyc"];
    put_all(&by_products);
    let nothing: [PathBuf; 0] = [];
    let changed = || {
        changes::since_preparation(&folder)
            .into_iter()
            .collect::<Vec<_>>()
    };
    assert_eq!(changed(), nothing);
    // These folders hold other files than products.
    let mine = ["ignored/mine", "made/mine", "build/mine", "lock", "main.py"];
    put_all(&mine);
    fs::write(folder.join("lock"), "2").unwrap();
    let expected = ["build", "ignored/mine", "lock", "made/mine", "main.py"];
    assert_eq!(changed(), expected.map(PathBuf::from));
}

#[test]
fn files_in_submodules_count() {
    let server = GitServer::new();
    let inner = server.repository("inner", &[("a", "1")]);
    let outer = server.repository("outer", &[("b", "1")]);
    outer.git(&[
        "-c",
        "protocol.file.allow=always",
        "submodule",
        "add",
        inner.folder.to_str().unwrap(),
        "lib",
    ]);
    outer.commit(&[("c", "1")]);
    changes::begin(&outer.folder);
    assert!(changes::since_preparation(&outer.folder).is_empty());
    fs::write(outer.folder.join("lib/a"), "2").unwrap();
    fs::write(outer.folder.join("lib/mine"), "2").unwrap();
    let changed: Vec<PathBuf> = changes::since_preparation(&outer.folder)
        .into_iter()
        .collect();
    assert_eq!(changed, ["lib/a", "lib/mine"].map(PathBuf::from));
}

#[tokio::test]
async fn changed_files_are_not_deleted_unless_that_is_insisted_on() {
    let world = World::new();
    let installed = world.install(world.request()).await.unwrap();
    fs::write(installed.folder.join("serve.sh"), "mine").unwrap();
    let refused = world.remove("weather", true).await;
    assert!(
        matches!(refused, Err(InstallError::Changed { .. })),
        "{refused:?}"
    );
    assert!(world.config().contains("weather"));
    let forced = world.installer.removal("weather", true, true, PERSON);
    assert!(
        forced
            .await
            .unwrap()
            .finish()
            .await
            .unwrap()
            .deleted
            .is_some()
    );
}

#[tokio::test]
async fn without_delete_files_they_stay_and_it_is_said() {
    let world = World::new();
    let installed = world.install(world.request()).await.unwrap();
    let removed = world.remove("weather", false).await.unwrap();
    assert_eq!(
        (removed.deleted, removed.kept),
        (None, Some(installed.folder.clone()))
    );
    assert!(installed.folder.exists());
    assert_eq!(world.config(), BEFORE);
    let deleted = world.remove("weather", true).await.unwrap();
    assert!(deleted.deleted.is_some());
    world.assert_untouched("later");
}

#[tokio::test]
async fn files_of_the_previous_commit_stop_a_removal_and_a_replacement_by_a_model() {
    let (world, first) = world().await;
    world.update(false).await.unwrap();
    put(&first, ".env");
    world.repository.commit(&[("serve.sh", "newest")]);
    let replacement = InstallRequest {
        overwrite: true,
        origin: RequestOrigin::Tool,
        ..world.request()
    };
    for refused in [
        world.install(replacement).await.map(drop),
        world.remove("weather", true).await.map(drop),
    ] {
        let error = refused.unwrap_err().to_string();
        let shown = format!("in {:?}: \".env\"; copy", first.folder);
        assert!(error.contains(&shown), "{error}");
    }
    assert!(first.folder.join(".env").exists());
    let forced = world.installer.removal("weather", true, true, PERSON);
    let forced = forced.await.unwrap();
    assert!(forced.lost()[&first.folder].contains(Path::new(".env")));
    let removed = forced.finish().await.unwrap();
    assert_eq!(removed.deleted.as_deref(), first.folder.parent());
}

#[tokio::test]
async fn files_added_after_the_decision_are_not_deleted_even_by_force() {
    let (world, installed) = world().await;
    for (force, file) in [(false, ".env"), (true, "data/weather.db")] {
        let removal = world.installer.removal("weather", true, force, PERSON);
        let removal = removal.await.unwrap();
        put(&installed, file);
        let error = removal.finish().await.unwrap_err().to_string();
        assert!(error.contains(file), "{error}");
        assert!(installed.folder.join(file).exists());
        assert!(world.config().contains("weather"));
    }
}

#[tokio::test]
async fn an_update_after_the_decision_stops_a_removal() {
    let (world, _) = world().await;
    let removal = world.installer.removal("weather", true, true, PERSON);
    let removal = removal.await.unwrap();
    let updated = world.update(false).await.unwrap();
    let error = removal.finish().await.unwrap_err();
    assert!(matches!(error, InstallError::Meanwhile(_)), "{error}");
    assert!(updated.folder.exists() && world.config().contains("weather"));
}
