//! Stream of one tab: tells that there is something new, which the tab then asks for. So a tab that was away for a while
//! misses nothing.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderValue, header};
use axum::response::Response;
use serde_json::json;
use tokio::io::{AsyncWriteExt as _, DuplexStream};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::io::ReaderStream;

use super::failed_servers::FailedServers;
use super::page_recording;
use super::routes::Site;

/// Minimum time between two notices, so that a busy proxy keeps neither the tab nor the thread of the page busy.
const PAUSE: Duration = Duration::from_millis(50);
/// The same before a notice of messages alone: a person does not see a shorter time.
const MESSAGE_PAUSE: Duration = Duration::from_millis(100);
/// Time after which a notice is repeated: it finds out whether the tab is still there, and tells a state that has changed
/// without an event.
const SILENCE: Duration = Duration::from_secs(15);

/// Opens the stream of a tab, which shows messages or does not, in the format of server-sent events.
pub(super) fn open(site: Arc<Site>, of_messages: bool) -> Response {
    let (reader, writer) = tokio::io::duplex(4096);
    tokio::spawn(async move {
        // An error means that the tab is closed.
        let _ = write(writer, &site, of_messages).await;
    });
    let mut response = Response::new(Body::from_stream(ReaderStream::new(reader)));
    let kind = HeaderValue::from_static("text/event-stream");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

async fn write(mut writer: DuplexStream, site: &Site, of_messages: bool) -> std::io::Result<()> {
    let data = &site.data;
    let mut changes = data.changes();
    let mut messages = of_messages.then(|| data.message_changes());
    // A browser waits this time, in milliseconds, before it reconnects.
    writer.write_all(b"retry: 500\n\n").await?;
    loop {
        changes.mark_unchanged();
        messages
            .iter_mut()
            .for_each(watch::Receiver::mark_unchanged);
        let (count, recording) = {
            let log = data.messages();
            let recording = page_recording::state(log.recording.as_ref());
            (log.changes(), recording)
        };
        let (waiting, input_changes) = site.stand_in.state();
        let notice = json!({
            "run": data.run,
            "events": data.events().changes(),
            "messages": count,
            "recording": recording,
            "failed": FailedServers::of(site).json(),
            "input": { "waiting": waiting, "changes": input_changes },
        });
        let notice = format!("data: {notice}\n\n");
        writer.write_all(notice.as_bytes()).await?;
        let next = Instant::now() + MESSAGE_PAUSE;
        tokio::time::sleep(PAUSE).await;
        let change = change(&mut changes, messages.as_mut(), next);
        if let Ok(Err(_)) = tokio::time::timeout(SILENCE, change).await {
            return Ok(());
        }
    }
}

/// Waits for a change; also for messages, not before the time `next`, if there is a receiver for them.
async fn change(
    changes: &mut watch::Receiver<()>,
    messages: Option<&mut watch::Receiver<()>>,
    next: Instant,
) -> Result<(), watch::error::RecvError> {
    let Some(messages) = messages else {
        return changes.changed().await;
    };
    let message = async {
        tokio::time::sleep_until(next).await;
        messages.changed().await
    };
    tokio::select! {
        changed = changes.changed() => changed,
        changed = message => changed,
    }
}
