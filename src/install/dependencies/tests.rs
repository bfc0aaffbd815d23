//! Tests with real tools on tiny packages; no package has to be downloaded.

use std::fs;
use std::path::Path;
use std::process::Command as Process;
use std::sync::{Arc, Mutex};

use super::*;
use crate::install::plan::{PackageManager, PrepareStep, Venv};

/// Carries out one step in `folder`. Returns the result and the reported steps.
async fn prepare(
    folder: &Path,
    step: PrepareStep,
    scripts: bool,
) -> (Result<(), PrepareError>, Vec<InstallStep>) {
    let told = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&told);
    let progress = StepListener::new(move |step| heard.lock().unwrap().push(step));
    let site = CommandInputs {
        root: folder,
        folder,
        scripts,
        locks: true,
    };
    let workshop = PrepareContext {
        scripts,
        folder,
        log: Some(folder.join("log")),
        progress: &progress,
        cancel: &CancellationToken::new(),
        reaper: &Reaper::absent(),
    };
    let prepared = match site.commands(&[step]) {
        Ok(errands) => workshop.prepare(&errands).await,
        Err(error) => Err(error),
    };
    let told = told.lock().unwrap().clone();
    (prepared, told)
}

fn output(program: &Path, args: &[&str], folder: &Path) -> String {
    let output = Process::new(program)
        .args(args)
        .current_dir(folder)
        .output()
        .unwrap();
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// Python code that writes a wheel, a package that needs no build.
const WHEEL: &str = r#"
import zipfile
with zipfile.ZipFile("tiny-1.0-py3-none-any.whl", "w") as wheel:
    wheel.writestr("tiny.py", "word = 'hello'\n")
    wheel.writestr("tiny-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n")
    wheel.writestr("tiny-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
    wheel.writestr("tiny-1.0.dist-info/RECORD", "tiny.py,,\ntiny-1.0.dist-info/METADATA,,\ntiny-1.0.dist-info/WHEEL,,\n")
"#;

#[tokio::test]
async fn python_gets_an_environment_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    output(Path::new("python3"), &["-c", WHEEL], folder);
    fs::write(
        folder.join("requirements.txt"),
        "./tiny-1.0-py3-none-any.whl\n",
    )
    .unwrap();
    let requirements = Some("requirements.txt".into());
    let step = PrepareStep::Venv(Venv {
        requirements,
        ..Venv::default()
    });
    // pip would build dependencies of such a wheel.
    let (refused, told) = prepare(folder, step.clone(), false).await;
    assert!(
        refused.unwrap_err().to_string().contains("--scripts") && told.is_empty(),
        "{told:?}"
    );
    let (prepared, told) = prepare(folder, step.clone(), true).await;
    prepared.unwrap();
    let commands = told
        .iter()
        .filter(|it| matches!(it, InstallStep::Running(_)))
        .count();
    assert_eq!(commands, 2, "{told:?}");
    let python = folder.join(".venv/bin/python");
    assert_eq!(
        output(&python, &["-c", "import tiny; print(tiny.word)"], folder),
        "hello"
    );
    assert!(!folder.join("log").exists(), "nothing was wrong");

    // A failure names the log file, and no wrong cause.
    fs::write(
        folder.join("requirements.txt"),
        "no-such-package-of-anybody==99\n",
    )
    .unwrap();
    fs::remove_dir_all(folder.join(".venv")).unwrap();
    let (failed, _) = prepare(folder, step, false).await;
    let failed = failed.unwrap_err();
    assert!(!failed.to_string().contains("--scripts"), "{failed}");
    assert!(
        fs::read_to_string(folder.join("log"))
            .unwrap()
            .contains("$ ")
    );
    assert!(
        matches!(&failed, PrepareError::Failed { tail, .. } if !tail.is_empty()),
        "{failed:?}"
    );
}

#[tokio::test]
async fn scripts_of_packages_run_only_if_permitted() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let package = r#"{
        "name": "srv", "version": "1.0.0", "dependencies": { "tiny": "file:./tiny" },
        "scripts": { "postinstall": "node -e \"require('fs').writeFileSync('ran', '')\"",
                     "build": "node -e \"require('fs').writeFileSync('built.js', 'console.log(require(\\\"tiny\\\"))')\"" }
    }"#;
    fs::write(folder.join("package.json"), package).unwrap();
    fs::create_dir(folder.join("tiny")).unwrap();
    fs::write(
        folder.join("tiny/package.json"),
        r#"{"name":"tiny","version":"1.0.0","main":"i.js"}"#,
    )
    .unwrap();
    fs::write(folder.join("tiny/i.js"), "module.exports = 'hello'").unwrap();
    let step = |locked| PrepareStep::Node {
        packager: PackageManager::Npm,
        locked,
        build: Some("build".into()),
        root: ".".into(),
    };
    let (prepared, _) = prepare(folder, step(false), false).await;
    prepared.unwrap();
    assert!(!folder.join("ran").exists() && !folder.join("package-lock.json").exists());
    assert_eq!(output(Path::new("node"), &["built.js"], folder), "hello");

    output(
        Path::new("npm"),
        &[
            "install",
            "--package-lock-only",
            "--ignore-scripts",
            "--offline",
        ],
        folder,
    );
    fs::remove_dir_all(folder.join("node_modules")).unwrap();
    let (prepared, told) = prepare(folder, step(true), true).await;
    prepared.unwrap();
    assert!(folder.join("ran").exists(), "{told:?}");
}

#[tokio::test]
async fn rust_is_built_where_it_lies() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let manifest =
        "[package]\nname = \"srv\"\nversion = \"1.0.0\"\nedition = \"2021\"\n[workspace]\n";
    fs::write(folder.join("Cargo.toml"), manifest).unwrap();
    fs::create_dir(folder.join("src")).unwrap();
    fs::write(
        folder.join("src/main.rs"),
        "fn main() { println!(\"hello\") }",
    )
    .unwrap();
    let (prepared, _) = prepare(
        folder,
        PrepareStep::Cargo {
            bin: Some("srv".into()),
        },
        false,
    )
    .await;
    prepared.unwrap();
    assert_eq!(
        output(&folder.join("target/release/srv"), &[], folder),
        "hello"
    );
}

#[tokio::test]
async fn a_tool_that_is_not_there_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let step = PrepareStep::Go {
        package: "./cmd/x".into(),
        output: "x".into(),
    };
    if which::which("go").is_ok() {
        return;
    }
    let (prepared, told) = prepare(folder.path(), step, false).await;
    assert_eq!(
        prepared.unwrap_err().to_string(),
        "go is needed for a server in Go and is not in PATH"
    );
    assert_eq!(told, []);
}

/// npm installs the packages of a git repository in a clone of it, whose settings it reads there.
#[tokio::test]
async fn settings_in_the_git_repository_of_a_package_run_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let at = |path: &str| folder.path().join(path);
    let shown = folder.path().display();
    let repository = |name: &str, needs: &str, files: &[(&str, &str)]| {
        let source = at(name);
        fs::create_dir(&source).unwrap();
        let package = format!(
            r#"{{"name": "{name}", "version": "1.0.0", "dependencies": {{ {needs} }},
                "scripts": {{"prepare": "touch {shown}/ran", "postinstall": "touch {shown}/ran"}} }}"#
        );
        fs::write(source.join("package.json"), package).unwrap();
        for (name, text) in files {
            fs::write(source.join(name), text).unwrap();
        }
        let author = ["-c", "user.name=x", "-c", "user.email=x@x.example"];
        output(Path::new("git"), &["init", "-q"], &source);
        output(Path::new("git"), &["add", "."], &source);
        let commit = [&author[..], &["commit", "-q", "-m", "x"]].concat();
        output(Path::new("git"), &commit, &source);
        format!(r#""{name}": "git+file://{}""#, source.display())
    };
    let planted = at("planted");
    fs::write(&planted, format!("#!/bin/sh\ntouch {shown}/ran\nexit 1\n")).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(&planted, mode).unwrap();
    fs::write(
        at("planted.js"),
        format!("require('fs').writeFileSync('{shown}/ran', '')"),
    )
    .unwrap();
    let settings = format!(
        "git={shown}/planted\nscript-shell={shown}/planted\nnode-options=--require={shown}/planted.js\n\
         ignore-scripts=false\nlogs-dir={shown}/logs\ntiming=true\n"
    );
    let deepest = repository("deepest", "", &[]);
    let deep = repository("deep", &deepest, &[(".npmrc", &settings)]);
    let middle = repository("middle", &deep, &[(".npmrc", &settings)]);

    let server = at("server");
    fs::create_dir(&server).unwrap();
    let package =
        format!(r#"{{"name": "srv", "version": "1.0.0", "dependencies": {{ {middle} }} }}"#);
    fs::write(server.join("package.json"), package).unwrap();
    let step = PrepareStep::Node {
        packager: PackageManager::Npm,
        locked: false,
        build: None,
        root: ".".into(),
    };
    let (prepared, told) = prepare(&server, step, false).await;
    prepared.unwrap_or_else(|error| panic!("{error}: {told:?}"));
    assert!(server.join("node_modules/deepest/package.json").exists());
    assert!(!at("ran").exists() && !at("logs").exists(), "{told:?}");
}
