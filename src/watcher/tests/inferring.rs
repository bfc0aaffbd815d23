//! Which globs follow from a command.

use std::ffi::OsString;

use super::super::infer::{GO, JAVASCRIPT, NODE, PYTHON, RUST, globs};
use super::*;

fn infer(files: &[&str], command: &str) -> Vec<String> {
    let dir = tempfile::tempdir().unwrap();
    for file in files {
        let path = dir.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "").unwrap();
    }
    let mut words = shlex::split(command)
        .unwrap()
        .into_iter()
        .map(OsString::from);
    let program = words.next().unwrap();
    globs(&program, &words.collect::<Vec<_>>(), dir.path())
}

#[test]
fn the_language_follows_from_the_program() {
    assert_eq!(infer(&[], "python3.12 -m weather"), PYTHON);
    assert_eq!(infer(&[], "npm run dev"), NODE);
    assert_eq!(infer(&[], "cargo run -q"), RUST);
    assert_eq!(infer(&[], "go run ./cmd/server"), GO);
    assert_eq!(infer(&[], "uvx weather"), PYTHON);
    assert_eq!(infer(&[], "npx -y some-server"), NODE);
}

#[test]
fn a_script_is_watched_too() {
    assert_eq!(
        infer(&["server.py"], "python -u server.py"),
        [PYTHON[0], "./server.py"]
    );
    assert_eq!(
        infer(&["dist/index.js"], "node dist/index.js"),
        [
            JAVASCRIPT[0],
            "dist/index.js",
            "dist/**/*.{js,mjs,cjs,json}"
        ]
    );
    assert_eq!(
        infer(&["run.rb"], "ruby run.rb"),
        ["./run.rb"],
        "a language without globs of its own"
    );
}

#[test]
fn wrappers_are_looked_through() {
    let server = &["a/server.py"];
    let globs = [&format!("a/{}", PYTHON[0]), "a/server.py"];
    assert_eq!(
        infer(server, "uv --directory a run --with mcp server.py"),
        globs
    );
    assert_eq!(
        infer(server, "uv run --directory=a python server.py"),
        globs
    );
    assert_eq!(
        infer(server, "sh -c 'cd a && exec env A=1 python server.py'"),
        globs
    );
    assert_eq!(
        infer(&["src/main.ts"], "npx -y tsx --import x src/main.ts"),
        [NODE[0], "src/main.ts"]
    );
    assert_eq!(
        infer(&[], "npm --prefix web start"),
        [format!("web/{}", NODE[0])]
    );
    assert_eq!(
        infer(
            &[],
            "cargo run --manifest-path=x --manifest-path c/Cargo.toml"
        )[0],
        "c/**/*.rs"
    );
}

#[test]
fn a_script_elsewhere_takes_its_directory_along() {
    let elsewhere = tempfile::tempdir().unwrap();
    let script = elsewhere.path().join("server.py");
    fs::write(&script, "").unwrap();
    let found = infer(&[], &format!("python {}", script.display()));
    assert_eq!(
        found,
        [
            format!("{}/{}", elsewhere.path().display(), PYTHON[0]),
            script.display().to_string()
        ]
    );
}

#[test]
fn a_binary_is_watched_itself() {
    assert_eq!(
        infer(&[], "./target/debug/server --stdio"),
        ["target/debug/server"]
    );
    assert_eq!(infer(&["Cargo.toml"], "./server"), ["./server"]);
}

#[test]
fn a_command_that_tells_nothing_falls_back_on_the_manifest() {
    assert_eq!(infer(&["package.json"], "no-such-program-here"), NODE);
    assert!(infer(&[], "no-such-program-here").is_empty());
}
