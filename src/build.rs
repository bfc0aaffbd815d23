//! Build script: composes the text of `mcp-proxy --version` from the version, the commit and the target triple.
#![allow(
    clippy::print_stdout,
    reason = "Cargo reads instructions from the stdout of a build script."
)]

use std::env::{self, VarError};
use std::path::Path;
use std::process::Command;

fn main() -> Result<(), VarError> {
    let version = env::var("CARGO_PKG_VERSION")?;
    let target = env::var("TARGET")?;
    let commit = commit().map_or_else(String::new, |it| it + " ");
    println!("cargo::rustc-env=MCP_PROXY_VERSION={version} ({commit}{target})");
    println!("cargo::rerun-if-changed=src/build.rs");
    Ok(())
}

/// Returns the abbreviated commit of the checkout in the current directory, and has this script run again when it
/// changes. Returns `None` for sources without a repository of their own, such as those of a published crate, since a
/// repository above them is another one.
fn commit() -> Option<String> {
    if !Path::new(".git").exists() {
        return None;
    }
    // A detached HEAD names no branch.
    let branch = git(&["symbolic-ref", "-q", "HEAD"]);
    for reference in ["HEAD"].into_iter().chain(branch.as_deref()) {
        let file = git(&["rev-parse", "--git-path", reference])?;
        // A packed branch has no file until the next commit creates it. Cargo would run this script at every build for
        // a file that does not exist, and notices a new one in a folder.
        let watched = Path::new(&file).ancestors().find(|it| it.exists())?;
        println!("cargo::rerun-if-changed={}", watched.display());
    }
    git(&["rev-parse", "--short", "HEAD"])
}

/// Returns what git prints, or `None` if it fails or is not installed.
fn git(args: &[&str]) -> Option<String> {
    let output = Command::new("git")
        .args(args)
        // A git hook that builds sets it, perhaps for another repository.
        .env_remove("GIT_DIR")
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}
