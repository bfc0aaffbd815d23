//! Tests for submodules.

use super::*;

/// Returns the result of cloning `source` with its submodules, and the folder.
async fn cloned_whole(source: &str, job: CloneContext) -> (Result<Cloned, CloneError>, TempDir) {
    let source = Source::parse(source, SourcePermissions::default(), Path::new("/")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_owned();
    let taken = UnreferencedCommit::Taken;
    let work = move || open(&source, &job)?.clone_into(&source, &path, ALL_SUBMODULES, taken);
    let done = tokio::task::spawn_blocking(work).await.unwrap();
    (done, folder)
}

/// Adds a submodule at `path`, pinned to `commit`, as `git submodule add` does.
fn add_submodule(to: &Published, path: &str, url: &str, commit: &str) {
    let text = format!("[submodule \"{path}\"]\n\tpath = {path}\n\turl = {url}\n");
    fs::write(to.folder.join(".gitmodules"), text).unwrap();
    to.git(&["add", ".gitmodules"]);
    let entry = format!("160000,{commit},{path}");
    to.git(&["update-index", "--add", "--cacheinfo", &entry]);
    to.git(&["commit", "--quiet", "--message=module"]);
}

#[tokio::test]
async fn submodules_come_if_they_are_asked_for() {
    let server = GitServer::new();
    let innermost = server.repository("innermost", &[("c", "3")]);
    let deepest = innermost.git(&["rev-parse", "HEAD"]);
    let inner = server.repository("inner", &[("b", "2")]);
    add_submodule(&inner, "deep", &server.url("git/innermost"), &deepest);
    let pinned = inner.git(&["rev-parse", "HEAD"]);
    inner.commit(&[("b", "newer")]);
    let outer = server.repository("weather", &[("a", "1")]);
    add_submodule(&outer, "lib/inner", "../inner", &pinned);

    let url = server.url("git/weather");
    let (clone, folder) = cloned(&url, job(&server)).await;
    assert!(clone.unwrap().notes[0].contains(r#"--submodules does): "lib/inner""#));
    assert!(!folder.path().join("lib/inner/b").exists());

    let (clone, folder) = cloned_whole(&url, job(&server)).await;
    assert_eq!(clone.unwrap().notes, [""; 0]);
    let read = |path: &str| fs::read_to_string(folder.path().join(path)).unwrap();
    let all = ["a", "lib/inner/b", "lib/inner/deep/c"].map(read);
    assert_eq!(all, ["1", "2", "3"]);

    // The repositories have eight entries in total, and at most four each.
    let mut limited = job(&server);
    limited.limits.entries = 5;
    let error = cloned_whole(&url, limited).await.0.unwrap_err().to_string();
    assert!(
        error.contains(r#"submodule "lib/inner": the remaining limits"#),
        "{error}"
    );
}

#[tokio::test]
async fn a_submodule_cannot_be_had_from_this_machine_or_from_nowhere() {
    let server = GitServer::new();
    let secret = server.repository("secret", &[("b", "2")]);
    let commit = secret.git(&["rev-parse", "HEAD"]);
    for (name, url, reason) in [
        (
            "local",
            secret.folder.display().to_string(),
            r#"submodule "lib""#,
        ),
        (
            "file",
            format!("file://{}", secret.folder.display()),
            r#"submodule "lib""#,
        ),
        ("gone", "../nothing".to_owned(), r#"submodule "lib""#),
    ] {
        let outer = server.repository(name, &[("a", "1")]);
        add_submodule(&outer, "lib", &url, &commit);
        let url = server.url(&format!("git/{name}"));
        let (clone, folder) = cloned_whole(&url, job(&server)).await;
        let error = clone.unwrap_err().to_string();
        assert!(error.contains(reason), "{name}: {error}");
        assert!(!folder.path().join("lib/b").exists(), "{name}");
    }
}
