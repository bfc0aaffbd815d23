//! Messages from a link: they go to the connection, and the end of the link or of its process ends the generation.

use std::sync::Arc;

use tokio::sync::mpsc::Receiver;

use super::connection::Connection;
use super::generation::GenerationExit;
use super::report::{Report, ServerContext};
use super::stray_output::StrayReporter;
use crate::event::StrayKind;
use crate::transport::http::{Fate, HttpLink, LinkError, LinkEvent};

/// End of a generation behind a link.
pub(super) struct LinkEnd {
    pub(super) error: LinkError,
    pub(super) stderr: Vec<String>,
    /// Whether calls in flight may still be answered, each on a stream of its own.
    pub(super) may_answer: bool,
}

/// Reader of a link's messages.
pub(super) struct LinkReader {
    context: ServerContext,
    connection: Arc<Connection>,
    stray: StrayReporter,
}

impl LinkReader {
    pub(super) fn new(context: &ServerContext, connection: &Arc<Connection>) -> Self {
        Self {
            context: context.clone(),
            connection: connection.clone(),
            stray: StrayReporter::new(context, connection.generation),
        }
    }

    /// Reads until the link is stopped. Reports the end of the generation once `end` resolves.
    pub(super) async fn run(
        mut self,
        link: HttpLink,
        mut incoming: Receiver<LinkEvent>,
        end: impl Future<Output = LinkEnd>,
    ) {
        let mut end = std::pin::pin!(end);
        let mut has_ended = false;
        loop {
            tokio::select! {
                // The end comes before the calls that it returns, so that they are not sent over this link again.
                biased;
                end = &mut end, if !has_ended => {
                    has_ended = true;
                    self.on_end(end);
                }
                () = link.stopped() => return,
                next = incoming.recv() => match next {
                    Some(next) => self.take(next).await,
                    None => return,
                },
            }
        }
    }

    fn on_end(&self, end: LinkEnd) {
        let calls = if end.may_answer {
            self.connection.reject_new();
            Vec::new()
        } else {
            self.connection.close()
        };
        let exit = GenerationExit {
            how: end.error.reason,
            status: end.error.status,
            stderr: end.stderr,
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
