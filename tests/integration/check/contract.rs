//! Findings about the definitions of tools, and changes of lists.

use super::*;

#[test]
fn the_lint_finds_tools_that_a_client_rejects() {
    let tuple = json!({"type": "object", "properties": {"box": {"type": "array", "items": [{}]}}});
    let script = json!({"tools": [
        {"name": "sound", "description": "x", "inputSchema": {"type": "object", "properties": {}}},
        {"name": "tuple", "description": "x", "inputSchema": tuple},
    ]});
    check(&script, &[]).ended_with(0);
    let run = check(&script, &["--lint"]).ended_with(1);
    let place = ["error", "tuple", "/inputSchema/properties/box/items"];
    let is_place = |line: &str| line.split_whitespace().take(3).eq(place);
    assert!(run.stdout.lines().any(is_place), "{}", run.stdout);
    let effect = "items-list  claude-code, codex: leaves the tool out\n";
    assert!(run.stdout.contains(effect), "{}", run.stdout);
    check(&script, &["--lint", "--for", "vscode"]).ended_with(0);
    let run = check(
        &script,
        &["--json", "--lint", "--for", "claude-code@2.1.330"],
    )
    .ended_with(1);
    let report = report(&run);
    assert_eq!(report["ok"], false);
    let errors = report["lint"].as_array().unwrap().iter();
    let errors: Vec<_> = errors.filter(|it| it["level"] == "error").collect();
    assert_eq!(errors.len(), 1, "{report:#}");
    assert_eq!(errors[0]["tool"], "tuple");
    assert_eq!(errors[0]["rule"], "items-list");
    let client =
        json!({"client": "claude-code 2.1.330", "level": "error", "effect": "leaves the tool out"});
    assert_eq!(errors[0]["clients"], json!([client]));
    let run = check(&script, &["--lint", "--for", "clod"]).ended_with(2);
    assert!(
        run.stderr.contains("the clients are claude-code, codex"),
        "{}",
        run.stderr
    );
    check(&script, &["--for", "codex"]).ended_with(2);
    let junit = check(&script, &["--lint", "--format", "junit"]).ended_with(1);
    let suite = r#"<testsuite name="fake" tests="#;
    let case = r#"name="lint tuple" time="0.000">
      <failure message="at /inputSchema/properties/box/items: is an array of schemas"#;
    for part in [suite, case] {
        assert!(junit.stdout.contains(part), "{}", junit.stdout);
    }
    let sarif = check(&script, &["--lint", "--format", "sarif"]).ended_with(1);
    let log = self::report(&sarif);
    let results = log["runs"][0]["results"].as_array().unwrap();
    assert!(
        results.iter().any(|it| it["ruleId"] == "items-list"),
        "{log:#}"
    );
}

#[test]
fn changes_since_the_saved_lists_are_classed() {
    let project = Project::new();
    let server =
        [example("fake_server").as_os_str(), "script.json".as_ref()].map(ToOwned::to_owned);
    let check = |properties: &Value, required: &Value, options: &[&str]| {
        let schema = json!({"type": "object", "properties": properties, "required": required});
        let script = json!({
            "tools": [{"name": "forecast", "inputSchema": schema}],
            "prompts": [{"name": "greet"}],
        });
        project.write("script.json", &script.to_string());
        let proxy = Proxy::check(server.clone())
            .options(["--name", "fake"])
            .options(options.iter().copied())
            .within(&project);
        Run::of(proxy.command())
    };
    let (none, city) = (json!({}), json!({"city": {"type": "string"}}));
    check(&none, &json!([]), &["--against", "lists.json"]).ended_with(1);
    check(&none, &json!([]), &["--save", "lists.json"]).ended_with(0);
    let run = check(&none, &json!([]), &["--against", "lists.json"]).ended_with(0);
    assert!(run.stdout.contains("no changes since"), "{}", run.stdout);
    let run = check(&city, &json!([]), &["--against", "lists.json"]).ended_with(0);
    assert!(
        run.stdout.contains("accepts all former arguments"),
        "{}",
        run.stdout
    );
    let breaking = ["--json", "--against", "lists.json", "--save", "lists.json"];
    let run = check(&city, &json!(["city"]), &breaking).ended_with(1);
    let change = json!({"class": "breaking", "kind": "tool", "name": "forecast", "text": "`city` is required"});
    assert_eq!(report(&run)["changes"], json!([change]));
    let run = check(&city, &json!(["city"]), &breaking[..3]).ended_with(0);
    assert_eq!(report(&run)["changes"], json!([]));
    for (file, text, why) in [
        ("empty.json", r#"{"servers":{}}"#, "has no server `fake`"),
        ("other.json", "[]", "has no saved lists"),
    ] {
        project.write(file, text);
        let run = check(&city, &json!([]), &["--against", file]).ended_with(1);
        assert!(run.stderr.contains(why), "{}", run.stderr);
    }
}

#[test]
fn changes_since_a_commit_are_classed() {
    let project = Project::new();
    let git = |args: &[&str]| {
        let identity = ["-c", "user.name=a", "-c", "user.email=a@b.c"];
        let mut git = std::process::Command::new("git");
        git.current_dir(project.root()).args(identity).args(args);
        assert!(git.status().unwrap().success(), "{args:?}");
    };
    let tools = |required: &Value| {
        let schema = json!({"type": "object", "properties": {"city": {}}, "required": required});
        json!({"tools": [{"name": "forecast", "inputSchema": schema}]}).to_string()
    };
    let server = |script: &str| [example("fake_server").into_os_string(), script.into()];
    project.write("tmp/keep", "");
    // The path of this tree leads to that of the commit.
    let script = project.path("srv/script.json");
    let proxy = |options: &[&str]| {
        let proxy = Proxy::check(server(script.to_str().unwrap()));
        let proxy = proxy
            .options(["--name", "fake", "--cwd", "srv"])
            .options(options.iter().copied());
        proxy.env("TMPDIR", project.path("tmp")).within(&project)
    };
    let check = |options: &[&str]| Run::of(proxy(options).command());
    let temporary = || {
        let entries = std::fs::read_dir(project.path("tmp")).unwrap().flatten();
        let names = entries.map(|it| it.file_name().to_string_lossy().into_owned());
        names
            .filter(|it| it.starts_with("mcp-proxy-check-"))
            .count()
    };
    project.write("srv/script.json", &tools(&json!([])));
    let run = check(&["--against", "HEAD"]).ended_with(1);
    assert!(
        run.stderr
            .contains("is in the working tree of no git repository"),
        "{}",
        run.stderr
    );

    git(&["init", "--quiet", "--initial-branch=main"]);
    git(&["add", "srv"]);
    git(&["commit", "--quiet", "--message=1"]);
    project.write("srv/script.json", &tools(&json!(["city"])));
    let run = check(&["--json", "--against", "main"]).ended_with(1);
    let change = json!({"class": "breaking", "kind": "tool", "name": "forecast", "text": "`city` is required"});
    assert_eq!(report(&run)["changes"], json!([change]));
    assert_eq!(project.read("srv/script.json"), tools(&json!(["city"])));
    git(&["commit", "--quiet", "--all", "--message=2"]);
    let run = check(&["--against", "HEAD"]).ended_with(0);
    assert!(
        run.stdout.contains("no changes since HEAD"),
        "{}",
        run.stdout
    );
    check(&["--against", "HEAD~1"]).ended_with(1);

    project.write(".gitignore", "dist\n");
    project.write("dist/x", "");
    let dies = json!({"exit_at_start": {"code": 3, "stderr": "no dist here"}});
    project.write("srv/script.json", &dies.to_string());
    git(&["commit", "--quiet", "--all", "--message=3"]);
    let run = check(&["--against", "HEAD"]).ended_with(4);
    let said = "`fake` does not start from the files of this commit: exited with status 3";
    for part in [
        said,
        "no dist here",
        "git ignores dist, which the commit therefore lacks",
    ] {
        assert!(run.stderr.contains(part), "{part}: {}", run.stderr);
    }
    let run = check(&["--against", "mian"]).ended_with(1);
    assert!(
        run.stderr.contains("did you mean `main`?"),
        "{}",
        run.stderr
    );
    assert_eq!(temporary(), 0);

    project.write(
        "srv/script.json",
        &json!({"start_delay_ms": 600_000}).to_string(),
    );
    git(&["commit", "--quiet", "--all", "--message=4"]);
    let peer = proxy(&["--against", "HEAD"]).spawn();
    eventually(DEADLINE, || {
        let processes = processes_with_tag(peer.tag());
        processes
            .iter()
            .any(|(_, command)| command.contains("fake_server") && !command.contains("check "))
    });
    peer.signal(Signal::INT);
    assert_eq!(peer.wait_exit().code(), Some(130));
    assert_eq!(temporary(), 0);
}

#[test]
fn lists_and_servers_that_are_not_compared_are_told() {
    let project = Project::new();
    let configure = |names: &[&str]| {
        let server = |name: &&str| {
            let args = [format!("{name}.json")];
            let server = json!({"command": example("fake_server"), "args": args});
            ((*name).to_owned(), server)
        };
        let servers: serde_json::Map<String, Value> = names.iter().map(server).collect();
        project.write(".mcp.json", &json!({"mcpServers": servers}).to_string());
    };
    let check = |options: &[&str]| {
        let proxy = Proxy::configured("check").options(options.iter().copied());
        Run::of(proxy.within(&project).command())
    };
    let tools = json!({"tools": [{"name": "t", "inputSchema": {"type": "object"}}]});
    for file in ["a.json", "b.json", "c.json"] {
        project.write(file, &tools.to_string());
    }
    configure(&["a", "b"]);
    check(&["--save", "lists.json"]).ended_with(0);
    let saved = project.read("lists.json");

    configure(&["a", "c"]);
    let against = ["--json", "--against", "lists.json"];
    let run = check(&against).ended_with(1);
    let of_commit = json!({"class": "breaking", "kind": "server", "name": "b", "text": "is gone"});
    let git = |args: &[&str]| {
        let identity = ["-c", "user.name=a", "-c", "user.email=a@b.c"];
        let mut git = std::process::Command::new("git");
        git.current_dir(project.root()).args(identity).args(args);
        assert!(git.status().unwrap().success(), "{args:?}");
    };
    git(&["init", "--quiet"]);
    configure(&["a", "b"]);
    git(&["add", "."]);
    git(&["commit", "--quiet", "--message=1"]);
    configure(&["a", "c"]);
    let of_head = check(&["--json", "--against", "HEAD"]).ended_with(1);
    let servers = report(&of_head)["servers"].clone();
    let changes = [0, 1, 2].map(|at| servers[at]["changes"].clone());
    let is_new = json!({"class": "harmless", "kind": "server", "name": "c", "text": "is new"});
    assert_eq!(changes, [json!([]), json!([is_new]), json!([of_commit])]);

    // No commit has the file of `c`, which therefore is not new.
    project.write("mcp-proxy.toml", "[servers.a]\nbuild = 'true'\n");
    project.write(".gitignore", ".mcp.json\n");
    git(&["rm", "--quiet", "--cached", ".mcp.json"]);
    git(&["add", "."]);
    git(&["commit", "--quiet", "--message=2"]);
    let of_head = check(&["--json", "--against", "HEAD"]).ended_with(0);
    let servers = report(&of_head)["servers"].clone();
    let changes = [0, 1, 2].map(|at| servers[at]["changes"].clone());
    assert_eq!(changes, [json!([]), json!([]), Value::Null]);
    std::fs::remove_file(project.path("mcp-proxy.toml")).unwrap();

    let servers = report(&run)["servers"].clone();
    let [a, c, b] = [0, 1, 2].map(|at| servers[at]["changes"].clone());
    let of_server = |class: &str, name: &str, text: &str| json!({"class": class, "kind": "server", "name": name, "text": text});
    assert_eq!(a, json!([]));
    assert_eq!(c, json!([of_server("harmless", "c", "is new")]));
    assert_eq!(b[0], of_server("breaking", "b", "is gone"));
    let tool = json!({"class": "breaking", "kind": "tool", "name": "t", "text": "is gone"});
    assert!(b.as_array().unwrap().contains(&tool), "{b:#}");
    check(&[&["--server", "a"], &against[..]].concat()).ended_with(0);

    project.write("a.json", r#"{"fail_list": true}"#);
    let run = check(&["--server", "a", "--save", "lists.json"]).ended_with(1);
    let why = "nothing is saved to lists.json: `a` answered `tools/list` with error";
    assert!(run.stderr.contains(why), "{}", run.stderr);
    assert_eq!(project.read("lists.json"), saved);
    let run = check(&["--server", "a", "--against", "lists.json"]).ended_with(1);
    let why = "tools/list  is answered with an error, so that nothing is compared";
    assert!(run.stdout.contains(why), "{}", run.stdout);
    project.write("lists.json", &saved.replacen("[\n", "[\n,", 1));
    let run = check(&["--server", "c", "--against", "lists.json"]);
    assert!(
        run.stderr.contains("lists.json is not valid JSON"),
        "{run:#?}"
    );
}
