//! Tests of whole installations: the result, and that a failure leaves no trace.

mod failing;
mod keeping;
mod replacing;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::clone::Limits;
use super::git_server::{GitServer, Repository};
use super::store::Store;
use super::*;
use crate::config::{ConfigContext, InstallPolicy};
use crate::transport::reaper::Reaper;

const PERSON: RequestOrigin = RequestOrigin::Person {
    insecure: false,
    scripts: false,
};
const BEFORE: &str =
    "{\n  // mine\n  \"mcpServers\": {\n    \"other\": { \"command\": \"x\" }\n  }\n}\n";

impl Installer {
    /// Fetches and prepares in one step, without a decision in between.
    async fn install(
        &self,
        request: InstallRequest,
        progress: &StepListener,
        cancel: &CancellationToken,
    ) -> Result<Installed, InstallError> {
        let fetched = self.fetch(request, progress, cancel).await?;
        fetched.finish(cancel).await
    }
}

/// A user with a project, and the publisher of a server.
struct World {
    server: GitServer,
    repository: Repository,
    folder: TempDir,
    installer: Installer,
}

impl World {
    fn new() -> Self {
        let server = GitServer::new();
        let repository = server.repository(
            "weather",
            &[("serve.sh", "one"), ("docs/readme.txt", "two")],
        );
        let folder = tempfile::tempdir().unwrap();
        let cwd = folder.path().join("project");
        fs::create_dir(&cwd).unwrap();
        fs::write(cwd.join(".mcp.json"), BEFORE).unwrap();
        let root = reqwest::Certificate::from_pem(server.authority().as_bytes()).unwrap();
        let installer = Installer {
            store: Store::at(folder.path().join("servers")),
            around: ConfigContext {
                cwd,
                ..ConfigContext::default()
            },
            policy: InstallPolicy {
                consent_required: false,
                enabled: true,
                allow: Vec::new(),
                scripts: false,
            },
            reaper: Reaper::absent(),
            limits: Limits::default(),
            roots: [root].into(),
            tasks: TaskTracker::new(),
        };
        Self {
            server,
            repository,
            folder,
            installer,
        }
    }

    /// A Python server without an environment, so that no dependency is fetched.
    fn request(&self) -> InstallRequest {
        self.at("git/weather")
    }

    fn at(&self, path: &str) -> InstallRequest {
        let command = ["sh", "serve.sh"].map(str::to_owned).to_vec();
        InstallRequest {
            source: self.server.url(path),
            name: None,
            choices: StartSettings {
                command,
                ..StartSettings::default()
            },
            env: Vec::new(),
            auto_detect: true,
            overwrite: false,
            origin: PERSON,
        }
    }

    async fn install(&self, request: InstallRequest) -> Result<Installed, InstallError> {
        let cancel = CancellationToken::new();
        self.installer
            .install(request, &StepListener::silent(), &cancel)
            .await
    }

    async fn update(&self, force: bool) -> Result<Installed, InstallError> {
        let (silent, cancel) = (StepListener::silent(), CancellationToken::new());
        let fetched = self
            .installer
            .update("weather", PERSON, force, &silent, &cancel)
            .await?;
        fetched.finish(&cancel).await
    }

    async fn remove(&self, name: &str, delete_files: bool) -> Result<Removed, InstallError> {
        let removal = self.installer.removal(name, delete_files, false, PERSON);
        removal.await?.finish().await
    }

    fn config(&self) -> String {
        fs::read_to_string(self.config_file()).unwrap()
    }

    fn config_file(&self) -> PathBuf {
        self.installer.around.cwd.join(".mcp.json")
    }

    /// Returns all files and folders of the store, except git's own.
    fn stored(&self) -> Vec<String> {
        let root = self.folder.path().join("servers");
        let mut found = Vec::new();
        collect(&root, &root, &mut found);
        found.sort();
        found
    }

    /// Asserts that the store is empty and the configuration unchanged.
    #[track_caller]
    fn assert_untouched(&self, what: &str) {
        assert_eq!(self.stored(), [""; 0], "{what}");
        assert_eq!(self.config(), BEFORE, "{what}");
    }
}

fn collect(root: &Path, folder: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        found.push(path.strip_prefix(root).unwrap().display().to_string());
        if entry.file_type().unwrap().is_dir() && entry.file_name() != ".git" {
            collect(root, &path, found);
        }
    }
}

#[tokio::test]
async fn an_installation_is_recorded_and_registered_and_goes_away_without_a_trace() {
    let world = World::new();
    let env = vec![("KEY".to_owned(), "${KEY:-}".to_owned())];
    let installed = world
        .install(InstallRequest {
            env,
            ..world.request()
        })
        .await
        .unwrap();
    assert_eq!(installed.outcome, InstallOutcome::New);
    assert_eq!(installed.name, "weather");
    assert_eq!(installed.reference.as_deref(), Some("refs/heads/main"));
    assert_eq!(
        installed.commit,
        world.repository.git(&["rev-parse", "HEAD"])
    );
    assert_eq!(
        fs::read_to_string(installed.folder.join("serve.sh")).unwrap(),
        "one"
    );
    let config = world.config();
    assert!(
        config.contains("// mine") && config.contains("${KEY:-}"),
        "{config}"
    );
    assert!(
        config.contains(&format!("\"{}\"", installed.folder.display())),
        "{config}"
    );

    let again = world.install(world.request()).await.unwrap();
    assert_eq!(again.outcome, InstallOutcome::Same);
    assert_eq!(
        (again.folder, world.config()),
        (installed.folder.clone(), config)
    );

    let removed = world.remove("weather", true).await.unwrap();
    assert_eq!(removed.unregistered, [world.config_file()]);
    assert!(
        removed.deleted.is_some() && removed.kept.is_none(),
        "{removed:?}"
    );
    world.assert_untouched("uninstall");
    let gone = world.remove("weather", true).await;
    assert!(matches!(gone, Err(InstallError::Unknown(_))), "{gone:?}");
}

#[tokio::test]
async fn an_update_moves_to_the_newest_commit_and_keeps_the_entry() {
    let world = World::new();
    let first = world.install(world.request()).await.unwrap();
    let config = world.config().replace("// mine", "// still mine");
    fs::write(world.config_file(), &config).unwrap();
    assert_eq!(
        world.update(false).await.unwrap().outcome,
        InstallOutcome::Same
    );

    let commit = world.repository.commit(&[("serve.sh", "newer")]);
    let second = world.update(false).await.unwrap();
    assert_eq!(
        (second.outcome, &second.commit),
        (InstallOutcome::Updated, &commit)
    );
    assert_eq!(second.before.as_ref(), Some(&first.commit));
    assert_eq!(second.notes, [""; 0]);
    let (from, to) = (
        first.folder.to_str().unwrap(),
        second.folder.to_str().unwrap(),
    );
    assert_eq!(world.config(), config.replace(from, to));
    assert!(
        first.folder.exists(),
        "a running server has lost its folder"
    );

    world.repository.commit(&[("serve.sh", "newest")]);
    let third = world.update(false).await.unwrap();
    assert!(!first.folder.exists() && second.folder.exists() && third.folder.exists());

    fs::write(third.folder.join("serve.sh"), "by hand").unwrap();
    fs::write(third.folder.join("kept.db"), "by the server").unwrap();
    world.repository.commit(&[("serve.sh", "last")]);
    let changed = world.update(false).await.unwrap_err().to_string();
    let named = r#": "kept.db", "serve.sh"; copy"#;
    assert!(changed.contains(named), "{changed}");
    assert_eq!(
        world.update(true).await.unwrap().outcome,
        InstallOutcome::Updated
    );
}

#[tokio::test]
async fn files_of_the_installation_are_no_change_of_a_server() {
    let world = World::new();
    // A link that was left out is no change either.
    std::os::unix::fs::symlink("/etc/passwd", world.repository.folder.join("link")).unwrap();
    world
        .repository
        .commit(&failing::rust("weather-mcp", "fn main() {}"));
    let installed = world.install(world.request()).await.unwrap();
    assert!(fs::symlink_metadata(installed.folder.join("link")).is_err());
    assert!(installed.folder.join("target/release/weather-mcp").exists());
    assert!(installed.folder.join("Cargo.lock").exists());
    world.repository.commit(&[("serve.sh", "newer")]);
    assert_eq!(
        world.update(false).await.unwrap().outcome,
        InstallOutcome::Updated
    );
}

#[tokio::test]
async fn a_moved_tag_is_followed_and_a_commit_stands_still() {
    let world = World::new();
    world.repository.git(&["tag", "v1"]);
    world.install(world.at("git/weather@v1")).await.unwrap();
    let commit = world.repository.commit(&[("serve.sh", "newer")]);
    assert_eq!(
        world.update(false).await.unwrap().outcome,
        InstallOutcome::Same
    );
    world.repository.git(&["tag", "--force", "v1"]);
    let updated = world.update(false).await.unwrap();
    assert_eq!(updated.commit, commit);
    let told = |it: &String| it.starts_with("the tag v1 moved from ");
    assert!(updated.notes.iter().any(told), "{:?}", updated.notes);

    let pinned = InstallRequest {
        overwrite: true,
        ..world.at(&format!("git/weather@{commit}"))
    };
    world.install(pinned).await.unwrap();
    world.repository.commit(&[("serve.sh", "newest")]);
    assert_eq!(
        world.update(false).await.unwrap().outcome,
        InstallOutcome::Same
    );
}

#[tokio::test]
async fn a_commit_of_a_fork_is_for_a_person() {
    let world = World::new();
    let repository = &world.repository;
    repository.git(&["config", "uploadpack.allowAnySHA1InWant", "true"]);
    let fork = repository.git(&["commit-tree", "-p", "HEAD", "-m", "fork", "HEAD^{tree}"]);
    let request = world.at(&format!("git/weather@{fork}"));
    let model = InstallRequest {
        origin: RequestOrigin::Tool,
        ..request.clone()
    };
    let error = world.install(model).await.unwrap_err().to_string();
    assert!(error.contains("may belong to a fork"), "{error}");
    world.assert_untouched("a fork");
    let notes = world.install(request).await.unwrap().notes;
    assert!(notes[0].contains("one of a fork"), "{notes:?}");
}

#[tokio::test]
async fn a_declined_installation_is_undone() {
    let world = World::new();
    let cancel = CancellationToken::new();
    let fetched = world
        .installer
        .fetch(world.request(), &StepListener::silent(), &cancel)
        .await
        .unwrap();
    let proposal = fetched.proposal().unwrap();
    assert_eq!(
        proposal.commit,
        world.repository.git(&["rev-parse", "HEAD"])
    );
    assert_eq!(proposal.command, ["sh", "serve.sh"]);
    drop(fetched);
    world.assert_untouched("declined");
}

#[tokio::test]
async fn an_entry_of_that_name_is_not_overwritten_unless_asked() {
    let world = World::new();
    let other = InstallRequest {
        name: Some("other".into()),
        ..world.request()
    };
    let error = world.install(other.clone()).await.unwrap_err();
    assert!(error.to_string().contains("--overwrite"), "{error}");
    world.assert_untouched("taken");
    world
        .install(InstallRequest {
            overwrite: true,
            ..other
        })
        .await
        .unwrap();
    assert!(!world.config().contains("\"x\""));
}

#[tokio::test]
async fn two_owners_of_one_name_do_not_meet() {
    let world = World::new();
    world
        .server
        .repository("acme/tool", &[("serve.sh", "acme")]);
    world
        .server
        .repository("evil/tool", &[("serve.sh", "evil")]);
    let first = world.install(world.at("git/acme/tool")).await.unwrap();
    let error = world.install(world.at("git/evil/tool")).await.unwrap_err();
    assert!(matches!(error, InstallError::Taken { .. }), "{error}");
    let named = InstallRequest {
        name: Some("tool2".into()),
        ..world.at("git/evil/tool")
    };
    let second = world.install(named).await.unwrap();
    let read = |it: &Installed| fs::read_to_string(it.folder.join("serve.sh")).unwrap();
    assert_eq!(
        (read(&first), read(&second)),
        ("acme".into(), "evil".into())
    );
}

#[tokio::test]
async fn files_that_another_project_uses_stay() {
    let mut world = World::new();
    let installed = world.install(world.request()).await.unwrap();
    let first = world.installer.around.cwd.clone();
    world.installer.around.cwd = world.folder.path().join("second");
    fs::create_dir(&world.installer.around.cwd).unwrap();
    let again = world.install(world.request()).await.unwrap();
    assert_eq!(
        (again.outcome, again.registered.len()),
        (InstallOutcome::Same, 2)
    );
    assert!(world.config().contains(installed.folder.to_str().unwrap()));

    let commit = world.repository.commit(&[("serve.sh", "newer")]);
    let updated = world.update(false).await.unwrap();
    assert_eq!((updated.commit, updated.notes), (commit, Vec::new()));
    let theirs = fs::read_to_string(first.join(".mcp.json")).unwrap();
    assert!(
        theirs.contains(updated.folder.to_str().unwrap()),
        "{theirs}"
    );

    let removed = world.remove("weather", true).await.unwrap();
    assert_eq!(
        (removed.deleted, removed.kept),
        (None, Some(updated.folder.clone()))
    );
    assert!(
        removed.notes[0].starts_with(first.to_str().unwrap()),
        "{:?}",
        removed.notes
    );
    assert!(updated.folder.exists());
    world.installer.around.cwd = first;
    let removed = world.remove("weather", true).await.unwrap();
    assert!(removed.deleted.is_some());
    world.assert_untouched("both");
}

#[tokio::test]
async fn an_entry_that_nobody_installed_keeps_its_files() {
    let world = World::new();
    let removed = world.remove("other", true).await.unwrap();
    assert_eq!((removed.unregistered.len(), removed.deleted), (1, None));
    assert_eq!(removed.notes.len(), 1);
    let backup = &removed.backups[0];
    assert_eq!(fs::read_to_string(backup).unwrap(), BEFORE);
    assert_eq!(
        fs::metadata(backup).unwrap().permissions().mode() & 0o777,
        0o600
    );
}
