//! `--pass-through`: the site of a server that serves HTTP, behind the address of the proxy.

#[cfg(target_os = "linux")]
mod browser;
mod rules;
mod streams;

use std::ffi::OsString;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver};

use serde_json::{Value, json};

use crate::harness::http::{Answer, Connection, Legacy, Site};
use crate::harness::{DEADLINE, Project, Proxy, eventually, peers, program, symlink};

const OWN_PORT: &str = "http://127.0.0.1:{port}/mcp";

/// Server in `fixtures/servers` with a site.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SiteOn {
    FastMcp,
    Express,
}

/// The proxy in front of a server with a site.
struct Stage {
    site: Site,
    project: Project,
    on: SiteOn,
}

impl SiteOn {
    fn source(self) -> &'static str {
        match self {
            Self::FastMcp => "site.py",
            Self::Express => "site.mjs",
        }
    }

    /// Copies the source into the project; returns the command that starts the server, except its arguments.
    #[track_caller]
    fn command(self, project: &Project) -> Vec<OsString> {
        let source = self.source();
        project.copy(&format!("fixtures/servers/{source}"), source);
        let interpreter = match self {
            Self::FastMcp => peers().join("python/.venv/bin/python").into(),
            Self::Express => {
                symlink(
                    peers().join("node/node_modules"),
                    project.path("node_modules"),
                )
                .unwrap();
                "node".into()
            }
        };
        vec![interpreter, source.into()]
    }
}

impl Stage {
    #[track_caller]
    fn start(on: SiteOn, options: &[&str]) -> Self {
        Self::start_at(on, OWN_PORT, &["{port}"], options)
    }

    /// Starts the proxy in front of a server at `url`, with these arguments.
    #[track_caller]
    fn start_at(on: SiteOn, url: &str, arguments: &[&str], options: &[&str]) -> Self {
        let project = Project::new();
        let mut words = on.command(&project);
        words.extend(arguments.iter().map(Into::into));
        let proxy = Proxy::dev(words)
            .options(["--url", url, "--watch", on.source(), "--pass-through"])
            .options(["--startup-wait", "2m"])
            .patiently(options)
            .within(&project);
        let site = Site::start(proxy);
        Self { site, project, on }
    }

    #[track_caller]
    fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let mut connection = Connection::to(self.site.address);
        connection.request_at(path, method, headers, body);
        connection.answer()
    }

    #[track_caller]
    fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, &[], "")
    }

    /// Returns the request as the server saw it.
    #[track_caller]
    fn seen(&self, headers: &[(&str, &str)]) -> Value {
        let answer = self.ask("GET", "/seen", headers, "");
        assert_eq!(answer.status(), 200, "{}", answer.body);
        serde_json::from_str(&answer.body).unwrap()
    }

    /// Saves code with another mark.
    #[track_caller]
    fn save(&self, from: &str, to: &str) {
        self.project.edit(self.on.source(), from, to);
    }

    /// Opens a websocket.
    #[track_caller]
    fn websocket(&self, words: &[&str]) -> WebSocket {
        WebSocket::open(&format!("ws://{}/echo", self.site.address), words)
    }
}

/// Client of a websocket, in a process of its own.
struct WebSocket {
    process: Child,
    input: ChildStdin,
    lines: Receiver<String>,
}

impl WebSocket {
    /// Connects to `url`; `words` are further arguments.
    #[track_caller]
    fn open(url: &str, words: &[&str]) -> Self {
        let client = program("python/websocket_client.py");
        let mut process = Command::new(&client[0])
            .args(&client[1..])
            .arg(url)
            .args(words)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(process.stdout.take().unwrap());
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        Self {
            input: process.stdin.take().unwrap(),
            process,
            lines,
        }
    }

    /// Returns the next line of the client: `open`, `refused STATUS`, a message, or `closed`.
    #[track_caller]
    fn line(&self) -> String {
        self.lines.recv_timeout(DEADLINE).unwrap()
    }

    /// Sends a text and returns the answer.
    #[track_caller]
    fn say(&mut self, text: &str) -> String {
        writeln!(self.input, "{text}").unwrap();
        self.line()
    }
}

impl Drop for WebSocket {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn a_page_and_its_assets_come_from_the_saved_code() {
    for on in [SiteOn::FastMcp, SiteOn::Express] {
        let stage = Stage::start(on, &[]);
        let check = |mark: &str| {
            let page = stage.get("/");
            assert_eq!(page.status(), 200, "{on:?}: {}", page.body);
            let html = format!(r#"<script src="/assets/app.js"></script>{mark}"#);
            assert_eq!(page.body, html, "{on:?}");
            let asset = stage.get("/assets/app.js?v=1");
            assert_eq!(asset.body, format!("show('{mark}')"), "{on:?}");
            let kind = asset.head.header("content-type").unwrap();
            assert!(kind.starts_with("text/javascript"), "{kind}");
            let metadata = stage.get("/.well-known/oauth-protected-resource");
            let metadata: Value = serde_json::from_str(&metadata.body).unwrap();
            assert_eq!(metadata["resource_name"], mark, "{on:?}");
        };
        check("v0");
        for round in 1..=3 {
            let (from, to) = (format!("v{}", round - 1), format!("v{round}"));
            stage.save(&from, &to);
            check(&to);
        }
        assert_eq!(stage.get("/none").status(), 404);
    }
}

#[test]
fn the_site_is_that_of_the_newest_session() {
    let stage = Stage::start(SiteOn::FastMcp, &[]);
    let mut pids = vec![stage.seen(&[])["pid"].as_u64().unwrap()];
    for _ in 0..2 {
        let client = Legacy::begin(&stage.site);
        let text = client.call("mark", &json!({})).tool_text();
        assert_eq!(text, "v0");
        pids.push(stage.seen(&[])["pid"].as_u64().unwrap());
    }
    let servers = stage.site.servers();
    assert_eq!(pids, servers, "{}", stage.site.log.text());
}

#[test]
fn a_request_in_flight_is_answered_by_the_code_that_it_reached() {
    let stage = Stage::start(SiteOn::FastMcp, &[]);
    assert_eq!(stage.get("/").status(), 200);
    let mut waiting = Connection::to(stage.site.address);
    waiting.request_at("/when/go", "GET", &[], "");
    eventually(DEADLINE, || stage.site.log.text().contains("\"waiting\""));
    stage.save("v0", "v1");
    stage.site.log.until("reloaded", 1);
    assert!(stage.get("/").body.ends_with("v1"));
    assert!(stage.site.log.events("stopped").is_empty());
    stage.project.write("go", "");
    assert_eq!(waiting.answer().body, "v0");
    stage.site.log.until("stopped", 1);
}

#[test]
fn a_broken_save_is_told_as_text_and_mended_by_the_next() {
    let stage = Stage::start(SiteOn::FastMcp, &[]);
    assert_eq!(stage.get("/").status(), 200);
    stage.save("\"v0\"", "\"v0");
    let told = stage.get("/");
    assert_eq!(told.status(), 503);
    let kind = told.head.header("content-type");
    assert_eq!(kind, Some("text/plain; charset=utf-8"));
    for part in ["the saved code of", "SyntaxError"] {
        assert!(told.body.contains(part), "{part}: {}", told.body);
    }
    stage.save("\"v0", "\"v1\"");
    let page = stage.get("/");
    assert!(page.body.ends_with("v1"), "{}", page.body);
}

#[test]
fn after_a_crash_the_next_process_answers() {
    let stage = Stage::start(SiteOn::FastMcp, &[]);
    assert_eq!(stage.get("/").status(), 200);
    let crashed = stage.get("/exit");
    assert!([502, 503].contains(&crashed.status()), "{}", crashed.body);
    // It is sent twice, because it has no effects as far as the proxy knows.
    stage.site.log.until("exited", 2);
    let page = stage.get("/");
    assert_eq!(page.status(), 200, "{}", page.body);
    stage.site.log.exactly("exited", 2);
}

#[test]
fn a_request_without_effects_goes_to_the_process_after_a_crash() {
    let stage = Stage::start(SiteOn::FastMcp, &[]);
    let got = stage.get("/exit/first");
    assert_eq!((got.status(), &*got.body), (200, "v0"), "{}", got.body);
    stage.site.log.until("exited", 1);
    let requests = [("POST", ""), ("POST", "x"), ("GET", "x")];
    for (exits, (method, body)) in requests.into_iter().enumerate() {
        let file = format!("/exit/{exits}");
        let refused = stage.ask(method, &file, &[], body);
        assert!([502, 503].contains(&refused.status()), "{}", refused.body);
        // It did not reach the next process, which would have answered it.
        let answered = stage.ask(method, &file, &[], body);
        assert_eq!(answered.status(), 200, "{}", answered.body);
    }
    stage.site.log.exactly("exited", 4);
}

#[test]
fn an_answer_that_has_begun_is_not_asked_for_again() {
    let project = Project::new();
    project.copy("fixtures/servers/raw_http.py", "raw_http.py");
    let python = peers().join("python/.venv/bin/python").into_os_string();
    let words = vec![python, "raw_http.py".into(), "{port}".into()];
    let proxy = Proxy::dev(words)
        .options(["--url", OWN_PORT, "--pass-through", "--hold-timeout", "2m"])
        .within(&project);
    let site = Site::start(proxy);
    let ask = || {
        let mut connection = Connection::to(site.address);
        connection.request_at("/partial", "GET", &[], "");
        connection.answer()
    };
    let cut = ask();
    assert!([502, 503].contains(&cut.status()), "{}", cut.body);
    site.log.until("exited", 1);
    assert_eq!(ask().status(), 200);
}
