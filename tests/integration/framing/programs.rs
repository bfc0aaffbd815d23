//! Servers of shell and Python, which write lines that the scripted server cannot write, and the memory of the proxy.

use serde_json::json;

use super::{initialized, still_works};
use crate::harness::{Message, Peer, Project, Proxy, initialize_params};

/// A server that is this shell script.
pub(super) fn run_by_shell(script: &str) -> (Project, Peer) {
    let project = Project::new();
    project.write("server.sh", script);
    let proxy = Proxy::dev(["sh", "server.sh"]).transparent();
    let peer = proxy.within(&project).spawn();
    (project, peer)
}

#[test]
fn invalid_utf8_of_a_server_is_replaced() {
    let server = r#"while read -r line; do
        case $line in
            *'"initialize"'*) printf '{"jsonrpc":"2.0","id":1,"result":{"protocolVersion":"2025-11-25","capabilities":{},"serverInfo":{"name":"s\377","version":"1"}}}\n';;
        esac
    done"#;
    let (_project, peer) = run_by_shell(server);
    let result = peer.initialize(&initialize_params()).result();
    assert_eq!(result["serverInfo"]["name"], "s\u{fffd}");
}

#[test]
fn a_server_that_writes_garbage_forever_is_still_served() {
    let (_project, peer) = initialized(&json!({"babble": "garbage ".repeat(100)}), &[]);
    for _ in 0..20 {
        still_works(&peer);
    }
    // A report of each line would be too long to read.
    let told = peer.stderr().len();
    assert!(told < 100, "{told} lines on stderr");
    assert!(peer.peak_kib() < 64 * 1024);
    peer.close_stdin();
    assert!(peer.wait_exit().success());
}

#[test]
fn garbage_without_a_line_end_is_not_stored() {
    let peer = Proxy::dev(["head", "-c", "200000000", "/dev/zero"])
        .transparent()
        .options(["--max-message", "1MiB"])
        .spawn();
    peer.initialize(&initialize_params());
    peer.expect_stderr("before it answered `initialize`");
    assert!(peer.peak_kib() < 64 * 1024);
}

#[test]
fn a_handshake_whose_ids_come_back_as_strings_succeeds() {
    let server = r#"while read -r line; do
        case $line in
            *'"initialize"'*) echo '{"jsonrpc":"2.0","id":"1","result":{"protocolVersion":"2025-11-25","capabilities":{"tools":{}},"serverInfo":{"name":"s","version":"1"}}}';;
            *'"tools/list"'*) echo '{"jsonrpc":"2.0","id":"2","result":{"tools":[{"name":"t","inputSchema":{"type":"object"}}]}}';;
        esac
    done"#;
    let (_project, peer) = run_by_shell(server);
    peer.initialize(&initialize_params()).result();
    let tools = peer.ask("tools/list", &json!({})).result();
    assert_eq!(tools["tools"][0]["name"], "t");
}

/// Answers with records of several MiB, as it likes to write them; then says a word more, and may be gone.
const LONG: &str = r#"
import json, sys
for line in sys.stdin:
    message = json.loads(line)
    if "id" not in message:
        continue
    id, method = message["id"], message["method"]
    result = '{"tools": [{"name": "long", "inputSchema": {"type": "object"}}]}'
    if method == "initialize":
        result = '{"protocolVersion": "2025-06-18", "capabilities": {"tools": {}}, "serverInfo": {"name": "x", "version": "1"}}'
    if method == "tools/call":
        name = message["params"]["name"]
        records = ", ".join(['{"n" : 1.50, "text":"\\u00e9/\\/"}'] * 200000)
        result = '{"records": [ %s%s ]}' % (records, "," if name == "broken" else "")
    sys.stdout.write('{ "result" : %s,"jsonrpc":"2.0",  "id":%s }\n' % (result, id))
    if method == "tools/call":
        print('{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":"behind"}}')
        if name == "last":
            sys.exit(0)
    sys.stdout.flush()
"#;

#[test]
fn a_long_answer_passes_as_it_is_and_before_what_follows() {
    let project = Project::new();
    project.write("server.py", LONG);
    let peer = Proxy::dev(["python3", "server.py"])
        .transparent()
        .within(&project)
        .spawn();
    peer.initialize(&initialize_params()).result();
    let records = vec![r#"{"n" : 1.50, "text":"\u00e9/\/"}"#; 200_000].join(", ");
    let expected = format!(r#"{{"records": [ {records} ]}}"#);
    let call = |name: &str| {
        let before = peer.mark();
        let answer = peer.call(name, &json!({}));
        assert!(answer.result_text() == expected, "{}", answer.line.len());
        peer.expect_notification("notifications/message");
        let lines = peer.lines_since(before);
        let is_answer = |message: &Message| message.line.len() > expected.len();
        assert!(lines.first().is_some_and(is_answer), "{}", lines.len());
    };
    call("long");
    let broken =
        json!({"jsonrpc": "2.0", "id": 901, "method": "tools/call", "params": {"name": "broken"}});
    peer.send(&broken.to_string());
    peer.expect_notification("notifications/message");
    call("long");
    // The process is gone before its output can have been read.
    call("last");
}

#[test]
fn an_answer_over_the_limit_whose_id_comes_last() {
    let project = Project::new();
    project.write("server.py", LARGE_ANSWERS);
    let peer = Proxy::dev(["python3", "server.py"])
        .transparent()
        .options(["--max-message", "20000"])
        .within(&project)
        .spawn();
    peer.initialize(&initialize_params()).result();
    let answer = peer.ask("vendor/large", &json!({}));
    assert!(
        answer.error()["message"]
            .as_str()
            .unwrap()
            .contains("--max-message")
    );
    assert_eq!(peer.ask("vendor/small", &json!({})).result_text(), "{}");
}

/// Writes members in the order of the TypeScript SDK; asks something too long before it answers.
const LARGE_ANSWERS: &str = r#"
import json, sys

def say(message):
    print(json.dumps(message), flush=True)

for line in sys.stdin:
    message = json.loads(line)
    if "id" not in message:
        continue
    if "method" not in message:
        assert message["id"] == "huge" and "error" in message, line
        say({"result": {"text": "x" * 100_000}, "jsonrpc": "2.0", "id": asked})
        continue
    if message["method"] == "vendor/large":
        asked = message["id"]
        say({"method": "vendor/ask", "params": {"text": "x" * 100_000}, "jsonrpc": "2.0", "id": "huge"})
        continue
    result = {}
    if message["method"] == "initialize":
        result = {"protocolVersion": "2025-11-25", "capabilities": {}, "serverInfo": {"name": "s", "version": "1"}}
    say({"result": result, "jsonrpc": "2.0", "id": message["id"]})
"#;
