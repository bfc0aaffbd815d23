//! Sample server without libraries, into which `measure.py` seeds faults. Some answers vary by themselves.

use std::fs::OpenOptions;
use std::io::{BufRead, Write};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const READS: &str = r#"{"readOnlyHint":true}"#;
const REPEATABLE: &str = r#"{"idempotentHint":true,"destructiveHint":false}"#;

fn work(ms: u64) {
    std::thread::sleep(Duration::from_millis(ms));
}

fn effect(text: &str) {
    let path = std::env::var("EFFECTS").unwrap();
    let mut file = OpenOptions::new().create(true).append(true).open(path).unwrap();
    writeln!(file, "{text}").unwrap();
}

fn now() -> u128 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos()
}

/// Returns the text between `before` and one of the characters `ends`.
fn between<'a>(line: &'a str, before: &str, ends: &[char]) -> &'a str {
    let rest = line.split_once(before).map_or("", |it| it.1);
    &rest[..rest.find(ends).unwrap_or(rest.len())]
}

fn object(value: String) -> Result<String, String> {
    let text = value.replace('"', "\\\"");
    Ok(format!(r#"{{"structuredContent":{value},"content":[{{"type":"text","text":"{text}"}}]}}"#))
}

fn call(tool: &str, line: &str, notes: &mut Vec<String>) -> Result<String, String> {
    let text = |name: &str| between(line, &format!("\"{name}\":\""), &['"']).to_owned();
    match tool {
        "forecast" => {
            work(21);
            let days = r#"[{"day":"mon","max":21},{"day":"tue","max":23}]"#;
            let (city, now) = (text("city"), now());
            object(format!(r#"{{"city":"{city}","days":{days},"updated":{now}}}"#))
        }
        "convert" => {
            work(22);
            let amount: u64 = between(line, "\"amount\":", &['}', ',']).trim().parse().unwrap();
            let rate = 3;
            object(format!(r#"{{"amount":{amount},"rate":{rate},"total":{}}}"#, amount * rate))
        }
        "search" => {
            work(23);
            let hits = format!(r#"[{{"title":"about {}","score":7}}]"#, text("query"));
            object(format!(r#"{{"hits":{hits},"request":{}}}"#, now()))
        }
        "report" => {
            work(24);
            let report = format!("Report for {}\\nprinted at {}\\nwind 5\\nrain none", text("city"), now());
            Ok(format!(r#"{{"content":[{{"type":"text","text":"{report}"}}]}}"#))
        }
        "set_unit" => {
            work(25);
            effect("set_unit");
            object(format!(r#"{{"unit":"{}","supported":["c","f"],"precision":1}}"#, text("unit")))
        }
        "add_note" => {
            work(26);
            effect("add_note");
            notes.push(text("text"));
            object(format!(r#"{{"count":{},"text":"{}"}}"#, notes.len(), text("text")))
        }
        _ => Err("no such tool".to_owned()),
    }
}

fn tools() -> String {
    let tool = |name: &str, argument: &str, kind: &str, annotations: &str| {
        format!(
            r#"{{"name":"{name}","inputSchema":{{"type":"object","properties":{{"{argument}":{{"type":"{kind}"}}}}}},"annotations":{annotations}}}"#
        )
    };
    let tools = [
        tool("forecast", "city", "string", READS),
        tool("convert", "amount", "integer", READS),
        tool("search", "query", "string", READS),
        tool("report", "city", "string", READS),
        tool("set_unit", "unit", "string", REPEATABLE),
        tool("add_note", "text", "string", "{}"),
    ];
    format!(r#"{{"tools":[{}]}}"#, tools.join(","))
}

fn main() {
    let mut notes = Vec::new();
    for line in std::io::stdin().lock().lines().map_while(Result::ok) {
        let id = between(&line, "\"id\":", &[',', '}']);
        let answer = match between(&line, "\"method\":\"", &['"']) {
            "initialize" => Ok(r#"{"protocolVersion":"2025-06-18","capabilities":{"tools":{}},"serverInfo":{"name":"sample","version":"1"}}"#.to_owned()),
            "tools/list" => Ok(tools()),
            "tools/call" => call(between(&line, "\"name\":\"", &['"']), &line, &mut notes),
            "ping" => Ok("{}".to_owned()),
            method if method.starts_with("notifications/") => continue,
            _ => Err("no such method".to_owned()),
        };
        let answer = match answer {
            Ok(result) => format!(r#""result":{result}"#),
            Err(message) => format!(r#""error":{{"code":-32601,"message":"{message}"}}"#),
        };
        println!(r#"{{"jsonrpc":"2.0","id":{id},{answer}}}"#);
    }
}
