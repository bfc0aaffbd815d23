//! Tests for commits without a branch or tag, such as those of forks that a host serves under the original address.

use super::*;

async fn asked(
    source: &str,
    unnamed: UnreferencedCommit,
    job: CloneContext,
) -> Result<Cloned, CloneError> {
    let permit = SourcePermissions {
        local: true,
        insecure: true,
    };
    let source = Source::parse(source, permit, Path::new("/")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_owned();
    let work = move || open(&source, &job)?.clone_into(&source, &path, 0, unnamed);
    let cloned = tokio::task::spawn_blocking(work).await.unwrap();
    assert!(!folder.path().join(".git/history").exists() || cloned.is_err());
    cloned
}

/// Creates a commit that the server has but no branch or tag contains.
fn fork(published: &Published) -> String {
    let tree = published.git(&["rev-parse", "HEAD^{tree}"]);
    let head = published.git(&["rev-parse", "HEAD"]);
    published.git(&["commit-tree", "-p", &head, "-m", "fork", &tree])
}

#[tokio::test]
async fn a_commit_of_a_fork_is_refused_or_told() {
    let server = GitServer::new();
    let (published, first, second) = two_commits(&server);
    let fork = fork(&published);
    published.git(&["update-ref", "refs/pull/7/head", &fork]);
    let hidden = {
        let tree = published.git(&["rev-parse", "HEAD^{tree}"]);
        published.git(&["commit-tree", "-m", "unrelated", &tree])
    };
    let url = server.url("git/weather");
    for (any, filter) in [("false", "false"), ("true", "false"), ("true", "true")] {
        published.git(&["config", "uploadpack.allowAnySHA1InWant", any]);
        published.git(&["config", "uploadpack.allowFilter", filter]);
        for name in [&fork, &hidden, &fork[..10], "refs/pull/7/head"] {
            let source = format!("{url}@{name}");
            let error = asked(&source, UnreferencedCommit::Proven, job(&server))
                .await
                .unwrap_err();
            let foreign = matches!(error, CloneError::Foreign(_));
            assert!(foreign, "{source} {any} {filter}: {error}");
        }
        for name in [&first, &second, &first[..10], "v1.0", "main"] {
            let source = format!("{url}@{name}");
            let clone = asked(&source, UnreferencedCommit::Proven, job(&server)).await;
            assert!(clone.is_ok(), "{source} {any} {filter}: {clone:?}");
            assert_eq!(clone.unwrap().notes, [""; 0]);
        }
    }
    for (name, told) in [(&fork, true), (&hidden, true), (&second, false)] {
        let source = format!("{url}@{name}");
        let clone = asked(&source, UnreferencedCommit::Told, job(&server))
            .await
            .unwrap();
        assert_eq!(&clone.commit, name);
        let is_told = clone.notes.iter().any(|it| it.contains("of a fork"));
        assert_eq!(is_told, told, "{name}");
    }
}

#[tokio::test]
async fn an_id_is_that_commit_and_no_branch() {
    let server = GitServer::new();
    let (published, first, second) = two_commits(&server);
    let branch = format!("refs/heads/{first}");
    published.git(&["update-ref", &branch, &second]);
    for url in [
        server.url("git/weather"),
        published.folder.display().to_string(),
    ] {
        let found = commit_of(&format!("{url}@{first}"), &server).await;
        assert_eq!(found, first, "{url}");
    }
}
