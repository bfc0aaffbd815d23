//! Servers over HTTP that reload themselves: one process for all saves, and calls that wait for the saved code.

use std::ffi::OsString;
use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::json;

use super::{OWN_PORT, Served};
use crate::harness::{
    DEADLINE, Log, Project, Proxy, ServerOn, eventually, example, free_port, initialize_params,
    peers, processes_with_tag,
};
use crate::real_clients::{AFTER, BEFORE};

const UVICORN: [&str; 4] = ["uvicorn", "server:app", "--reload", "--port"];
const FASTMCP: [&str; 7] = [
    "fastmcp",
    "run",
    "server.py",
    "--reload",
    "--transport=http",
    "--no-banner",
    "--port",
];
const FASTMCP_SERVER: &str = r#"from fastmcp import FastMCP
mcp = FastMCP("own")
@mcp.tool
def mark() -> str:
    return "v0"
"#;

/// Starts a program of the Python environment, whose last argument is the port, in a project with `server.py`.
#[track_caller]
fn python(project: Project, words: &[&str], url: &str, options: &[&str]) -> Served {
    let programs = peers().join("python/.venv/bin");
    let mut command = vec![programs.join(words[0]).into_os_string()];
    command.extend(words[1..].iter().map(OsString::from));
    let port = if url == OWN_PORT {
        "{port}"
    } else {
        url.rsplit([':', '/']).nth(1).unwrap()
    };
    command.push(port.into());
    let inherited = std::env::var("PATH").unwrap();
    let path = format!("PATH={}:{inherited}", programs.display());
    let served = Served::start(
        project,
        command,
        url,
        &[options, &["--env", &path]].concat(),
    );
    served.peer.initialize(&initialize_params());
    served
}

/// Starts an application without an SDK by `uvicorn --reload`; waits until that watches files, which it does later than
/// it serves.
#[track_caller]
fn uvicorn(words: &[&str], url: &str, watch: &str, options: &[&str]) -> Served {
    let served = uvicorn_before_its_watcher(words, url, watch, options);
    until_watched(&served);
    served
}

/// Starts an application without an SDK by `uvicorn --reload`, whose options precede that of the port.
#[track_caller]
fn uvicorn_before_its_watcher(words: &[&str], url: &str, watch: &str, options: &[&str]) -> Served {
    let project = Project::new();
    project.copy("fixtures/servers/raw_asgi.py", "server.py");
    let served = python(
        project,
        words,
        url,
        &[&["--watch", watch][..], options].concat(),
    );
    assert_eq!(served.mark(), "v0", "{}", served.log.text());
    served
}

/// Starts a server on the TypeScript SDK by a command that watches it. `addition` follows its source.
#[track_caller]
fn node(watcher: &[&str], options: &[&str], addition: &str) -> Served {
    let project = Project::new();
    let on = ServerOn::TypeScriptV1;
    let mut words: Vec<OsString> = watcher.iter().map(OsString::from).collect();
    words.extend(on.command(&project).into_iter().skip(1));
    words.push("{port}".into());
    let source = project.read("ts_v1.mjs") + addition;
    project.write("ts_v1.mjs", &source);
    let served = Served::start(project, words, OWN_PORT, options);
    served.peer.initialize(&initialize_params());
    served
}

impl Served {
    /// Saves `server.py` with the mark of this round in place of the one before.
    #[track_caller]
    fn save_round(&self, round: usize) {
        let (before, after) = (format!("\"v{}\"", round - 1), format!("\"v{round}\""));
        self.project.edit("server.py", &before, &after);
    }

    #[track_caller]
    fn echo(&self) -> String {
        self.peer.call("echo", &json!({"text": "hi"})).tool_text()
    }

    /// Checks that one process has served all generations, and that its mode was told once.
    #[track_caller]
    fn was_kept(&self, watcher: &str) {
        let log = self.log.text();
        self.log.exactly("spawned", 1);
        let told = format!("reloads itself, by `{watcher}`");
        assert_eq!(log.matches(&told).count(), 1, "{log}");
        assert!(self.log.events("exited").is_empty(), "{log}");
    }
}

#[track_caller]
fn contains_all(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part}: {text}");
    }
}

/// Waits until the watcher of the server's command watches files: it misses a save before.
#[track_caller]
fn until_watched(served: &Served) {
    if cfg!(not(target_os = "linux")) {
        return;
    }
    let folder = format!("/proc/{}/fdinfo", served.log.events("spawned")[0]["pid"]);
    eventually(DEADLINE, || {
        let descriptors = std::fs::read_dir(&folder).unwrap().flatten();
        let mut infos = descriptors.map(|it| std::fs::read_to_string(it.path()));
        infos.any(|info| info.is_ok_and(|it| it.contains("inotify wd:")))
    });
}

#[test]
fn calls_after_a_save_are_answered_by_the_saved_code() {
    let fixed = format!("http://127.0.0.1:{}/mcp", free_port());
    for url in [OWN_PORT, &fixed] {
        let served = uvicorn(&UVICORN, url, "*.py", &[]);
        for round in 1..=3 {
            for _ in 0..20 {
                assert_eq!(served.mark(), format!("v{}", round - 1));
            }
            let call = json!({"name": "mark", "arguments": {}});
            let crossing = served.peer.request("tools/call", &call);
            served.save_round(round);
            assert_eq!(served.mark(), format!("v{round}"), "{}", served.log.text());
            let text = served.peer.await_response(crossing).tool_text();
            assert!(
                text == format!("v{}", round - 1) || text == format!("v{round}"),
                "{text}"
            );
        }
        served.was_kept("uvicorn --reload");
        let answer = served.peer.call("reload_mcp_server", &json!({})).result();
        assert_eq!(answer["structuredContent"]["success"], true, "{answer}");
        served.log.exactly("spawned", 2);
        assert_eq!(served.mark(), "v3");
    }
}

#[test]
fn saves_in_quick_succession_leave_no_stale_answer() {
    let served = uvicorn(&UVICORN, OWN_PORT, "*.py", &[]);
    let starts = || served.log.text().matches("Started server process").count();
    for round in 1..=6 {
        let starts_before = starts();
        served.save_round(round);
        served.log.until("changed", round);
        // The next save finds an instance that is ending, or one that has just loaded this save.
        if round % 3 != 1 {
            eventually(DEADLINE, || starts() > starts_before);
        }
    }
    assert_eq!(served.mark(), "v6", "{}", served.log.text());
}

#[test]
fn an_open_stream_does_not_hang_a_reload() {
    // The proxy knows of the save, or does not.
    for watch in ["*.py", "nothing.txt"] {
        let served = uvicorn(&UVICORN, OWN_PORT, watch, &[]);
        eventually(DEADLINE, || served.log.text().contains("streaming"));
        served.save_round(1);
        if watch == "nothing.txt" {
            served.log.until("reloaded", 1);
        }
        assert_eq!(served.mark(), "v1", "{}", served.log.text());
        served.was_kept("uvicorn --reload");
    }
}

#[test]
fn a_reload_that_waits_for_another_program_is_told() {
    let port = free_port();
    let url = format!("http://127.0.0.1:{port}/mcp");
    let served = uvicorn(&UVICORN, &url, "*.py", &["--start-timeout", "30s"]);
    let mut other = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let head = "POST /mcp HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n\
        Content-Length: 9\r\nExpect: 100-continue\r\n\r\n";
    other.write_all(head.as_bytes()).unwrap();
    // The server awaits the body.
    other.read_exact(&mut [0; 12]).unwrap();
    served.save_round(1);
    contains_all(
        &served.mark(),
        &["its own reload waits for the end of process"],
    );
    drop(other);
    eventually(DEADLINE, || served.mark() == "v1");
}

#[test]
fn a_broken_save_is_told_and_mended_by_the_next() {
    let served = uvicorn(&UVICORN, OWN_PORT, "*.py", &[]);
    served.project.edit("server.py", "\"v0\"", "\"v0");
    let parts = ["SyntaxError", "server.py", "started nothing that stays"];
    contains_all(&served.mark(), &parts);
    served.project.edit("server.py", "\"v0", "\"v1\"");
    eventually(DEADLINE, || served.mark() == "v1");
    served.was_kept("uvicorn --reload");
}

#[test]
fn a_save_before_its_watcher_begins_is_answered_by_the_saved_code() {
    let words = [&UVICORN[..3], &["--reload-delay=30", "--port"]].concat();
    let served = uvicorn_before_its_watcher(&words, OWN_PORT, "*.py", &[]);
    served.save_round(1);
    assert_eq!(served.mark(), "v1", "{}", served.log.text());
    served.log.exactly("spawned", 2);
}

#[test]
fn a_reload_that_begins_late_mends_a_broken_save() {
    let words = [
        "uvicorn",
        "server:app",
        "--reload",
        "--reload-delay=10",
        "--port",
    ];
    let served = uvicorn(&words, OWN_PORT, "*.py", &[]);
    served.project.edit("server.py", "\"v0\"", "\"v0");
    let broken = served.log.until("broken", 1);
    assert!(broken[0].to_string().contains("SyntaxError"), "{broken:?}");
    // The watcher looks at the file only when the proxy has given up on it.
    served.project.edit("server.py", "\"v0", "\"v1\"");
    eventually(DEADLINE, || served.mark() == "v1");
    served.log.exactly("spawned", 1);
}

#[test]
fn fastmcp_reloads_itself_from_a_broken_first_start_on() {
    let project = Project::new();
    project.write("server.py", &FASTMCP_SERVER.replace("\"v0\"", "\"v0"));
    let limits = ["--start-timeout=10m", "--hold-timeout=2m"];
    let options = ["--watch", "{*.py,notes}", limits[0], limits[1]];
    let served = python(project, &FASTMCP, OWN_PORT, &options);
    let broken = served.log.until("broken", 1)[0].to_string();
    contains_all(&broken, &["SyntaxError", "reports an error"]);
    // Its watcher has begun: a save that does not concern it ends nothing.
    served.project.write("notes", "hello");
    served.log.until("broken", 2);
    served.project.edit("server.py", "\"v0", "\"v0\"");
    eventually(DEADLINE, || served.mark() == "v0");
    served.save_round(1);
    assert_eq!(served.mark(), "v1", "{}", served.log.text());
    served.was_kept("fastmcp --reload");
    let tag = served.peer.tag().to_owned();
    served.peer.signal(rustix::process::Signal::KILL);
    eventually(DEADLINE, || processes_with_tag(&tag).is_empty());
}

#[test]
fn the_watchers_of_node_and_tsx_are_left_to_their_work() {
    let tsx = peers().join("node/node_modules/.bin/tsx");
    let tsx = tsx.to_str().unwrap();
    for (words, watcher) in [
        (&["node", "--watch"][..], "node --watch"),
        (&[tsx, "watch"][..], "tsx watch"),
    ] {
        let options = ["--watch", "*.mjs", "--start-timeout", "10m"];
        let served = node(words, &options, "");
        assert_eq!(served.description(), BEFORE, "{}", served.log.text());
        served.project.edit("ts_v1.mjs", BEFORE, AFTER);
        served.log.until("reloaded", 1);
        let list_changed = "notifications/tools/list_changed";
        served.peer.expect_notification(list_changed);
        assert_eq!(served.description(), AFTER, "{}", served.log.text());
        served.was_kept(watcher);

        let served = node(words, &options, "\nconst =");
        let broken = served.log.until("broken", 1)[0].to_string();
        contains_all(&broken, &["SyntaxError", "reports an error"]);
        served.project.edit("ts_v1.mjs", "\nconst =", "");
        eventually(DEADLINE, || served.echo() == "echo: hi");
        served.was_kept(watcher);
    }
}

#[test]
fn an_unknown_save_is_noticed_and_one_of_another_file_delays_calls_only_briefly() {
    let served = node(&["node", "--watch"], &["--watch", "*.txt"], "");
    assert_eq!(served.description(), BEFORE);
    served.project.edit("ts_v1.mjs", BEFORE, AFTER);
    served.log.until("reloaded", 1);
    assert_eq!(served.description(), AFTER, "{}", served.log.text());
    served.project.write("notes.txt", "hello");
    assert_eq!(served.echo(), "echo: hi", "{}", served.log.text());
    served.log.until("reloaded", 2);
    served.was_kept("node --watch");
}

#[test]
fn a_development_server_that_replaces_code_in_place_is_kept() {
    let project = Project::new();
    project.copy("fixtures/servers/raw_http.py", "raw_http.py");
    project.edit(
        "raw_http.py",
        "text = json.dumps(call(params[\"name\"], params.get(\"arguments\", {})))",
        "text = open(\"mark.txt\").read()",
    );
    project.write("mark.txt", "v0");
    let python = peers().join("python/.venv/bin/python");
    let program = format!("#!/bin/sh\nexec {} raw_http.py \"$3\"\n", python.display());
    project.write("node_modules/.bin/next", &program);
    project.set_mode("node_modules/.bin/next", 0o755);
    let mut words = vec![project.path("node_modules/.bin/next").into_os_string()];
    words.extend(["dev", "-p", "{port}"].map(OsString::from));
    let served = Served::start(project, words, OWN_PORT, &["--watch", "mark.txt"]);
    served.peer.initialize(&initialize_params()).result();
    assert_eq!(served.mark(), "v0");
    for round in 1..=2 {
        served.project.write("mark.txt", &format!("v{round}"));
        served.log.until("changed", round);
        assert_eq!(served.mark(), format!("v{round}"));
        served.log.until("reloaded", round);
    }
    served.was_kept("next dev");
}

#[test]
fn nothing_of_a_server_that_reloads_itself_is_left() {
    for kill in [false, true] {
        let served = uvicorn(&UVICORN, OWN_PORT, "*.py", &[]);
        served.save_round(1);
        assert_eq!(served.mark(), "v1");
        let tag = served.peer.tag().to_owned();
        if kill {
            served.peer.signal(rustix::process::Signal::KILL);
        } else {
            served.peer.close_stdin();
        }
        eventually(DEADLINE, || processes_with_tag(&tag).is_empty());
    }
}

#[test]
fn a_definition_without_a_url_ends_the_process() {
    let project = Project::new();
    project.copy("fixtures/servers/raw_asgi.py", "server.py");
    let define = |words: &[&str], url: &str| {
        let text = format!(
            "[servers.own]\ncommand = {:?}\nargs = {:?}\n{url}",
            words[0],
            &words[1..]
        );
        project.save("mcp-proxy.toml", &text);
    };
    let uvicorn = peers().join("python/.venv/bin/uvicorn");
    let mut words = UVICORN.to_vec();
    words[0] = uvicorn.to_str().unwrap();
    words.push("{port}");
    define(&words, &format!("url = {OWN_PORT:?}\n"));
    let log = Log::new();
    let proxy = Proxy::configured("dev").options(["--startup-wait", "2m"]);
    let peer = log.written_by(proxy.within(&project)).spawn();
    peer.initialize(&initialize_params()).result();
    log.until("ready", 1);
    project.write("script.json", "{}");
    let fake_server = example("fake_server");
    define(&[fake_server.to_str().unwrap(), "script.json"], "");
    log.until("reloaded", 1);
    let tag = peer.tag();
    let is_uvicorn = |(_, command): &(u32, String)| command.contains("server:app");
    eventually(DEADLINE, || !processes_with_tag(tag).iter().any(is_uvicorn));
}
