//! Recording in a file, which the page shows in place of a running proxy.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use serde_json::{Value, json};

use super::events::EventLog;
use super::messages::{Exchange, HANDSHAKE, LogLimits, MessageLog};
use crate::file_error::FileError;
use crate::output::{clean, rfc3339};
use crate::recorder::{FORMAT, RecordedLine, own_line};

/// Fault of a last line that ends early.
const CUT: &str = "is the last one and is cut off";
/// Maximum number of faulty lines that are named.
const MAX_FAULTS: usize = 20;
/// Beginning of a file that gzip has compressed.
const GZIP: [u8; 2] = [0x1f, 0x8b];
/// Maximum length of a line in bytes. Lines of recorders are shorter, since they cut messages.
const MAX_LINE: usize = 16 * 1024 * 1024;

/// Reason why a recording cannot be shown.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error("{file} is compressed: unpack it, as by `gunzip -c {file} > session.ndjson`", file = .0.display())]
    Compressed(PathBuf),
    #[error("{} has no recorded message: name a file of `--record` or of `mcporter record`, or one that the page has \
             saved{}", .0.display(), .1.as_ref().map(|it| format!(". {it}")).unwrap_or_default())]
    Foreign(PathBuf, Option<String>),
}

/// Content of the file.
#[derive(Debug)]
pub(crate) struct OpenedRecording {
    /// Name of the file without its folder.
    pub(super) name: String,
    pub(super) messages: MessageLog,
    /// Starts and ends of generations, as far as the messages tell them.
    pub(super) events: EventLog,
    /// Lines that cannot be read, in words.
    pub(super) faults: Vec<String>,
}

impl OpenedRecording {
    /// Reads the recording `path`, up to its end at this moment. Blocks.
    pub(crate) fn read(path: &Path) -> Result<Self, OpenError> {
        let file = File::open(path).map_err(FileError::at("read", path))?;
        let mut file = BufReader::new(file);
        let beginning = file.fill_buf().map_err(FileError::at("read", path))?;
        if beginning.starts_with(&GZIP) {
            return Err(OpenError::Compressed(path.to_owned()));
        }
        let mut messages = MessageLog::new(LogLimits::FILE);
        let mut faults = Vec::new();
        let (mut line, mut number, mut faulty) = (Vec::new(), 0_u64, 0);
        let mut end = None;
        loop {
            line.clear();
            let mut limited = file.by_ref().take(MAX_LINE as u64 + 1);
            let read = limited.read_until(b'\n', &mut line);
            if read.map_err(FileError::at("read", path))? == 0 {
                break;
            }
            number += 1;
            if line.len() > MAX_LINE {
                end = Some(format!(
                    "line {number} is longer than {} MiB, and the file is read only up to it",
                    MAX_LINE >> 20
                ));
                break;
            }
            if line.trim_ascii().is_empty() {
                continue;
            }
            let Some(fault) = fault(&mut messages, &line) else {
                continue;
            };
            faulty += 1;
            if faults.len() < MAX_FAULTS {
                faults.push(format!("line {number} {fault}"));
            }
        }
        if messages.iter().next().is_none() {
            return Err(OpenError::Foreign(
                path.to_owned(),
                faults.into_iter().chain(end).next(),
            ));
        }
        messages.end_requests();
        if faulty > faults.len() {
            faults.push(format!(
                "{} more lines cannot be read",
                faulty - faults.len()
            ));
        }
        faults.extend(end);
        let mut events = EventLog::default();
        for event in generations(messages.iter().map(|it| &**it)) {
            events.add(&event.to_string());
        }
        let name = path.file_name().unwrap_or(OsStr::new("recording"));
        Ok(Self {
            name: name.to_string_lossy().into_owned(),
            messages,
            events,
            faults,
        })
    }

    /// Returns the lines that cannot be read, in words.
    pub(crate) fn faults(&self) -> &[String] {
        &self.faults
    }
}

/// Adds a line to the messages; returns the reason in words if it cannot be read.
fn fault(messages: &mut MessageLog, line: &[u8]) -> Option<String> {
    // The line of a proxy that was killed ends early, maybe within a character.
    let is_cut = !line.ends_with(b"\n");
    let text = match std::str::from_utf8(line) {
        Ok(text) => text,
        Err(error) if is_cut && error.error_len().is_none() => return Some(CUT.to_owned()),
        Err(_) => return Some("is no text".to_owned()),
    };
    // Some editors of Windows begin a file with a byte order mark.
    let text = own_line(text.trim_start_matches('\u{feff}').trim_end());
    let recorded = match serde_json::from_str::<RecordedLine<'_>>(&text) {
        Ok(recorded) => recorded,
        Err(error) if is_cut && error.is_eof() => return Some(CUT.to_owned()),
        Err(error) => {
            return Some(format!(
                "is no recorded message: {}",
                clean(&error.to_string())
            ));
        }
    };
    // Other programs may have written the members with spaces or in another order.
    messages.add_recorded(&recorded, &recorded.to_json());
    let format = recorded.format.filter(|it| *it > FORMAT)?;
    Some(format!(
        "begins messages of format {format}, and this mcp-proxy reads format {FORMAT}: update it if any are missing"
    ))
}

/// Times of one generation of a server, in microseconds since 1970.
#[derive(Debug)]
struct GenerationTimes {
    first: u64,
    /// End of its handshake, if that is recorded.
    ready: Option<u64>,
    last: u64,
}

/// Returns starts and ends of the generations that took part in exchanges, in order of time, as events of the log.
fn generations<'a>(exchanges: impl Iterator<Item = &'a Exchange>) -> Vec<Value> {
    let mut known: HashMap<(&str, &str, u64), GenerationTimes> = HashMap::new();
    for exchange in exchanges.filter(|it| !it.server.is_empty()) {
        let session = &*exchange.session_name;
        let key = (session, &*exchange.server, exchange.generation);
        let at = exchange.to_server.unwrap_or(exchange.at);
        let last = exchange.end.or(exchange.from_server).unwrap_or(at);
        let times = known.entry(key).or_insert(GenerationTimes {
            first: at,
            ready: None,
            last,
        });
        times.first = times.first.min(at);
        times.last = times.last.max(last);
        if HANDSHAKE.contains(&&*exchange.method) && exchange.from.as_ref() == "proxy" {
            times.ready = times.ready.or(exchange.end);
        }
    }
    let mut events = Vec::new();
    for ((session, server, generation), times) in known {
        let mut push = |at: u64, name: &str, text: String| {
            let time = rfc3339(UNIX_EPOCH + Duration::from_micros(at));
            let event = json!({
                "time": time, "event": name, "session": session, "server": server, "generation": generation,
                "text": text,
            });
            // Of the same moment, the start comes first.
            events.push((at, name == "stopped", event));
        };
        if let Some(ready) = times.ready {
            push(
                times.first,
                "spawned",
                format!("generation {generation} starts"),
            );
            push(
                ready,
                "ready",
                format!("generation {generation} has completed its handshake"),
            );
        } else {
            push(
                times.first,
                "ready",
                format!("first message of generation {generation}"),
            );
        }
        push(
            times.last,
            "stopped",
            format!("last message of generation {generation}"),
        );
    }
    events.sort_by_key(|(at, is_end, event)| (*at, *is_end, event["generation"].as_u64()));
    events.into_iter().map(|(_, _, event)| event).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINES: &str = r#"{"mcp_proxy_recording":1,"version":"0.1.0","pid":7,"time_us":500}
{"time_us":1000,"from":"proxy","to":"server","session":"7-1","server":"weather","generation":1,"bytes":25,"message":{"id":1,"method":"initialize"}}
no JSON
{"time_us":3000,"from":"server","to":"proxy","session":"7-1","server":"weather","generation":1,"bytes":25,"message":{"id":1,"result":{}}}
{"time_us":9000,"from":"proxy","to":"server","session":"7-1","server":"weather","generation":2,"bytes":25,"message":{"id":1,"method":"ping"}}
{"time_us":9500,"from":"proxy","to":"serv"#;

    fn read(text: &[u8]) -> Result<OpenedRecording, OpenError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.ndjson");
        std::fs::write(&path, text).unwrap();
        OpenedRecording::read(&path)
    }

    #[test]
    fn faulty_lines_are_told_with_their_numbers() {
        let recording = read(LINES.as_bytes()).unwrap();
        assert_eq!(
            (&*recording.name, recording.messages.iter().count()),
            ("a.ndjson", 2)
        );
        let [no_json, cut] = recording.faults() else {
            panic!("{:?}", recording.faults())
        };
        assert!(
            no_json.starts_with("line 3 is no recorded message: "),
            "{no_json}"
        );
        assert_eq!(cut, "line 6 is the last one and is cut off");
        let within_character = [LINES.as_bytes(), &"é".as_bytes()[..1]].concat();
        assert_eq!(
            read(&within_character).unwrap().faults(),
            recording.faults()
        );
        let whole = recording.events.since(0);
        let names: Vec<_> = whole
            .iter()
            .map(|it| it["event"].as_str().unwrap())
            .collect();
        assert_eq!(names, ["spawned", "ready", "stopped", "ready", "stopped"]);
        assert_eq!(whole[1]["time"], "1970-01-01T00:00:00.003Z");
    }

    #[test]
    fn recordings_of_other_programs_and_systems_are_read() {
        let mcporter = r#"{"jsonrpc":"2.0","method":"$transport/start","_meta":{"dir":"lifecycle","server":"my-weather","ts":"2026-07-28T12:00:00.000Z"}}
{"method":"tools/call","params":{"name":"forecast"},"jsonrpc":"2.0","id":1,"_meta":{"dir":"send","server":"my-weather","ts":"2026-07-28T12:00:00.123Z"}}
{"result":{"n":1E400},"jsonrpc":"2.0","id":1,"_meta":{"dir":"recv","server":"my-weather","ts":"2026-07-28T12:00:00.323Z"}}"#;
        let recording = read(mcporter.as_bytes()).unwrap();
        assert_eq!(recording.faults(), [] as [&str; 0]);
        let [call] = &recording.messages.iter().collect::<Vec<_>>()[..] else {
            panic!("{recording:?}");
        };
        assert_eq!(
            (&*call.session_name, &*call.server, call.took()),
            ("my-weather", "my-weather", Some(200_000))
        );
        assert!(
            call.lines[1].ends_with(r#""message":{"result":{"n":1E400},"jsonrpc":"2.0","id":1}}"#)
        );

        // From a system with other line ends and a byte order mark.
        let windows = format!("\u{feff}{}", LINES.replace('\n', "\r\n"));
        let recording = read(windows.as_bytes()).unwrap();
        let faults = recording.faults();
        assert!(
            faults.len() == 2 && faults[0].starts_with("line 3 "),
            "{faults:?}"
        );
        // Sorted and with spaces.
        let sorted = r#"{"bytes": 25, "era": "legacy", "from": "client", "message": {"id": 1, "method": "ping"}, "session": "7-1", "time_us": 5, "to": "proxy"}"#;
        let recording = read(sorted.as_bytes()).unwrap();
        let lines = &recording.messages.get(0).unwrap().lines;
        assert_eq!(
            *lines[0],
            *r#"{"time_us":5,"from":"client","to":"proxy","session":"7-1","era":"legacy","bytes":25,"message":{"id": 1, "method": "ping"}}"#
        );
    }

    #[test]
    fn newer_and_compressed_recordings_are_told() {
        let newer = LINES.replace(r#"recording":1"#, r#"recording":2"#);
        let recording = read(newer.as_bytes()).unwrap();
        let fault = &recording.faults()[0];
        assert!(
            fault.starts_with("line 1 begins messages of format 2"),
            "{fault}"
        );
        assert_eq!(recording.messages.iter().count(), 2);
        let error = read(&[GZIP[0], GZIP[1], 8, 0]).unwrap_err().to_string();
        assert!(error.contains("gunzip -c "), "{error}");
    }

    #[test]
    fn other_files_are_refused_and_many_faults_are_counted() {
        let error = read(b"[]\n").unwrap_err().to_string();
        assert!(
            error.contains("a.ndjson has no recorded message") && error.contains("line 1 "),
            "{error}"
        );
        assert!(read(b"").is_err());
        let long = [&vec![0; MAX_LINE + 1], &b"\n"[..], LINES.as_bytes()].concat();
        let error = read(&long).unwrap_err().to_string();
        assert!(error.contains("line 1 is longer than 16 MiB"), "{error}");
        let recording = read(&[LINES.as_bytes(), b"\n", &long].concat()).unwrap();
        let fault = recording.faults().last().unwrap();
        assert!(fault.starts_with("line 7 is longer than 16 MiB"), "{fault}");
        assert_eq!(recording.messages.iter().count(), 2);
        let many = [LINES.as_bytes(), &b"\n\xff".repeat(30)].concat();
        let recording = read(&many).unwrap();
        assert_eq!(recording.faults()[MAX_FAULTS - 1], "line 24 is no text");
        assert_eq!(
            recording.faults().last().unwrap(),
            "12 more lines cannot be read"
        );
    }
}
