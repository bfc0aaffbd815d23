//! Tests of installations that fail, are refused or cancelled: they leave no trace.

use std::fs;
use std::time::Duration;

use super::*;

/// Returns a Rust package, which builds or fails faster than packages of other languages.
pub(super) fn rust<'a>(name: &str, main: &'a str) -> [(&'static str, &'a str); 2] {
    let manifest = format!(
        "[package]\nname = \"{name}\"\nversion = \"1.0.0\"\nedition = \"2021\"\n[workspace]\n"
    );
    [("Cargo.toml", manifest.leak()), ("src/main.rs", main)]
}

#[tokio::test]
async fn nothing_is_left_of_a_server_that_misbehaves() {
    let mut world = World::new();
    world.installer.limits.silence = Duration::from_millis(300);
    for how in [
        "silent",
        "silent-pack",
        "stalled",
        "cut",
        "damaged",
        "garbage",
        "missing",
        "away",
    ] {
        let error = world.install(world.at(&format!("{how}/weather"))).await;
        let error = error.unwrap_err().to_string();
        assert!(
            error.starts_with("cannot fetch https://localhost:"),
            "{error}"
        );
        world.assert_untouched(how);
    }
}

#[tokio::test]
async fn nothing_is_left_of_what_cannot_be_started() {
    let world = World::new();
    let file = |file: &str| InstallRequest {
        choices: StartSettings {
            server_file: Some(file.into()),
            ..StartSettings::default()
        },
        ..world.request()
    };
    let nothing = InstallRequest {
        choices: StartSettings::default(),
        ..world.at("git/weather#docs")
    };
    for (what, request) in [
        ("no subdir", world.at("git/weather#nowhere")),
        ("a file as subdir", world.at("git/weather#serve.sh")),
        ("nothing to start", nothing),
        ("no file", file("no.py")),
        ("a file elsewhere", file("../../x.py")),
        ("an option as file", file("-x")),
    ] {
        world.install(request).await.unwrap_err();
        world.assert_untouched(what);
    }
    world
        .repository
        .commit(&rust("weather-mcp", "fn main() { no such thing }"));
    let built = InstallRequest {
        choices: StartSettings::default(),
        ..world.request()
    };
    let error = world.install(built).await.unwrap_err();
    assert!(error.output().join("\n").contains("main.rs"), "{error:?}");
    world.assert_untouched("a failed build");
}

#[tokio::test]
async fn a_file_that_cannot_be_edited_is_found_at_once_and_when_it_is_too_late() {
    let world = World::new();
    let (silent, cancel) = (StepListener::silent(), CancellationToken::new());
    let fetched = world
        .installer
        .fetch(world.request(), &silent, &cancel)
        .await
        .unwrap();
    fs::write(world.config_file(), "{ broken").unwrap();
    for error in [
        fetched.finish(&cancel).await,
        world.install(world.request()).await,
    ] {
        let error = error.unwrap_err();
        assert!(matches!(error, InstallError::Register(_)), "{error}");
        assert_eq!(
            (world.stored(), world.config()),
            (Vec::new(), "{ broken".to_owned())
        );
    }
}

#[tokio::test]
async fn a_failed_update_leaves_what_was_there() {
    let world = World::new();
    let mut request = world.request();
    request.choices.command.clear();
    world
        .repository
        .commit(&rust("weather-mcp", "fn main() {}"));
    world.install(request).await.unwrap();
    let (config, stored) = (world.config(), world.stored());
    world
        .repository
        .commit(&rust("weather-mcp", "fn main() { no such thing }"));
    let error = world.update(false).await.unwrap_err();
    assert!(matches!(error, InstallError::Prepare(_)), "{error}");
    assert_eq!((world.config(), world.stored()), (config, stored));
}

#[tokio::test]
async fn a_commit_that_starts_differently_is_not_taken_unasked() {
    let world = World::new();
    let mut request = world.request();
    request.choices.command.clear();
    world
        .repository
        .commit(&rust("weather-mcp", "fn main() {}"));
    world.install(request).await.unwrap();
    let (config, stored) = (world.config(), world.stored());
    world.repository.commit(&rust("rain-mcp", "fn main() {}"));
    let error = world.update(false).await.unwrap_err();
    assert!(
        matches!(error, InstallError::StartsDifferently { .. }),
        "{error}"
    );
    assert!(error.to_string().contains("--overwrite"), "{error}");
    assert_eq!((world.config(), world.stored()), (config, stored));
}

#[tokio::test]
async fn a_tool_is_held_to_the_policy() {
    let mut world = World::new();
    let tool = |source: &str| InstallRequest {
        source: source.to_owned(),
        origin: RequestOrigin::Tool,
        ..world.request()
    };
    let requests = ["./x", "file:///srv/x", "http://h/a/b", "-x"].map(tool);
    let good = tool(&world.server.url("git/weather"));
    for request in requests {
        let error = world.install(request).await.unwrap_err();
        assert!(matches!(error, InstallError::Source(_)), "{error}");
    }
    world.installer.policy.allow = vec!["https://github.com/me/*".into()];
    let error = world.install(good.clone()).await.unwrap_err();
    assert!(matches!(error, InstallError::NotAllowed(_)), "{error}");
    world.installer.policy.allow = vec![world.server.url("git/*")];
    world.install(good.clone()).await.unwrap();
    world.installer.policy.enabled = false;
    let error = world.install(good).await.unwrap_err();
    assert!(matches!(error, InstallError::Disabled), "{error}");
}

#[tokio::test]
async fn a_second_installation_of_the_same_is_refused_while_one_is_under_way() {
    let world = World::new();
    let cancel = CancellationToken::new();
    let first = world
        .installer
        .fetch(world.request(), &StepListener::silent(), &cancel)
        .await
        .unwrap();
    let error = world.install(world.request()).await.unwrap_err();
    assert!(error.to_string().contains("another process"), "{error}");
    first.finish(&cancel).await.unwrap();
}

#[tokio::test]
async fn a_cancel_ends_the_commands_and_takes_all_back() {
    let world = World::new();
    world
        .repository
        .commit(&rust("weather-mcp", "fn main() {}"));
    let request = world.request();
    let cancel = CancellationToken::new();
    let running = cancel.clone();
    let listener = StepListener::new(move |step| {
        if matches!(step, InstallStep::Running(line) if line.contains("build")) {
            running.cancel();
        }
    });
    let error = world
        .installer
        .install(request, &listener, &cancel)
        .await
        .unwrap_err();
    assert!(error.is_cancelled(), "{error}");
    world.assert_untouched("cancelled");
}
