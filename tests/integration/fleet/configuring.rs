//! The configuration is edited while a client's session lives on and calls one of the servers.

use std::fmt::Write as _;
use std::os::unix::fs::symlink;

use serde_json::{Value, json};

use super::servers::{command, section};
use super::{Fleet, Servers, under_load};
use crate::harness::{DEADLINE, eventually, initialize_params, marked, processes_with_tag};

/// The name of the server that the load calls; no edit touches its definition.
const STEADY: &str = "steady";

/// How the two kinds of configuration are written.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Form {
    Json,
    Toml,
}

impl Form {
    fn file(self) -> &'static str {
        match self {
            Self::Json => ".mcp.json",
            Self::Toml => "mcp-proxy.toml",
        }
    }

    /// The configuration of these servers: name, script, value of the variable `GREETING`.
    fn text(self, servers: &[(&str, &str, &str)]) -> String {
        let command = command();
        match self {
            Self::Json => {
                let members = servers.iter().map(|(name, script, greeting)| {
                    let name = json!(name);
                    format!(
                        "    {name}: {{ \"command\": {command}, \"args\": [\"{script}.json\"], \"env\": {{\"GREETING\": \"{greeting}\"}} }}"
                    )
                });
                let members: Vec<String> = members.collect();
                format!("{{\n  \"mcpServers\": {{\n{}\n  }}\n}}\n", members.join(",\n"))
            }
            Self::Toml => servers.iter().fold(String::new(), |mut text, (name, script, greeting)| {
                let name = json!(name);
                writeln!(
                    text,
                    "[servers.{name}]\ncommand = {command}\nargs = ['{script}.json']\nenv = {{ GREETING = '{greeting}' }}"
                )
                .unwrap();
                text
            }),
        }
    }
}

/// A session with one steady server in a configuration of this form.
#[track_caller]
fn steady(form: Form) -> Fleet {
    let servers = Servers::new();
    for name in [STEADY, "b", "c", "other"] {
        servers
            .project
            .write(&format!("{name}.json"), &marked(name));
    }
    servers
        .project
        .write(form.file(), &form.text(&[(STEADY, STEADY, "1")]));
    servers.legacy()
}

/// Saves a configuration that changes the client's lists.
#[track_caller]
fn configure(fleet: &Fleet, form: Form, servers: &[(&str, &str, &str)]) {
    let told = fleet.told();
    fleet.project.save(form.file(), &form.text(servers));
    fleet.told_again(told);
    let names: Vec<&str> = servers.iter().map(|(name, ..)| *name).collect();
    fleet.until_present(&names);
}

fn greeting(pid: u64) -> String {
    let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap();
    let mut variables = environment.split(|byte| *byte == 0);
    let greeting = variables.find_map(|it| it.strip_prefix(b"GREETING="));
    String::from_utf8(greeting.unwrap().to_vec()).unwrap()
}

fn lives(fleet: &Fleet, pid: u64) -> bool {
    let processes = processes_with_tag(fleet.peer.tag());
    processes.iter().any(|(it, _)| u64::from(*it) == pid)
}

/// The change made by the edit of this number, counted from 1.
#[track_caller]
fn edited(fleet: &Fleet, number: usize) -> Value {
    let mut last = fleet.log.until("reconfigured", number).remove(number - 1);
    let [added, changed, removed] = ["added", "changed", "removed"].map(|it| last[it].take());
    json!([added, changed, removed])
}

/// A server comes, changes, goes by another name and leaves, and the file is broken in between.
#[track_caller]
fn every_edit(form: Form) {
    let fleet = steady(form);
    let steady = (STEADY, STEADY, "1");
    let first = fleet.mark(STEADY);
    under_load(&fleet, "steady__mark", || {
        configure(&fleet, form, &[("b", "b", "1"), steady]);
        let (mark, old) = fleet.mark("b");
        assert_eq!(mark, "b");
        assert_eq!(edited(&fleet, 1), json!([["b"], [], []]));

        // Broken for a moment: running servers go on, and the position of the fault is told.
        let whole = form.text(&[("b", "b", "1"), steady]);
        fleet.project.save(form.file(), &whole[..whole.len() / 2]);
        let fault = fleet.log.until("config_fault", 1)[0]["text"].to_string();
        assert!(fault.contains(&format!("{}:", form.file())), "{fault}");
        assert_eq!(fleet.mark("b"), ("b".to_owned(), old));
        assert_eq!(fleet.present(), ["b", STEADY]);

        // Mended, and the environment is another: that server alone is started anew.
        fleet
            .project
            .save(form.file(), &form.text(&[("b", "b", "2"), steady]));
        fleet.until("reloaded", "b", 1);
        let (_, new) = fleet.mark("b");
        assert_eq!(greeting(new), "2");
        eventually(DEADLINE, || !lives(&fleet, old));
        assert_eq!(edited(&fleet, 2), json!([[], ["b"], []]));

        // Other arguments.
        fleet
            .project
            .save(form.file(), &form.text(&[("b", "other", "2"), steady]));
        fleet.until("reloaded", "b", 2);
        assert_eq!(fleet.mark("b").0, "other");

        // Another name.
        let (_, old) = fleet.mark("b");
        configure(&fleet, form, &[steady, ("c", "c", "1")]);
        assert_eq!(edited(&fleet, 4), json!([["c"], [], ["b"]]));
        eventually(DEADLINE, || !lives(&fleet, old));
        assert_eq!(fleet.mark("c").0, "c");
        assert_eq!(fleet.call("b__mark", &json!({})).error()["code"], -32602);

        let (_, old) = fleet.mark("c");
        configure(&fleet, form, &[steady]);
        fleet.until("unloaded", "c", 1);
        assert!(!lives(&fleet, old));
    });
    assert_eq!(fleet.mark(STEADY), first);
    assert_eq!(fleet.events_of("spawned", STEADY), 1);
    fleet.log.exactly("config_fault", 1);
}

#[test]
fn the_clients_file_is_edited_under_load() {
    every_edit(Form::Json);
}

#[test]
fn the_own_file_is_edited_under_load() {
    every_edit(Form::Toml);
}

#[test]
fn a_faulty_definition_leaves_the_last_good_one() {
    let fleet = Servers::marked(["a", "b"]).legacy();
    let before = [fleet.mark("a"), fleet.mark("b")];
    let (a, b) = (section("a", ""), section("b", ""));
    let faulty = format!("{a}\n{b}\nprefx = 'x'\n");
    fleet.project.save("mcp-proxy.toml", &faulty);
    let fault = fleet.log.until("config_fault", 1)[0]["text"].to_string();
    assert!(
        fault.contains("prefx") && fault.contains("`prefix`"),
        "{fault}"
    );
    assert_eq!([fleet.mark("a"), fleet.mark("b")], before);
    // The definition of its neighbour is in force all the same.
    let told = fleet.told();
    let text = format!("{}\n{b}\nprefx = 'x'\n", section("a", "prefix = 'z'"));
    fleet.project.save("mcp-proxy.toml", &text);
    fleet.told_again(told);
    fleet.until_present(&["z", "b"]);
    assert_eq!(fleet.mark("b"), before[1]);
    fleet.project.save("mcp-proxy.toml", &format!("{a}\n{b}"));
    fleet.until_present(&["a", "b"]);
    assert_eq!([fleet.mark("a"), fleet.mark("b")], before);
}

/// A change of names alone needs no new process.
#[test]
fn another_prefix_renames_the_tools_in_place() {
    let fleet = Servers::marked(["a", "b"]).legacy();
    let told = fleet.told();
    let text = format!("{}\n{}", section("a", "prefix = 'x'"), section("b", ""));
    fleet.project.save("mcp-proxy.toml", &text);
    fleet.told_again(told);
    fleet.until_present(&["x", "b"]);
    assert_eq!(fleet.mark("x").0, "a");
}

#[test]
fn another_order_is_that_of_the_list_and_restarts_nothing() {
    let fleet = Servers::marked(["a", "b"]).legacy();
    let before = [fleet.mark("a"), fleet.mark("b")];
    let told = fleet.told();
    let text = format!("{}\n{}", section("b", ""), section("a", ""));
    fleet.project.save("mcp-proxy.toml", &text);
    fleet.told_again(told);
    assert_eq!(fleet.present(), ["b", "a"]);
    assert_eq!([fleet.mark("a"), fleet.mark("b")], before);
}

#[test]
fn switching_a_server_off_and_on_is_an_edit_like_any_other() {
    let fleet = Servers::marked(["a", "b"]).legacy();
    let whole = fleet.project.read("mcp-proxy.toml");
    let (_, pid) = fleet.mark("b");
    under_load(&fleet, "a__mark", || {
        let told = fleet.told();
        fleet
            .project
            .save("mcp-proxy.toml", &format!("{whole}\nenabled = false\n"));
        fleet.told_again(told);
        fleet.until_present(&["a"]);
        fleet.until("unloaded", "b", 1);
        assert!(!lives(&fleet, pid));
        let told = fleet.told();
        fleet.project.save("mcp-proxy.toml", &whole);
        fleet.told_again(told);
        fleet.until_present(&["a", "b"]);
        assert_eq!(fleet.mark("b").0, "b");
    });
}

/// The watcher compares with the content that it saw last, and the file may have been read in between.
#[test]
fn an_edit_that_is_read_and_taken_back_before_it_settles_is_taken_back() {
    let fleet = Servers::marked(["a", "b"])
        .option("--debounce")
        .option("1s")
        .start("dev");
    fleet.peer.initialize(&initialize_params()).result();
    fleet.peer.ask("tools/list", &json!({}));
    fleet.until_present(&["a", "b"]);
    let whole = fleet.project.read("mcp-proxy.toml");
    let off = format!("{whole}\nenabled = false\n");
    fleet.project.save("mcp-proxy.toml", &off);
    fleet
        .peer
        .call("reload_mcp_server", &json!({"server_name": "a"}));
    fleet.until("unloaded", "b", 1);
    fleet.project.save("mcp-proxy.toml", &whole);
    fleet.until_present(&["a", "b"]);
}

#[test]
fn a_server_that_comes_to_start_by_itself_is_started() {
    let fleet = Servers::marked(["a"])
        .set("b", &json!({"mark": "b"}), "autostart = false")
        .legacy();
    fleet.until_present(&["a"]);
    let off = fleet.project.read("mcp-proxy.toml");
    let whole = off.replace("autostart = false", "autostart = true");
    let told = fleet.told();
    fleet.project.save("mcp-proxy.toml", &whole);
    fleet.told_again(told);
    fleet.until_present(&["a", "b"]);
    assert_eq!(fleet.mark("b").0, "b");
}

#[test]
fn a_configuration_behind_a_link_is_followed() {
    let servers = Servers::new();
    for name in [STEADY, "b"] {
        servers
            .project
            .write(&format!("{name}.json"), &marked(name));
    }
    let form = Form::Toml;
    let one = [(STEADY, STEADY, "1")];
    servers.project.write("dotfiles/one.toml", &form.text(&one));
    let link = servers.project.path("mcp-proxy.toml");
    symlink("dotfiles/one.toml", &link).unwrap();
    let fleet = servers.legacy();
    let with = |name| [(STEADY, STEADY, "1"), (name, "b", "1")];
    under_load(&fleet, "steady__mark", || {
        // The file behind it is edited.
        fleet
            .project
            .save("dotfiles/one.toml", &form.text(&with("b")));
        fleet.until_present(&[STEADY, "b"]);
        // The link leads to another file.
        fleet
            .project
            .write("dotfiles/two.toml", &form.text(&with("c")));
        let new = fleet.project.path("new-link");
        symlink("dotfiles/two.toml", &new).unwrap();
        std::fs::rename(&new, &link).unwrap();
        fleet.until_present(&[STEADY, "c"]);
        // That one is edited.
        fleet.project.save("dotfiles/two.toml", &form.text(&one));
        fleet.until_present(&[STEADY]);
    });
    assert_eq!(fleet.events_of("spawned", STEADY), 1);
}

/// A removed server finishes its calls.
#[test]
fn a_call_in_flight_outlives_the_removal_of_its_server() {
    let fleet = Servers::marked(["a", "b"]).legacy();
    let slow = json!({"name": "b__slow", "arguments": {"ms": 2500}});
    let slow = fleet.peer.request("tools/call", &slow);
    fleet.project.save("mcp-proxy.toml", &section("a", ""));
    fleet.until_present(&["a"]);
    assert_eq!(fleet.peer.responses_to(slow), 0, "{}", fleet.log.text());
    assert_eq!(fleet.peer.await_response(slow).tool_text(), "b");
    fleet.until("unloaded", "b", 1);
}

/// A definition that does not run leaves the process that does, and says so to those who call.
#[test]
fn a_new_command_that_does_not_run_is_told() {
    let fleet = Servers::marked(["a", "b"]).legacy();
    let whole = fleet.project.read("mcp-proxy.toml");
    let broken = whole.replace("['b.json']\nwatch", "['missing.json']\nwatch");
    assert_ne!(whole, broken);
    under_load(&fleet, "a__mark", || {
        fleet.project.save("mcp-proxy.toml", &broken);
        fleet.until("broken", "b", 1);
        let answer = fleet.call("b__mark", &json!({}));
        assert!(answer.line.contains("missing.json"), "{}", answer.line);
        fleet.project.save("mcp-proxy.toml", &whole);
        eventually(DEADLINE, || {
            fleet
                .call("b__mark", &json!({}))
                .line
                .contains(r#""mark":"b""#)
        });
    });
}

/// Both files define one server.
#[test]
fn settings_of_one_file_and_the_command_of_the_other_are_one_server() {
    let servers = Servers::new();
    servers.project.write("a.json", &marked("a"));
    servers.project.write("b.json", &marked("b"));
    let both = Form::Json.text(&[("a", "a", "1"), ("b", "b", "1")]);
    servers.project.write(".mcp.json", &both);
    let fleet = servers
        .text("[servers.a]\nprefix = 'x'\nwatch = ['a.json']")
        .legacy();
    fleet.until_present(&["x", "b"]);
    fleet.reload("a", "v2");
    assert_eq!(fleet.mark("x").0, "v2");
    fleet.project.save(
        ".mcp.json",
        &Form::Json.text(&[("a", "b", "1"), ("b", "b", "1")]),
    );
    fleet.until("reloaded", "a", 2);
    assert_eq!(fleet.mark("x").0, "b");
    fleet
        .project
        .save("mcp-proxy.toml", "[servers.a]\nprefix = 'y'\n");
    fleet.until_present(&["y", "b"]);
}

/// The configuration without the server `b`, and with it.
fn without_and_with(settings: &str) -> (String, String) {
    let without = section("a", "");
    let with = format!("{without}\n{}", section("b", settings));
    (without, with)
}

/// A server `b` with these settings that is at a call of this length, and is taken out of the configuration.
#[track_caller]
fn removed_during_a_call(settings: &str, delay_ms: u64) -> (Fleet, u64) {
    let slow = json!({"mark": "b", "tools": [{"name": "slow", "x-delay-ms": delay_ms}]});
    let fleet = Servers::marked(["a"]).set("b", &slow, settings).legacy();
    let call = json!({"name": "b__slow", "arguments": {}});
    let call = fleet.peer.request("tools/call", &call);
    fleet.mark("b");
    let (without, _) = without_and_with(settings);
    fleet.project.save("mcp-proxy.toml", &without);
    fleet.until_present(&["a"]);
    (fleet, call)
}

#[test]
fn an_owner_of_a_port_is_gone_before_it_starts_again() {
    let settings = "reload = 'stop-first'";
    let (fleet, call) = removed_during_a_call(settings, 1500);
    let (_, with) = without_and_with(settings);
    fleet.project.save("mcp-proxy.toml", &with);
    fleet.until("spawned", "b", 2);
    assert_eq!(fleet.events_of("stopped", "b"), 1, "{}", fleet.log.text());
    fleet.peer.await_response(call).result();
    fleet.until_present(&["a", "b"]);
    assert_eq!(fleet.mark("b").0, "b");
}

#[test]
fn a_call_that_outlives_its_server_is_told_why() {
    let (fleet, call) = removed_during_a_call("drain_timeout = '200ms'", 600_000);
    let answer = fleet.peer.await_response(call);
    let text = answer.tool_text();
    assert!(text.contains("was unloaded"), "{text}");
    assert!(!text.contains("newer code"), "{text}");
}

#[test]
fn on_broken_may_change_while_code_is_broken() {
    let fleet = Servers::marked(["a", "b"]).legacy();
    fleet.save("b", &json!({"exit_at_start": {"code": 1, "stderr": "no"}}));
    fleet.until("broken", "b", 1);
    assert_eq!(fleet.call("b__mark", &json!({})).result()["isError"], true);
    let (_, with) = without_and_with("on_broken = 'serve-last-good'");
    fleet.project.save("mcp-proxy.toml", &with);
    edited(&fleet, 1);
    assert_eq!(fleet.mark("b").0, "b");
    let (_, with) = without_and_with("");
    fleet.project.save("mcp-proxy.toml", &with);
    edited(&fleet, 2);
    assert_eq!(fleet.call("b__mark", &json!({})).result()["isError"], true);
}
