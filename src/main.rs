//! The `mcp-proxy` program; the code is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    mcp_proxy::run()
}
