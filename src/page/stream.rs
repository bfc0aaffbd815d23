//! Stream of one tab: tells that there is something new, which the tab then asks for. So a tab that was away for a while
//! misses nothing.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderValue, header};
use axum::response::Response;
use serde_json::json;
use tokio::io::{AsyncWriteExt as _, DuplexStream};
use tokio_util::io::ReaderStream;

use super::data::PageData;
use super::page_recording;

/// Minimum time between two notices, so that a busy proxy keeps neither the tab nor the thread of the page busy.
const PAUSE: Duration = Duration::from_millis(50);
/// Time after which a comment finds out whether the tab is still there.
const SILENCE: Duration = Duration::from_secs(15);

/// Opens the stream of a tab, which shows messages or does not, in the format of server-sent events.
pub(super) fn open(data: Arc<PageData>, of_messages: bool) -> Response {
    let (reader, writer) = tokio::io::duplex(4096);
    tokio::spawn(async move {
        // An error means that the tab is closed.
        let _ = write(writer, &data, of_messages).await;
    });
    let mut response = Response::new(Body::from_stream(ReaderStream::new(reader)));
    let kind = HeaderValue::from_static("text/event-stream");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

async fn write(
    mut writer: DuplexStream,
    data: &PageData,
    of_messages: bool,
) -> std::io::Result<()> {
    let mut changes = data.changes(of_messages);
    // A browser waits this time, in milliseconds, before it reconnects.
    writer.write_all(b"retry: 500\n\n").await?;
    loop {
        changes.borrow_and_update();
        let (messages, recording) = {
            let messages = data.messages();
            (
                messages.changes(),
                page_recording::state(messages.recording.as_ref()),
            )
        };
        let notice = json!({
            "run": data.run,
            "events": data.events().changes(),
            "messages": messages,
            "recording": recording,
        });
        let notice = format!("data: {notice}\n\n");
        writer.write_all(notice.as_bytes()).await?;
        tokio::time::sleep(PAUSE).await;
        loop {
            match tokio::time::timeout(SILENCE, changes.changed()).await {
                Ok(Ok(())) => break,
                Ok(Err(_)) => return Ok(()),
                Err(_) => writer.write_all(b":\n\n").await?,
            }
        }
    }
}
