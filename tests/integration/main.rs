//! Black-box tests: the built program between real clients and real servers.
//!
//! One binary, so that it links once. Every wait has a deadline; none is a fixed sleep.
#![expect(
    clippy::unwrap_used,
    reason = "a failed unwrap is a failed test, and clippy sees test code only inside #[test] functions"
)]

mod builds;
mod bytecode;
mod canaries;
mod check;
mod configuration;
mod contract;
mod corpus;
mod demo;
mod early;
mod eras;
mod fleet;
mod framing;
mod harness;
mod http;
mod inferring;
mod install;
mod loaded;
mod owners;
mod pressure;
mod private;
mod processes;
mod real_clients;
mod remote;
mod saves;
mod session;
mod setup;
mod shell;
mod starts;
mod starved;
mod state;
mod streams;
mod transcripts;
mod unconfigured;
mod walking;
mod warm;
mod watching;
mod zero_loss;
