//! `mcp-proxy install`, `update` and `uninstall`: over https, to the end or killed on the way, with nothing left behind.

mod javascript;
mod languages;
mod refusals;

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::harness::{
    DEADLINE, GitServer, Peer, Project, Repository, Run, eventually, initialize_params, new_tag,
    processes_with_tag,
};

/// A server in Python that needs nothing.
const SERVER: &str = r#"
import json, sys
for line in sys.stdin:
    message = json.loads(line)
    if "id" not in message:
        continue
    result = {
        "initialize": {"protocolVersion": "2025-06-18", "capabilities": {"tools": {}},
                       "serverInfo": {"name": "weather", "version": "1"}},
        "tools/list": {"tools": [{"name": "forecast", "inputSchema": {"type": "object"}}]},
        "tools/call": {"content": [{"type": "text", "text": "rain"}]},
    }.get(message["method"], {})
    print(json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": result}), flush=True)
"#;

const BEFORE: &str = "{\n  // mine\n  \"mcpServers\": {}\n}\n";

/// A user's project and folders, and a repository at a server.
struct World {
    server: GitServer,
    repository: Repository,
    project: Project,
}

impl World {
    fn new(files: &[(&str, &str)]) -> Self {
        let server = GitServer::new();
        let repository = server.repository("weather", files);
        let project = Project::new();
        project.write("home/.mcp.json", BEFORE);
        Self {
            server,
            repository,
            project,
        }
    }

    /// `mcp-proxy` with these words in the user's project.
    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mcp-proxy"));
        command
            .args(words)
            .current_dir(self.project.path("home"))
            .env("XDG_DATA_HOME", self.project.path("data"))
            .env("SSL_CERT_FILE", self.server.authority_file())
            .env_remove("SSL_CERT_DIR")
            .env_remove("MCP_PROXY_CONFIG");
        command
    }

    #[track_caller]
    fn run(&self, words: &[&str], code: i32) -> Run {
        Run::of(self.command(words)).ended_with(code)
    }

    /// Installs from `path` of the server.
    #[track_caller]
    fn install(&self, path: &str, options: &[&str], code: i32) -> Run {
        let url = self.server.url(path);
        self.run(&[&["install", &url][..], options].concat(), code)
    }

    fn config(&self) -> String {
        self.project.read("home/.mcp.json")
    }

    /// The content of the folder of servers, down to the slots.
    fn slots(&self) -> Vec<PathBuf> {
        let mut level = vec![self.project.path("data/mcp-proxy/servers")];
        for _ in 0..5 {
            let read = |it: &PathBuf| fs::read_dir(it).into_iter().flatten().flatten();
            level = level.iter().flat_map(read).map(|it| it.path()).collect();
        }
        level
    }

    /// Nothing is there that was not there before.
    #[track_caller]
    fn assert_untouched(&self) {
        let servers = self.project.path("data/mcp-proxy/servers");
        let left: Vec<_> = fs::read_dir(servers)
            .into_iter()
            .flatten()
            .flatten()
            .collect();
        assert!(left.is_empty(), "{left:?}");
        assert_eq!(self.config(), BEFORE);
    }

    /// Starts it and returns once `is_there` holds for a slot.
    fn start_until(&self, words: &[&str], tag: &str, is_there: impl Fn(&World) -> bool) -> Child {
        let mut command = self.command(words);
        command.env("MCP_PROXY_TEST_TAG", tag).stdin(Stdio::null());
        let child = command
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        eventually(DEADLINE, || is_there(self));
        child
    }
}

const COMMAND: [&str; 2] = ["--command", "python3 -u serve.txt"];

fn said(run: &Run) -> Value {
    serde_json::from_str(&run.stdout).unwrap_or_else(|error| panic!("{error}: {run:#?}"))
}

#[test]
fn a_server_is_installed_called_brought_up_to_date_and_removed() {
    let world = World::new(&[("serve.txt", SERVER)]);
    let run = world.install("git/weather", &[&COMMAND[..], &["--json"]].concat(), 0);
    let installed = said(&run);
    assert_eq!(installed["outcome"], "installed");
    assert_eq!(
        installed["commit"],
        world.repository.git(&["rev-parse", "HEAD"]).as_str()
    );
    let called = world.run(&["call", "weather", "forecast"], 0);
    assert_eq!(called.stdout.trim(), "rain");

    let commit = world
        .repository
        .commit(&[("serve.txt", &SERVER.replace("rain", "sun"))]);
    let updated = said(&world.run(&["update", "weather", "--json"], 0));
    assert_eq!(
        (&updated["outcome"], &updated["commit"]),
        (&"updated".into(), &commit.into())
    );
    assert_eq!(
        world.run(&["call", "weather", "forecast"], 0).stdout.trim(),
        "sun"
    );
    let again = said(&world.run(&["update", "weather", "--json"], 0));
    assert_eq!(again["outcome"], "unchanged");

    let listed = said(&world.run(&["list", "--installed", "--json"], 0));
    assert_eq!(listed["installed"][0]["folder"], updated["folder"]);
    let table = world.run(&["list", "--installed"], 0).stdout;
    assert!(
        table.contains("weather") && table.contains(&world.server.url("git/weather")),
        "{table}"
    );

    let removed = said(&world.run(&["uninstall", "weather", "--delete-files", "--json"], 0));
    assert!(
        removed["deleted"].is_string() && removed["kept"].is_null(),
        "{removed}"
    );
    world.assert_untouched();
}

#[test]
fn a_failure_has_a_code_of_its_own_and_the_reason() {
    let world = World::new(&[("serve.txt", SERVER)]);
    let run = world.install("git/nothing", &[], 5);
    assert!(run.stderr.contains("repository not found"), "{run:#?}");
    assert_eq!(run.stdout, "");
    let run = world.install("git/weather@nowhere", &[], 5);
    assert!(
        run.stderr.contains("no branch, tag or commit `nowhere`"),
        "{run:#?}"
    );
    world.run(&["install", "http://host.example/a/b"], 5);
    world.run(&["uninstall", "nothing"], 5);
    world.run(&["install", "a/b", "--env", "K"], 2);
    world.assert_untouched();
}

#[test]
fn an_update_and_a_removal_reach_the_client_that_is_connected() {
    let world = World::new(&[("serve.txt", SERVER)]);
    world.install("git/weather", &COMMAND, 0);
    let client = Peer::spawn_command(world.command(&["dev", "--meta-tools", "all"]));
    client.initialize(&initialize_params());
    client.notify("notifications/initialized", &json!({}));
    let call = || {
        let arguments =
            json!({ "server_name": "weather", "tool_name": "forecast", "parameters": {} });
        client
            .call("call_dynamic_server_tool", &arguments)
            .tool_text()
    };
    assert!(call().contains("rain"));
    world.repository.commit(&[("serve.txt", "no program")]);
    let broken = world.run(&["update", "weather"], 4).stderr;
    assert!(broken.contains("`weather` does not start"), "{broken}");
    // A server that does not start answers with the reason, a mended one with the new code.
    eventually(DEADLINE, || call().contains("SyntaxError"));
    world
        .repository
        .commit(&[("serve.txt", &SERVER.replace("rain", "sun"))]);
    world.run(&["update", "weather"], 0);
    eventually(DEADLINE, || call().contains("sun"));

    world.run(&["uninstall", "weather", "--delete-files"], 0);
    eventually(DEADLINE, || call().contains("not found"));
    eventually(DEADLINE, || {
        let is_server = |(_, line): &(u32, String)| line.contains("serve.txt");
        !processes_with_tag(client.tag()).iter().any(is_server)
    });
    world.assert_untouched();
}

#[test]
fn git_lends_its_keys_and_helpers_and_asks_nobody() {
    let world = World::new(&[("serve.txt", SERVER)]);
    // The stand-in for ssh runs the remote command here.
    world
        .project
        .write("ssh", "#!/bin/sh\nshift\nexec sh -c \"$*\"\n");
    let address = format!("git@host.example:{}", world.repository.folder.display());
    let mut command = world.command(&[&["install", &address], &COMMAND[..]].concat());
    let ssh = format!("sh {}", world.project.path("ssh").display());
    command
        .env("GIT_SSH_COMMAND", ssh)
        .env("GIT_SSH_VARIANT", "simple");
    Run::of(command).ended_with(0);
    assert_eq!(
        world.run(&["call", "weather", "forecast"], 0).stdout.trim(),
        "rain"
    );
    world.run(&["uninstall", "weather", "--delete-files"], 0);

    let authority = world.server.authority_file();
    let helper = "!f() { echo username=me; echo password=secret; }; f";
    for (helper, code) in [(helper, 0), ("", 5)] {
        let config = format!(
            "[http]\n\tsslCAInfo = {}\n[credential]\n\thelper = \"{helper}\"\n",
            authority.display()
        );
        world.project.write("gitconfig", &config);
        let url = world.server.url("private/weather");
        let mut command =
            world.command(&[&["install", &url, "--overwrite"], &COMMAND[..]].concat());
        command
            .env("GIT_CONFIG_GLOBAL", world.project.path("gitconfig"))
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env_remove("GIT_SSL_CAINFO");
        let run = Run::of(command).ended_with(code);
        assert!(
            code == 0 || run.stderr.contains("is the repository private"),
            "{run:#?}"
        );
    }
    let record = world.run(&["list", "--installed", "--json"], 0).stdout;
    assert!(!record.contains("secret"), "{record}");
}

/// A host that git has keys for may redirect it to a host that nobody permitted.
#[test]
fn git_goes_where_it_was_sent_and_nowhere_else() {
    let world = World::new(&[("serve.txt", SERVER)]);
    let helper = "!f() { echo username=me; echo password=secret; }; f";
    let config = format!("[http]\n\tsslVerify = false\n[credential]\n\thelper = \"{helper}\"\n");
    world.project.write("gitconfig", &config);
    let rewrite = |to: &str| {
        let from = world.server.url("private/");
        format!("{config}[url \"{to}\"]\n\tinsteadOf = \"{from}\"\n")
    };
    let folder = world.repository.folder.parent().unwrap().display();
    world
        .project
        .write("rewritten", &rewrite(&format!("file://{folder}/")));
    for (path, config, code) in [
        ("private-away/weather", "gitconfig", 5),
        ("private/weather", "rewritten", 5),
        // A repository that moved on the same server was found there already.
        ("moved-private/weather", "gitconfig", 0),
    ] {
        let url = world.server.url(path);
        let mut command = world.command(&[&["install", &url], &COMMAND[..]].concat());
        command
            .env("GIT_CONFIG_GLOBAL", world.project.path(config))
            .env("GIT_CONFIG_NOSYSTEM", "1");
        let run = Run::of(command).ended_with(code);
        let denied = run.stderr.contains("is the repository private");
        assert_eq!(denied, code == 5, "{path}: {run:#?}");
    }
}

#[test]
fn a_kill_while_fetching_leaves_nothing_half_made() {
    let world = World::new(&[("serve.txt", SERVER)]);
    let (tag, url) = (new_tag(), world.server.url("silent-pack/weather"));
    let words = ["install", &url, "--command", "python3 serve.txt"];
    let mut child = world.start_until(&words, &tag, |world| !world.slots().is_empty());
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(world.config(), BEFORE);
    let listed = said(&world.run(&["list", "--installed", "--json"], 0));
    assert_eq!(listed["installed"], Value::Array(Vec::new()));
    world.assert_untouched();
    world.install("git/weather", &COMMAND, 0);
}

/// The process that reads the repository waits for the rest of a pack.
#[test]
fn the_process_that_reads_a_repository_ends_with_the_installation() {
    let world = World::new(&[("serve.txt", SERVER)]);
    let url = world.server.url("stalled/weather");
    let words = ["install", &url, "--command", "python3 serve.txt"];
    for signal in [Signal::INT, Signal::KILL] {
        let tag = new_tag();
        let reads = |(_, line): &(u32, String)| line.contains("__git");
        let mut child =
            world.start_until(&words, &tag, |_| processes_with_tag(&tag).iter().any(reads));
        kill_process(Pid::from_child(&child), signal).unwrap();
        child.wait().unwrap();
        eventually(DEADLINE, || processes_with_tag(&tag).is_empty());
        world.run(&["list", "--installed"], 0);
        world.assert_untouched();
    }
}

/// A server whose build never ends.
fn building_for_ever() -> World {
    World::new(&[
        (
            "Cargo.toml",
            "[package]\nname = \"weather-mcp\"\nversion = \"1.0.0\"\nedition = \"2021\"\n[workspace]\n",
        ),
        ("build.rs", "fn main() { loop { std::thread::park() } }"),
        ("src/main.rs", "fn main() {}"),
    ])
}

/// Whether the program that never ends runs, two processes below the one that was started.
fn builds(tag: &str) -> bool {
    let script =
        |(_, line): &(u32, String)| line.contains("build-script-build") && !line.contains("rustc");
    processes_with_tag(tag).iter().any(script)
}

#[test]
fn a_kill_while_a_command_runs_ends_the_command_too() {
    let world = building_for_ever();
    let (tag, url) = (new_tag(), world.server.url("git/weather"));
    let words = ["install", &url];
    let mut child = world.start_until(&words, &tag, |_| builds(&tag));
    child.kill().unwrap();
    child.wait().unwrap();
    eventually(DEADLINE, || processes_with_tag(&tag).is_empty());
    world.run(&["list", "--installed"], 0);
    world.assert_untouched();
}

#[test]
fn an_interrupt_takes_all_back() {
    let world = building_for_ever();
    let (tag, url) = (new_tag(), world.server.url("git/weather"));
    let words = ["install", &url];
    let mut child = world.start_until(&words, &tag, |_| builds(&tag));
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    let mut status = None;
    eventually(DEADLINE, || {
        status = child.try_wait().unwrap();
        status.is_some()
    });
    assert_eq!(status.unwrap().code(), Some(130));
    eventually(DEADLINE, || processes_with_tag(&tag).is_empty());
    world.assert_untouched();
}

#[test]
fn another_project_has_a_server_without_fetching_it_again() {
    let world = World::new(&[("serve.txt", SERVER)]);
    world.install("git/weather", &COMMAND, 0);
    world.project.write("other/mcp-proxy.toml", "# mine\n");
    let url = world.server.url("git/weather");
    let mut command = world.command(&[&["install", &url, "--json"], &COMMAND[..]].concat());
    command.current_dir(world.project.path("other"));
    let again = said(&Run::of(command).ended_with(0));
    assert_eq!(again["outcome"], "unchanged");
    let toml = world.project.read("other/mcp-proxy.toml");
    assert!(
        toml.starts_with("# mine\n") && toml.contains("[servers.weather]"),
        "{toml}"
    );
    assert_eq!(world.slots().len(), 2, "one folder and its record");
}
