//! Black-box tests: the built program between real clients and real servers.
//!
//! One binary, so that it links once. Every wait has a deadline; none is a fixed sleep. Tests with shell scripts,
//! signals or symlinks run on Unix only.
#![expect(
    clippy::unwrap_used,
    reason = "a failed unwrap is a failed test, and clippy sees test code only inside #[test] functions"
)]

#[cfg(unix)]
mod builds;
#[cfg(unix)]
mod bytecode;
#[cfg(unix)]
mod canaries;
#[cfg(unix)]
mod check;
mod configuration;
#[cfg(unix)]
mod contract;
mod corpus;
mod demo;
#[cfg(unix)]
mod early;
mod eras;
mod fleet;
mod framing;
#[cfg_attr(
    windows,
    expect(dead_code, unused_imports, reason = "tests for Unix use the rest")
)]
mod harness;
mod http;
#[cfg(unix)]
mod inferring;
#[cfg(unix)]
mod install;
#[cfg(unix)]
mod loaded;
#[cfg(target_os = "linux")]
mod odd_paths;
#[cfg(unix)]
mod own_http;
#[cfg(unix)]
mod owners;
mod page;
#[cfg(unix)]
mod pass_through;
#[cfg(unix)]
mod pressure;
#[cfg(unix)]
mod private;
#[cfg(unix)]
mod processes;
#[cfg(unix)]
mod real_apps;
#[cfg(unix)]
mod real_clients;
#[cfg(unix)]
mod real_input;
#[cfg(unix)]
mod recording;
mod rehearsal;
mod remote;
mod replaying;
#[cfg(unix)]
mod saves;
mod session;
#[cfg(unix)]
mod setup;
#[cfg(unix)]
mod shell;
#[cfg(unix)]
mod starts;
#[cfg(unix)]
mod starved;
#[cfg(unix)]
mod state;
#[cfg(unix)]
mod streams;
#[cfg(unix)]
mod transcripts;
mod unconfigured;
#[cfg(unix)]
mod walking;
#[cfg(unix)]
mod warm;
#[cfg(unix)]
mod watching;
#[cfg(windows)]
mod windows;
mod zero_loss;
