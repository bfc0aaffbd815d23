//! Lines that end in the middle.

use serde_json::json;

use super::programs::run_by_shell;
use crate::harness::initialize_params;

/// Begins a message at `begin`, and writes its end at no time.
const BEGINS: &str = r#"while read -r line; do
    id=${line#*'"id":'}
    id=${id%%,*}
    case $line in
        *'"initialize"'*) echo '{"jsonrpc":"2.0","id":1,"result":{"protocolVersion":"2025-11-25","capabilities":{},"serverInfo":{"name":"s","version":"1"}}}';;
        *'"vendor/begin"'*) printf '{"jsonrpc":"2.0","id":%s,"result":{}}\n{"jsonrpc":"2.0","meth' "$id";;
    esac
done"#;

#[test]
fn a_line_that_the_end_of_the_proxy_cuts_off_is_no_fault_of_the_server() {
    let (_project, peer) = run_by_shell(BEGINS);
    peer.initialize(&initialize_params()).result();
    peer.ask("vendor/begin", &json!({})).result();
    peer.close_stdin();
    assert!(peer.wait_exit().success());
    let stderr = peer.stderr().join("\n");
    assert!(!stderr.contains("invalid JSON-RPC message"), "{stderr}");
}
