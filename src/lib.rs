//! `mcp-proxy` (map to be written).
#![allow(dead_code, reason = "scaffolding")]

mod config;
mod event;

use std::process::ExitCode;

/// Runs the program with the arguments of this process.
pub fn run() -> ExitCode {
    ExitCode::SUCCESS
}
