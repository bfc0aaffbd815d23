//! Generation that is linked to a remote server: the loss of the link ends it.

use std::sync::Arc;
use std::time::Instant;

use super::backend::{Backend, LinkGuard};
use super::connection::{Client, Connection};
use super::generation::{RunningGeneration, remote_failure};
use super::link::Link;
use super::link_reader::{LinkEnd, LinkReader};
use super::report::ServerContext;
use crate::bridge::Identity;
use crate::config;
use crate::event::{Event, Failure};
use crate::transport::http::HttpLink;

/// Opens a link and starts the task that reads it. Its end is reported as
/// [`Report::Ended`](super::report::Report::Ended).
pub(super) fn start(
    context: &ServerContext,
    remote: &config::Remote,
    number: u64,
    client: Arc<dyn Client>,
    identity: Identity,
) -> Result<RunningGeneration, Failure> {
    let since = Instant::now();
    let opened = HttpLink::open(
        remote,
        &context.resources.http,
        context.resources.max_message,
    );
    let (link, incoming) = opened.map_err(|error| remote_failure(number, error))?;
    let connection = Arc::new(Connection::new(
        context.spec.name.as_str().into(),
        number,
        Link::Remote(link.clone()),
        client,
        identity,
        context.notices.clone(),
    ));
    context.resources.events.send(Event::Connecting {
        server: context.spec.name.clone(),
        generation: number,
        url: remote.shown.clone(),
    });
    let reader = LinkReader::new(context, &connection, None);
    let watched = link.clone();
    let end = async move {
        LinkEnd {
            error: watched.lost().await,
            stderr: Vec::new(),
            may_answer: !watched.has_one_stream(),
            runs_on: false,
        }
    };
    tokio::spawn(reader.run(link.clone(), incoming, end));
    Ok(RunningGeneration {
        connection,
        backend: Backend::Remote(LinkGuard(link)),
        since,
    })
}
