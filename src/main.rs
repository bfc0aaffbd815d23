//! The `mcp-proxy` program; everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    mcp_proxy::run()
}
