//! Failures of servers over HTTP: lost sessions, refusals while they start, crashes, ports that others have.

use std::ffi::OsString;

use serde_json::{Value, json};

use super::{OWN_PORT, Served};
use crate::harness::http::{Legacy, Site};
use crate::harness::{
    DEADLINE, Log, Message, Peer, Project, Proxy, eventually, free_port, initialize_params, peers,
    processes_with_tag,
};

/// Place of the code that answers requests before the server does.
pub(super) const HOOK: &str = "    return False";

/// Returns a project with the server, whose hook is replaced by `code`, and a command that starts it on `port`.
#[track_caller]
pub(super) fn project(code: &str, port: &str) -> (Project, Vec<OsString>) {
    let project = Project::new();
    project.copy("fixtures/servers/raw_http.py", "raw_http.py");
    project.edit("raw_http.py", HOOK, code);
    let python = peers().join("python/.venv/bin/python").into_os_string();
    (project, vec![python, "raw_http.py".into(), port.into()])
}

/// Starts the server behind the proxy, and a session.
#[track_caller]
fn serve(code: &str, url: &str, options: &[&str]) -> Served {
    let port = match url.rsplit([':', '/']).nth(1) {
        Some(port) if url != OWN_PORT => port,
        _ => "{port}",
    };
    let (project, words) = project(code, port);
    serve_by(project, words, url, options)
}

#[track_caller]
pub(super) fn serve_by(
    project: Project,
    words: Vec<OsString>,
    url: &str,
    options: &[&str],
) -> Served {
    let options = [&["--watch", "*.py"][..], options].concat();
    let served = Served::start(project, words, url, &options);
    served.peer.initialize(&initialize_params());
    served
}

/// Returns the failure of a server that does not start.
#[track_caller]
fn failure(code: &str, url: &str, options: &[&str]) -> Value {
    serve(code, url, options).log.until("broken", 1)[0]["failure"].clone()
}

/// Returns the facts that a tool tells about its process.
#[track_caller]
fn facts(answer: &Message) -> Value {
    let text = answer.tool_text();
    serde_json::from_str(&text).unwrap_or_else(|_| panic!("{text}"))
}

#[track_caller]
pub(super) fn call(served: &Served, tool: &str) -> Value {
    facts(&served.peer.call(tool, &json!({})))
}

#[test]
fn a_lost_session_begins_anew_with_the_same_process() {
    let text = "\"No valid session ID provided\"";
    let error =
        r#"'{"jsonrpc":"2.0","id":null,"error":{"code":-32001,"message":"unknown session"}}'"#;
    let plain = r#"'{"error":"Session not found"}'"#;
    for (status, body) in [
        ("404", text),
        ("400", text),
        ("500", text),
        ("503", error),
        ("200", error),
        ("200", plain),
    ] {
        let (project, words) = project(HOOK, "{port}");
        let source = project.read("raw_http.py").replace(text, body);
        let status = format!("SESSION = {status}");
        project.write("raw_http.py", &source.replace("SESSION = 404", &status));
        let served = serve_by(project, words, OWN_PORT, &[]);
        let pid = call(&served, "mark")["pid"].clone();
        let waiting = served.begin_wait("go", 1);
        call(&served, "forget");
        let calls: Vec<u64> = (0..5)
            .map(|_| served.peer.request("tools/call", &json!({"name": "mark"})))
            .collect();
        for (at, id) in calls.into_iter().enumerate() {
            let answer = facts(&served.peer.await_response(id));
            assert_eq!(answer["pid"], pid, "{at}: {}", served.log.text());
        }
        served.project.write("go", "");
        let waited = facts(&served.peer.await_response(waiting));
        assert_eq!(waited["pid"], pid);
        // Each call was executed once.
        assert_eq!(call(&served, "mark")["executed"], 9, "{waited}");
        assert_eq!(served.log.until("reloaded", 1).len(), 1);
        for event in ["exited", "broken", "restarting"] {
            assert!(served.log.events(event).is_empty(), "{event}");
        }
    }
}

#[test]
fn a_session_that_is_lost_often_begins_anew_each_time() {
    let served = serve(HOOK, OWN_PORT, &[]);
    let pid = call(&served, "mark")["pid"].clone();
    for round in 1..=6 {
        call(&served, "forget");
        let text = served.log.text();
        assert_eq!(call(&served, "mark")["pid"], pid, "{round}: {text}");
    }
    assert!(served.log.events("flapping").is_empty());
}

#[test]
fn after_a_lost_session_a_save_stops_the_process_on_a_fixed_port() {
    let url = format!("http://127.0.0.1:{}/mcp", free_port());
    let served = serve(HOOK, &url, &[]);
    let before = call(&served, "mark");
    let waiting = served.begin_wait("go", 1);
    call(&served, "forget");
    assert_eq!(call(&served, "mark")["pid"], before["pid"]);
    // The first session still has a call in flight.
    served.project.edit("raw_http.py", "\"v0\"", "\"v1\"");
    served.log.until("changed", 1);
    let marked = served.peer.request("tools/call", &json!({"name": "mark"}));
    served.project.write("go", "");
    assert_eq!(facts(&served.peer.await_response(waiting))["mark"], "v0");
    let after = facts(&served.peer.await_response(marked));
    assert_eq!(after["mark"], "v1", "{}", served.log.text());
    assert_ne!(after["pid"], before["pid"]);
    assert!(served.log.events("broken").is_empty());
}

#[test]
fn a_crash_is_told_with_its_status_and_its_output() {
    let served = serve(HOOK, OWN_PORT, &[]);
    let waiting = served.begin_wait("never", 1);
    let crashed = served.peer.call("crash", &json!({})).tool_text();
    let waited = served.peer.await_response(waiting).tool_text();
    for text in [crashed, waited] {
        for part in ["exited with status 7", "FATAL: the database is gone"] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }
    assert_eq!(call(&served, "mark")["executed"], 1);
}

/// Ends a connection without an answer to a call of `mark` that is not the first request on it.
const REUSE: &str = "    if message.get('params', {}).get('name') == 'mark' and getattr(handler, 'used', False):\n        \
                     handler.close_connection = True\n        return True\n    handler.used = True\n    \
                     return False";

#[test]
fn a_call_beside_another_has_a_connection_of_its_own() {
    let served = serve(REUSE, OWN_PORT, &[]);
    for round in 1..=2 {
        let first = 3 * round - 2;
        let waiting = [0, 1, 2].map(|it| served.begin_wait(&format!("go{round}"), first + it));
        for executed in 1..=3 {
            let marked = call(&served, "mark");
            assert_eq!(marked["executed"], 6 * (round - 1) + 3 + executed);
        }
        served.project.write(&format!("go{round}"), "");
        for id in waiting {
            facts(&served.peer.await_response(id));
        }
    }
}

#[test]
fn calls_that_a_busy_server_has_not_received_go_to_the_saved_code() {
    let served = serve(HOOK, OWN_PORT, &[]);
    // No more calls are sent at a time.
    let waiting: Vec<u64> = (1..=100)
        .map(|count| served.begin_wait("go", count))
        .collect();
    let mark = json!({"name": "mark"});
    let marked = served.peer.request("tools/call", &mark);
    // The proxy answers this after it has passed the call on.
    served.peer.ask("ping", &json!({})).result();
    served.project.edit("raw_http.py", "\"v0\"", "\"v1\"");
    assert_eq!(facts(&served.peer.await_response(marked))["mark"], "v1");
    served.project.write("go", "");
    for id in waiting {
        assert_eq!(facts(&served.peer.await_response(id))["mark"], "v0");
    }
}

#[test]
fn a_server_is_asked_again_while_it_starts() {
    for (status, url) in [
        ("503", OWN_PORT),
        ("404", OWN_PORT),
        ("429", OWN_PORT),
        ("503", "auto"),
        ("404", "auto"),
    ] {
        let code = format!(
            "    if os.path.exists('warm'):\n        return False\n    \
             handler.answer({status}, 'warming up')\n    return True"
        );
        let (project, words) = project(&code, "{port}");
        let served = Served::start(project, words, url, &[]);
        let begun = served.peer.request("initialize", &initialize_params());
        eventually(DEADLINE, || served.log.text().contains("is asked again"));
        served.project.write("warm", "");
        served.peer.await_response(begun).result();
        assert_eq!(call(&served, "mark")["mark"], "v0", "{status} {url}");
        let text = served.log.text();
        assert!(text.contains(&format!("HTTP {status}")), "{text}");
        assert!(served.log.events("broken").is_empty(), "{text}");
    }
}

#[test]
fn a_server_that_stays_unavailable_or_exits_is_told() {
    let refusing = "    handler.answer(503, 'warming up')\n    return True";
    let failed = failure(refusing, OWN_PORT, &["--start-timeout", "8s"]).to_string();
    for part in ["did not start within 8 s", "HTTP 503", "warming up"] {
        assert!(failed.contains(part), "{part}: {failed}");
    }
    let exiting =
        "    handler.answer(503)\n    print('no such table', flush=True)\n    os._exit(4)";
    let failed = failure(exiting, OWN_PORT, &[]).to_string();
    for part in ["exited with status 4", "no such table"] {
        assert!(failed.contains(part), "{part}: {failed}");
    }
}

#[test]
fn an_unusual_path_is_asked_for() {
    let code = "    if handler.path == '/tools':\n        return False\n    handler.answer(404)\n    \
                return True";
    for (url, expected) in [("auto", "/PATH"), (OWN_PORT, "--url auto")] {
        // The server may still be starting.
        let failed = failure(code, url, &["--start-timeout", "8s"]);
        let reason = failed["reason"].as_str().unwrap();
        assert!(
            reason.contains("/mcp") && reason.contains("HTTP 404"),
            "{reason}"
        );
        let advice = failed["advice"].as_str().unwrap();
        assert!(advice.contains(expected), "{advice}");
    }
}

#[test]
fn a_report_after_the_answer_500_is_told() {
    let code = "    handler.answer(500, 'Internal Server Error')\n    handler.wfile.flush()\n    \
                time.sleep(0.3)\n    print('KeyError: DATABASE_URL', flush=True)\n    return True";
    let failed = failure(code, OWN_PORT, &[]).to_string();
    for part in ["HTTP 500", "KeyError: DATABASE_URL"] {
        assert!(failed.contains(part), "{part}: {failed}");
    }
}

/// Runs a command in a session of its own, below a shell.
const CHILD_SESSION: &str = r#"setsid "$0" "$@"; true"#;
/// Like [`CHILD_SESSION`], with a parent that ends at once.
const ORPHAN_SESSION: &str = r#"(setsid "$0" "$@" &); exec sleep 600"#;

#[test]
fn a_process_in_a_session_of_its_own_ends_with_its_generation() {
    for script in [CHILD_SESSION, ORPHAN_SESSION] {
        for port in ["{port}".to_owned(), free_port().to_string()] {
            for is_killed in [false, true] {
                let (project, words) = project(HOOK, &port);
                let words = [vec!["sh".into(), "-c".into(), script.into()], words].concat();
                let url = format!("http://127.0.0.1:{port}/mcp");
                let served = serve_by(project, words, &url, &[]);
                let tag = served.peer.tag().to_owned();
                let servers = || {
                    let mut all = processes_with_tag(&tag);
                    all.retain(|(_, command)| command.contains("bin/python"));
                    all.retain(|(_, command)| !command.contains("setsid"));
                    all.len()
                };
                assert_eq!(call(&served, "mark")["mark"], "v0");
                for round in 1..=2 {
                    let (from, to) = (format!("\"v{}\"", round - 1), format!("\"v{round}\""));
                    served.project.edit("raw_http.py", &from, &to);
                    let mark = call(&served, "mark")["mark"].clone();
                    assert_eq!(mark, format!("v{round}"), "{}", served.log.text());
                }
                eventually(DEADLINE, || servers() == 1);
                if is_killed {
                    served.peer.signal(rustix::process::Signal::KILL);
                } else {
                    served.peer.close_stdin();
                }
                eventually(DEADLINE, || processes_with_tag(&tag).is_empty());
            }
        }
    }
}

#[test]
fn a_port_of_the_proxy_itself_is_told() {
    let port = free_port();
    let url = format!("http://127.0.0.1:{port}/mcp");
    let (project, words) = project(HOOK, &port.to_string());
    let log = Log::new();
    let proxy = Proxy::dev(words).options(["--url", &url, "--http", &format!("127.0.0.1:{port}")]);
    let proxy = log.written_by(proxy.within(&project));
    let peer = Peer::spawn_command(proxy.run_by([]));
    log.until("listening", 1);
    let site = Site {
        peer,
        log,
        url,
        address: ([127, 0, 0, 1], port).into(),
    };
    let text = Legacy::begin(&site).call("mark", &json!({})).tool_text();
    let expected = format!("the proxy itself listens on port {port}");
    assert!(
        text.contains(&expected) && text.contains("`--http`"),
        "{text}"
    );
}

#[test]
fn a_port_of_another_session_is_told() {
    let port = free_port();
    let url = format!("http://127.0.0.1:{port}/mcp");
    let (project, words) = project(HOOK, &port.to_string());
    let site = Site::start(Proxy::dev(words).options(["--url", &url]).within(&project));
    let first = Legacy::begin(&site);
    assert_eq!(facts(&first.call("mark", &json!({})))["mark"], "v0");
    let text = Legacy::begin(&site).call("mark", &json!({})).tool_text();
    for part in ["another process of this proxy", &port.to_string(), "{port}"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert_eq!(facts(&first.call("mark", &json!({})))["executed"], 2);
}

#[test]
fn a_port_of_the_definition_in_place_of_the_proxys_is_told_at_once() {
    let (project, mut words) = project(HOOK, "{port}");
    words.truncate(2);
    let served = serve_by(project, words, OWN_PORT, &["--env", "PORT=1"]);
    let failure = served.log.until("broken", 1)[0]["failure"].clone();
    let reason = failure["reason"].as_str().unwrap();
    assert!(reason.contains("its `env` sets PORT"), "{reason}");
    assert!(served.log.events("spawned").is_empty());
}

#[test]
fn a_server_over_http_without_url_is_recognised() {
    let port = free_port();
    let (project, words) = project(HOOK, &port.to_string());
    let log = Log::new();
    let proxy = Proxy::dev(words).options(["--start-timeout", "15s"]);
    let peer = log.written_by(proxy.within(&project)).spawn();
    peer.initialize(&initialize_params());
    let failure = log.until("broken", 1)[0]["failure"].clone();
    let reason = failure["reason"].as_str().unwrap();
    let expected = format!("listens on port {port} and `--url` is missing");
    assert!(reason.contains(&expected), "{reason}");
    let advice = failure["advice"].as_str().unwrap();
    assert!(advice.contains("--url auto"), "{advice}");
}
