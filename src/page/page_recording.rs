//! Recording that a person starts and stops on the page: a range of the exchanges in the page's memory, to be downloaded.

use axum::body::{Body, to_bytes};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use maud::{Markup, html};
use serde_json::{Value, json};

use super::data::PageData;
use super::message_selection::attachment;
use super::routes::Site;
use crate::output::{count, size};

/// Maximum length of a form in bytes.
const MAX_FORM: usize = 256;

/// Exchanges from its start to its stop, with the later responses to their requests.
#[derive(Debug, Clone)]
pub(super) struct PageRecording {
    /// Numbers of the first exchange, and of the first one after the stop.
    first: u64,
    end: Option<u64>,
    /// Number of messages, and size of their lines in bytes.
    messages: u64,
    bytes: u64,
    /// Number of exchanges that are no longer kept.
    lost: u64,
}

impl PageRecording {
    /// Starts a recording with the exchange `first`.
    fn start(first: u64) -> Self {
        Self {
            first,
            end: None,
            messages: 0,
            bytes: 0,
            lost: 0,
        }
    }

    fn has(&self, number: u64) -> bool {
        number >= self.first && self.end.is_none_or(|end| number < end)
    }

    /// Counts a message of the exchange `number`, if that belongs to the recording. Returns whether it does.
    pub(super) fn count(&mut self, number: u64, length: usize) -> bool {
        let has = self.has(number);
        if has {
            self.messages += 1;
            self.bytes += length as u64;
        }
        has
    }

    /// Counts the exchange `number` as lost, if it belongs to the recording.
    pub(super) fn forget(&mut self, number: u64) {
        self.lost += u64::from(self.has(number));
    }

    /// Returns its state in words.
    fn words(&self) -> String {
        let state = match self.end {
            None => "● Recording",
            Some(_) => "Recorded",
        };
        let counted = |number: u64, one, many| {
            count(usize::try_from(number).unwrap_or(usize::MAX), one, many)
        };
        let messages = counted(self.messages, "message", "messages");
        let lost = match self.lost {
            0 => String::new(),
            lost => format!(
                ", without the oldest {}",
                counted(lost, "exchange", "exchanges")
            ),
        };
        format!("{state}: {messages}, {}{lost}", size(self.bytes))
    }

    /// Returns true if it is not stopped.
    pub(super) fn is_running(&self) -> bool {
        self.end.is_none()
    }
}

/// Returns the state of a recording for a script.
pub(super) fn state(recording: Option<&PageRecording>) -> Value {
    json!({
        "words": recording.map(PageRecording::words),
        "isRunning": recording.is_some_and(PageRecording::is_running),
    })
}

/// Returns the buttons in the head of each page, with the state.
pub(super) fn bar(data: &PageData) -> Markup {
    let recording = data.messages().recording.clone();
    let is_running = recording.as_ref().is_some_and(PageRecording::is_running);
    html! {
        form #record method="post" action="/record" aria-label="Recording" data-running[is_running] {
            span #recorded { @if let Some(recording) = &recording { (recording.words()) } }
            a #download href="/record.ndjson" hidden[recording.is_none()] { "Download" }
            button name="do" value="start" hidden[is_running] { "Record" }
            button name="do" value="stop" hidden[!is_running] { "Stop" }
        }
    }
}

/// Starts or stops the recording as the form in `body` asks for, and leads back to the messages.
pub(super) async fn handle(site: &Site, body: Body) -> Response {
    let form = to_bytes(body, MAX_FORM).await.unwrap_or_default();
    {
        let mut messages = site.data.messages();
        let next = messages.next_number();
        match &*form {
            b"do=start" => messages.recording = Some(PageRecording::start(next)),
            b"do=stop" => {
                let running = messages.recording.as_mut().filter(|it| it.is_running());
                if let Some(recording) = running {
                    recording.end = Some(next);
                }
            }
            _ => return (StatusCode::BAD_REQUEST, "The form is incomplete.\n").into_response(),
        }
    }
    site.data.wake();
    site.data.request_messages();
    let mut response = StatusCode::SEE_OTHER.into_response();
    let messages = HeaderValue::from_static("/messages");
    response.headers_mut().insert(header::LOCATION, messages);
    response
}

/// Returns the recording so far as a file, with the handshakes of its sessions; `None` if there is none.
pub(super) async fn download(site: &Site) -> Option<Response> {
    let found = {
        let messages = site.data.messages();
        let recording = messages.recording.clone()?;
        let of_recording = messages.iter().filter(|it| recording.has(it.number));
        of_recording.cloned().collect()
    };
    Some(attachment(site, found, "recording.ndjson").await)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recorder::MessageReceiver as _;

    #[test]
    fn messages_alone_wake_only_tabs_that_tell_of_them() {
        let data = PageData::new("run".to_owned());
        let line = r#"{"time_us":1,"from":"client","to":"proxy","session":"7-1","bytes":1,"message":{"method":"x"}}"#;
        let mut of_messages = data.message_changes();
        let mut others = data.changes();
        for (recording, expected) in [
            (None, [true, false]),
            (Some(PageRecording::start(0)), [true, true]),
            (Some(PageRecording::start(9)), [true, false]),
        ] {
            data.messages().recording = recording;
            data.receive(&serde_json::from_str(line).unwrap(), line);
            data.rest();
            let woken = [&mut of_messages, &mut others].map(|it| {
                let is_woken = it.has_changed().unwrap();
                it.mark_unchanged();
                is_woken
            });
            assert_eq!(woken, expected);
        }
        data.wake();
        assert!(others.has_changed().unwrap());
    }

    #[test]
    fn the_state_tells_what_is_recorded_and_what_is_lost() {
        let mut recording = PageRecording::start(5);
        recording.count(4, 1000);
        recording.count(5, 1000);
        assert_eq!(recording.words(), "● Recording: 1 message, 1000 B");
        recording.end = Some(7);
        recording.count(6, 1048);
        recording.count(7, 1000);
        assert_eq!(recording.words(), "Recorded: 2 messages, 2 KiB");
        for number in [4, 5, 7] {
            recording.forget(number);
        }
        assert!(recording.words().contains("the oldest 1 exchange"));
        let running = state(Some(&recording))["isRunning"].clone();
        assert_eq!(running, false);
        assert_eq!(state(None)["words"], Value::Null);
    }
}
