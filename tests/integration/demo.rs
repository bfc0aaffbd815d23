//! The commands that need no server of the user's: `demo`, `completions`, `--help`.

use std::collections::HashSet;
use std::path::Path;
use std::process::Command;

use crate::harness::{Proxy, Run};

fn run(arguments: &[&str]) -> Run {
    let mut command = Command::new(Proxy::program());
    command.args(arguments).env_remove("COLUMNS");
    Run::of(command)
}

#[test]
fn the_demo_shows_every_step_and_leaves_nothing() {
    let run = run(&["demo"]).ended_with(0);
    assert_eq!(run.stderr, "");
    let steps = [
        ("connect", r#"connected through the proxy to "sample""#),
        ("list", "forecast"),
        ("call", "forecast(Oslo) → Rain in Oslo"),
        ("notify", "notifications/tools/list_changed"),
        ("list", "alerts, forecast"),
        ("call", "alerts(Oslo) → Storm over Oslo"),
        (
            "call",
            "error with the reason: expected `,` or `}` at line 4 column 5",
        ),
        ("ping", "the session is still open"),
        ("call", "forecast(Oslo) → Sun in Oslo"),
        (
            "close",
            "the proxy exited with status 0, and all of its 4 server processes ended",
        ),
    ];
    let shown: Vec<&str> = run
        .stdout
        .lines()
        .filter(|line| line.starts_with("  "))
        .collect();
    assert_eq!(shown.len(), steps.len(), "{}", run.stdout);
    for (line, (name, came)) in shown.iter().zip(steps) {
        // Between the two stands how long it took.
        let right =
            line.starts_with(&format!("  ✓ {name} ")) && line.ends_with(&format!("  {came}"));
        assert!(right, "{name}, {came}: {line}");
    }
    let last = run.stdout.lines().last().unwrap();
    assert!(
        last.starts_with("All steps passed in ")
            && last.ends_with(": four versions of the server, one session."),
        "{last}"
    );
}

#[test]
fn completions_are_scripts_that_know_the_subcommands() {
    for shell in ["bash", "zsh", "fish"] {
        let run = run(&["completions", shell]).ended_with(0);
        for word in ["mcp-proxy", "dev", "check", "demo", "stop-first"] {
            assert!(run.stdout.contains(word), "{word} for {shell}");
        }
        assert!(
            !run.stdout.contains("__sample"),
            "{shell} offers a hidden command"
        );
    }
    run(&["completions", "tcsh"]).ended_with(2);
}

#[cfg(unix)]
#[test]
fn bash_takes_its_completions() {
    crate::harness::require("bash", "install bash");
    let script = run(&["completions", "bash"]).stdout;
    let mut bash = Command::new("bash");
    bash.args(["-c", &format!("{script}\ncomplete -p mcp-proxy")]);
    let run = Run::of(bash).ended_with(0);
    assert!(run.stdout.trim_end().ends_with(" mcp-proxy"), "{run:#?}");
}

/// With `MCP_PROXY_BLESS=1` in the environment the files are written instead of compared.
#[test]
fn help_reads_as_it_was_approved() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/integration/help");
    for (file, arguments) in [
        ("mcp-proxy.txt", &["--help"][..]),
        ("dev.txt", &["dev", "--help"]),
        ("serve.txt", &["serve", "--help"]),
        ("check.txt", &["check", "--help"]),
        ("tools.txt", &["tools", "--help"]),
        ("call.txt", &["call", "--help"]),
        ("list.txt", &["list", "--help"]),
        ("status.txt", &["status", "--help"]),
        ("logs.txt", &["logs", "--help"]),
        ("page.txt", &["page", "--help"]),
        ("replay.txt", &["replay", "--help"]),
        ("mock.txt", &["mock", "--help"]),
        ("doctor.txt", &["doctor", "--help"]),
        ("install.txt", &["install", "--help"]),
        ("update.txt", &["update", "--help"]),
        ("uninstall.txt", &["uninstall", "--help"]),
        ("setup.txt", &["setup", "--help"]),
        ("undo.txt", &["undo", "--help"]),
        ("demo.txt", &["demo", "--help"]),
        ("config-show.txt", &["config", "show", "--help"]),
    ] {
        let run = run(arguments).ended_with(0);
        let path = folder.join(file);
        // The usage names the program's file.
        let help = run.stdout.replace("mcp-proxy.exe", "mcp-proxy");
        if std::env::var_os("MCP_PROXY_BLESS").is_some() {
            std::fs::write(&path, &help).unwrap();
        }
        let approved = std::fs::read_to_string(&path).unwrap();
        assert_eq!(help, approved, "bless it if {file} is to change");
    }
}

#[test]
fn the_readme_is_short_and_begins_with_two_commands() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let readme = std::fs::read_to_string(root.join("README.md")).unwrap();
    assert!(readme.lines().count() < 220);
    let mut blocks = readme.split("```").skip(1).step_by(2);
    assert_eq!(blocks.next(), Some("sh\ncargo run --release -- demo\n"));
    assert_eq!(blocks.next(), Some("sh\ncargo test\n"));
    let links = readme
        .split("](")
        .skip(1)
        .filter_map(|it| it.split(')').next());
    let mut files = 0;
    for link in links.filter(|it| !it.starts_with(['h', '#'])) {
        assert!(root.join(link).is_file(), "{link}");
        files += 1;
    }
    assert!(files > 0, "the README links to the reference");
}

/// Subcommands with options of their own.
const SUBCOMMANDS: [&str; 17] = [
    "dev",
    "serve",
    "check",
    "tools",
    "call",
    "list",
    "status",
    "logs",
    "page",
    "replay",
    "mock",
    "doctor",
    "install",
    "update",
    "uninstall",
    "setup",
    "undo",
];

/// Returns the topics of the reference, each with its text.
fn topics() -> Vec<(String, String)> {
    let list = run(&["help"]).ended_with(0).stdout;
    let names = list.lines().skip(1).filter(|it| it.starts_with("  "));
    let names = names.filter_map(|it| it.split_whitespace().next());
    let text = |name| run(&["help", name]).ended_with(0).stdout;
    let topics: Vec<_> = names.map(|name| (name.to_owned(), text(name))).collect();
    assert!(topics.len() >= 10, "{list}");
    topics
}

/// Returns the long options in a text.
fn options(text: &str) -> HashSet<&str> {
    text.split(|c: char| !(c.is_ascii_lowercase() || c == '-'))
        .filter(|it| it.len() > 2 && it.starts_with("--") && !it.starts_with("---"))
        .collect()
}

#[test]
fn the_reference_knows_every_option() {
    let topics = topics();
    let topic_of = |subcommand| match subcommand {
        "check" | "tools" | "call" | "list" | "status" | "logs" | "doctor" => "commands",
        "update" | "uninstall" => "install",
        "undo" => "setup",
        "serve" => "servers",
        "replay" | "mock" => "recording",
        other => other,
    };
    let output = [
        "--help",
        "--version",
        "--verbose...",
        "--quiet",
        "--color",
        "--log",
        "--log-format",
    ];
    for subcommand in SUBCOMMANDS {
        let help = run(&[subcommand, "--help"]).stdout;
        let options = help
            .lines()
            // A description may have a line that begins with an option.
            .filter(|line| line.trim_start().starts_with('-') && !line.starts_with("         "))
            .filter_map(|line| line.split_whitespace().find(|word| word.starts_with("--")));
        let wanted = ["dev", topic_of(subcommand), "http"];
        let texts = topics
            .iter()
            .filter(|(name, _)| wanted.contains(&name.as_str()));
        let text: String = texts.map(|(_, text)| text.as_str()).collect();
        for option in options.filter(|option| !output.contains(option)) {
            // The name without an optional value.
            let option = option.split('[').next().unwrap_or(option);
            assert!(
                text.contains(&format!("`{option}")),
                "{option} of {subcommand}"
            );
        }
    }
    let all: String = topics.iter().map(|(_, text)| text.as_str()).collect();
    for option in &output[4..] {
        assert!(all.contains(&format!("`{option}")), "{option}");
    }
}

/// Every option in the reference belongs to a subcommand or to another program.
#[test]
fn the_reference_knows_no_other_options() {
    const FOREIGN: [&str; 10] = [
        "--from",
        "--import",
        "--inspect",
        "--no-open",
        "--port",
        "--release",
        "--stdio",
        "--transport",
        "--unix-socket",
        "--env-file",
    ];
    let mut help: String = SUBCOMMANDS.map(|it| run(&[it, "--help"]).stdout).concat();
    for arguments in [["config", "show", "--help"], ["config", "schema", "--help"]] {
        help += &run(&arguments).stdout;
    }
    let known = options(&help);
    for (name, text) in topics() {
        for option in options(&text) {
            let is_known = known.contains(option) || FOREIGN.contains(&option);
            assert!(is_known, "{option} in {name}");
        }
    }
}

#[test]
fn a_topic_has_the_names_of_its_commands_and_a_wrong_one_is_told() {
    let text = |name| run(&["help", name]).ended_with(0).stdout;
    assert_eq!(text("update"), text("install"));
    assert_eq!(text("call"), text("commands"));
    assert_eq!(text("serve"), text("servers"));
    let wrong = run(&["help", "watchin"]).ended_with(2).stderr;
    assert!(wrong.contains("'watching'"), "{wrong}");
}

#[test]
fn wrong_words_are_a_usage_error() {
    for arguments in [&[][..], &["nonsense"], &["check"], &["dev", "--watch"]] {
        let run = run(arguments).ended_with(2);
        assert!(run.stdout.is_empty() && !run.stderr.is_empty(), "{run:#?}");
    }
}
