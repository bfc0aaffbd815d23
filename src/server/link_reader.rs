//! Messages from a link: they go to the connection, and the end of the link or of its process ends the generation.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::Receiver;
use tokio::time::timeout;

use super::backend::SHOWN_STDERR;
use super::connection::Connection;
use super::generation::GenerationExit;
use super::report::{Report, ServerContext};
use super::stray_output::StrayReporter;
use crate::event::StrayKind;
use crate::transport::child::{Child, ExitWatch};
use crate::transport::http::{Fate, HttpLink, LinkError, LinkEvent};
use crate::transport::lines::OutputTail;

/// Time for a process to exit once a connection to it is broken.
const EXIT_TIMEOUT: Duration = Duration::from_secs(1);

/// End of a generation behind a link.
pub(super) struct LinkEnd {
    pub(super) error: LinkError,
    pub(super) stderr: Vec<String>,
    /// Whether calls in flight may still be answered, each on a stream of its own.
    pub(super) may_answer: bool,
    /// True if the process behind the link runs on, for another link.
    pub(super) runs_on: bool,
}

/// Exit of a process behind a link. A broken connection is often its first sign, and it explains more.
#[derive(Debug, Clone)]
pub(super) struct ProcessExit {
    exited: ExitWatch,
    stderr: OutputTail,
}

impl ProcessExit {
    pub(super) fn of(child: &Child) -> Self {
        Self {
            exited: child.exited(),
            stderr: child.stderr(),
        }
    }

    /// Waits until the process exits.
    pub(super) async fn exited(&self) {
        self.exited.clone().wait().await;
    }

    /// Waits for an exit after a broken connection; returns how the process exited, as a sentence fragment, and its
    /// last stderr lines. Returns `None` if it runs on.
    pub(super) async fn soon(&self) -> Option<(String, Vec<String>)> {
        let mut exited = self.exited.clone();
        let status = timeout(EXIT_TIMEOUT, exited.wait()).await.ok()?;
        Some((
            format!("exited with {status}"),
            self.stderr.excerpt(SHOWN_STDERR),
        ))
    }
}

/// Reader of a link's messages.
pub(super) struct LinkReader {
    context: ServerContext,
    connection: Arc<Connection>,
    /// Exit of the process behind the link; `None` for a remote server.
    process: Option<ProcessExit>,
    stray: StrayReporter,
}

impl LinkReader {
    pub(super) fn new(
        context: &ServerContext,
        connection: &Arc<Connection>,
        process: Option<ProcessExit>,
    ) -> Self {
        Self {
            context: context.clone(),
            connection: connection.clone(),
            process,
            stray: StrayReporter::new(context, connection.generation, None),
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
            runs_on: end.runs_on,
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

    /// Reports that the request `number` gets no answer. If its connection broke, the exit of the process is awaited,
    /// which returns the call as well.
    fn fail(&self, number: u64, fate: Fate, how: LinkError) {
        let (connection, reports) = (self.connection.clone(), self.context.reports.clone());
        let report = move |how, stderr| {
            if let Some(call) = connection.take_unanswered(number) {
                let call = Box::new(call);
                reports.send(Report::Unanswered {
                    call,
                    fate,
                    how,
                    stderr,
                });
            }
        };
        let is_broken = fate == Fate::Unknown && how.status.is_none();
        let Some(process) = self.process.clone().filter(|_| is_broken) else {
            return report(how.reason, Vec::new());
        };
        let connection = self.connection.clone();
        tokio::spawn(async move {
            match process.soon().await {
                Some((how, stderr)) => {
                    // A request that is sent again must go to the next process.
                    connection.reject_new();
                    report(how, stderr);
                }
                None => report(how.reason, Vec::new()),
            }
        });
    }
}
