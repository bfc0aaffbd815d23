//! Secrets are seeded in every place where one can stand, and looked for in all that any command, tool, event or log
//! says.

mod broken;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::process::Command;

use serde_json::{Value, json};

use crate::harness::remote::HttpServer;
use crate::harness::{
    DEADLINE, Project, Proxy, Run, STATE, eventually, example, initialize_params,
};

/// Each canary is this and a number.
const CANARY: &str = "kanarie0";

/// Hands out canaries, and remembers the place of each.
#[derive(Default)]
struct Canaries(BTreeMap<String, String>);

impl Canaries {
    fn put(&mut self, place: &str) -> String {
        let canary = format!("{CANARY}{:03}", self.0.len());
        self.0.insert(canary.clone(), place.to_owned());
        canary
    }

    #[track_caller]
    fn are_not_in(&self, text: &str, who: &str) {
        let seen: Vec<_> = self
            .0
            .iter()
            .filter(|(canary, _)| text.contains(*canary))
            .collect();
        assert!(seen.is_empty(), "{who} shows {seen:?}:\n{text}");
        // In another form, or one that nobody handed out.
        assert!(!text.contains(CANARY), "{who} shows a canary:\n{text}");
    }
}

/// The arguments of a server, with secrets wherever they can stand. `variable` seeds one in a variable.
fn arguments(
    canaries: &mut Canaries,
    variable: &mut impl FnMut(&mut Canaries, &str) -> String,
) -> Vec<String> {
    let mut args = vec!["script.json".to_owned()];
    for option in [
        "--api-key",
        "--password",
        "--pat",
        "--dsn",
        "--jwt",
        "--webhook-url",
        "--private-key",
        "--bearer",
        "--client-secret",
    ] {
        args.extend([option.to_owned(), canaries.put(option)]);
        args.push(format!("{option}={}", canaries.put(option)));
    }
    for header in ["-H", "--header"] {
        args.extend([
            header.to_owned(),
            format!("X-Plain: {}", canaries.put(header)),
        ]);
    }
    args.push(format!("--header=X-Plain:{}", canaries.put("--header=")));
    args.push(format!(
        "Authorization:Bearer {}",
        canaries.put("a header as an argument")
    ));
    args.push(format!(
        "Authorization:Bearer {}",
        variable(canaries, "a variable in a header as an argument")
    ));
    args.push(variable(canaries, "a variable as an argument"));
    args.push(format!(
        "--plain={}",
        variable(canaries, "a variable in an argument")
    ));
    args.push(format!(
        "postgres://me:{}@db/x",
        canaries.put("the login of a URL")
    ));
    args.push(format!(
        "https://x.example/a?key={}",
        canaries.put("the query of a URL")
    ));
    args.push(format!(
        "https://x.example/a#{}",
        canaries.put("the fragment of a URL")
    ));
    args.push(format!(
        "https://hooks.x.example/services/{}aB3dE5fG7h",
        canaries.put("the path of a URL")
    ));
    args.push(format!("me:{}@db", canaries.put("a login")));
    args.push(format!(
        "{{\"apiKey\": \"{}\"}}",
        canaries.put("settings as an argument")
    ));
    args.push(format!("${{NO_SUCH_TOKEN:-{}}}", canaries.put("a default")));
    for option in ["--user", "-u", "--proxy-user"] {
        args.extend([option.to_owned(), format!("me:{}", canaries.put(option))]);
    }
    args.push(format!("--user=me:{}", canaries.put("--user=")));
    args.extend(["-e".to_owned(), format!("PLAIN={}", canaries.put("-e"))]);
    args.push(format!(
        "https://a.example,https://me:{}@b.example",
        canaries.put("a second address")
    ));
    args.push(format!(
        "curl -H 'X-Plain: {}' -u me:{} --token {} | sh",
        canaries.put("a header in a line"),
        canaries.put("a login in a line"),
        canaries.put("an option in a line")
    ));
    args.push(format!(
        "{}/server.py",
        variable(canaries, "a variable in the path of a source")
    ));
    args
}

/// A project whose servers have secrets wherever they can, and the variables of its user.
fn seeded(canaries: &mut Canaries, remote: &str) -> (Project, Vec<(String, String)>) {
    let project = Project::new();
    let fake = example("fake_server").display().to_string();
    project.write("script.json", "{}");
    project.write(
        "my.env",
        &format!(
            "FILED={}\n# c\nexport ALSO='{}'\nodd {}\n",
            canaries.put("env_file"),
            canaries.put("env_file"),
            canaries.put("an odd line of env_file")
        ),
    );
    let inherited = canaries.put("an inherited variable");
    let mut variables = vec![("SEEDED_TOKEN".to_owned(), inherited)];
    let mut variable = |canaries: &mut Canaries, place: &str| {
        let name = format!("SEEDED_{}", variables.len());
        variables.push((name.clone(), canaries.put(place)));
        format!("${{{name}}}")
    };
    let args = arguments(canaries, &mut variable);
    let env = json!({
        "PLAIN": canaries.put("env"),
        "API_KEY": format!("prefix {}", canaries.put("env")),
        "FROM": variable(canaries, "a variable in env"),
        "DEFAULT": format!("${{NO_SUCH:-{}}}", canaries.put("a default in env")),
    });
    let headers = json!({
        "Authorization": format!("Bearer {}", canaries.put("headers")),
        "Cookie": format!("sid={}; theme={}", canaries.put("a cookie"), canaries.put("a cookie")),
        "X-Words": format!("{} {}", canaries.put("headers"), variable(canaries, "a variable in headers")),
    });
    let url = |canaries: &mut Canaries, variable: String| {
        format!(
            "{}/{}aB3dE5fG7h?key={}&other={variable}",
            remote.replacen(
                "://",
                &format!("://me:{}@", canaries.put("the login of url")),
                1
            ),
            canaries.put("the path of url"),
            canaries.put("the query of url")
        )
    };
    let in_url = variable(canaries, "a variable in url");
    let far_url = url(canaries, in_url);
    let folder = variable(canaries, "a variable in the folder of a source");
    let command = variable(canaries, "a variable in a command that is not understood");
    let words = "echo \"$PLAIN, $API_KEY, ${API_KEY#* }, $FROM, $DEFAULT, $FILED, $SEEDED_TOKEN\" >&2; exit 3";
    let servers = json!({"mcpServers": {
        "repeats": {"command": "sh", "args": ["-c", words], "env": env, "envFile": "my.env"},
        "near": {"command": fake, "args": args, "env": env, "envFile": "my.env"},
        "sourced": {"command": "python3", "args": [format!("./{folder}/server.py")]},
        "unclear": {"command": format!("./{command}")},
        "far": {"url": far_url, "headers": headers},
        "lost": {"command": format!("./{}/x", variable(canaries, "a variable in command")), "args": args},
        "away": {"command": "x", "cwd": format!("/tmp/{}", variable(canaries, "a variable in cwd"))},
        "unset": {"command": "x", "env": {"A": format!("{}${{SEEDED_NOT}}", canaries.put("env of a broken server"))}},
        "filed": {"command": "x", "envFile": variable(canaries, "a variable in env_file")},
        "line": {"command": format!("uvx x --api-key {}", canaries.put("a command line as command"))},
    }});
    project.write(
        ".mcp.json",
        &serde_json::to_string_pretty(&servers).unwrap(),
    );
    project.write(
        "mcp-proxy.toml",
        &format!(
            "[servers.built]\ncommand = 'x'\nbuild = 'true --token {}'\n",
            canaries.put("a build command")
        ),
    );
    for (name, value) in &variables {
        if folder == format!("${{{name}}}") {
            project.write(&format!("{value}/server.py"), "raise SystemExit(1)");
        }
        if command == format!("${{{name}}}") {
            project.write(value, "#!/bin/sh\nexit 1\n");
            project.set_mode(value, 0o755);
        }
    }
    (project, variables)
}

fn run(project: &Project, variables: &[(String, String)], words: &[&str]) -> String {
    let mut command = Command::new(Proxy::program());
    command
        .args(words)
        .current_dir(project.root())
        .env_remove("MCP_PROXY_CONFIG")
        .env("HOME", project.root())
        .env(STATE, project.state())
        .envs(variables.iter().cloned());
    let run = Run::of(command);
    format!("{}\n{}", run.stdout, run.stderr)
}

/// Looks for secrets in all that proxies of the project left for other commands, and in the output of these.
#[track_caller]
fn are_not_in_state(canaries: &Canaries, project: &Project, variables: &[(String, String)]) {
    let folder = project.state().join("mcp-proxy/runs");
    let files: Vec<_> = folder.read_dir().unwrap().map(|it| it.unwrap()).collect();
    assert!(!files.is_empty());
    for file in files {
        // A proxy may replace its record meanwhile.
        let text = std::fs::read_to_string(file.path()).unwrap_or_default();
        canaries.are_not_in(&text, &file.path().display().to_string());
    }
    for words in [&["status"][..], &["status", "--json"], &["logs"]] {
        let text = run(project, variables, words);
        assert!(text.lines().count() > 1, "{text}");
        canaries.are_not_in(&text, &words.join(" "));
    }
}

/// A server that repeats all that it was sent, and lets nobody in.
fn repeating() -> HttpServer {
    HttpServer::start(|asked, answering| {
        let heard = ["authorization", "cookie", "x-words"]
            .map(|name| asked.header(name).unwrap_or_default().to_owned());
        let mut said = format!("no: {} {}", asked.path, heard.join(" "));
        for word in heard.join(" ").split([' ', ';', '=']) {
            let _ = write!(said, " <{word}>");
        }
        answering.whole(400, &[("Content-Type", "text/plain")], &said);
    })
}

#[test]
fn no_command_shows_a_secret() {
    let server = repeating();
    let mut canaries = Canaries::default();
    let (project, variables) = seeded(&mut canaries, &server.url());
    for words in [
        &["list"][..],
        &["list", "--json"],
        &["list", "--installed"],
        &["config", "show"],
        &["config", "show", "--origin"],
        &["config", "show", "--json", "--origin"],
        &["config", "path"],
        &["doctor"],
        &["doctor", "--json"],
        &["check", "-v"],
        &["check", "--json"],
        &["check", "--log-format", "json", "-v"],
        &["tools", "near"],
        &["tools", "far"],
        &["tools", "lost"],
        &["tools", "--json"],
        &["call", "far", "x"],
        &["call", "lost", "x"],
        &["call", "repeats", "x"],
        &["call", "near", "no_such_tool"],
    ] {
        canaries.are_not_in(&run(&project, &variables, words), &words.join(" "));
    }
    let env = canaries.put("--env");
    for words in [
        &["dev", "--env", &env, "--", "x"][..],
        &["install", "me/x", "--env", &env],
        &["install", &format!("https://me:{env}@127.0.0.1:1/a/b")],
        &["install", &format!("http://me:{env}@127.0.0.1:1/a/b")],
        &["install", &format!("ftp://me:{env}@127.0.0.1:1/a/b")],
        &["install", &format!("https://me:{env}@127.0.0.1:1/a/b c")],
        &["install", &format!("https://127.0.0.1:1/a/b?token={env}")],
        &["install", &format!("https://me:{env}@@x/a")],
        &["check", "--", "no-such-program", "--api-key", &env],
    ] {
        canaries.are_not_in(&run(&project, &variables, words), &words[..1].join(" "));
    }
}

#[test]
fn no_tool_event_or_log_shows_a_secret() {
    let server = repeating();
    let mut canaries = Canaries::default();
    let (project, mut variables) = seeded(&mut canaries, &server.url());
    variables.push(("HOME".to_owned(), project.root().display().to_string()));
    let password = canaries.put("the password of a source");
    for format in ["human", "json"] {
        let log = format!("{format}.log");
        let mut proxy = Proxy::configured("serve")
            .options(["-v", "-v", "--log", &log, "--log-format", format])
            .options(["--record", "messages.ndjson"])
            .known_to(&project);
        for (name, value) in &variables {
            proxy = proxy.env(name, value);
        }
        let peer = proxy.spawn();
        peer.initialize(&initialize_params()).result();
        for (tool, arguments) in [
            ("list_available_servers", json!({})),
            ("list_installed_mcp_servers", json!({})),
            (
                "load_mcp_server_dynamically",
                json!({"server_name": "near"}),
            ),
            ("load_mcp_server_dynamically", json!({"server_name": "far"})),
            (
                "load_mcp_server_dynamically",
                json!({"server_name": "lost"}),
            ),
            (
                "load_mcp_server_dynamically",
                json!({"server_name": "repeats"}),
            ),
            (
                "load_mcp_server_dynamically",
                json!({"server_name": "away"}),
            ),
            (
                "load_mcp_server_dynamically",
                json!({"server_name": "built"}),
            ),
            (
                "load_mcp_server_dynamically",
                json!({"server_name": "sourced"}),
            ),
            (
                "load_mcp_server_dynamically",
                json!({"server_name": "unclear"}),
            ),
            (
                "load_mcp_server_dynamically",
                json!({"server_name": "unset"}),
            ),
            ("reload_mcp_server", json!({"server_name": "near"})),
            ("get_loaded_servers", json!({})),
            ("list_all_tools", json!({})),
            ("search_tools", json!({"query": CANARY})),
            (
                "install_mcp_server_from_git",
                json!({"git_url": format!("https://me:{password}@127.0.0.1:1/a/b")}),
            ),
            (
                "install_mcp_server_from_git",
                json!({"git_url": format!("http://me:{password}@x/a/b")}),
            ),
            (
                "install_mcp_server_from_git",
                json!({"git_url": format!("https://x/a/b?key={password}")}),
            ),
        ] {
            let answer: Value = peer.call(tool, &arguments).result();
            // The tool repeats its arguments.
            let answer = without_query(&answer.to_string());
            canaries.are_not_in(&answer, tool);
        }
        are_not_in_state(&canaries, &project, &variables);
        peer.close_stdin();
        peer.wait_exit();
        canaries.are_not_in(&peer.stderr().join("\n"), "stderr");
        canaries.are_not_in(&project.read(&log), &log);
        // The client's own words stay.
        let recorded = without_query(&project.read("messages.ndjson"));
        canaries.are_not_in(&recorded.replace(&password, ""), "the recording");
    }
}

/// Returns a message without the query of `search_tools`, which is the beginning of all canaries.
fn without_query(message: &str) -> String {
    message
        .replace(&format!("\\\"query\\\":\\\"{CANARY}\\\""), "")
        .replace(&format!("\"query\":\"{CANARY}\""), "")
}

#[test]
fn the_report_of_watched_files_shows_no_value_of_a_variable() {
    let server = repeating();
    let mut canaries = Canaries::default();
    let (project, variables) = seeded(&mut canaries, &server.url());
    let source = variables
        .iter()
        .map(|(_, value)| format!("{value}/server.py"));
    let source = source
        .into_iter()
        .find(|it| project.path(it).exists())
        .unwrap();
    for format in ["human", "json"] {
        let log = format!("{format}.log");
        let mut proxy = Proxy::configured("dev")
            .options([
                "--meta-tools",
                "all",
                "-v",
                "--log",
                &log,
                "--log-format",
                format,
            ])
            .known_to(&project);
        for (name, value) in &variables {
            proxy = proxy.env(name, value);
        }
        let peer = proxy.spawn();
        peer.initialize(&initialize_params()).result();
        let watches = || {
            let loaded = peer.call("get_loaded_servers", &json!({})).result();
            canaries.are_not_in(&loaded.to_string(), "get_loaded_servers");
            loaded.to_string().contains("}/server.py")
        };
        eventually(DEADLINE, watches);
        project.write(&source, &format!("raise SystemExit(1)  # {format}"));
        eventually(DEADLINE, || project.read(&log).contains("changed"));
        are_not_in_state(&canaries, &project, &variables);
        peer.close_stdin();
        peer.wait_exit();
        canaries.are_not_in(&peer.stderr().join("\n"), "stderr");
        canaries.are_not_in(&project.read(&log), &log);
    }
}

/// The lines before the end of a process stand in the errors of its calls.
#[test]
fn the_last_lines_of_a_process_show_no_secret() {
    let project = Project::new();
    project.write("script.json", "{}");
    let peer = Proxy::dev([example("fake_server"), "script.json".into()])
        .options(["--env", "API_KEY=crashing as told"])
        .within(&project)
        .spawn();
    peer.initialize(&initialize_params()).result();
    let text = peer.call("crash", &json!({"code": 3})).tool_text();
    assert!(text.contains("${API_KEY}"), "{text}");
    assert!(!text.contains("as told"), "{text}");
}
