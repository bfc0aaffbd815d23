//! One started incarnation of a server: its process, its connection, and the proof that it works.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::UnboundedSender;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::advice;
use super::body::{Body, SHOWN_STDERR};
use super::call::{Call, Client};
use super::connection::Connection;
use super::handshake::{Handshake, Refusal, Stream, Wanted};
use super::link::Link;
use super::lists::Lists;
use super::report::{Report, Supply};
use crate::bridge::Identity;
use crate::config::ServerSpec;
use crate::event::{Event, Failure, StrayKind};
use crate::jsonrpc::{Frame, text};
use crate::transport::child::{Child, Exited};
use crate::transport::resolve::SpawnError;
use crate::transport::stream::{Lines, Outbox};

/// How long the rest of a dead process's output is read: a grandchild may hold the pipe open.
const LAST_WORDS: Duration = Duration::from_millis(200);
/// How long a process that has closed its stdin or its stdout may live on.
const AFTERLIFE: Duration = Duration::from_secs(1);
/// In a line that is no message, a message may begin at so many places.
const BEGINNINGS: usize = 16;

/// A generation whose process runs, or that is linked to its remote server.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) connection: Arc<Connection>,
    pub(crate) child: Body,
    pub(crate) since: Instant,
}

/// A generation that may go live.
#[derive(Debug)]
pub(crate) struct Proof {
    pub(crate) running: Running,
    pub(crate) shown: Shown,
    /// From its start to here.
    pub(crate) took: Duration,
}

/// What a generation has shown before it goes live.
#[derive(Debug)]
pub(crate) struct Shown {
    pub(crate) handshake: Arc<Handshake>,
    pub(crate) lists: Lists,
    /// The stream on which a modern server tells what changes.
    pub(crate) stream: Option<Stream>,
    /// What it was told that the client wants.
    pub(crate) told: Wanted,
}

/// How a generation came to its end.
#[derive(Debug)]
pub(crate) struct Ending {
    /// A sentence fragment: `exited with status 1`.
    pub(crate) how: String,
    pub(crate) stderr: Vec<String>,
    /// The calls that it never answered.
    pub(crate) calls: Vec<Call>,
}

/// Takes the process that was started and starts the tasks that read it. Its end is reported as [`Report::Ended`].
pub(crate) fn start(
    supply: &Supply,
    number: u64,
    child: Result<Child, SpawnError>,
    client: Arc<dyn Client>,
    identity: Identity,
) -> Result<Running, Failure> {
    let since = Instant::now();
    let failed = |reason: String, advice| Failure {
        generation: number,
        reason,
        advice,
        stderr: vec![],
        files: vec![],
        remote: false,
        late: false,
    };
    let mut child = child.map_err(|error| {
        failed(
            format!("cannot be started: {}", with_sources(&error)),
            error.advice(),
        )
    })?;
    let pipes = |error: std::io::Error| failed(format!("cannot be reached: {error}"), None);
    let outbox = Outbox::new(child.take_stdin()).map_err(pipes)?;
    let lines = Lines::new(child.take_stdout(), supply.means.max_message).map_err(pipes)?;
    let notices = supply.notices.clone();
    let connection = Arc::new(Connection::new(
        supply.spec.name.as_str().into(),
        number,
        Link::Pipe(outbox.clone()),
        client.clone(),
        identity,
        notices,
    ));
    supply.means.events.send(Event::Spawned {
        server: supply.spec.name.clone(),
        generation: number,
        pid: child.pid(),
    });
    let stray = Stray::new(supply, number);
    let reader = tokio::spawn(read(
        lines,
        connection.clone(),
        client,
        stray,
        child.exited(),
    ));
    tokio::spawn(attend(
        supply.reports.clone(),
        reader,
        connection.clone(),
        outbox,
        &child,
    ));
    Ok(Running {
        connection,
        child: Body::Process(child),
        since,
    })
}

/// Waits for the end of the process, of its output or of its input, whichever shows that it is over.
fn attend(
    reports: UnboundedSender<Report>,
    mut reader: JoinHandle<()>,
    connection: Arc<Connection>,
    outbox: Outbox,
    child: &Child,
) -> impl Future<Output = ()> + use<> {
    let (mut exited, stderr) = (child.exited(), child.stderr());
    async move {
        let closed = tokio::select! {
            _ = exited.wait() => "",
            _ = &mut reader => "closed its stdout",
            () = outbox.deserted() => "closed its stdin",
        };
        let how = match timeout(AFTERLIFE, exited.wait()).await {
            Ok(status) => format!("exited with {status}"),
            Err(_) => closed.to_owned(),
        };
        // A task that has ended must not be awaited again.
        if !reader.is_finished() {
            let _ = timeout(LAST_WORDS, &mut reader).await;
        }
        reader.abort();
        let ending = Ending {
            how,
            stderr: stderr.last(SHOWN_STDERR),
            calls: connection.close(),
        };
        let _ = reports.send(Report::Ended(connection.generation, ending));
    }
}

/// Counts and tells what is no message.
pub(super) struct Stray {
    server: String,
    generation: u64,
    count: u64,
    supply: Supply,
}

impl Stray {
    pub(super) fn new(supply: &Supply, generation: u64) -> Self {
        Self {
            server: supply.spec.name.clone(),
            generation,
            count: 0,
            supply: supply.clone(),
        }
    }

    /// Tells of text that nobody can use; `kind` says why.
    pub(super) fn tell(&mut self, line: String, kind: StrayKind) {
        self.count += 1;
        let (server, generation, count) = (self.server.clone(), self.generation, self.count);
        self.supply.means.events.send(Event::Stray {
            server,
            generation,
            line,
            count,
            kind,
        });
    }
}

/// Reads the server's messages until its output ends.
async fn read(
    mut lines: Lines,
    connection: Arc<Connection>,
    client: Arc<dyn Client>,
    mut stray: Stray,
    mut exited: Exited,
) {
    loop {
        tokio::select! {
            biased;
            () = connection.client_reads() => {}
            // What it has written before is little, and must not be lost.
            _ = exited.wait() => {}
        }
        if !matches!(lines.fill().await, Ok(true)) {
            break;
        }
        let _cork = client.pipe().filter(|_| lines.several()).map(Outbox::cork);
        while let Some(frame) = lines.next() {
            match frame {
                Frame::Line(line) => take(line, &connection, &mut stray),
                Frame::TooLong { head, tail } => too_long(head, tail, &connection, &mut stray),
            }
        }
    }
    if let Some(rest) = lines.rest() {
        take(rest, &connection, &mut stray);
    }
}

fn take(line: &[u8], connection: &Arc<Connection>, stray: &mut Stray) {
    let text = text(line);
    let Err(kind) = connection.receive(&text, None) else {
        return;
    };
    // A program that prints without a line end puts its words before a message, whose members may
    // stand in any order.
    let begins = text.match_indices(r#"{""#).map(|(at, _)| at);
    for at in begins.filter(|at| *at > 0).take(BEGINNINGS) {
        let message = &text[at..];
        if message.contains(r#""jsonrpc""#) && connection.receive(message, None).is_ok() {
            return stray.tell(text[..at].to_owned(), StrayKind::Line);
        }
    }
    stray.tell(text.into_owned(), kind);
}

fn too_long(head: &[u8], tail: &[u8], connection: &Arc<Connection>, stray: &mut Stray) {
    let [head, tail] = [head, tail].map(String::from_utf8_lossy);
    connection.answer_too_long(&head, &tail);
    let text = format!(
        "a message over the limit of {} bytes: {}",
        stray.supply.means.max_message,
        head.chars().take(200).collect::<String>()
    );
    stray.tell(text, StrayKind::Line);
}

/// The failure of a generation of `spec` that was refused or ended.
pub(crate) fn failure(
    number: u64,
    refusal: &Refusal,
    ending: Option<&Ending>,
    spec: &ServerSpec,
) -> Failure {
    let how = ending.map_or("ended", |ending| ending.how.as_str());
    let reason = match refusal {
        // There it is the answer itself that says so.
        Refusal::Lost(_) if spec.remote.is_some() => how.to_owned(),
        refusal => refusal.reason(how),
    };
    if spec.remote.is_some() {
        return Failure::of_remote(number, reason);
    }
    let stderr = ending
        .map(|ending| ending.stderr.clone())
        .unwrap_or_default();
    let advice = advice::cure(&stderr, spec);
    Failure {
        generation: number,
        reason,
        advice,
        stderr,
        files: vec![],
        remote: false,
        late: matches!(refusal, Refusal::Late(..)),
    }
}

fn with_sources(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
