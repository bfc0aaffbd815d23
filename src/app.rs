//! Puts the parts together, waits for the end, takes them down again.

pub(crate) mod check;

use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use crate::config::ServerSpec;
use crate::event::{Event, Events};
use crate::front::stdio;
use crate::mcp::Era;
use crate::meta_tools::{Offer, Set};
use crate::server::ServerHandle;
use crate::session::Session;
use crate::shutdown::Shutdown;
use crate::transport::reaper::Reaper;
use crate::transport::stream::{Lines, Outbox};
use crate::watcher::{Notice, WatchError, WatchOptions, WatchRequest, Watcher};

/// How long requests that were on their way when the client closed its side may still be answered:
/// for `printf … | mcp-proxy`, whose server has to start first. A client that wants an end sooner
/// sends a signal.
const LAST_ANSWERS: Duration = Duration::from_secs(10);

/// What `dev` runs with.
#[derive(Debug)]
pub(crate) struct Mission {
    /// The server.
    pub(crate) spec: ServerSpec,
    /// The longest message in bytes.
    pub(crate) max_message: usize,
    /// The era to speak with the server, if the user set it.
    pub(crate) era: Option<Era>,
    /// The meta-tools that the client is offered.
    pub(crate) meta_tools: Set,
    /// How to watch; nothing with the watcher off.
    pub(crate) watch: Option<WatchOptions>,
}

/// Why the proxy could not begin.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AppError {
    /// The runtime, the signals or the standard streams cannot be used.
    #[error("the proxy cannot start")]
    Io(#[from] io::Error),
    /// The watch cannot be set up.
    #[error(transparent)]
    Watch(#[from] WatchError),
}

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// The client closed its side.
    ClientGone,
    /// A signal asked for it.
    Signal,
}

/// Serves the client on stdin and stdout until it goes away or a signal comes; then everything that
/// was started is gone.
pub(crate) fn dev(mission: Mission, events: &Events) -> Result<End, AppError> {
    // One thread: a call is handed from pipe to pipe without waking another one.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let end = runtime.block_on(serve(mission, events));
    // A thread that reads a terminal cannot be ended.
    runtime.shutdown_background();
    end
}

async fn serve(mission: Mission, events: &Events) -> Result<End, AppError> {
    let shutdown = Shutdown::listen()?;
    let out = Outbox::new(io::stdout().as_fd().try_clone_to_owned()?)?;
    let lines = Lines::new(
        io::stdin().as_fd().try_clone_to_owned()?,
        mission.max_message,
    )?;
    let (spec, limit) = (mission.spec, mission.max_message);
    let (request, timeouts) = (watch_request(&spec), spec.timeouts);
    let server = ServerHandle::new(
        spec,
        timeouts,
        limit,
        mission.era,
        events.clone(),
        Reaper::new(),
    );
    let watch = match mission.watch {
        Some(options) => Some(start_watch(request, options, server.clone(), events).await?),
        None => None,
    };
    let session = Session::new(
        out.clone(),
        server.clone(),
        Offer::new(mission.meta_tools),
        watch.is_some(),
        events.clone(),
    );

    let (end, reason) = tokio::select! {
        () = stdio::serve(lines, session.clone(), limit) => (End::ClientGone, "the client closed its side"),
        () = out.closed() => (End::ClientGone, "the client reads no more"),
        () = shutdown.asked.cancelled() => (End::Signal, "a signal asked for it"),
    };
    events.send(Event::Ending {
        reason: reason.to_owned(),
    });
    drop(watch);
    tokio::select! {
        () = take_down(&session, end, &shutdown) => {}
        // Dropping the runtime kills every process group that is left.
        () = shutdown.urgent.cancelled() => {}
    }
    Ok(end)
}

async fn take_down(session: &Arc<Session>, end: End, shutdown: &Shutdown) {
    if end == End::ClientGone {
        tokio::select! {
            _ = tokio::time::timeout(LAST_ANSWERS, session.quiet()) => {}
            () = session.out().closed() => {}
            () = shutdown.asked.cancelled() => {}
        }
    }
    session.server().stop().await;
}

fn watch_request(spec: &ServerSpec) -> WatchRequest {
    WatchRequest::Sources {
        server: spec.name.clone(),
        cwd: spec.cwd.clone(),
        program: spec.program.clone(),
        args: spec.args.clone(),
        globs: spec.watch.clone(),
    }
}

/// Watches the server's files; what happens to them is told to `server`.
async fn start_watch(
    request: WatchRequest,
    options: WatchOptions,
    server: ServerHandle,
    events: &Events,
) -> Result<Watcher, WatchError> {
    // Unbounded: the settle stage sends a few notices a second at most.
    let (sender, mut notices) = mpsc::unbounded_channel();
    let watcher = Watcher::start(options, sender, events.clone())?;
    watcher.add(0, request).await?;
    tokio::spawn(async move {
        while let Some((_, notice)) = notices.recv().await {
            match notice {
                Notice::Suspect => server.suspect(),
                Notice::Unchanged => server.unchanged(),
                Notice::Changed(paths) => server.changed(paths),
            }
        }
    });
    Ok(watcher)
}
