//! The newest events, in two bounded lists: lines of output would displace all others.

use std::collections::{BTreeSet, VecDeque};
use std::fmt::Write as _;
use std::sync::Arc;

use serde_json::Value;

/// Maximum number of events, and of lines of output.
const MAX_EVENTS: usize = 5_000;
/// Maximum size of the events, and of the lines of output, in bytes of their JSON.
const MAX_SIZE: usize = 16 * 1024 * 1024;
/// Length in bytes to which the text of a line of output is cut.
const MAX_OUTPUT: usize = 4_096;

/// Event as the JSON object of the log, with its sentence for people as `text` and a number as `n`.
pub(super) type PageEvent = Arc<Value>;

/// Server of a session, whose servers have the same names as those of other sessions.
#[derive(Debug, Clone, Copy)]
pub(super) struct SessionServer<'a> {
    pub(super) session: u64,
    pub(super) name: &'a str,
}

impl SessionServer<'_> {
    fn has(self, event: &Value) -> bool {
        event["server"] == self.name && event["session"] == self.session
    }
}

/// The newest events, the oldest first.
#[derive(Debug, Default)]
pub(super) struct EventLog {
    events: BoundedEvents,
    /// Output of servers and builds.
    output: BoundedEvents,
    /// Number of events so far.
    count: u64,
    /// Number of events without output so far.
    changes: u64,
}

/// Events with their sizes, at most [`MAX_EVENTS`] with at most [`MAX_SIZE`].
#[derive(Debug, Default)]
struct BoundedEvents {
    events: VecDeque<(usize, PageEvent)>,
    size: usize,
}

impl BoundedEvents {
    fn push(&mut self, size: usize, event: PageEvent) {
        self.events.push_back((size, event));
        self.size += size;
        while (self.size > MAX_SIZE || self.events.len() > MAX_EVENTS)
            && let Some((oldest, _)) = self.events.pop_front()
        {
            self.size -= oldest;
        }
    }

    fn iter(&self) -> impl DoubleEndedIterator<Item = &PageEvent> {
        self.events.iter().map(|(_, event)| event)
    }
}

/// Returns true for an event after which a generation is live.
fn is_start(event: &Value) -> bool {
    event["event"] == "ready" || event["event"] == "reloaded"
}

impl EventLog {
    /// Adds the event of a line, and returns it; `None` if it is none of the page's.
    pub(super) fn add(&mut self, line: &str) -> Option<PageEvent> {
        let mut event = serde_json::from_str::<Value>(line).ok()?;
        let is_output = match event["event"].as_str() {
            // It has the token of the link.
            None | Some("page") => return None,
            Some(name) => matches!(name, "stderr" | "build_output" | "stray"),
        };
        let (list, size) = if is_output {
            cut(&mut event["line"]);
            cut(&mut event["text"]);
            (&mut self.output, line.len().min(2 * MAX_OUTPUT))
        } else {
            self.changes += 1;
            (&mut self.events, line.len())
        };
        event["n"] = self.count.into();
        self.count += 1;
        let event = Arc::new(event);
        list.push(size, event.clone());
        Some(event)
    }

    /// Returns the number of events so far.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// Returns the number of events without output so far.
    pub(super) fn changes(&self) -> u64 {
        self.changes
    }

    /// Returns the events without output from number `first` on.
    pub(super) fn since(&self, first: u64) -> Vec<PageEvent> {
        let events = self.events.iter();
        let newer = events.filter(|event| event["n"].as_u64() >= Some(first));
        newer.cloned().collect()
    }

    /// Returns the event of the start or reload that led to a generation of a session's server.
    pub(super) fn start(&self, of: SessionServer<'_>, generation: u64) -> Option<PageEvent> {
        let mut events = self.events.iter().rev();
        let is_wanted = |event: &&PageEvent| {
            is_start(event) && of.has(event) && event["generation"] == generation
        };
        events.find(is_wanted).cloned()
    }

    /// Returns the files of the saves that a reload of a session's server followed.
    pub(super) fn saved_files(&self, of: SessionServer<'_>, reload: &PageEvent) -> Vec<String> {
        let events = self.events.iter().rev().filter(|event| of.has(event));
        let before = events.skip_while(|event| event["n"] != reload["n"]).skip(1);
        let since = before.take_while(|event| !is_start(event) && event["event"] != "broken");
        let saves = since.filter(|event| event["event"] == "changed");
        let paths = saves.filter_map(|event| event["paths"].as_array());
        let paths = paths.flatten().filter_map(Value::as_str).map(str::to_owned);
        paths.collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// Returns the last `count` lines of a server's output, the oldest first.
    pub(super) fn last_output(&self, of: SessionServer<'_>, count: usize) -> Vec<PageEvent> {
        let output = self.output.iter().rev().filter(|event| of.has(event));
        let mut lines: Vec<_> = output.take(count).cloned().collect();
        lines.reverse();
        lines
    }

    /// Returns the first `count` lines of a generation's output between two times, written as in the log.
    pub(super) fn output_between(
        &self,
        of: SessionServer<'_>,
        generation: u64,
        (from, to): (&str, &str),
        count: usize,
    ) -> Vec<PageEvent> {
        let is_wanted = |event: &&PageEvent| {
            let time = event["time"].as_str().unwrap_or_default();
            of.has(event) && event["generation"] == generation && (from..=to).contains(&time)
        };
        let output = self.output.iter().filter(is_wanted);
        output.take(count).cloned().collect()
    }
}

/// Cuts a text to [`MAX_OUTPUT`].
fn cut(text: &mut Value) {
    let Value::String(text) = text else {
        return;
    };
    if let Some(end) = (0..=MAX_OUTPUT).rev().find(|at| text.is_char_boundary(*at))
        && end < text.len()
    {
        let more = text.len() - end;
        text.truncate(end);
        let _ = write!(text, "… (+{more} bytes)");
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn stderr(line: &str) -> String {
        json!({ "event": "stderr", "server": "a", "session": 1, "line": line, "text": line })
            .to_string()
    }

    fn server(session: u64, name: &str) -> SessionServer<'_> {
        SessionServer { session, name }
    }

    #[test]
    fn output_displaces_no_event() {
        let mut log = EventLog::default();
        let reload = json!({ "event": "reloaded", "server": "a", "session": 1, "generation": 2 });
        assert!(log.add(&reload.to_string()).is_some());
        for line in 0..=MAX_EVENTS {
            assert!(log.add(&stderr(&line.to_string())).is_some());
        }
        assert_eq!(log.output.iter().count(), MAX_EVENTS);
        assert_eq!(log.count(), 2 + MAX_EVENTS as u64);
        assert_eq!((log.changes(), log.since(0).len()), (1, 1));
        assert!(log.since(1).is_empty());
        assert_eq!(log.start(server(1, "a"), 2).unwrap()["n"], 0);
        for (other, generation) in [
            (server(1, "a"), 3),
            (server(1, "b"), 2),
            (server(2, "a"), 2),
        ] {
            assert!(log.start(other, generation).is_none(), "{other:?}");
        }
        assert!(log.last_output(server(2, "a"), 2).is_empty());
        let newest = log.last_output(server(1, "a"), 2);
        assert_eq!(newest[1]["line"], MAX_EVENTS.to_string());
        assert_eq!(newest.len(), 2);
    }

    #[test]
    fn a_reload_names_the_files_of_the_saves_before_it() {
        let mut log = EventLog::default();
        let events = [
            ("changed", 1, json!(["a.py"])),
            ("broken", 1, json!(null)),
            ("changed", 1, json!(["c.py", "b.py"])),
            ("changed", 2, json!(["d.py"])),
            ("changed", 1, json!(["b.py"])),
            ("reloaded", 1, json!(null)),
            ("reloaded", 1, json!(null)),
        ];
        for (event, session, paths) in events {
            let event =
                json!({ "event": event, "server": "a", "session": session, "paths": paths });
            assert!(log.add(&event.to_string()).is_some());
        }
        let all = log.since(0);
        assert_eq!(log.saved_files(server(1, "a"), &all[5]), ["b.py", "c.py"]);
        // The second one followed no save.
        assert!(log.saved_files(server(1, "a"), &all[6]).is_empty());
    }

    #[test]
    fn the_size_of_events_is_limited() {
        let mut log = EventLog::default();
        let text = "x".repeat(MAX_SIZE / 4);
        for server in ["a", "b", "c", "d", "e"] {
            log.add(&json!({ "event": "reloaded", "server": server, "text": text }).to_string());
        }
        let kept: Vec<_> = log.events.iter().map(|it| it["server"].clone()).collect();
        assert_eq!(kept, ["c", "d", "e"]);
    }

    #[test]
    fn long_output_is_cut_and_the_link_is_not_kept() {
        let mut log = EventLog::default();
        log.add(&stderr(&"é".repeat(10_000)));
        let line = log.last_output(server(1, "a"), 1)[0]["line"].clone();
        assert_eq!(line, format!("{}… (+15904 bytes)", "é".repeat(2048)));
        assert!(
            log.add(r#"{"event":"page","url":"http://x/?token=y"}"#)
                .is_none()
        );
        assert!(log.add("no event").is_none());
        assert_eq!(log.count(), 1);
    }
}
