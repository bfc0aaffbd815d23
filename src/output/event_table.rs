//! Expected output of every event, for people and as JSON.

use std::time::{Duration, SystemTime};

use anstream::adapter::strip_str;

use super::human::HumanFormatter;
use super::{Verbosity, json};
use crate::config::HiddenValues;
use crate::event::{
    AnswerDifference, ContractChange, Event, Failure, NextTry, RehearsalOutcome, RehearsalReport,
    RehearsedAnswer, SessionEvent, StrayKind, ToolDiff,
};

const PYTHON: &str = "stdout is reserved for JSON-RPC messages; log to stderr: print(..., file=sys.stderr) in Python, \
                      console.error(...) in JavaScript";

fn weather() -> String {
    "weather".to_owned()
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn diff() -> ToolDiff {
    ToolDiff {
        added: words("forecast"),
        removed: words("old"),
        changed: vec![("alerts".to_owned(), words("inputSchema description"))],
        contract: vec![
            contract("tool", "alerts", true),
            contract("prompt", "greet", false),
        ],
        left_out: words("alerts"),
    }
}

fn contract(kind: &'static str, name: &str, is_breaking: bool) -> ContractChange {
    ContractChange {
        kind,
        name: name.to_owned(),
        is_breaking,
        text: "`city` is required".to_owned(),
    }
}

fn look() -> ToolDiff {
    ToolDiff {
        contract: vec![contract("prompt", "greet", false)],
        ..ToolDiff::default()
    }
}

fn failure() -> Failure {
    Failure {
        generation: 3,
        reason: "exited with status 1 before it answered \"initialize\"".to_owned(),
        advice: Some("fix the file and save it".to_owned()),
        stderr: vec![
            "Traceback".to_owned(),
            "  SyntaxError: \u{1b}[31mx".to_owned(),
        ],
        files: vec!["src/a.py".into(), "src/b.py".into(), "c".into(), "d".into()],
        remote: false,
        held: false,
        next_try: NextTry::Save,
    }
}

fn rehearsal() -> RehearsalReport {
    let difference = |place: &str, before: &str, after: &str| AnswerDifference {
        place: place.to_owned(),
        before: before.to_owned(),
        after: after.to_owned(),
    };
    let forecast = RehearsedAnswer {
        call: "forecast {}".to_owned(),
        outcome: RehearsalOutcome::Differs,
        took: Some(ms(12)),
        took_before: Some(ms(11)),
        is_slower: false,
        is_recorded: true,
        differences: vec![
            difference("forecast.days[0].max", "21", "\"21\""),
            difference("forecast.x", "1", "2"),
        ],
        varied: words("forecast.now"),
    };
    let alerts = RehearsedAnswer {
        call: "alerts".to_owned(),
        outcome: RehearsalOutcome::Fails,
        took: Some(ms(300)),
        took_before: Some(ms(20)),
        is_slower: true,
        is_recorded: false,
        differences: vec![difference("alerts", "a result", "error \"x\"")],
        varied: Vec::new(),
    };
    let slow = RehearsedAnswer {
        call: "slow".to_owned(),
        outcome: RehearsalOutcome::Unanswered,
        took: None,
        took_before: None,
        is_slower: false,
        differences: Vec::new(),
        ..alerts.clone()
    };
    let late = RehearsedAnswer {
        call: "late".to_owned(),
        outcome: RehearsalOutcome::Unconfirmed,
        took: Some(ms(5)),
        ..slow.clone()
    };
    RehearsalReport {
        calls: vec![forecast, alerts, slow, late],
        limit: ms(1000),
    }
}

fn human(event: &Event) -> String {
    let entry = HumanFormatter::new(Verbosity::Verbose)
        .entry(event)
        .unwrap();
    strip_str(&entry).to_string()
}

fn json(event: &Event) -> String {
    let (session, event) = (None, event.clone());
    let event = SessionEvent { session, event };
    json::line(&event, SystemTime::UNIX_EPOCH, &HiddenValues::default())
        .replace(r#"{"time":"1970-01-01T00:00:00.000Z","event":"#, "")
        .replace(r#","server":"weather""#, "")
}

fn table() -> Vec<(Event, String, &'static str)> {
    [
        starts_and_ends(),
        reloads(),
        messages_of_servers(),
        names_lists_and_clients(),
    ]
    .concat()
}

#[rustfmt::skip] // A table.
fn starts_and_ends() -> Vec<(Event, String, &'static str)> {
    vec![
        (Event::Watching { server: weather(), files: 12, directories: 1, globs: words("src/**/*.py !b c d e") },
         "weather  watching 12 files in 1 directory: src/**/*.py !b c d …\n".into(),
         r#""watching","files":12,"directories":1,"globs":["src/**/*.py","!b","c","d","e"]}"#),
        (Event::WatchWarning { server: weather(), message: "`x/**` matches nothing".into() },
         "weather  `x/**` matches nothing\n".into(),
         r#""watch_warning","message":"`x/**` matches nothing"}"#),
        (Event::WatchNote { server: weather(), message: "`x` is third-party".into() },
         "weather  `x` is third-party\n".into(),
         r#""watch_note","message":"`x` is third-party"}"#),
        (Event::InputAwaited { server: weather(), method: "elicitation/create".into(), page: "http://x/input".into() },
         "weather  asks for input by elicitation/create, and waits for your answer on the page: http://x/input\n".into(),
         r#""input_awaited","method":"elicitation/create","page":"http://x/input"}"#),
        (Event::Changed { server: weather(), paths: failure().files },
         "weather  changed: src/a.py, src/b.py (+2 more)\n".into(),
         r#""changed","paths":["src/a.py","src/b.py","c","d"]}"#),
        (Event::Building { server: weather(), command: "make proto".into() },
         "weather  building: make proto\n".into(),
         r#""building","command":"make proto"}"#),
        (Event::BuildOutput { server: weather(), line: "cc a.c".into() },
         "weather  build | cc a.c\n".into(),
         r#""build_output","line":"cc a.c"}"#),
        (Event::Spawned { server: weather(), generation: 2, pid: 77 },
         "weather  started generation 2 (pid 77)\n".into(),
         r#""spawned","generation":2,"pid":77}"#),
        (Event::Connecting { server: weather(), generation: 2, url: "https://x.example/mcp".into() },
         "weather  connecting to https://x.example/mcp (generation 2)\n".into(),
         r#""connecting","generation":2,"url":"https://x.example/mcp"}"#),
        (Event::Ready { server: weather(), generation: 1, took: ms(1349), era: "legacy", tools: 1, prompts: 2, resources: 0 },
         "weather  ready in 1.3 s (generation 1, legacy): 1 tool, 2 prompts\n".into(),
         r#""ready","generation":1,"took_ms":1349,"era":"legacy","tools":1,"prompts":2,"resources":0}"#),
        (Event::Broken { server: weather(), failure: failure(), serving_last_good: false },
         "weather  does not start (generation 3): exited with status 1 before it answered \"initialize\"\n  | Traceback\n  |   SyntaxError: x\n  \
          changed: src/a.py, src/b.py (+2 more)\n  advice: fix the file and save it\n".into(),
         r#""broken","serving_last_good":false,"failure":{"generation":3,"reason":"exited with status 1 before it answered \"initialize\"","advice":"fix the file and save it","stderr":["Traceback","  SyntaxError: \u001b[31mx"],"files":["src/a.py","src/b.py","c","d"]}}"#),
        (Event::Exited { server: weather(), generation: 2, status: "exited with status 1".into(), stderr: words("oops") },
         "weather  ended unexpectedly (generation 2): exited with status 1\n  | oops\n".into(),
         r#""exited","generation":2,"status":"exited with status 1","stderr":["oops"]}"#),
        (Event::Restarting { server: weather(), delay: ms(250) },
         "weather  restarting in 250 ms\n".into(),
         r#""restarting","delay_ms":250}"#),
        (Event::Flapping { server: weather(), exits: 5, within: ms(60_000) },
         "weather  exited 5 times in 1 min 0 s: not restarted until a file changes\n".into(),
         r#""flapping","exits":5,"within_ms":60000}"#),
        (Event::PortMissed { server: weather(), line: "inspector failed".into() },
         "weather  runs without a port that the old process still held; use `--reload stop-first`: \
          inspector failed\n".into(),
         r#""port_missed","line":"inspector failed"}"#),
        (Event::EraUnsuitable { server: weather() },
         "weather  sends its client requests of older revisions, which fail in revision 2026-07-28: set \
          `era = \"legacy\"` in [servers.weather], or use `--era legacy`\n".into(),
         r#""era_unsuitable"}"#),
        (Event::DrainAbandoned { server: weather(), generation: 2, requests: 1 },
         "weather  drain timeout: abandoned 1 request of generation 2\n".into(),
         r#""drain_abandoned","generation":2,"requests":1}"#),
        (Event::Standby { server: weather(), took: ms(950), memory: Some(80 << 20) },
         "weather  standby ready in 950 ms, using 80 MiB\n".into(),
         r#""standby","took_ms":950,"memory":83886080}"#),
        (Event::Cold { server: weather(), reason: "writes".into(), for_good: false },
         "weather  starts cold this time: writes\n".into(),
         r#""cold","reason":"writes","for_good":false}"#),
        (Event::Cold { server: weather(), reason: "writes".into(), for_good: true },
         "weather  starts cold from now on: writes\n".into(),
         r#""cold","reason":"writes","for_good":true}"#),
        (Event::Stopped { server: weather(), generation: 2 },
         "weather  stopped generation 2\n".into(),
         r#""stopped","generation":2}"#),
    ]
}

#[rustfmt::skip] // A table.
fn reloads() -> Vec<(Event, String, &'static str)> {
    vec![
        (Event::Reloaded { server: weather(), generation: 3, took: ms(412), diff: diff(), rehearsal: None },
         "weather  reloaded in 412 ms (generation 3): + forecast  ~ alerts (schema, description)  - old; breaking: alerts: `city` is required (+1 more); left out: alerts\n".into(),
         r#""reloaded","generation":3,"took_ms":412,"diff":{"added":["forecast"],"removed":["old"],"changed":[{"tool":"alerts","members":["inputSchema","description"]}],"contract":[{"class":"breaking","kind":"tool","name":"alerts","text":"`city` is required"},{"class":"look","kind":"prompt","name":"greet","text":"`city` is required"}],"left_out":["alerts"]}}"#),
        (Event::Reloaded { server: weather(), generation: 3, took: ms(412), diff: ToolDiff::default(), rehearsal: None },
         "weather  reloaded in 412 ms (generation 3): tools unchanged\n".into(),
         r#""reloaded","generation":3,"took_ms":412,"diff":{"added":[],"removed":[],"changed":[],"contract":[],"left_out":[]}}"#),
        (Event::Reloaded { server: weather(), generation: 3, took: ms(412), diff: look(), rehearsal: None },
         "weather  reloaded in 412 ms (generation 3): tools unchanged; worth a look: prompt greet: `city` is required\n".into(),
         r#""reloaded","generation":3,"took_ms":412,"diff":{"added":[],"removed":[],"changed":[],"contract":[{"class":"look","kind":"prompt","name":"greet","text":"`city` is required"}],"left_out":[]}}"#),
        (Event::Reloaded { server: weather(), generation: 8, took: ms(84), diff: ToolDiff::default(), rehearsal: Some(rehearsal()) },
         "weather  reloaded in 84 ms (generation 8): rehearsed 4 calls, 1 fails: alerts a result → error \"x\", 1 differs: \
          forecast.days[0].max 21 → \"21\" (+1 more), 1 slower: alerts 20 ms → 300 ms, 1 unanswered within 1.0 s, \
          1 unconfirmed within 1.0 s, so raise `--rehearse-timeout` (1 value varies by itself)\n".into(),
         r#""reloaded","generation":8,"took_ms":84,"diff":{"added":[],"removed":[],"changed":[],"contract":[],"left_out":[]},"rehearsal":{"calls":[{"call":"forecast {}","outcome":"differs","took_ms":12,"took_before_ms":11,"slower":false,"recorded":true,"difference_count":2,"differences":[{"place":"forecast.days[0].max","before":"21","after":"\"21\""},{"place":"forecast.x","before":"1","after":"2"}],"varied":["forecast.now"]},{"call":"alerts","outcome":"fails","took_ms":300,"took_before_ms":20,"slower":true,"recorded":false,"difference_count":1,"differences":[{"place":"alerts","before":"a result","after":"error \"x\""}],"varied":[]},{"call":"slow","outcome":"unanswered","took_ms":null,"took_before_ms":null,"slower":false,"recorded":false,"difference_count":0,"differences":[],"varied":[]},{"call":"late","outcome":"unconfirmed","took_ms":5,"took_before_ms":null,"slower":false,"recorded":false,"difference_count":0,"differences":[],"varied":[]}],"limit_ms":1000}}"#),
        (Event::RehearsalWarning { server: weather(), message: "the server has no tool `x`".into() },
         "weather  the server has no tool `x`\n".into(),
         r#""rehearsal_warning","message":"the server has no tool `x`"}"#),
        (Event::Broken { server: weather(), failure: Failure { held: true, ..Failure::new(3, "fails".into()) }, serving_last_good: false },
         "weather  held back (generation 3): fails\n".into(),
         r#""broken","serving_last_good":false,"failure":{"generation":3,"reason":"fails","advice":null,"stderr":[],"files":[]}}"#),
    ]
}

#[rustfmt::skip] // A table.
fn messages_of_servers() -> Vec<(Event, String, &'static str)> {
    vec![
        (Event::Stderr { server: weather(), generation: 2, line: "listening\u{7}".into() },
         "weather  | listening\n".into(),
         r#""stderr","generation":2,"line":"listening\u0007"}"#),
        (Event::Stray { server: weather(), generation: 2, line: "hi".into(), count: 1, kind: StrayKind::Line },
         format!("weather  stdout line is not a JSON-RPC message: hi\n  advice: {PYTHON}\n"),
         r#""stray","generation":2,"line":"hi","count":1}"#),
        (Event::Stray { server: weather(), generation: 2, line: "hi".into(), count: 5, kind: StrayKind::Line },
         "weather  stdout line is not a JSON-RPC message: hi (most further ones are not shown)\n".into(),
         r#""stray","generation":2,"line":"hi","count":5}"#),
        (Event::Stray { server: weather(), generation: 2, line: "hi".into(), count: 200, kind: StrayKind::Line },
         format!("weather  200 stdout lines are not JSON-RPC messages: hi\n  advice: {PYTHON}\n"),
         r#""stray","generation":2,"line":"hi","count":200}"#),
        (Event::Stray { server: weather(), generation: 2, line: "hi".into(), count: 1, kind: StrayKind::Text },
         "weather  invalid JSON-RPC message: hi\n".into(),
         r#""stray","generation":2,"line":"hi","count":1}"#),
        (Event::Stray { server: weather(), generation: 2, line: "{}".into(), count: 5, kind: StrayKind::Answer },
         "weather  response with unknown id: {} (most further ones are not shown)\n".into(),
         r#""stray","generation":2,"line":"{}","count":5}"#),
        (Event::Stray { server: weather(), generation: 2, line: "message longer than 9 bytes".into(), count: 1, kind: StrayKind::TooLong },
         "weather  skipped: message longer than 9 bytes\n".into(),
         r#""stray","generation":2,"line":"message longer than 9 bytes","count":1}"#),
        (Event::ListsChanged { server: weather(), diff: diff() },
         "weather  lists changed: + forecast  ~ alerts (schema, description)  - old; breaking: alerts: `city` is required (+1 more); left out: alerts\n".into(),
         r#""lists_changed","diff":{"added":["forecast"],"removed":["old"],"changed":[{"tool":"alerts","members":["inputSchema","description"]}],"contract":[{"class":"breaking","kind":"tool","name":"alerts","text":"`city` is required"},{"class":"look","kind":"prompt","name":"greet","text":"`city` is required"}],"left_out":["alerts"]}}"#),
        (Event::Progress { server: weather(), text: "3/10 fetching\u{7}".into() },
         "weather  progress 3/10 fetching\n".into(),
         r#""progress","text":"3/10 fetching\u0007"}"#),
        (Event::LogMessage { server: weather(), level: "info".into(), text: "cache is cold".into() },
         "weather  info: cache is cold\n".into(),
         r#""log_message","level":"info","text":"cache is cold"}"#),
    ]
}

#[rustfmt::skip] // A table.
fn names_lists_and_clients() -> Vec<(Event, String, &'static str)> {
    vec![
        (Event::Unloaded { server: weather() },
         "weather  unloaded\n".into(),
         r#""unloaded"}"#),
        (Event::NameTaken { server: weather(), kind: "resource", name: "file:///a".into(), holder: "winds".into() },
         "weather  duplicate resource `file:///a` is not offered: winds already has this URI, and gets the requests \
          for all URIs of both\n".into(),
         r#""name_taken","kind":"resource","name":"file:///a","holder":"winds"}"#),
        (Event::NameTaken { server: weather(), kind: "tool", name: "w__forecast".into(), holder: "winds".into() },
         "weather  duplicate tool `w__forecast` is not offered: winds already has it; change one \
          server's `prefix`\n".into(),
         r#""name_taken","kind":"tool","name":"w__forecast","holder":"winds"}"#),
        (Event::ToolsRejected { server: weather(), client: "codex 0.169.0".into(), places: vec!["forecast at /name: is odd".into()] },
         "weather  codex 0.169.0 rejects tools: forecast at /name: is odd; `mcp-proxy check --lint` says more\n".into(),
         r#""tools_rejected","client":"codex 0.169.0","places":["forecast at /name: is odd"]}"#),
        (Event::ToolLeftOut { server: weather(), tool: "forecast".into(), reason: "`x-mcp-header` is empty".into() },
         "weather  tool `forecast` is not offered: `x-mcp-header` is empty\n".into(),
         r#""tool_left_out","tool":"forecast","reason":"`x-mcp-header` is empty"}"#),
        (Event::ResultFaulty { server: weather(), tool: "forecast".into(), reason: "has no `structuredContent`".into() },
         "weather  a result of tool `forecast` has no `structuredContent`\n".into(),
         r#""result_faulty","tool":"forecast","reason":"has no `structuredContent`"}"#),
        (Event::Reconfigured { added: vec!["a".into()], changed: vec!["b".into()], removed: vec!["c".into()] },
         "proxy    the configuration changed: + a  ~ b  - c\n".into(),
         r#""reconfigured","added":["a"],"changed":["b"],"removed":["c"]}"#),
        (Event::Reconfigured { added: vec![], changed: vec![], removed: vec![] },
         "proxy    the configuration changed; no server is affected\n".into(),
         r#""reconfigured","added":[],"changed":[],"removed":[]}"#),
        (Event::ConfigFault { text: "unknown key\n --> a.toml:1:1".into() },
         "proxy    configuration error; the settings with the error are not applied\n  unknown key\n   --> a.toml:1:1\n".into(),
         r#""config_fault","text":"unknown key\n --> a.toml:1:1"}"#),
        (Event::ClientConnected { name: "claude-code".into(), version: "2.1".into(), era: "legacy" },
         "proxy    client claude-code 2.1 connected (legacy)\n".into(),
         r#""client_connected","name":"claude-code","version":"2.1","era":"legacy"}"#),
        (Event::ListCut { server: weather(), method: "tools/list", reason: "too many pages" },
         "weather  tools/list is cut off: too many pages; the last page must have no `nextCursor`\n".into(),
         r#""list_cut","method":"tools/list","reason":"too many pages"}"#),
        (Event::ListUnchanged { server: weather(), method: "tools/list" },
         "weather  list_changed notifications without a change of tools/list: the list is read after pauses of up \
          to 5 s\n".into(),
         r#""list_unchanged","method":"tools/list"}"#),
        (Event::ListedTwice { server: weather(), method: "tools/list", name: "forecast".into() },
         "weather  duplicate `forecast` in tools/list: the first entry is used, the other is not offered\n".into(),
         r#""listed_twice","method":"tools/list","name":"forecast"}"#),
        (Event::ListUndeclared { server: weather(), method: "tools/list", capability: "tools" },
         "weather  capability `tools` is not declared, but tools/list is answered: the tools are offered anyway; a \
          client that connects directly may not request them\n".into(),
         r#""list_undeclared","method":"tools/list","capability":"tools"}"#),
        (Event::ListSilent { server: weather(), method: "prompts/list", waited: Duration::from_secs(5) },
         "weather  no response to prompts/list within 5 s: the server goes live without this list; the proxy \
          requests it once more\n".into(),
         r#""list_silent","method":"prompts/list","waited_ms":5000}"#),
        (Event::Listening { url: "http://127.0.0.1:8808/mcp".into() },
         "proxy    listening on http://127.0.0.1:8808/mcp\n".into(),
         r#""listening","url":"http://127.0.0.1:8808/mcp"}"#),
        (Event::Page { url: "http://127.0.0.1:1/?token=x".into(), warning: Some("no browser".into()) },
         "proxy    page: http://127.0.0.1:1/?token=x; no browser\n".into(),
         r#""page","url":"http://127.0.0.1:1/?token=x","warning":"no browser"}"#),
        (Event::WrongPath { path: "/sse".into(), endpoint: "/mcp".into() },
         "proxy    client requested unknown path /sse: its URL must end in /mcp\n".into(),
         r#""wrong_path","path":"/sse","endpoint":"/mcp"}"#),
        (Event::SessionEnded { reason: "the client sent DELETE".into() },
         "proxy    session ended: the client sent DELETE\n".into(),
         r#""session_ended","reason":"the client sent DELETE"}"#),
        (Event::Ending { reason: "the client closed stdin".into() },
         "proxy    shutting down: the client closed stdin\n".into(),
         r#""ending","reason":"the client closed stdin"}"#),
        (Event::Failed { reason: "cannot listen".into() },
         "proxy    failed: cannot listen\n".into(),
         r#""failed","reason":"cannot listen"}"#),
        (Event::NotRecorded { reason: "cannot use /x: it belongs to another user".into() },
         "proxy    not recorded: cannot use /x: it belongs to another user\n".into(),
         r#""not_recorded","reason":"cannot use /x: it belongs to another user"}"#),
        (Event::RecordingEnded { reason: "cannot write /x: no space".into() },
         "proxy    recording ended: cannot write /x: no space; sessions go on without it\n".into(),
         r#""recording_ended","reason":"cannot write /x: no space"}"#),
    ]
}

#[test]
fn every_event_reads_well() {
    for (event, expected, _) in table() {
        assert_eq!(human(&event), expected);
    }
}

#[test]
fn every_event_has_its_json() {
    for (event, _, expected) in table() {
        assert_eq!(json(&event), expected);
    }
}

#[test]
fn quiet_shows_what_went_wrong_and_processes_are_for_the_verbose() {
    let shown = |verbosity| {
        let of = |event: &Event| HumanFormatter::new(verbosity).entry(event).is_some();
        table().iter().filter(|(event, ..)| of(event)).count()
    };
    let all = table().len();
    assert_eq!(shown(Verbosity::Quiet), 29);
    assert_eq!(shown(Verbosity::Normal), all - 6);
    assert_eq!(shown(Verbosity::Verbose), all);
}

#[test]
fn a_tail_is_not_repeated_right_after_it_was_shown() {
    let mut human = HumanFormatter::new(Verbosity::Normal);
    for line in failure().stderr {
        human.entry(&Event::Stderr {
            server: weather(),
            generation: 3,
            line,
        });
    }
    let broken = Event::Broken {
        server: weather(),
        failure: failure(),
        serving_last_good: true,
    };
    let entry = human.entry(&broken).unwrap();
    assert!(!entry.contains("Traceback"), "{entry}");
    assert!(
        entry.contains("; the last good code still answers calls\n"),
        "{entry}"
    );
}

#[test]
fn the_column_grows_with_the_widest_name() {
    let mut human = HumanFormatter::new(Verbosity::Normal);
    let mut line = |server: &str| {
        let entry = human.entry(&Event::Stderr {
            server: server.to_owned(),
            generation: 1,
            line: "x".to_owned(),
        });
        strip_str(&entry.unwrap()).to_string()
    };
    assert_eq!(line("a"), "a        | x\n");
    assert_eq!(line("long-named"), "long-named  | x\n");
    assert_eq!(line("a"), "a           | x\n");
}

#[test]
fn json_names_the_session_of_an_event() {
    let event = SessionEvent {
        session: Some(3),
        event: Event::Unloaded { server: weather() },
    };
    let text = json::line(&event, SystemTime::UNIX_EPOCH, &HiddenValues::default());
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        (&value["event"], &value["session"]),
        (&"unloaded".into(), &3.into())
    );
}
