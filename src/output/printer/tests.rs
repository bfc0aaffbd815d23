use crate::event::StrayKind;
#[cfg(unix)]
use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, Instant};

use super::*;
use crate::output::Verbosity;

/// Passes each written piece to a test.
struct Pieces(Sender<String>);

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let _ = self.0.send(String::from_utf8(bytes.to_vec()).unwrap());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Pipe that is full until the test drops the sender.
struct Stuck(Receiver<()>, Pieces);

impl Write for Stuck {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let _ = self.0.recv();
        self.1.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn said(text: &str) -> Event {
    Event::Stderr {
        server: "weather".to_owned(),
        generation: 1,
        line: text.to_owned(),
    }
}

fn stray(count: u64) -> Event {
    Event::Stray {
        server: "weather".to_owned(),
        generation: 1,
        line: "hi".to_owned(),
        count,
        kind: StrayKind::Line,
    }
}

#[test]
fn finish_prints_all_that_was_sent_though_senders_live_on() {
    let (pieces, written) = mpsc::channel();
    let (events, printer) =
        start_on(Box::new(Pieces(pieces)), false, &OutputOptions::default()).unwrap();
    for number in 0..100 {
        events.send(said(&number.to_string()));
    }
    let began = Instant::now();
    printer.finish();
    assert!(began.elapsed() < FINISH_DEADLINE);
    let lines: Vec<String> = written.try_iter().collect();
    assert_eq!(lines.len(), 100);
    assert_eq!(lines[99], "weather  | 99\n");
    drop(events);
}

#[test]
fn colour_is_kept_or_taken_out() {
    for colored in [true, false] {
        let (pieces, written) = mpsc::channel();
        let (events, printer) =
            start_on(Box::new(Pieces(pieces)), colored, &OutputOptions::default()).unwrap();
        events.send(said("x"));
        printer.finish();
        assert_eq!(written.recv().unwrap().contains('\u{1b}'), colored);
    }
}

#[test]
fn stray_lines_are_told_five_times_then_rarely() {
    let (pieces, written) = mpsc::channel();
    let options = OutputOptions {
        verbosity: Verbosity::Quiet,
        ..OutputOptions::default()
    };
    let (events, printer) = start_on(Box::new(Pieces(pieces)), false, &options).unwrap();
    for count in 1..=500 {
        events.send(stray(count));
    }
    printer.finish();
    assert_eq!(written.try_iter().count(), 5 + 3);
}

#[test]
fn a_stuck_stderr_holds_neither_the_log_file_nor_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let log_file = folder.path().join("log");
    let options = OutputOptions {
        log_file: Some(log_file.clone()),
        log_format: LogFormat::Json,
        ..OutputOptions::default()
    };
    let (release, stuck) = mpsc::channel();
    let to = Stuck(stuck, Pieces(mpsc::channel().0));
    let (events, printer) = start_on(Box::new(to), false, &options).unwrap();
    for number in 0..50 {
        events.send(said(&number.to_string()));
    }
    let began = Instant::now();
    printer.finish();
    assert!(began.elapsed() < FINISH_DEADLINE + Duration::from_secs(2));
    let log = std::fs::read_to_string(&log_file).unwrap();
    assert_eq!(log.lines().count(), 50);
    drop(release);
}

#[test]
fn events_that_do_not_fit_are_counted_and_reported() {
    let (release, stuck) = mpsc::channel::<()>();
    let (pieces, written) = mpsc::channel();
    let to = Stuck(stuck, Pieces(pieces));
    let (events, printer) = start_on(Box::new(to), false, &OutputOptions::default()).unwrap();
    // One event may be at the writer, EVENT_BACKLOG events wait, the others are dropped.
    for _ in 0..EVENT_BACKLOG + 38 {
        events.send(said("x"));
    }
    drop(release);
    printer.finish();
    let told = written.try_iter().find(|line| line.contains("dropped"));
    let told = told.unwrap();
    assert!(
        told.contains("37 messages dropped") || told.contains("38 messages dropped"),
        "{told}"
    );
    assert!(told.ends_with("(stderr is read too slowly)\n"), "{told}");
}

#[cfg(unix)]
#[test]
fn the_log_file_is_plain_and_timed_or_json_and_is_appended_to() {
    let folder = tempfile::tempdir().unwrap();
    let log_file = folder.path().join("log");
    for log_format in [LogFormat::Human, LogFormat::Json] {
        let options = OutputOptions {
            log_file: Some(log_file.clone()),
            log_format,
            ..OutputOptions::default()
        };
        let (pieces, written) = mpsc::channel();
        let (events, printer) = start_on(Box::new(Pieces(pieces)), false, &options).unwrap();
        let mode = log_file.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "it shows what servers say");
        events.send(said("x"));
        printer.finish();
        assert_eq!(written.recv().unwrap(), "weather  | x\n");
    }
    let log = std::fs::read_to_string(&log_file).unwrap();
    let (human, json) = log.split_once('\n').unwrap();
    assert!(human.ends_with("Z  weather  | x"), "{human}");
    let json: serde_json::Value = serde_json::from_str(json).unwrap();
    assert_eq!(json["event"], "stderr");
}

#[test]
fn a_log_file_that_cannot_be_opened_is_named() {
    let options = OutputOptions {
        log_file: Some("/no/such/log".into()),
        ..OutputOptions::default()
    };
    let error = start(&options).unwrap_err();
    assert!(error.to_string().contains("/no/such/log"), "{error}");
}
