//! Named pipes in place of files: a password manager's `.env`, and a configuration in `<(…)`.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::json;

use super::Servers;
use super::servers::section;
use super::variables::greeting;
use crate::harness::{Log, Project, Proxy, initialize_params, marked};

#[track_caller]
fn make_pipe(path: &Path) {
    let made = Command::new("mkfifo").arg(path).status().unwrap();
    assert!(made.success());
}

/// Program that writes variables to each reader of a pipe and counts the readers; ended when dropped.
struct Writer(Child);

impl Writer {
    fn start(project: &Project) -> Self {
        const LOOP: &str = "while exec 3>.env; do
            echo >> readers
            echo GREETING=hush >&3
            exec 3>&-
            sleep 0.05
        done";
        let mut command = Command::new("sh");
        command.args(["-c", LOOP]).current_dir(project.root());
        // The shell complains about the pipe that the end of the test removes.
        command.stdin(Stdio::null()).stderr(Stdio::null());
        Self(command.spawn().unwrap())
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_pipe_without_a_writer_concerns_only_its_server() {
    let servers = Servers::marked(["b"]).set("a", &json!({"mark": "a"}), "env_file = '.env'");
    make_pipe(&servers.project.path(".env"));
    let fleet = servers.start("serve");
    fleet.peer.initialize(&initialize_params()).result();
    let fault = fleet.log.until("config_fault", 1)[0]["text"].to_string();
    for part in ["named pipe", ".env", "start the program"] {
        assert!(fault.contains(part), "{fault}");
    }
    // This tool reads the configuration again, and so waits for a writer.
    let params = json!({"name": "list_available_servers", "arguments": {}});
    let waiting = fleet.peer.request("tools/call", &params);
    fleet.peer.ask("ping", &json!({})).result();
    assert_eq!(fleet.peer.responses_to(waiting), 0);
    let available = fleet.peer.await_response(waiting).result();
    assert_eq!(available["structuredContent"]["servers"], json!(["b"]));
    fleet.peer.close_stdin();
    assert!(fleet.peer.wait_exit().success());
}

#[test]
fn a_pipe_is_read_when_the_configuration_is_and_not_otherwise() {
    let servers = Servers::marked(["a"]).set("b", &json!({"mark": "b"}), "env_file = '.env'");
    make_pipe(&servers.project.path(".env"));
    let _writer = Writer::start(&servers.project);
    let fleet = servers.legacy();
    assert_eq!(greeting(fleet.mark("b").1).as_deref(), Some("hush"));
    // A reader whose work looked like a save to itself would read again and again meanwhile.
    let whole = fleet.project.read("mcp-proxy.toml");
    for name in ["c", "d", "e"] {
        fleet.project.save(&format!("{name}.json"), &marked(name));
        let text = format!("{whole}\n{}", section(name, ""));
        fleet.project.save("mcp-proxy.toml", &text);
        fleet.until("ready", name, 1);
    }
    let readers = fleet.project.read("readers").lines().count();
    assert!((2..=8).contains(&readers), "{readers}");
    assert_eq!(fleet.events_of("reloaded", "b"), 0);
}

#[test]
fn a_configuration_from_a_pipe_is_read_once() {
    let servers = Servers::marked(["a"]);
    let project = servers.project;
    make_pipe(&project.path("servers.toml"));
    let (pipe, text) = (project.path("servers.toml"), section("a", ""));
    let writer = std::thread::spawn(move || std::fs::write(pipe, text).unwrap());
    let log = Log::new();
    let proxy = Proxy::configured("dev").options(["--config", "servers.toml"]);
    let peer = log.written_by(proxy).within(&project).spawn();
    peer.initialize(&initialize_params()).result();
    writer.join().unwrap();
    log.until("ready", 1);
    // The reload shows that the server is still watched.
    project.save("a.json", &marked("a2"));
    log.until("reloaded", 1);
    assert!(log.events("config_fault").is_empty());
    assert!(log.events("reconfigured").is_empty());
}
