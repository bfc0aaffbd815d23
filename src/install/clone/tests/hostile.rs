//! Tests for malicious repositories.

use super::*;

/// Writes a tree with these entries (mode, name, id). Neither names nor order are checked.
fn tree(repository: &Repository, entries: &[(&str, &str, Oid)]) -> Oid {
    let mut bytes = Vec::new();
    for (mode, name, id) in entries {
        bytes.extend_from_slice(format!("{mode} {name}\0").as_bytes());
        bytes.extend_from_slice(id.as_bytes());
    }
    let odb = repository.odb().unwrap();
    odb.write(git2::ObjectType::Tree, &bytes).unwrap()
}

/// Publishes a commit of `root` as `main` of a new repository. Puts a pack of all its objects into `made.pack`, because
/// git would walk through them for ever.
fn publish(
    server: &GitServer,
    name: &str,
    root: impl FnOnce(&Repository, Oid) -> Oid,
) -> Published {
    let published = server.repository(name, &[("file", "text")]);
    let repository = Repository::open(&published.folder).unwrap();
    let odb = repository.odb().unwrap();
    let file = odb.write(git2::ObjectType::Blob, b"text").unwrap();
    let root = repository.find_tree(root(&repository, file)).unwrap();
    let who = git2::Signature::now("t", "t@example").unwrap();
    let commit = repository.commit(None, &who, &who, "hostile", &root, &[]);
    let (mut builder, mut pack) = (repository.packbuilder().unwrap(), git2::Buf::new());
    odb.foreach(|id| builder.insert_object(*id, None).is_ok())
        .unwrap();
    builder.write_buf(&mut pack).unwrap();
    fs::write(published.folder.join("made.pack"), &*pack).unwrap();
    let main = published.folder.join(".git/refs/heads/main");
    fs::write(main, commit.unwrap().to_string()).unwrap();
    published
}

const FOLDER: &str = "40000";
const MODULE: &str = "160000";
const LINK: &str = "120000";

#[tokio::test]
async fn folders_count_however_they_are_nested() {
    let server = GitServer::new();
    let deep = |repository: &Repository, file| {
        let mut inner = tree(repository, &[("100644", "f", file)]);
        for _ in 0..20_000 {
            inner = tree(repository, &[(FOLDER, "d", inner)]);
        }
        inner
    };
    // The same folder in itself, ten times at each level.
    let wide = |repository: &Repository, innermost: &[(&str, &str, Oid)]| {
        let mut inner = tree(repository, innermost);
        for _ in 0..12 {
            let names = "abcdefghij".split_inclusive(|_: char| true);
            let entries: Vec<_> = names.map(|name| (FOLDER, name, inner)).collect();
            inner = tree(repository, &entries);
        }
        inner
    };
    publish(&server, "deep", deep);
    publish(&server, "folders", |it, _| wide(it, &[]));
    publish(&server, "modules", |it, file| {
        wide(it, &[(MODULE, "m", file)])
    });
    for (name, said) in [
        ("deep", "folders nested more than 100 deep"),
        ("folders", "more than 1000 files and folders"),
        ("modules", "more than 1000 files and folders"),
    ] {
        let (clone, folder) = cloned(&server.url(&format!("packed/{name}")), job(&server)).await;
        let error = clone.unwrap_err().to_string();
        assert!(error.ends_with(said), "{name}: {error}");
        assert!(!folder.path().join("a").exists(), "{name}");
    }
}

#[tokio::test]
async fn the_death_of_the_worker_is_an_error() {
    let server = GitServer::new();
    let (published, ..) = two_commits(&server);
    for url in [
        server.url("git/weather"),
        published.folder.display().to_string(),
    ] {
        let mut starved = job(&server);
        starved.limits.memory = 1 << 20;
        let error = cloned(&url, starved).await.0.unwrap_err().to_string();
        assert!(error.contains("1 MiB of memory"), "{url}: {error}");
    }
}

#[tokio::test]
async fn names_that_stand_for_another_place_are_refused() {
    let server = GitServer::new();
    let outside = tempfile::tempdir().unwrap();
    let target = outside.path().to_str().unwrap();
    let names = [
        ".git",
        ".GIT",
        ".Git ",
        ".git.",
        "git~1",
        ".g\u{200c}it",
        ".git::$DATA",
        "..",
        ".",
        "a/b",
        "/a",
        "a\\b",
        "link/sub",
    ];
    for (at, name) in names.into_iter().enumerate() {
        for kind in [FOLDER, MODULE, "100644", LINK] {
            let published = format!("name{at}-{kind}");
            publish(&server, &published, |it, file| {
                let inner = tree(it, &[("100644", "config", file)]);
                let id = if kind == FOLDER { inner } else { file };
                let link = it.blob(target.as_bytes()).unwrap();
                tree(it, &[(LINK, "link", link), (kind, name, id)])
            });
            let url = server.url(&format!("packed/{published}"));
            let (clone, folder) = cloned(&url, job(&server)).await;
            let error = clone.unwrap_err().to_string();
            assert!(
                error.contains("the repository has a file or folder named"),
                "{name:?}: {error}"
            );
            assert!(fs::symlink_metadata(folder.path().join("link")).is_err());
        }
    }
}

#[tokio::test]
async fn nothing_lies_below_a_link() {
    let server = GitServer::new();
    let outside = tempfile::tempdir().unwrap();
    let target = outside.path().to_str().unwrap();
    for kind in [FOLDER, MODULE, "100644"] {
        publish(&server, kind, |it, file| {
            let id = if kind == FOLDER { tree(it, &[]) } else { file };
            let below = tree(it, &[(kind, "sub", id)]);
            let link = it.blob(target.as_bytes()).unwrap();
            tree(it, &[(LINK, "link", link), (FOLDER, "link", below)])
        });
        let (clone, _) = cloned(&server.url(&format!("packed/{kind}")), job(&server)).await;
        let error = clone.unwrap_err().to_string();
        assert!(
            error.contains(r#"the repository has a duplicate name "link""#),
            "{kind}: {error}"
        );
        assert_eq!(fs::read_dir(&outside).unwrap().count(), 0, "{kind}");
    }
}
