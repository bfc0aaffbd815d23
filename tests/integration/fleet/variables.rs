//! Files of variables that servers name, and settings that only a restart puts in force.

use super::Servers;
use super::servers::section;
use crate::harness::{DEADLINE, eventually};

pub(super) fn greeting(pid: u64) -> Option<String> {
    let environment = std::fs::read(format!("/proc/{pid}/environ")).ok()?;
    let mut variables = environment.split(|byte| *byte == 0);
    let greeting = variables.find_map(|it| it.strip_prefix(b"GREETING="))?;
    String::from_utf8(greeting.to_vec()).ok()
}

#[test]
fn a_save_of_a_file_of_variables_starts_its_server_anew() {
    let fleet = Servers::marked(["a", "b"]).legacy();
    let (_, other) = fleet.mark("b");
    fleet.project.write("a.env", "export GREETING='1'\n");
    let text = format!(
        "{}\n{}",
        section("a", "env_file = 'a.env'"),
        section("b", "")
    );
    fleet.project.save("mcp-proxy.toml", &text);
    fleet.until("reloaded", "a", 1);
    assert_eq!(greeting(fleet.mark("a").1).as_deref(), Some("1"));
    // It was named only after the start, and is watched all the same.
    fleet.project.save("a.env", "GREETING=two # c\n");
    fleet.until("reloaded", "a", 2);
    assert_eq!(greeting(fleet.mark("a").1).as_deref(), Some("two"));
    assert_eq!(fleet.mark("b").1, other);
    // A removed variable is a fault, and the running server goes on.
    let (_, pid) = fleet.mark("a");
    std::fs::remove_file(fleet.project.root().join("a.env")).unwrap();
    let fault = fleet.log.until("config_fault", 1)[0]["text"].to_string();
    assert!(fault.contains("cannot read the variables in") && fault.contains("a.env"));
    assert_eq!(fleet.mark("a").1, pid);
    fleet.project.save("a.env", "GREETING=3\n");
    eventually(DEADLINE, || {
        greeting(fleet.mark("a").1).as_deref() == Some("3")
    });
}

#[test]
fn a_setting_that_only_a_restart_puts_in_force_says_so() {
    let fleet = Servers::marked(["a"]).legacy();
    let whole = fleet.project.read("mcp-proxy.toml");
    let text = format!("{whole}\n[watch]\ndebounce = '9ms'\n[proxy]\nmax_message = '1MiB'\n");
    fleet.project.save("mcp-proxy.toml", &text);
    fleet.log.until("reconfigured", 1);
    let told = fleet.log.events("watch_warning");
    let said = told.last().expect("a warning")["message"].to_string();
    assert!(
        said.contains("`max_message`, `debounce` changed: restart the proxy"),
        "{said}"
    );
}
