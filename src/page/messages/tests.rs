use serde_json::json;

use super::*;

const LINES: &str = r#"{"time_us":1000,"from":"client","to":"proxy","session":"7-1","bytes":75,"message":{"id":"a","method":"tools/call","params":{"name":"forecast"}}}
{"time_us":1200,"from":"proxy","to":"server","session":"7-1","server":"weather","generation":3,"client_id":"a","bytes":25,"message":{"id":12,"method":"tools/call","params":{"name":"forecast"}}}
{"time_us":2000,"from":"server","to":"proxy","session":"7-1","server":"weather","generation":3,"bytes":75,"message":{"method":"notifications/progress"}}
{"time_us":5000,"from":"server","to":"proxy","session":"7-1","server":"weather","generation":3,"bytes":50,"message":{"id":"12","result":{"isError":true}}}
{"time_us":6000,"from":"proxy","to":"client","session":"7-1","bytes":50,"message":{"id":"a","result":{"isError":true}}}
{"time_us":6000,"pid":7,"dropped":12}
{"time_us":7000,"from":"client","to":"proxy","session":"7-2","bytes":75,"message":{"id":"a","method":"tools/list"}}
{"time_us":8000,"from":"proxy","to":"server","session":"7-2","server":"weather","generation":1,"bytes":25,"message":{"id":1,"method":"initialize"}}
{"time_us":9000,"from":"server","to":"proxy","session":"7-2","server":"weather","generation":1,"bytes":25,"message":{"id":1,"result":{}}}"#;

fn log() -> MessageLog {
    let mut log = MessageLog::new(LogLimits::PROXY);
    LINES.lines().for_each(|line| log.add(line).unwrap());
    log
}

#[test]
fn a_request_and_its_response_are_one_exchange() {
    let log = log();
    let texts = log
        .iter()
        .map(|it| (&*it.method, &*it.name, it.lines.len()));
    let expected = [
        ("tools/call", "forecast", 4),
        ("notifications/progress", "", 1),
        ("tools/list", "", 1),
        ("initialize", "", 2),
    ];
    assert_eq!(texts.collect::<Vec<_>>(), expected);
    let call = log.get(0).unwrap();
    assert_eq!(
        (&*call.server, call.generation, call.bytes),
        ("weather", 3, 200)
    );
    assert_eq!(
        call.outcome,
        ExchangeOutcome::Failed("tool error".to_owned())
    );
    assert_eq!(call.took(), Some(5000));
    assert_eq!(call.parts(), Some([200, 3800, 1000]));
    let outcomes = [1, 2, 3].map(|number| log.get(number).unwrap().outcome.clone());
    let expected = [
        ExchangeOutcome::Notice,
        ExchangeOutcome::Open,
        ExchangeOutcome::Done,
    ];
    assert_eq!(outcomes, expected);
    assert_eq!(log.get(3).unwrap().took(), Some(1000));
    assert_eq!((log.changes(), log.forgotten()), (9, 12));
    assert!(log.get(4).is_none());
}

#[test]
fn a_call_of_the_page_ends_with_the_answer_of_the_server() {
    const CALL: &str = r#"{"time_us":1000,"from":"proxy","to":"server","session":"7-1","server":"weather","generation":3,"client_id":"mcp-proxy-page-2","bytes":25,"message":{"id":12,"method":"tools/call","params":{"name":"forecast"}}}
{"time_us":5000,"from":"server","to":"proxy","session":"7-1","server":"weather","generation":3,"bytes":50,"message":{"id":12,"result":{}}}"#;
    let mut log = MessageLog::new(LogLimits::PROXY);
    CALL.lines().for_each(|line| log.add(line).unwrap());
    let call = log.get(0).unwrap();
    assert_eq!(
        (&*call.from, call.generation, call.took()),
        ("page", 3, Some(4000))
    );
    assert_eq!(call.outcome, ExchangeOutcome::Done);
    assert!(!call.concerns_client);
}

#[test]
fn an_answer_of_the_page_is_told_from_one_of_the_client() {
    const ASKED: &str = r#"{"time_us":1000,"from":"server","to":"proxy","session":"7-1","server":"weather","generation":3,"bytes":25,"message":{"id":1,"method":"elicitation/create"}}
{"time_us":5000,"from":"proxy","to":"server","session":"7-1","server":"weather","generation":3,"client_id":"mcp-proxy-page-answer-1","bytes":50,"message":{"id":1,"result":{}}}"#;
    let of_client = ASKED.replace(r#""client_id":"mcp-proxy-page-answer-1","#, "");
    for (lines, by_page) in [(ASKED, "answered by the page"), (&of_client, "")] {
        let mut log = MessageLog::new(LogLimits::PROXY);
        lines.lines().for_each(|line| log.add(line).unwrap());
        let asked = log.get(0).unwrap();
        assert_eq!((&*asked.from, asked.by_page), ("server", by_page));
        assert_eq!(asked.outcome, ExchangeOutcome::Done);
        assert_eq!(log.next_number(), 1);
    }
}

#[test]
fn numbers_of_a_file_may_be_too_great() {
    let mut log = MessageLog::new(LogLimits::FILE);
    let time = r#""time_us":1000"#;
    let late = LINES.replace(time, r#""time_us":253402300800000000"#);
    let error = log.add(late.lines().next().unwrap()).unwrap_err();
    assert!(error.to_string().contains("year 9999"), "{error}");
    assert_eq!(log.changes(), 0);
    let greatest = u64::MAX.to_string();
    let many = LINES.replace(r#""bytes":75"#, &format!(r#""bytes":{greatest}"#));
    let many = many.replace(r#""dropped":12"#, &format!(r#""dropped":{greatest}"#));
    let last = many.replace(time, r#""time_us":253402300799999999"#);
    for line in many.lines().chain(last.lines()) {
        log.add(line).unwrap();
    }
    assert_eq!(log.get(0).unwrap().bytes, u64::MAX);
    assert_eq!(log.forgotten(), u64::MAX);
    assert_eq!(
        log.iter().map(|it| it.time()).max().unwrap(),
        "9999-12-31T23:59:59.999Z"
    );
}

fn ping(id: &str) -> String {
    format!(
        r#"{{"time_us":1,"from":"client","to":"proxy","session":"7-1","bytes":1,"message":{{"id":{id},"method":"ping"}}}}"#
    )
}

#[test]
fn the_oldest_messages_are_forgotten() {
    let mut log = MessageLog::new(LogLimits::PROXY);
    let long = "x".repeat(log.limits.size / 4);
    for id in 0..6 {
        log.add(&format!(
            r#"{{"time_us":1,"from":"client","to":"proxy","session":"7-1","bytes":1,"message":{{"id":{id},"method":"{long}"}}}}"#
        ))
        .unwrap();
    }
    assert_eq!((log.forgotten(), log.iter().count()), (3, 3));
    assert!(log.get(2).is_none() && log.get(3).is_some());
    assert!(log.size <= log.limits.size);
    assert!(log.add("no line").is_err());
    assert_eq!(log.changes(), 6);
    log.add(&ping(&"9".repeat(MAX_ID + 1))).unwrap();
    assert_eq!(log.open.len(), 6);
    log.add(&ping(&"9".repeat(MAX_ID))).unwrap();
    assert_eq!(log.open.len(), 7);
}

#[test]
fn short_messages_have_a_size_too() {
    let limits = LogLimits {
        size: 10 * size_of::<Exchange>(),
        exchanges: 100,
    };
    let mut log = MessageLog::new(limits);
    for id in 0..20 {
        log.add(&ping(&id.to_string())).unwrap();
    }
    let kept = log.iter().count();
    assert!((2..10).contains(&kept), "{kept}");
    assert!(log.size <= limits.size);
}

#[test]
fn sessions_of_several_proxies_have_names_of_their_own() {
    let mut log = MessageLog::new(LogLimits::FILE);
    for session in ["7-1", "9-1", "7-2", "9-1"] {
        log.add(&ping("1").replace("7-1", session)).unwrap();
    }
    let names: Vec<_> = log.iter().map(|it| it.session_name.to_string()).collect();
    assert_eq!(names, ["1", "2-1", "2", "2-1"]);
}

#[test]
fn requests_to_ended_processes_have_no_answer() {
    let mut log = MessageLog::new(LogLimits::PROXY);
    let start = |session, generation| {
        format!(
            r#"{{"time_us":1,"from":"proxy","to":"server","session":"7-{session}","server":"a","generation":{generation},"bytes":1,"message":{{"id":1,"method":"initialize"}}}}"#
        )
    };
    // A standby and the process in its place have the same generation.
    for line in [start(1, 2), start(1, 2), start(1, 3), start(2, 2)] {
        log.add(&line).unwrap();
    }
    let outcomes = |log: &MessageLog| {
        let open = log.iter().map(|it| it.outcome == ExchangeOutcome::Open);
        open.collect::<Vec<_>>()
    };
    assert_eq!(outcomes(&log), [false, true, true, true]);
    let generation = |event: &str| {
        let event = json!({ "event": event, "session": 1, "server": "a", "generation": 2 });
        SessionGeneration::of(&event).unwrap()
    };
    log.end_generation(generation("stopped"));
    assert_eq!(outcomes(&log), [false, false, true, true]);
    // A late answer counts.
    let answer = r#"{"time_us":2,"from":"server","to":"proxy","session":"7-1","server":"a","generation":2,"bytes":1,"message":{"id":1,"result":{}}}"#;
    log.add(answer).unwrap();
    assert_eq!(log.get(1).unwrap().outcome, ExchangeOutcome::Done);
    // The event may overtake the last requests, but not those of the server that is loaded anew.
    let late = start(1, 2).replace(r#""id":1"#, r#""id":2"#);
    log.add(&late).unwrap();
    assert_eq!(log.get(4).unwrap().outcome, ExchangeOutcome::Unanswered);
    log.begin_generation(&generation("spawned"));
    log.add(&late).unwrap();
    assert_eq!(outcomes(&log), [false, false, true, true, false, true]);
    log.end_requests();
    assert_eq!(outcomes(&log), [false; 6]);
}

#[test]
fn changes_of_exchanges_are_found_by_their_numbers() {
    let mut log = log();
    let changed = |log: &MessageLog, since| {
        let found = log.changed_since(since)?;
        Some(found.iter().map(|it| it.number).collect::<Vec<_>>())
    };
    assert_eq!(changed(&log, 0).unwrap(), [0, 1, 2, 3]);
    // The fourth and the fifth line end the call; the sixth is no message.
    assert_eq!(changed(&log, 3).unwrap(), [0, 2, 3]);
    assert_eq!(changed(&log, 5).unwrap(), [2, 3]);
    assert!(changed(&log, log.changes()).unwrap().is_empty());
    let before = log.changes();
    log.end_requests();
    assert_eq!(changed(&log, before).unwrap(), [2]);
    let before = log.changes();
    for id in 0..10_000 {
        log.add(&ping(&id.to_string())).unwrap();
    }
    assert_eq!(changed(&log, before).map(|it| it.len()), Some(10_000));
    log.add(&ping("1")).unwrap();
    assert_eq!(changed(&log, before), None);
}
