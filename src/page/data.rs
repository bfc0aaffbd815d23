//! Data of the page: the newest events and messages. Other threads add to it and wake the streams of open tabs.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};

use tokio::sync::watch;

use super::events::EventLog;
use super::messages::{LogLimits, MessageLog, SessionGeneration};
use super::opened_recording::OpenedRecording;
use super::page_recording::PageRecording;
use crate::lock::locked;
use crate::recorder::{MessageBacklog, MessageReceiver, RecordedLine};

/// Data of the page, shared with the threads that have the events and the messages.
#[derive(Debug)]
pub(super) struct PageData {
    /// Name of this run of the proxy, by which a tab notices the next one.
    pub(super) run: String,
    /// Recording that is shown in place of a running proxy.
    pub(super) file: Option<ShownFile>,
    events: Mutex<EventLog>,
    messages: Mutex<MessageLog>,
    /// Handle to request the recorder's messages with; empty for a recording.
    backlog: OnceLock<MessageBacklog>,
    /// True if the page has stopped.
    is_over: AtomicBool,
    /// Wakes the streams of all open tabs.
    changed: watch::Sender<()>,
    /// Wakes the streams of tabs that show messages.
    messages_changed: watch::Sender<()>,
}

/// File of a recording.
#[derive(Debug)]
pub(super) struct ShownFile {
    /// Name without its folder.
    pub(super) name: String,
    /// Lines that cannot be read, in words.
    pub(super) faults: Vec<String>,
}

impl PageData {
    /// Creates the data of the run with this name.
    pub(super) fn new(run: String) -> Arc<Self> {
        Arc::new(Self {
            run,
            file: None,
            events: Mutex::default(),
            messages: Mutex::new(MessageLog::new(LogLimits::PROXY)),
            backlog: OnceLock::new(),
            is_over: AtomicBool::new(false),
            changed: watch::Sender::new(()),
            messages_changed: watch::Sender::new(()),
        })
    }

    /// Creates the data of a recording, for a run with this name.
    pub(super) fn of_recording(run: String, recording: OpenedRecording) -> Arc<Self> {
        Arc::new(Self {
            run,
            file: Some(ShownFile {
                name: recording.name,
                faults: recording.faults,
            }),
            events: Mutex::new(recording.events),
            messages: Mutex::new(recording.messages),
            backlog: OnceLock::new(),
            is_over: AtomicBool::new(false),
            changed: watch::Sender::new(()),
            messages_changed: watch::Sender::new(()),
        })
    }

    /// Adds an event, a line of NDJSON.
    pub(super) fn add_event(&self, line: &str) {
        let Some(event) = locked(&self.events).add(line) else {
            return;
        };
        let is_end = match event["event"].as_str().unwrap_or_default() {
            "spawned" | "connecting" => Some(false),
            "broken" | "exited" | "stopped" => Some(true),
            _ => None,
        };
        if let Some(is_end) = is_end
            && let Some(generation) = SessionGeneration::of(&event)
        {
            // The messages before it come soon after it.
            self.request_messages();
            let mut messages = locked(&self.messages);
            if is_end {
                messages.end_generation(generation);
            } else {
                messages.begin_generation(&generation);
            }
        }
        self.wake();
    }

    /// Returns a sender that wakes the streams of open tabs.
    pub(super) fn waker(&self) -> watch::Sender<()> {
        self.changed.clone()
    }

    /// Wakes the streams of open tabs.
    pub(super) fn wake(&self) {
        self.changed.send_replace(());
    }

    /// Requests no more messages: nobody can see them.
    pub(super) fn end(&self) {
        self.is_over.store(true, Ordering::Relaxed);
    }

    /// Returns the handle to request messages with; `None` for a recording, and once the page has stopped.
    pub(super) fn backlog(&self) -> Option<&MessageBacklog> {
        let backlog = self.backlog.get();
        backlog.filter(|_| !self.is_over.load(Ordering::Relaxed))
    }

    /// Requests the messages so far. The recorder passes later ones on soon as long as a tab shows messages or a recording
    /// runs. Does not wait.
    pub(super) fn request_messages(&self) {
        if let Some(backlog) = self.backlog() {
            backlog.request();
        }
    }

    /// Returns the messages that have come. The lock must not be held while anything is rendered.
    pub(super) fn messages(&self) -> MutexGuard<'_, MessageLog> {
        locked(&self.messages)
    }

    /// Returns the events. The lock must not be held while anything is rendered.
    pub(super) fn events(&self) -> MutexGuard<'_, EventLog> {
        locked(&self.events)
    }

    /// Returns a receiver that wakes at each change but those of messages.
    pub(super) fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// Returns a receiver that wakes when messages have come. As long as there is one, they come by themselves.
    pub(super) fn message_changes(&self) -> watch::Receiver<()> {
        let changes = self.messages_changed.subscribe();
        self.request_messages();
        changes
    }
}

impl MessageReceiver for PageData {
    fn attach(&self, backlog: MessageBacklog) {
        // There is one recorder.
        let _ = self.backlog.set(backlog);
    }

    fn is_watched(&self) -> bool {
        let is_recording = || {
            locked(&self.messages)
                .recording
                .as_ref()
                .is_some_and(PageRecording::is_running)
        };
        self.messages_changed.receiver_count() > 0 || is_recording()
    }

    fn receive(&self, message: &RecordedLine<'_>, line: &str) {
        let is_recorded = locked(&self.messages).add_recorded(message, line);
        if is_recorded {
            // Each page tells the size of the recording.
            self.wake();
        }
    }

    fn rest(&self) {
        self.messages_changed.send_replace(());
    }
}
