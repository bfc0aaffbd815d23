use std::fs;
use std::ops::Range;
use std::path::Path;
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant, UNIX_EPOCH};

use serde_json::value::RawValue;

use super::format::ShownContent;
use super::*;
use crate::config::{HiddenValues, ServerSpec};
use crate::event::EventSender;

const KEY: &str = "hush-hush-42";

fn hidden() -> HiddenValues {
    let mut spec = ServerSpec::new("a".into(), "sh".into(), Vec::new(), "/".into());
    spec.env.push(("API_KEY".into(), KEY.into()));
    spec.hidden_values()
}

fn recorder(max_memory: usize) -> Recorder {
    Recorder {
        memory: Arc::new(MessageMemory::new(max_memory)),
    }
}

/// Returns the lines of all messages so far, at the time 0.
fn lines(recorder: &Recorder) -> Vec<String> {
    let format = LineFormat::new(7);
    recorder.memory.close();
    let batch = recorder.memory.take(true).unwrap();
    let dropped = (batch.dropped > 0).then(|| format.dropped(batch.dropped, UNIX_EPOCH).to_json());
    let written = batch.messages.into_iter().map(|message| {
        let shown = ShownContent::of(&message, &hidden());
        let at = UNIX_EPOCH;
        format
            .line(&RecordedMessage { at, ..message }, &shown)
            .to_json()
    });
    dropped.into_iter().chain(written).collect()
}

fn whole(line: &str) -> [&[u8]; 3] {
    [line.as_bytes(), b"", b""]
}

#[test]
fn a_message_becomes_a_line() {
    let recorder = recorder(MAX_MEMORY);
    let session = recorder.session(2);
    let connection = session.connection("weather".into(), 3);
    let request = [r#"{"id":"#, "5", r#","method":"x","n":1E5,"s":"\ud83d"}"#].map(str::as_bytes);
    session.request(Era::Modern, request);
    let id = RequestId::from(r#""hush-hush-42""#);
    connection.sent(None, Some(id), whole(r#"{"id":1,"method":"x"}"#));
    let response = "{\"id\":1,\r\"result\":{\"key\":\"hush-hush-42\"}}";
    connection.received(Some(Era::Legacy), response);
    session.sent(whole("no JSON\n"));
    session.received(r#"{"result":hush-hush-42}"#);
    let expected = [
        r#"{"time_us":0,"from":"client","to":"proxy","session":"7-2","era":"modern","bytes":42,"message":{"id":5,"method":"x","n":1E5,"s":"\ud83d"}}"#,
        r#"{"time_us":0,"from":"proxy","to":"server","session":"7-2","server":"weather","generation":3,"client_id":"${API_KEY}","bytes":21,"message":{"id":1,"method":"x"}}"#,
        r#"{"time_us":0,"from":"server","to":"proxy","session":"7-2","server":"weather","generation":3,"era":"legacy","bytes":41,"message":{"id":1, "result":{"key":"${API_KEY}"}}}"#,
        r#"{"time_us":0,"from":"proxy","to":"client","session":"7-2","era":"modern","bytes":8,"text":"no JSON\n"}"#,
        r#"{"time_us":0,"from":"client","to":"proxy","session":"7-2","era":"modern","bytes":23,"text":"{\"result\":${API_KEY}}"}"#,
    ];
    assert_eq!(lines(&recorder), expected);
}

#[test]
fn a_long_message_is_cut_and_the_cut_leaves_no_part_of_a_secret() {
    let ends = [MAX_LENGTH, MAX_LENGTH + MARGIN];
    for start in ends.map(|end| end - KEY.len() / 2) {
        let recorder = recorder(MAX_MEMORY);
        let line = format!(
            "\"{}{KEY}{}\"",
            "ä".repeat(start / 2),
            "x".repeat(2 * MARGIN)
        );
        recorder.session(1).received(&line);
        let lines = lines(&recorder);
        let value: serde_json::Value = serde_json::from_str(&lines[0]).unwrap();
        assert_eq!(value["bytes"], line.len());
        let text = value["text"].as_str().unwrap();
        assert!((MAX_LENGTH / 2..=MAX_LENGTH).contains(&text.len()));
        assert!(text.starts_with("\"ää") && !text.contains("hush"));
    }
    let recorder = recorder(MAX_MEMORY);
    let line = format!("\"{}\"", "x".repeat(MAX_LENGTH - 2));
    recorder.session(1).received(&line);
    assert!(lines(&recorder)[0].contains(r#","message":"xxx"#));
}

#[test]
fn the_newest_messages_are_kept_and_the_others_counted() {
    let size = RecordedMessage::new(MessageWay::ProxyToClient, 1, whole("1")).size();
    let small = recorder(3 * size);
    let session = small.session(1);
    for number in 1..=5 {
        session.sent(whole(&number.to_string()));
    }
    let lines = lines(&small);
    assert_eq!(lines[0], r#"{"time_us":0,"pid":7,"dropped":2}"#);
    let kept = lines[1..]
        .iter()
        .map(|line| line.rsplit_once(':').unwrap().1);
    assert_eq!(kept.collect::<Vec<_>>(), ["3}", "4}", "5}"]);
    // A closed memory takes no more.
    session.sent(whole("6"));
    assert!(small.memory.take(true).is_none());
}

#[test]
fn a_recording_is_written_to_its_end() {
    let room = tempfile::tempdir().unwrap();
    let path = room.path().join("x.ndjson");
    let file = RecordingFile::open(&path).unwrap();
    let recording = Recording::start(Some(file), None, &EventSender::silent()).unwrap();
    let session = recording.recorder().session(1);
    for number in 0..1000 {
        session.sent(whole(&number.to_string()));
    }
    recording.finish();
    let text = fs::read_to_string(&path).unwrap();
    let mut lines = text.lines();
    assert!(lines.next().unwrap().starts_with(format::HEAD));
    assert_eq!(lines.clone().count(), 1000);
    assert!(
        lines
            .next_back()
            .unwrap()
            .ends_with(r#""bytes":3,"message":999}"#)
    );
}

/// Receiver that is watched or not.
#[derive(Debug, Default)]
struct Heard {
    messages: Mutex<Vec<String>>,
    is_watched: AtomicBool,
    backlog: OnceLock<MessageBacklog>,
}

impl Heard {
    /// Starts to record for this receiver.
    fn start(self: &Arc<Self>) -> Recording {
        Recording::start(None, Some(self.clone()), &EventSender::silent()).unwrap()
    }

    /// Returns the messages so far, without the ends of batches.
    fn messages(&self) -> Vec<String> {
        let heard = self.messages.lock().unwrap();
        heard.iter().filter(|it| *it != "rest").cloned().collect()
    }
}

impl MessageReceiver for Heard {
    fn attach(&self, backlog: MessageBacklog) {
        self.backlog.set(backlog).unwrap();
    }

    fn is_watched(&self) -> bool {
        self.is_watched.load(Ordering::Relaxed)
    }

    fn receive(&self, message: &RecordedLine<'_>, line: &str) {
        assert_eq!(message.to_json(), line);
        let parsed: RecordedLine<'_> = serde_json::from_str(line).unwrap();
        assert_eq!(
            parsed.message.map(RawValue::get),
            message.message.map(RawValue::get)
        );
        self.messages
            .lock()
            .unwrap()
            .push(parsed.message.unwrap().to_string());
    }

    fn rest(&self) {
        self.messages.lock().unwrap().push("rest".to_owned());
    }
}

fn numbers(range: Range<u32>) -> Vec<String> {
    range.map(|it| it.to_string()).collect()
}

#[test]
fn a_receiver_gets_the_messages_in_their_order() {
    let heard = Arc::new(Heard::default());
    let recording = heard.start();
    let session = recording.recorder().session(1);
    for number in numbers(0..1000) {
        session.sent(whole(&number));
    }
    heard.backlog.get().unwrap().catch_up();
    assert_eq!(heard.messages(), numbers(0..1000));
    assert_eq!(heard.messages.lock().unwrap().last().unwrap(), "rest");
    recording.finish();
}

#[test]
fn messages_wait_until_somebody_looks() {
    let heard = Arc::new(Heard::default());
    let recording = heard.start();
    let session = recording.recorder().session(1);
    let backlog = heard.backlog.get().unwrap();
    session.sent(whole("0"));
    assert_eq!(heard.messages(), numbers(0..0));
    // Nothing new wakes nobody.
    for _ in 0..2 {
        backlog.catch_up();
        assert_eq!(*heard.messages.lock().unwrap(), ["0", "rest"]);
    }
    session.sent(whole("1"));
    backlog.request();
    eventually(|| heard.messages() == numbers(0..2));
    heard.is_watched.store(true, Ordering::Relaxed);
    backlog.request();
    session.sent(whole("2"));
    eventually(|| heard.messages() == numbers(0..3));
    session.sent(whole("3"));
    eventually(|| heard.messages() == numbers(0..4));
    recording.finish();
    backlog.catch_up();
}

fn eventually(is_met: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !is_met() {
        assert!(Instant::now() < deadline);
        std::thread::yield_now();
    }
}

#[test]
fn a_recording_is_continued_and_no_other_file_is_touched() {
    let room = tempfile::tempdir().unwrap();
    let path = room.path().join("x.ndjson");
    let open = |path: &Path| RecordingFile::open(path).map(drop);
    open(&path).unwrap();
    // The proxy was killed while it wrote.
    let first = fs::read_to_string(&path).unwrap();
    fs::write(&path, format!("{first}{{\"time")).unwrap();
    open(&path).unwrap();
    let text = fs::read_to_string(&path).unwrap();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!((lines.len(), lines[1]), (3, "{\"time"), "{text}");
    assert!(lines[2].starts_with(format::HEAD), "{text}");
    let foreign = room.path().join("server.py");
    fs::write(&foreign, "print()").unwrap();
    for path in [&*foreign, room.path()] {
        let error = open(path).unwrap_err().to_string();
        assert!(error.contains("is not a recording"), "{error}");
    }
    assert_eq!(fs::read_to_string(&foreign).unwrap(), "print()");
    let error = open(&room.path().join("no/x")).unwrap_err().to_string();
    assert!(error.contains("cannot open"), "{error}");
}

#[cfg(unix)]
#[test]
fn a_recording_is_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let room = tempfile::tempdir().unwrap();
    let path = room.path().join("x.ndjson");
    fs::write(&path, "").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    RecordingFile::open(&path).unwrap();
    let mode = fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o600);
}
