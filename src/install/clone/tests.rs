//! Tests against real git behind a real TLS server, and against servers that misbehave.

mod foreign;
mod hostile;
mod submodules;

use std::fs;
use std::time::Instant;

use git2::Repository;
use tempfile::TempDir;

use super::*;
use crate::install::git_server::{GitServer, Repository as Published};
use crate::install::source::SourcePermissions;

const LIMITS: Limits = Limits {
    silence: Duration::from_secs(20),
    whole: Duration::from_secs(60),
    download: 8 << 20,
    unpacked: 16 << 20,
    entries: 1000,
    depth: 100,
    memory: 1 << 30,
};

fn job(server: &GitServer) -> CloneContext {
    let root = reqwest::Certificate::from_pem(server.authority().as_bytes()).unwrap();
    CloneContext {
        limits: LIMITS,
        started: Instant::now(),
        progress: StepListener::silent(),
        cancel: CancellationToken::new(),
        runtime: Handle::current(),
        reaper: Reaper::absent(),
        roots: [root].into(),
    }
}

/// Returns the result of cloning `source`, and the folder.
async fn cloned(source: &str, job: CloneContext) -> (Result<Cloned, CloneError>, TempDir) {
    let permit = SourcePermissions {
        local: true,
        insecure: true,
    };
    let source = Source::parse(source, permit, Path::new("/")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_owned();
    let work =
        move || open(&source, &job)?.clone_into(&source, &path, 0, UnreferencedCommit::Taken);
    let done = tokio::task::spawn_blocking(work).await.unwrap();
    (done, folder)
}

async fn commit_of(source: &str, server: &GitServer) -> String {
    cloned(source, job(server)).await.0.unwrap().commit
}

async fn failure(source: &str, server: &GitServer) -> String {
    cloned(source, job(server)).await.0.unwrap_err().to_string()
}

fn two_commits(server: &GitServer) -> (Published, String, String) {
    let published = server.repository("weather", &[("server.py", "one"), ("sub/a.py", "a")]);
    let first = published.git(&["rev-parse", "HEAD"]);
    published.git(&["tag", "--annotate", "--message=1", "v1.0"]);
    published.git(&["branch", "feature/x"]);
    let second = published.commit(&[("server.py", "two")]);
    (published, first, second)
}

#[tokio::test]
async fn a_branch_a_tag_or_a_commit_is_fetched_alone() {
    let server = GitServer::new();
    let (published, first, second) = two_commits(&server);
    let url = server.url("git/weather");
    let (clone, folder) = cloned(&url, job(&server)).await;
    let clone = clone.unwrap();
    assert_eq!((&clone.commit, &*clone.notes), (&second, &[][..]));
    assert_eq!(
        fs::read_to_string(folder.path().join("server.py")).unwrap(),
        "two"
    );
    let repository = Repository::open(folder.path()).unwrap();
    assert!(repository.is_shallow(), "the history came along");
    assert_eq!(
        repository.head().unwrap().name().unwrap(),
        "refs/heads/main"
    );
    assert!(repository.statuses(None).unwrap().is_empty());

    for (name, commit) in [
        ("main", &second),
        ("v1.0", &first),
        ("feature/x", &first),
        ("refs/tags/v1.0", &first),
        // An ancestor that is no tip, by full and abbreviated id: needs the history.
        (&first, &first),
        (&first[..8], &first),
        (&second, &second),
    ] {
        assert_eq!(
            &commit_of(&format!("{url}@{name}"), &server).await,
            commit,
            "{name}"
        );
        let local = format!("{}@{name}", published.folder.display());
        assert_eq!(&commit_of(&local, &server).await, commit, "{local}");
    }
}

#[tokio::test]
async fn a_name_that_is_not_there_has_near_ones() {
    let server = GitServer::new();
    let _published = two_commits(&server);
    let url = server.url("git/weather");
    let say = async |name: &str| failure(&format!("{url}@{name}"), &server).await;
    assert_eq!(
        say("1.0").await,
        "the repository has no branch, tag or commit `1.0`; did you mean `v1.0`?"
    );
    assert_eq!(
        say("0123456789").await,
        "the repository has no branch, tag or commit `0123456789`"
    );
    let whole = "0123456789".repeat(4);
    assert_eq!(
        say(&whole).await,
        format!("the repository has no branch, tag or commit `{whole}`")
    );
}

#[tokio::test]
async fn faults_of_a_git_server_are_reported() {
    let server = GitServer::new();
    let (_published, _, second) = two_commits(&server);
    for (how, said) in [
        (
            "garbage",
            "the server's response violates git's smart protocol",
        ),
        ("page", "not a git repository that can be cloned"),
        ("missing", "repository not found"),
        ("git/nothing", "repository not found"),
        ("broken", "the server answered with HTTP status 500"),
        ("private", "the server requires authentication"),
        ("away", "the server redirects to https://127.0.0.1:"),
        ("cut", "connection lost"),
        ("damaged", "the server sent an invalid pack"),
    ] {
        let path = if how.contains('/') {
            how.to_owned()
        } else {
            format!("{how}/weather")
        };
        let failure = failure(&server.url(&path), &server).await;
        assert!(failure.contains(said), "{how}: {failure}");
    }
    // The client follows a redirect within the same server.
    assert_eq!(
        commit_of(&server.url("moved/weather"), &server).await,
        second
    );
    let untrusted = CloneContext {
        roots: [].into(),
        ..job(&server)
    };
    let (clone, _) = cloned(&server.url("git/weather"), untrusted).await;
    let failure = clone.unwrap_err().to_string();
    assert!(failure.contains("certificate"), "{failure}");
    let nobody = super::tests::failure("https://localhost:1/a/b", &server).await;
    assert!(nobody.starts_with("cannot reach the server: "), "{nobody}");
}

#[tokio::test]
async fn credentials_open_what_is_private_and_are_not_kept() {
    let server = GitServer::new();
    let (_published, _, second) = two_commits(&server);
    let url = server
        .url("private/weather")
        .replace("https://", "https://me:secret@");
    let (clone, folder) = cloned(&url, job(&server)).await;
    assert_eq!(clone.unwrap().commit, second);
    let config = fs::read_to_string(folder.path().join(".git/config")).unwrap();
    assert!(
        config.contains("/private/weather") && !config.contains("secret"),
        "{config}"
    );
}

#[tokio::test]
async fn silence_ends_at_the_limit_and_at_a_cancel() {
    let server = GitServer::new();
    let _published = two_commits(&server);
    for how in ["silent", "silent-pack", "stalled"] {
        let url = server.url(&format!("{how}/weather"));
        let mut short = job(&server);
        short.limits.silence = Duration::from_millis(300);
        let (clone, _) = cloned(&url, short).await;
        assert!(
            matches!(clone, Err(CloneError::Silent(_))),
            "{how}: {clone:?}"
        );

        let mut slow = job(&server);
        slow.limits.whole = Duration::from_millis(300);
        let (clone, _) = cloned(&url, slow).await;
        assert!(
            matches!(clone, Err(CloneError::Slow(_))),
            "{how}: {clone:?}"
        );

        let started = Instant::now();
        let cancelled = job(&server);
        let cancel = cancelled.cancel.clone();
        let (clone, ()) = tokio::join!(cloned(&url, cancelled), async {
            tokio::time::sleep(Duration::from_millis(50)).await;
            cancel.cancel();
        });
        assert!(
            matches!(clone.0, Err(CloneError::Cancelled)),
            "{how}: {clone:?}"
        );
        assert!(started.elapsed() < LIMITS.silence / 2);
    }
}

#[tokio::test]
async fn too_large_repositories_are_refused() {
    let server = GitServer::new();
    let (published, ..) = two_commits(&server);
    // Bytes that do not compress, and bytes that compress extremely well.
    let mut state = 1_u64;
    let noise: String = std::iter::repeat_with(|| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        char::from(b'!' + state.to_be_bytes()[1] % 90)
    })
    .take(2 << 20)
    .collect();
    published.commit(&[("noise", &noise), ("bomb", &"0".repeat(8 << 20))]);
    for url in [
        server.url("git/weather"),
        published.folder.display().to_string(),
    ] {
        let mut limited = job(&server);
        limited.limits.download = 1 << 20;
        let (clone, _) = cloned(&url, limited).await;
        assert!(
            clone
                .unwrap_err()
                .to_string()
                .ends_with("more than 1 MiB to fetch"),
            "{url}"
        );
        let mut limited = job(&server);
        limited.limits.unpacked = 4 << 20;
        let (clone, folder) = cloned(&url, limited).await;
        assert!(
            clone
                .unwrap_err()
                .to_string()
                .ends_with("more than 4 MiB of files"),
            "{url}"
        );
        assert!(!folder.path().join("bomb").exists());
        let mut limited = job(&server);
        limited.limits.entries = 3;
        let (clone, _) = cloned(&url, limited).await;
        assert!(
            clone
                .unwrap_err()
                .to_string()
                .ends_with("more than 3 files and folders"),
            "{url}"
        );
    }
}

#[tokio::test]
async fn links_that_lead_out_are_left_out_and_what_is_missing_is_told() {
    let server = GitServer::new();
    let (published, ..) = two_commits(&server);
    let link =
        |to: &str, name: &str| std::os::unix::fs::symlink(to, published.folder.join(name)).unwrap();
    link("/etc/passwd", "passwd");
    link("../../../../etc", "sub/etc");
    link("sub/etc/passwd", "chain");
    link("server.py", "main.py");
    link("nowhere", "dangling");
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n";
    let head = published.git(&["rev-parse", "HEAD"]);
    published.git(&[
        "update-index",
        "--add",
        "--cacheinfo",
        &format!("160000,{head},vendor"),
    ]);
    published.commit(&[("model.bin", pointer)]);
    published.git(&[
        "update-index",
        "--add",
        "--cacheinfo",
        &format!("160000,{head},vendor"),
    ]);
    published.git(&["commit", "--quiet", "--message=module"]);
    let (clone, folder) = cloned(&server.url("git/weather"), job(&server)).await;
    let notes = clone.unwrap().notes;
    assert_eq!(notes.len(), 3, "{notes:?}");
    for (note, word) in notes
        .iter()
        .zip(["out of the repository", "model.bin", "vendor"])
    {
        assert!(note.contains(word), "{note}");
    }
    let exists = |name: &str| fs::symlink_metadata(folder.path().join(name)).is_ok();
    assert!(!exists("passwd") && !exists("sub/etc"));
    assert!(exists("main.py") && exists("dangling"));
    assert!(!folder.path().join("chain").exists());
}

#[tokio::test]
async fn git_fetches_what_only_git_reaches() {
    let server = GitServer::new();
    let (published, first, second) = two_commits(&server);
    // `file://` replaces ssh here: git is called in the same way.
    let fetch = async |reference: Option<String>, download: u64| {
        let source = Source {
            reference,
            ..Source::parse(
                "ssh://localhost/a/b",
                SourcePermissions::default(),
                Path::new("/"),
            )
            .unwrap()
        };
        let source = Source {
            remote: RepositoryAddress::Program(format!("file://{}", published.folder.display())),
            ..source
        };
        let folder = tempfile::tempdir().unwrap();
        let (mut job, path) = (job(&server), folder.path().to_owned());
        job.limits.download = download;
        let work =
            move || open(&source, &job)?.clone_into(&source, &path, 0, UnreferencedCommit::Taken);
        let clone = tokio::task::spawn_blocking(work).await.unwrap();
        clone.map(|it| {
            (
                it.commit,
                Repository::open(folder.path()).unwrap().is_shallow(),
            )
        })
    };
    assert_eq!(fetch(None, 1 << 20).await.unwrap(), (second.clone(), true));
    assert_eq!(
        fetch(Some("v1.0".into()), 1 << 20).await.unwrap(),
        (first.clone(), true)
    );
    assert_eq!(
        fetch(Some(first[..9].into()), 1 << 20).await.unwrap(),
        (first.clone(), false)
    );
    let unknown = fetch(Some("nowhere".into()), 1 << 20).await.unwrap_err();
    assert!(
        matches!(unknown, CloneError::NoReference { .. }),
        "{unknown}"
    );
    let too_large = fetch(None, 10).await.unwrap_err();
    assert!(matches!(too_large, CloneError::TooLarge(_)), "{too_large}");
}
