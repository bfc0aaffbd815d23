//! Printing threads: one for stderr and one for the log file, if any. A client that never reads stderr thus blocks
//! neither the log file nor the exit.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, Sender, SyncSender};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::SystemTime;

use anstream::adapter::strip_str;
use anstream::{AutoStream, ColorChoice};

use super::human::{HumanFormatter, shows_stray};
use super::text::rfc3339;
use super::{FINISH_DEADLINE, LogFormat, OutputOptions, json};
use crate::config::HiddenValues;
use crate::event::{EVENT_BACKLOG, Event, EventSender};
use crate::lock::locked;
use crate::private_files;

/// Handle of the printing threads; [`finish`](Self::finish) ends them.
#[derive(Debug)]
#[must_use = "only `finish` makes sure that the last events are printed"]
pub(crate) struct Printer {
    finishing: Arc<AtomicBool>,
    wake: SyncSender<Event>,
    /// Closes when the last thread has written everything; carries no data.
    ended: Receiver<()>,
}

impl Printer {
    /// Prints all events sent so far and ends the threads, or gives up at the deadline: a client that does not read
    /// stderr must not delay the exit.
    pub(crate) fn finish(self) {
        self.finishing.store(true, Ordering::SeqCst);
        // Wakes a waiting thread without printing anything. With a full channel no thread waits.
        let _ = self.wake.try_send(Event::Ending {
            reason: String::new(),
        });
        let _ = self.ended.recv_timeout(FINISH_DEADLINE);
    }
}

/// Starts the printing threads. Returns an error if the log file cannot be opened or a thread cannot be started.
pub(crate) fn start(options: &OutputOptions) -> io::Result<(EventSender, Printer)> {
    let colored = AutoStream::choice(&io::stderr()) != ColorChoice::Never;
    start_on(Box::new(io::stderr()), colored, options)
}

fn start_on(
    stderr: Box<dyn Write + Send>,
    colored: bool,
    options: &OutputOptions,
) -> io::Result<(EventSender, Printer)> {
    let human = || HumanFormatter::new(options.verbosity);
    let (sender, events) = mpsc::sync_channel(EVENT_BACKLOG);
    let dropped = Arc::new(AtomicU64::new(0));
    let finishing = Arc::new(AtomicBool::new(false));
    let (done, ended) = mpsc::channel();
    let printer = Printer {
        finishing: Arc::clone(&finishing),
        wake: sender.clone(),
        ended,
    };
    let outlet = EventSender::new(sender, Arc::clone(&dropped));
    outlet.hide(&HiddenValues::inherited());
    let hidden = outlet.hidden();

    let stderr_form = match options.log_format {
        LogFormat::Json if options.log_file.is_none() => EntryFormat::Json,
        _ if colored => EntryFormat::Colored(human()),
        _ => EntryFormat::Plain(human()),
    };
    let Some(path) = &options.log_file else {
        let printing = PrinterThread::new(stderr, stderr_form, dropped, hidden, None, done);
        spawn("stderr", move || printing.run(&events, &finishing))?;
        return Ok((outlet, printer));
    };

    let log_form = match options.log_format {
        LogFormat::Json => EntryFormat::Json,
        LogFormat::Human => EntryFormat::Timed(human()),
    };
    let (to_stderr, from_log) = mpsc::sync_channel(EVENT_BACKLOG);
    let unread = Arc::new(AtomicU64::new(0));
    let to_stderr = EventSender::new(to_stderr, Arc::clone(&unread));
    let log = Box::new(open(path)?);
    let next = Some(to_stderr);
    let logging = PrinterThread::new(log, log_form, dropped, hidden.clone(), next, done.clone());
    spawn("log", move || logging.run(&events, &finishing))?;
    // Ends when the thread of the log file drops its sender.
    let printing = PrinterThread::new(stderr, stderr_form, unread, hidden, None, done);
    spawn("stderr", move || {
        printing.run(&from_log, &AtomicBool::new(false));
    })?;
    Ok((outlet, printer))
}

fn open(path: &Path) -> io::Result<File> {
    private_files::append(path).map_err(|error| {
        let text = format!("cannot open the log file {}: {error}", path.display());
        io::Error::new(error.kind(), text)
    })
}

fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let thread = thread::Builder::new().name(name.to_owned());
    thread.spawn(body).map(drop)
}

/// Format of a thread's output.
#[derive(Debug)]
enum EntryFormat {
    /// Coloured lines for people.
    Colored(HumanFormatter),
    /// Lines for people without colour.
    Plain(HumanFormatter),
    /// Lines for people without colour, each entry after a timestamp.
    Timed(HumanFormatter),
    Json,
}

impl EntryFormat {
    /// Returns whole lines; `None` if the event is not printed.
    fn entry(&mut self, event: &Event, hidden: &HiddenValues) -> Option<String> {
        match event {
            Event::Ending { reason } if reason.is_empty() => return None,
            Event::Stray { count, .. } if !shows_stray(*count) => return None,
            _ => {}
        }
        match self {
            Self::Colored(human) | Self::Plain(human) | Self::Timed(human) => {
                let entry = hidden.hide(human.entry(event)?);
                Some(self.finish(entry))
            }
            Self::Json => Some(json::line(event, SystemTime::now(), hidden) + "\n"),
        }
    }

    /// Returns the line that reports the number of dropped events.
    fn dropped(&mut self, count: u64) -> String {
        match self {
            Self::Colored(human) | Self::Plain(human) | Self::Timed(human) => {
                let entry = human.dropped(count);
                self.finish(entry)
            }
            Self::Json => json::dropped(count, SystemTime::now()) + "\n",
        }
    }

    fn finish(&self, entry: String) -> String {
        match self {
            Self::Colored(_) | Self::Json => entry,
            Self::Plain(_) => strip_str(&entry).to_string(),
            Self::Timed(_) => format!("{}  {}", rfc3339(SystemTime::now()), strip_str(&entry)),
        }
    }
}

/// State of one printing thread.
struct PrinterThread {
    to: Box<dyn Write + Send>,
    form: EntryFormat,
    /// Number of events that did not fit into this thread's channel.
    dropped: Arc<AtomicU64>,
    /// Values that must not be shown.
    hidden: Arc<Mutex<HiddenValues>>,
    /// Thread that receives the events next.
    next: Option<EventSender>,
    /// Sender whose drop marks the end of the thread.
    _done: Sender<()>,
}

impl PrinterThread {
    fn new(
        to: Box<dyn Write + Send>,
        form: EntryFormat,
        dropped: Arc<AtomicU64>,
        hidden: Arc<Mutex<HiddenValues>>,
        next: Option<EventSender>,
        done: Sender<()>,
    ) -> Self {
        Self {
            to,
            form,
            dropped,
            hidden,
            next,
            _done: done,
        }
    }

    fn run(mut self, events: &Receiver<Event>, finishing: &AtomicBool) {
        loop {
            let event = if finishing.load(Ordering::SeqCst) {
                events.try_recv().ok()
            } else {
                events.recv().ok()
            };
            let Some(event) = event else { return };
            self.print(&event);
            if let Some(next) = &self.next {
                next.send(event);
            }
        }
    }

    /// Writes each entry in one call, so that lines of other writers do not interrupt it. Write errors are ignored:
    /// stderr would be the place to report them.
    fn print(&mut self, event: &Event) {
        let entry = self.form.entry(event, &locked(&self.hidden));
        let dropped = self.dropped.swap(0, Ordering::Relaxed);
        if dropped > 0 {
            let _ = self.to.write_all(self.form.dropped(dropped).as_bytes());
        }
        if let Some(entry) = entry {
            let _ = self.to.write_all(entry.as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::event::StrayKind;
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
    fn what_does_not_fit_is_counted_and_said() {
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
}
