//! Printing threads: one for a receiver in this process, if there is one, one for the user's state, if kept, one for the log file, if any, and one for stderr, in this order.
//! A client that never reads stderr thus blocks neither a file nor the exit.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender, SyncSender};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, SystemTime};

use anstream::adapter::strip_str;
use anstream::{AutoStream, ColorChoice};

use super::human::{HumanFormatter, shows_stray};
use super::text::rfc3339;
use super::{FINISH_DEADLINE, LogFormat, OutputOptions, json};
use crate::config::HiddenValues;
use crate::event::{EVENT_BACKLOG, Event, EventSender, SessionEvent};
use crate::line_sink::LineSink;
use crate::lock::locked;
use crate::private_files;
use crate::state::{Journal, RunOptions};

/// Handle of the printing threads; [`finish`](Self::finish) ends them.
#[derive(Debug)]
#[must_use = "only `finish` makes sure that the last events are printed"]
pub(crate) struct Printer {
    finishing: Arc<AtomicBool>,
    wake: SyncSender<Box<SessionEvent>>,
    /// Closes when the last thread has written everything; carries no data.
    ended: Receiver<()>,
}

impl Printer {
    /// Prints all events sent so far and ends the threads, or gives up at the deadline: a client that does not read
    /// stderr must not delay the exit.
    pub(crate) fn finish(self) {
        self.finishing.store(true, Ordering::SeqCst);
        // Wakes a waiting thread without printing anything. With a full channel no thread waits.
        let reason = String::new();
        let _ = self.wake.try_send(Box::new(SessionEvent {
            session: None,
            event: Event::Ending { reason },
        }));
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

    let mut incoming = (events, dropped, finishing);
    let mut outputs = outputs(stderr, colored, options)?.into_iter().peekable();
    while let Some((name, output)) = outputs.next() {
        let (events, dropped, finishing) = incoming;
        let (sender, forwarded) = mpsc::sync_channel(EVENT_BACKLOG);
        let unread = Arc::default();
        let is_last = outputs.peek().is_none();
        let thread = PrinterThread {
            output,
            dropped,
            hidden: outlet.hidden(),
            next: (!is_last).then(|| EventSender::new(sender, Arc::clone(&unread))),
            _done: done.clone(),
        };
        spawn(name, move || thread.run(&events, &finishing))?;
        // The next thread ends when this one drops its sender.
        incoming = (forwarded, unread, Arc::default());
    }
    Ok((outlet, printer))
}

/// Returns the outputs in the order in which they receive the events, with the names of their threads.
fn outputs(
    stderr: Box<dyn Write + Send>,
    colored: bool,
    options: &OutputOptions,
) -> io::Result<Vec<(&'static str, Output)>> {
    let human = || HumanFormatter::new(options.verbosity);
    let mut outputs = Vec::new();
    if let Some(copy) = &options.copy {
        let target = OutputTarget::Copy(copy.clone());
        let form = EntryFormat::Described;
        outputs.push(("events", Output { target, form }));
    }
    if let Some(run) = &options.run {
        let target = OutputTarget::Unopened(run.clone());
        let form = EntryFormat::Timed(human());
        outputs.push(("state", Output { target, form }));
    }
    if let Some(path) = &options.log_file {
        let target = OutputTarget::Stream(Box::new(open(path)?));
        let form = match options.log_format {
            LogFormat::Json => EntryFormat::Json,
            LogFormat::Human => EntryFormat::Timed(human()),
        };
        outputs.push(("log", Output { target, form }));
    }
    let target = OutputTarget::Stream(stderr);
    let form = match options.log_format {
        LogFormat::Json if options.log_file.is_none() => EntryFormat::Json,
        _ if colored => EntryFormat::Colored(human()),
        _ => EntryFormat::Plain(human()),
    };
    outputs.push(("stderr", Output { target, form }));
    Ok(outputs)
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
    /// JSON with the sentence for people.
    Described,
}

impl EntryFormat {
    /// Returns whole lines; `None` if the event is not printed.
    fn entry(&mut self, event: &SessionEvent, hidden: &HiddenValues) -> Option<String> {
        match &event.event {
            // The error that ends the program is printed to stderr in the end.
            Event::Failed { .. } if matches!(self, Self::Colored(_) | Self::Plain(_)) => {
                return None;
            }
            Event::Stray { count, .. } if !shows_stray(*count) => return None,
            _ => {}
        }
        match self {
            Self::Colored(human) | Self::Plain(human) | Self::Timed(human) => {
                let entry = hidden.hide_in_json(&human.entry(&event.event)?);
                Some(self.finish(entry))
            }
            Self::Json => Some(json::line(event, SystemTime::now(), hidden) + "\n"),
            Self::Described => Some(json::described(event, SystemTime::now(), hidden) + "\n"),
        }
    }

    /// Returns the line that reports the number of dropped events.
    fn dropped(&mut self, count: u64) -> String {
        match self {
            Self::Colored(human) | Self::Plain(human) | Self::Timed(human) => {
                let entry = human.dropped(count);
                self.finish(entry)
            }
            Self::Json | Self::Described => json::dropped(count, SystemTime::now()) + "\n",
        }
    }

    fn finish(&self, entry: String) -> String {
        match self {
            Self::Colored(_) | Self::Json | Self::Described => entry,
            Self::Plain(_) => strip_str(&entry).to_string(),
            Self::Timed(_) => format!("{}  {}", rfc3339(SystemTime::now()), strip_str(&entry)),
        }
    }
}

/// Place of a thread's output.
enum OutputTarget {
    Stream(Box<dyn Write + Send>),
    Copy(LineSink),
    /// The user's state, which the thread opens: this takes too long for the start of the program.
    Unopened(RunOptions),
    Journal(Box<Journal>),
    /// The user's state is unusable.
    Nothing,
}

/// Output of one printing thread.
struct Output {
    target: OutputTarget,
    form: EntryFormat,
}

/// State of one printing thread.
struct PrinterThread {
    output: Output,
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
    fn run(mut self, events: &Receiver<Box<SessionEvent>>, finishing: &AtomicBool) {
        self.open();
        while let Some(event) = self.receive(events, finishing) {
            // Before it is written here: a home directory that hangs must not silence stderr.
            self.forward(&event);
            self.print(&event);
        }
        if let OutputTarget::Journal(journal) = self.output.target {
            let hidden = locked(&self.hidden).clone();
            journal.finish(&hidden);
        }
    }

    fn open(&mut self) {
        let OutputTarget::Unopened(options) = &self.output.target else {
            return;
        };
        self.output.target = match Journal::open(options) {
            Ok(journal) => OutputTarget::Journal(Box::new(journal)),
            Err(error) => {
                let reason = error.to_string();
                self.forward(&SessionEvent {
                    session: None,
                    event: Event::NotRecorded { reason },
                });
                OutputTarget::Nothing
            }
        };
    }

    fn forward(&self, SessionEvent { session, event }: &SessionEvent) {
        if let Some(next) = &self.next {
            next.of_session(*session).send(event.clone());
        }
    }

    /// Waits for the next event and writes a changed record meanwhile. Returns `None` at the end.
    fn receive(
        &mut self,
        events: &Receiver<Box<SessionEvent>>,
        finishing: &AtomicBool,
    ) -> Option<Box<SessionEvent>> {
        while !finishing.load(Ordering::SeqCst) {
            let OutputTarget::Journal(journal) = &mut self.output.target else {
                return events.recv().ok();
            };
            let received = match journal.write_in() {
                None => return events.recv().ok(),
                Some(Duration::ZERO) => Err(RecvTimeoutError::Timeout),
                Some(wait) => events.recv_timeout(wait),
            };
            match received {
                Err(RecvTimeoutError::Timeout) => {
                    // The lock is also that of the protocol's thread, and a write may hang.
                    let hidden = locked(&self.hidden).clone();
                    journal.write(&hidden);
                }
                received => return received.ok(),
            }
        }
        events.try_recv().ok()
    }

    /// Writes each entry in one call, so that lines of other writers do not interrupt it.
    fn print(&mut self, event: &SessionEvent) {
        // Only wakes the thread.
        if matches!(&event.event, Event::Ending { reason } if reason.is_empty()) {
            return;
        }
        let entry = self.output.form.entry(event, &locked(&self.hidden));
        let dropped = self.dropped.swap(0, Ordering::Relaxed);
        if dropped > 0 {
            let entry = self.output.form.dropped(dropped);
            self.output.write(&entry);
        }
        if let Some(entry) = &entry {
            self.output.write(entry);
        }
        if let OutputTarget::Journal(journal) = &mut self.output.target {
            journal.note(&event.event, entry.as_deref());
        }
    }
}

impl Output {
    /// Write errors are ignored: stderr would be the place to report them.
    fn write(&mut self, entry: &str) {
        match &mut self.target {
            OutputTarget::Stream(stream) => _ = stream.write_all(entry.as_bytes()),
            OutputTarget::Copy(copy) => copy.put(entry),
            OutputTarget::Journal(journal) => journal.log(entry),
            OutputTarget::Unopened(_) | OutputTarget::Nothing => {}
        }
    }
}

#[cfg(test)]
mod tests;
