//! The page: `--page`.

#[cfg(unix)]
mod curl;
#[cfg(target_os = "linux")]
mod hostile;
#[cfg(target_os = "linux")]
mod in_browser;
mod recordings;
mod stand_in;
#[cfg(target_os = "linux")]
mod time_line;
#[cfg(target_os = "linux")]
mod trying;

use std::net::SocketAddr;

use serde_json::Value;

use crate::harness::http::{Answer, Connection};
use crate::harness::{
    DEADLINE, Log, Peer, Project, Proxy, Run, eventually, example, initialize_params, marked,
};

/// Proxy with a page in front of the fake server `weather`.
pub(crate) struct Paged {
    pub(crate) project: Project,
    pub(crate) peer: Peer,
    pub(crate) log: Log,
    /// Link that the proxy has printed.
    pub(crate) link: String,
    address: SocketAddr,
}

impl Paged {
    /// Starts the proxy in a new project.
    #[track_caller]
    pub(crate) fn start() -> Self {
        let project = Project::new();
        project.write("weather.json", &marked("v0"));
        Self::start_in(project)
    }

    /// Starts the proxy in a project that may have had one before.
    #[track_caller]
    pub(crate) fn start_in(project: Project) -> Self {
        Self::start_at("", project)
    }

    /// Starts the proxy with this value of `--page`.
    #[track_caller]
    fn start_at(wish: &str, project: Project) -> Self {
        let proxy = Proxy::dev([example("fake_server"), "weather.json".into()])
            .options(["--name", "weather", "--watch", "weather.json"])
            .options(
                Some("--page")
                    .into_iter()
                    .chain(Some(wish).filter(|it| !it.is_empty())),
            )
            .options(["--env", "API_KEY=kanarie-1234567"]);
        Self::behind(proxy, project)
    }

    /// Starts this proxy in a project, and waits for its page.
    #[track_caller]
    fn behind(proxy: Proxy, project: Project) -> Self {
        let log = Log::new();
        let peer = log.written_by(proxy.known_to(&project)).spawn();
        let page = log.until("page", 1);
        let link = page[0]["url"].as_str().unwrap().to_owned();
        let host = link.strip_prefix("http://").unwrap();
        let address = host.split('/').next().unwrap().parse().unwrap();
        Self {
            project,
            peer,
            log,
            link,
            address,
        }
    }

    /// Begins a session of the client.
    #[track_caller]
    pub(crate) fn meet(&self) {
        self.peer.initialize(&initialize_params()).result();
        self.log.until("ready", 1);
    }

    /// Ends the proxy; returns its project.
    #[track_caller]
    pub(crate) fn end(self) -> Project {
        self.peer.close_stdin();
        assert!(self.peer.wait_exit().success());
        self.project
    }

    fn token(&self) -> &str {
        self.link.split_once("?token=").unwrap().1
    }

    #[track_caller]
    fn get(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        self.ask("GET", path, headers, "")
    }

    #[track_caller]
    fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let mut connection = Connection::to(self.address);
        connection.request_at(path, method, headers, body);
        connection.answer()
    }

    /// Returns the cookie that the link sets.
    #[track_caller]
    fn cookie(&self) -> String {
        let answer = self.get(&format!("/?token={}", self.token()), &[]);
        assert_eq!(answer.status(), 200);
        assert!(!answer.body.contains(self.token()), "{}", answer.body);
        let cookie = answer.head.header("set-cookie").unwrap();
        let (pair, flags) = cookie.split_once("; ").unwrap();
        assert_eq!(flags, "Path=/; HttpOnly; SameSite=Strict");
        pair.to_owned()
    }
}

#[test]
fn only_its_own_pages_read_it_with_the_link() {
    let paged = Paged::start();
    paged.meet();
    let link = format!("/?token={}", paged.token());
    for path in [
        "/",
        "/?token=0",
        "/messages?token=0",
        "/stream",
        "/assets/style.css",
        "/x",
    ] {
        let answer = paged.get(path, &[]);
        assert_eq!(answer.status(), 401, "{path}");
        assert!(
            answer.body.contains("mcp-proxy status"),
            "{path}: {}",
            answer.body
        );
    }
    let cookie = paged.cookie();
    let own = ("Cookie", &*format!("other=1; {cookie}"));
    let answer = paged.get("/", &[own]);
    assert_eq!(answer.status(), 200);
    for (name, value) in [
        (
            "content-security-policy",
            "default-src 'none'; script-src 'self'",
        ),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "same-origin"),
        ("cache-control", "no-store"),
    ] {
        let sent = answer.head.header(name).unwrap();
        assert!(sent.starts_with(value), "{name}: {sent}");
    }
    assert_eq!(paged.get("/x", &[own]).status(), 404);
    let wrong = format!("{}x", &cookie[..cookie.len() - 1]);
    assert_eq!(paged.get("/", &[("Cookie", &wrong)]).status(), 401);
    for foreign in [
        ("Host", "rebound.example"),
        ("Origin", "https://evil.example"),
        ("Origin", "null"),
    ] {
        assert_eq!(paged.get("/", &[own, foreign]).status(), 403, "{foreign:?}");
        assert_eq!(paged.get(&link, &[foreign]).status(), 403, "{foreign:?}");
    }
    // Through a tunnel, the link sets a cookie for the port of the tunnel.
    let tunnel = [("Host", "localhost:9"), ("Origin", "http://localhost:9")];
    let answer = paged.get(&link, &tunnel);
    let at_tunnel = answer.head.header("set-cookie").unwrap();
    let at_tunnel = ("Cookie", at_tunnel.split(';').next().unwrap());
    for (cookie, origin, status) in [
        (at_tunnel, tunnel[1], 200),
        (own, tunnel[1], 401),
        (at_tunnel, ("Origin", "http://localhost:8"), 403),
    ] {
        let answer = paged.get("/", &[cookie, tunnel[0], origin]);
        assert_eq!(answer.status(), status, "{cookie:?} {origin:?}");
    }
    let origin = format!("http://{}", paged.address);
    let acting = [own, ("Origin", &*origin)];
    let call = "at=1%2Fweather&tool=echo";
    assert_eq!(
        paged.ask("POST", "/try/call", &acting[..1], call).status(),
        403
    );
    assert_eq!(paged.ask("POST", "/try/call", &acting, call).status(), 303);
    for (headers, status) in [
        (&acting[..1], 403),
        (
            &[&acting[..], &[("Sec-Fetch-Site", "cross-site")]].concat(),
            403,
        ),
        (&acting, 405),
    ] {
        assert_eq!(
            paged.ask("POST", "/", headers, "").status(),
            status,
            "{headers:?}"
        );
    }
}

#[test]
fn the_next_proxy_of_the_project_keeps_the_address_only() {
    let paged = Paged::start();
    let (link, address, cookie) = (paged.link.clone(), paged.address, paged.cookie());
    // The record of a proxy is written a moment after the event.
    eventually(DEADLINE, || {
        let status = Run::within(&paged.project, &["status", "--json"]).ended_with(0);
        let status: Value = serde_json::from_str(&status.stdout).unwrap();
        status["running"][0]["page"] == *link
    });
    let next = Paged::start_in(paged.end());
    assert_eq!(next.address, address);
    assert_ne!(next.link, link);
    let old = link.split_once("?token=").unwrap().1;
    assert_eq!(next.get(&format!("/?token={old}"), &[]).status(), 401);
    assert_eq!(next.get("/", &[("Cookie", &cookie)]).status(), 401);
    assert_ne!(next.cookie(), cookie);
}

#[test]
fn a_taken_address_is_replaced_with_a_warning() {
    let paged = Paged::start();
    let project = Project::new();
    project.write("weather.json", &marked("v0"));
    let other = Paged::start_at(&paged.address.to_string(), project);
    assert_ne!(other.address, paged.address);
    let page = &other.log.until("page", 1)[0];
    let warning = page["warning"].as_str().unwrap();
    assert!(warning.contains(&paged.address.to_string()), "{warning}");
    other.meet();
    let (taken, project) = (other.address, other.end());
    assert_eq!(Paged::start_in(project).address, taken);
}

#[test]
fn messages_are_listed_without_secrets_and_as_text() {
    let paged = Paged::start();
    paged.meet();
    let hostile = "<script>alert(1)</script>\u{202e}\u{1b}[31m";
    let arguments = serde_json::json!({ "text": hostile, "key": "kanarie-1234567" });
    paged.peer.call("echo", &arguments).result();
    let cookie = paged.cookie();
    let own = ("Cookie", &*cookie);
    let mut row = Value::Null;
    eventually(DEADLINE, || {
        let rows = paged
            .get("/messages/rows?about=echo&text=SCRIPT", &[own])
            .body;
        let rows: Value = serde_json::from_str(&rows).unwrap();
        row = rows["rows"][0].clone();
        row["state"] == "good"
    });
    assert_eq!(
        (&row["server"], &row["generation"]),
        (&"weather".into(), &1.into())
    );
    let number = row["n"].to_string();
    let raw = paged.get(&format!("/messages/{number}/raw"), &[own]);
    assert_eq!(
        raw.head.header("content-type").unwrap(),
        "text/plain; charset=utf-8"
    );
    assert_eq!(raw.body.lines().count(), 4);
    let detail = paged.get(&format!("/messages/{number}"), &[own]).body;
    for page in [&raw.body, &detail, &paged.get("/messages", &[own]).body] {
        assert!(!page.contains("kanarie"), "{page}");
    }
    assert!(
        !detail.contains("<script>a") && detail.contains("&lt;script&gt;a"),
        "{detail}"
    );
    assert!(
        !detail.contains('\u{202e}') && !detail.contains('\u{1b}'),
        "{detail}"
    );
    assert!(detail.contains("mcp-proxy call echo "), "{detail}");
    let recording = paged.get("/messages.ndjson?about=echo", &[own]);
    paged.project.write("saved.ndjson", &recording.body);
    let printed = Run::within(&paged.project, &["logs", "--messages=saved.ndjson"]).ended_with(0);
    let lines: Vec<&str> = printed.stdout.lines().collect();
    let [first, .., last] = &lines[..] else {
        panic!("{}", printed.stdout);
    };
    assert!(first.contains("client 1 → proxy") && first.contains("initialize"));
    assert!(last.contains("proxy → client 1"));
    assert!(!printed.stdout.contains("tools/list"), "{}", printed.stdout);
    let none = paged.get("/messages/rows?errors=on", &[own]).body;
    assert_eq!(serde_json::from_str::<Value>(&none).unwrap()["total"], 0);
}

#[test]
fn servers_are_reloaded_unloaded_and_loaded() {
    let paged = Paged::start();
    paged.meet();
    let (cookie, origin) = (paged.cookie(), format!("http://{}", paged.address));
    let own = [("Cookie", &*cookie), ("Origin", &*origin)];
    let act = |form: &str| paged.ask("POST", "/act", &own, form);
    let done = act("session=1&server=weather&do=reload");
    assert_eq!(
        (done.status(), done.head.header("location")),
        (303, Some("/"))
    );
    paged.log.until("reloaded", 1);
    assert_eq!(act("session=1&server=weather&do=unload").status(), 303);
    paged.log.until("unloaded", 1);
    assert!(paged.get("/", &own).body.contains("not loaded"));
    assert_eq!(act("session=1&server=weather&do=load").status(), 303);
    paged.log.until("ready", 2);
    for (form, status, reason) in [
        ("session=1&server=%3Cb%3E&do=reload", 409, "&lt;b&gt;"),
        (
            "session=2&server=weather&do=reload",
            409,
            "session has ended",
        ),
        ("session=1&server=weather&do=delete", 400, "incomplete"),
        ("", 400, "incomplete"),
    ] {
        let answer = act(form);
        assert_eq!(answer.status(), status, "{form}");
        assert!(answer.body.contains(reason), "{form}: {}", answer.body);
    }
}
