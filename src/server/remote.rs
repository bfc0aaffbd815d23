//! Generation that is linked to a remote server: messages from the server go to the connection, and the loss of the
//! link ends the generation.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::mpsc::Receiver;

use super::backend::{Backend, LinkGuard};
use super::connection::{Client, Connection};
use super::generation::{GenerationExit, RunningGeneration, remote_failure};
use super::link::Link;
use super::report::{Report, ServerContext};
use super::stray_output::StrayReporter;
use crate::bridge::Identity;
use crate::config;
use crate::event::{Event, Failure, StrayKind};
use crate::transport::http::{Fate, HttpLink, LinkError, LinkEvent};

/// Opens a link and starts the task that reads it. Its end is reported as [`Report::Ended`].
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
        Link::Http(link.clone()),
        client,
        identity,
        context.notices.clone(),
    ));
    context.resources.events.send(Event::Connecting {
        server: context.spec.name.clone(),
        generation: number,
        url: remote.shown.clone(),
    });
    let reader = LinkReader {
        context: context.clone(),
        connection: connection.clone(),
        stray: StrayReporter::new(context, number),
    };
    tokio::spawn(reader.run(link.clone(), incoming));
    Ok(RunningGeneration {
        connection,
        backend: Backend::Remote(LinkGuard(link)),
        since,
    })
}

struct LinkReader {
    context: ServerContext,
    connection: Arc<Connection>,
    stray: StrayReporter,
}

impl LinkReader {
    async fn run(mut self, link: HttpLink, mut incoming: Receiver<LinkEvent>) {
        let mut lost = false;
        loop {
            tokio::select! {
                // The loss comes before the calls that it returns, so that they are not sent over this link again.
                biased;
                how = link.lost(), if !lost => {
                    lost = true;
                    self.on_lost(how);
                }
                () = link.stopped() => return,
                next = incoming.recv() => match next {
                    Some(next) => self.take(next).await,
                    None => return,
                },
            }
        }
    }

    /// Handles the loss of the link. Calls in flight may still be answered on streams of their own.
    fn on_lost(&self, LinkError { reason, status }: LinkError) {
        let one_stream = self
            .connection
            .link()
            .http()
            .is_some_and(HttpLink::has_one_stream);
        let calls = if one_stream {
            self.connection.close()
        } else {
            self.connection.reject_new();
            Vec::new()
        };
        let exit = GenerationExit {
            how: reason,
            status,
            stderr: Vec::new(),
            calls,
        };
        let number = self.connection.generation;
        self.context.reports.send(Report::Ended { number, exit });
    }

    async fn take(&mut self, incoming: LinkEvent) {
        self.connection.client_reads().await;
        match incoming {
            LinkEvent::Message {
                line,
                related_number: on,
            } => {
                let mismatched =
                    on.and_then(|number| self.connection.take_mismatched(number, &line));
                if let Some(call) = mismatched {
                    let (number, call) = (self.connection.generation, Box::new(call));
                    let report = Report::Mismatched { number, call };
                    self.context.reports.send(report);
                } else if let Err(kind) = self.connection.receive(&line, on) {
                    self.stray.report(line, kind);
                }
            }
            LinkEvent::Failed { number, fate, how } => self.fail(number, fate, how),
            LinkEvent::Paused(number) => self.connection.pause(number),
            LinkEvent::TooLong(text) => self.stray.report(text, StrayKind::TooLong),
            LinkEvent::Resumed => {
                let number = self.connection.generation;
                self.context.reports.send(Report::Resumed { number });
            }
        }
    }

    fn fail(&self, number: u64, fate: Fate, how: String) {
        if let Some(call) = self.connection.take_unanswered(number) {
            let call = Box::new(call);
            self.context
                .reports
                .send(Report::Unanswered { call, fate, how });
        }
    }
}
