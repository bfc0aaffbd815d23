//! Standbys of servers over HTTP: prepared before a save, on a port on which they listen only after it.

use std::net::TcpStream;
use std::time::{SystemTime, UNIX_EPOCH};

use super::raw::{HOOK, call, project, serve_by};
use super::{OWN_PORT, Served};
use crate::harness::{free_port, processes_with_tag};

/// Adds the time at which the server loaded a package to the facts that its tools tell.
const LOADED: &str = r#"{"loaded": LOADED, "mark":"#;
/// Seconds since 1970; the package counts from its import.
const IMPORT: &str = r#"import json
import logging
record = logging.LogRecord("", 0, "", 0, "", (), None)
LOADED = record.created - record.relativeCreated / 1e3
"#;

/// Returns pid and port of the process that waits for the next save.
#[track_caller]
fn standby(served: &Served) -> (u64, u16) {
    let spawned = served.log.events("spawned");
    let waits = |pid: u32| spawned.iter().all(|it| it["pid"] != u64::from(pid));
    let all = processes_with_tag(served.peer.tag()).into_iter();
    let mut servers = all.filter(|(_, line)| line.contains("raw_http.py "));
    let (pid, line) = servers
        .find(|(pid, line)| waits(*pid) && !line.contains("mcp-proxy"))
        .unwrap_or_else(|| panic!("no process waits: {}", served.log.text()));
    let port = line.rsplit(' ').next().unwrap();
    (pid.into(), port.parse().unwrap())
}

#[test]
fn a_save_resumes_the_standby_on_the_port_that_was_kept_for_it() {
    let fixed = free_port();
    for (url, port) in [
        (OWN_PORT.to_owned(), "{port}".to_owned()),
        (format!("http://127.0.0.1:{fixed}/mcp"), fixed.to_string()),
    ] {
        let (project, words) = project(HOOK, &port);
        project.edit("raw_http.py", "import json\n", IMPORT);
        project.edit("raw_http.py", "{\"mark\":", LOADED);
        let served = serve_by(project, words, &url, &[]);
        for round in 1..=2 {
            served.log.until("standby", round);
            let (pid, port) = standby(&served);
            if url == OWN_PORT {
                TcpStream::connect(("127.0.0.1", port)).unwrap_err();
            } else {
                assert_eq!(port, fixed);
            }
            let saved = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
            let (from, to) = (format!("\"v{}\"", round - 1), format!("\"v{round}\""));
            served.project.edit("raw_http.py", &from, &to);
            let facts = call(&served, "mark");
            assert_eq!(facts["mark"], format!("v{round}"));
            assert_eq!(facts["pid"], pid, "{}", served.log.text());
            let loaded = facts["loaded"].as_f64().unwrap();
            assert!(loaded < saved.as_secs_f64(), "{facts}, {saved:?}");
        }
        assert!(
            served.log.events("cold").is_empty(),
            "{}",
            served.log.text()
        );
        served.log.until("standby", 3);
        served.leaves_nothing();
    }
}
