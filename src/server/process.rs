//! Generation that runs as a process: messages from its stdout go to the connection, and its exit ends the generation.

use std::string::FromUtf8Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::task::{JoinHandle, spawn_blocking, yield_now};
use tokio::time::timeout;

use super::backend::{Backend, SHOWN_STDERR};
use super::connection::{Client, Connection};
use super::generation::{GenerationExit, RunningGeneration};
use super::link::Link;
use super::report::{Report, ReportSender, ServerContext};
use super::stray_output::StrayReporter;
use crate::bridge::Identity;
use crate::error_chain::with_causes;
use crate::event::{Event, Failure, NextTry, StrayKind};
use crate::jsonrpc::{Envelope, Frame, InvalidMessage, text};
use crate::transport::child::{Child, ExitWatch};
use crate::transport::listening_ports::{listening_sockets, listens_on};
use crate::transport::resolve::SpawnError;
use crate::transport::stream::{LineReader, Outbox};

/// Time limit for reading the rest of a dead process's output: a grandchild may hold the pipe open.
const FINAL_OUTPUT_TIMEOUT: Duration = Duration::from_millis(200);
/// Time limit for a process to exit after it has closed its stdin or stdout.
const EXIT_TIMEOUT: Duration = Duration::from_secs(1);
/// Size in bytes from which on parsing a line can take 10 ms or more.
const LONG_LINE: usize = 4 * 1024 * 1024;
/// Maximum number of positions at which a message is searched in a line that is no message.
const MAX_BEGINNINGS: usize = 16;

/// Wraps a started process and starts the tasks that read it. Its end is reported as [`Report::Ended`].
pub(super) fn start(
    context: &ServerContext,
    number: u64,
    child: Result<Child, SpawnError>,
    client: Arc<dyn Client>,
    identity: Identity,
) -> Result<RunningGeneration, Failure> {
    let since = Instant::now();
    let mut child = child.map_err(|error| spawn_failure(number, &error))?;
    let unreachable = |error| spawn_failure(number, &SpawnError::other(&context.spec, error));
    let outbox = Outbox::new(child.take_stdin()).map_err(unreachable)?;
    let lines =
        LineReader::new(child.take_stdout(), context.resources.max_message).map_err(unreachable)?;
    let notices = context.notices.clone();
    let connection = Arc::new(Connection::new(
        context.spec.name.as_str().into(),
        number,
        Link::Pipe(outbox.clone()),
        client.clone(),
        identity,
        notices,
    ));
    context.resources.events.send(Event::Spawned {
        server: context.spec.name.clone(),
        generation: number,
        pid: child.pid(),
    });
    let reader = ProcessReader {
        connection: connection.clone(),
        outbox: outbox.clone(),
        stray: StrayReporter::new(context, number, Some(child.stderr())),
        max_message: context.resources.max_message,
        is_busy: Arc::default(),
    };
    let is_busy = reader.is_busy.clone();
    let reader = tokio::spawn(reader.read(lines, client, child.exited()));
    tokio::spawn(wait_for_exit(
        context.reports.clone(),
        reader,
        is_busy,
        connection.clone(),
        outbox,
        &child,
    ));
    Ok(RunningGeneration {
        connection,
        backend: Backend::Process(child),
        since,
    })
}

/// Returns how a start can be described that took too long with `missing`, and advice: a process that listens on a port
/// instead is a server over HTTP.
pub(super) async fn missed(child: &Child, missing: String) -> (String, Option<String>) {
    let pid = child.pid();
    let sockets = spawn_blocking(move || listening_sockets(pid)).await;
    let Some(sockets) = sockets.ok().flatten().filter(|it| !it.is_empty()) else {
        return (missing, None);
    };
    let listens = listens_on(&sockets);
    (
        format!("{missing}, but it {listens} and `--url` is missing"),
        Some(
            "if it serves HTTP there, pass `--url auto` before the command, or write `url = \"auto\"` beside its \
             `command` in the configuration; `mcp-proxy help http` tells more"
                .to_owned(),
        ),
    )
}

/// Returns the failure to start a process.
pub(super) fn spawn_failure(number: u64, error: &SpawnError) -> Failure {
    Failure {
        advice: error.advice(),
        next_try: if error.is_passing() {
            NextTry::Call
        } else {
            NextTry::Save
        },
        ..Failure::new(number, format!("cannot be started: {}", with_causes(error)))
    }
}

/// Waits until the process exits, or closes its stdout or stdin, each of which ends the generation.
fn wait_for_exit(
    reports: ReportSender,
    mut reader: JoinHandle<()>,
    is_busy: Arc<AtomicBool>,
    connection: Arc<Connection>,
    outbox: Outbox,
    child: &Child,
) -> impl Future<Output = ()> + use<> {
    let (mut exited, stderr) = (child.exited(), child.stderr());
    async move {
        let closed = tokio::select! {
            _ = exited.wait() => "",
            _ = &mut reader => "closed its stdout",
            () = outbox.reader_closed() => "closed its stdin",
        };
        let how = match timeout(EXIT_TIMEOUT, exited.wait()).await {
            Ok(status) => format!("exited with {status}"),
            Err(_) => closed.to_owned(),
        };
        // A finished task must not be awaited again. A long line that is being parsed is delivered, regardless of the
        // time.
        while !reader.is_finished()
            && timeout(FINAL_OUTPUT_TIMEOUT, &mut reader).await.is_err()
            && is_busy.load(Ordering::Relaxed)
        {}
        reader.abort();
        let exit = GenerationExit {
            how,
            status: None,
            runs_on: false,
            stderr: stderr.excerpt(SHOWN_STDERR),
            calls: connection.close(),
        };
        let number = connection.generation;
        reports.send(Report::Ended { number, exit });
    }
}

/// Reader of a process's messages.
struct ProcessReader {
    connection: Arc<Connection>,
    /// Pipe to the process, which the proxy closes before it ends the process.
    outbox: Outbox,
    stray: StrayReporter,
    /// Maximum length of a message in bytes.
    max_message: usize,
    /// True while a long line is parsed on another thread.
    is_busy: Arc<AtomicBool>,
}

impl ProcessReader {
    /// Reads until the output ends.
    async fn read(mut self, mut lines: LineReader, client: Arc<dyn Client>, mut exited: ExitWatch) {
        let cork_if_several = |lines: &mut LineReader| {
            client
                .pipe()
                .filter(|_| lines.has_several())
                .map(Outbox::cork)
        };
        loop {
            tokio::select! {
                biased;
                () = self.connection.client_reads() => {}
                // After the exit, the remaining output is small and must not be lost.
                _ = exited.wait() => {}
            }
            if !matches!(lines.fill().await, Ok(true)) {
                break;
            }
            let stray_count = self.stray.count();
            let mut cork = cork_if_several(&mut lines);
            while let Some(frame) = lines.next() {
                match frame {
                    Frame::Line(line) if line.len() > LONG_LINE => {
                        // Other tasks write to the client meanwhile.
                        drop(cork);
                        self.take_long(lines.take()).await;
                        cork = cork_if_several(&mut lines);
                    }
                    Frame::Line(line) => self.take(line),
                    Frame::TooLong { head, tail } => self.take_too_long(head, tail),
                }
            }
            drop(cork);
            if self.stray.count() > stray_count {
                // A process that writes text without end delays no messages.
                yield_now().await;
            }
        }
        if let Some(rest) = lines.rest() {
            // The end that the proxy put to the process may have cut this line off.
            let is_cut = self.outbox.is_closing() && Envelope::parse(&text(rest)).is_err();
            if !is_cut {
                self.take(rest);
            }
        }
    }

    fn take(&mut self, line: &[u8]) {
        let text = text(line);
        let Err(kind) = self.connection.receive(&text, None) else {
            return;
        };
        // A program that prints without a line end puts its text in front of a message, whose members may be in any
        // order.
        let begins = text.match_indices(r#"{""#).map(|(at, _)| at);
        for at in begins.filter(|at| *at > 0).take(MAX_BEGINNINGS) {
            let message = &text[at..];
            if message.contains(r#""jsonrpc""#) && self.connection.receive(message, None).is_ok() {
                return self.stray.report(text[..at].to_owned(), StrayKind::Line);
            }
        }
        let broken = text
            .contains(r#""jsonrpc""#)
            .then(|| Envelope::parse(&text));
        let kind = if let Some(Err(InvalidMessage::Json(fault))) = broken {
            let why = format!("is not valid JSON: {fault}");
            self.connection.answer_unreadable(&text, "", &why);
            StrayKind::Text
        } else {
            kind
        };
        self.stray.report(text.into_owned(), kind);
    }

    /// Parses a long line on another thread, so that other messages are not delayed.
    async fn take_long(&mut self, line: Vec<u8>) {
        self.is_busy.store(true, Ordering::Relaxed);
        let read = spawn_blocking(|| {
            let text = String::from_utf8(line).map_err(FromUtf8Error::into_bytes)?;
            let envelope = Envelope::parse(&text).ok();
            let positions = envelope.and_then(|envelope| envelope.response_positions(&text));
            match positions {
                Some(positions) => Ok((text, positions)),
                None => Err(text.into_bytes()),
            }
        });
        match read.await {
            Ok(Ok((text, positions))) => {
                let envelope = Envelope::at(&text, positions);
                if let Err(kind) = self.connection.take(&text, &envelope, None) {
                    self.stray.report(text, kind);
                }
            }
            // The line is no response, not UTF-8, or no message.
            Ok(Err(line)) => self.take(&line),
            // The runtime is shutting down.
            Err(_) => {}
        }
        self.is_busy.store(false, Ordering::Relaxed);
    }

    fn take_too_long(&mut self, head: &[u8], tail: &[u8]) {
        let [head, tail] = [head, tail].map(String::from_utf8_lossy);
        let why = "is longer than `--max-message` allows";
        self.connection.answer_unreadable(&head, &tail, why);
        let text = format!(
            "message longer than {} bytes (`--max-message`): {}",
            self.max_message,
            head.chars().take(200).collect::<String>()
        );
        self.stray.report(text, StrayKind::TooLong);
    }
}
