//! Of several servers, those that were saved last have something prepared, as far as there is room and it is wanted.

use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{environment, project, python};
use crate::harness::{
    DEADLINE, Log, Peer, Project, Proxy, eventually, initialize_params, processes_with_tag,
};

/// Two servers of a configuration.
struct Two {
    project: Project,
    peer: Peer,
    log: Log,
}

impl Two {
    #[track_caller]
    fn start(limit: usize) -> Self {
        let project = project();
        let python = python("python");
        let server = |name: &str| {
            let source = format!("{name}.py");
            project.write(&source, &project.read("server.py"));
            let command = python.display();
            format!(
                "[servers.{name}]\ncommand = '{command}'\nargs = ['{source}']\nwatch = '{source}'\n"
            )
        };
        let servers = ["one", "two"].map(server).concat();
        let text = format!("[proxy]\nwarm_limit = {limit}\n{servers}");
        project.write("mcp-proxy.toml", &text);
        let log = Log::new();
        let proxy = log.written_by(Proxy::configured("dev")).within(&project);
        let peer = proxy.spawn();
        peer.initialize(&initialize_params()).result();
        log.until("ready", 2);
        Self { project, peer, log }
    }

    #[track_caller]
    fn save(&self, name: &str, mark: &str) {
        let known = self.log.events("reloaded").len();
        let from = format!("MARK = \"{mark}");
        self.project.edit(&format!("{name}.py"), "MARK = \"", &from);
        self.log.until("reloaded", known + 1);
    }

    /// How many standbys this server has, ready or not.
    fn count(&self, server: &str) -> usize {
        let processes = processes_with_tag(self.peer.tag());
        let end = format!("python {server}.py");
        let all = processes.iter().filter(|(_, line)| line.ends_with(&end));
        all.count().saturating_sub(1)
    }

    /// Whether this server comes to have two standbys that are ready.
    fn has_both(&self, server: &str) -> bool {
        let start = Instant::now();
        let ready = || {
            let text = self.log.text();
            let live = text.rfind(r#""event":"reloaded""#).unwrap_or_default();
            text[live..].matches(r#""event":"standby""#).count()
        };
        while ready() < 2 && start.elapsed() < Duration::from_secs(20) {
            sleep(Duration::from_millis(10));
        }
        self.count(server) == 2
    }

    /// Waits until the only standby is one of this server.
    #[track_caller]
    fn until_only(&self, name: Option<&str>) {
        let wanted = |server| usize::from(name == Some(server));
        eventually(DEADLINE, || {
            ["one", "two"].iter().all(|it| self.count(it) == wanted(it))
        });
    }

    /// The servers whose standbys became ready, in that order.
    fn standbys(&self) -> Vec<String> {
        let events = self.log.events("standby").into_iter();
        let name = |event: Value| event["server"].as_str().unwrap().to_owned();
        events.map(name).collect()
    }
}

#[test]
fn the_server_that_was_saved_last_has_the_only_standby() {
    let two = Two::start(1);
    for (count, name) in [(1, "two"), (2, "one"), (3, "two")] {
        two.save(name, "v");
        two.log.until("standby", count);
        two.until_only(Some(name));
    }
    assert_eq!(two.standbys(), ["two", "one", "two"]);
}

#[test]
fn a_second_standby_gives_way_to_the_first_one_of_another_server() {
    let two = Two::start(2);
    // On a busy machine saves come as they can, and may be none that follow each other soon.
    let pressed = (0..10).any(|_| {
        two.save("one", "a");
        two.save("one", "b");
        two.has_both("one")
    });
    assert!(pressed, "{}", two.log.text());
    for name in ["two", "one", "two"] {
        two.save(name, "v");
        eventually(DEADLINE, || two.count("one") == 1 && two.count("two") == 1);
    }
}

#[test]
fn a_server_that_is_turned_off_loses_its_standby() {
    let two = Two::start(1);
    two.save("two", "v1");
    two.log.until("standby", 1);
    let text = two.project.read("mcp-proxy.toml");
    // `two` stands last.
    let off = format!("{text}warm = 'off'\n");
    two.project.save("mcp-proxy.toml", &off);
    two.until_only(None);
    two.save("two", "v2");
    two.until_only(None);
    let pid = two.log.events("spawned").pop().unwrap()["pid"].as_u64();
    let environment = environment(u32::try_from(pid.unwrap()).unwrap());
    assert!(!environment.contains("PYTHONPATH="), "{environment}");
}
