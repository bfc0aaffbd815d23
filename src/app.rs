//! Puts the parts together, waits for the end, takes them down again.

pub(crate) mod visit;

use std::io;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use crate::config::Surroundings;
use crate::event::{Event, Events};
use crate::fleet::{Known, Plan, Sources};
use crate::front::{http, stdio};
use crate::mcp::Era;
use crate::meta_tools::{Offer, Set};
use crate::server::Means;
use crate::session::{Session, Sessions};
use crate::shutdown::Shutdown;
use crate::transport::stream::{Lines, Outbox};
use crate::warm::Pool;
use crate::watcher::{WatchError, WatchOptions};

/// How long requests that were on their way when the client closed its side may still be answered:
/// for `printf … | mcp-proxy`, whose server has to start first. A client that wants an end sooner
/// sends a signal.
const LAST_ANSWERS: Duration = Duration::from_secs(10);

/// What clients are served with.
pub(crate) struct Mission {
    /// The servers.
    pub(crate) plan: Plan,
    /// The longest message in bytes.
    pub(crate) max_message: usize,
    /// As many processes may be kept ready for a next start; a server that is not watched needs none.
    pub(crate) warm_limit: usize,
    /// The era to speak with the servers, if the user set it.
    pub(crate) era: Option<Era>,
    /// The meta-tools that the client is offered.
    pub(crate) meta_tools: Set,
    /// How to watch; nothing with the watcher off.
    pub(crate) watch: Option<WatchOptions>,
    /// What leads to the configuration that servers may be installed into.
    pub(crate) around: Option<Surroundings>,
    /// The directory that keeps which tools servers had.
    pub(crate) cache: Option<PathBuf>,
    /// How clients come in by HTTP; without it, one client does by stdin and stdout.
    pub(crate) http: Option<http::Options>,
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
    /// Clients cannot come in.
    #[error(transparent)]
    Http(#[from] http::HttpError),
}

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// The client closed its side.
    ClientGone,
    /// A signal asked for it.
    Signal,
}

/// Serves the client on stdin and stdout until it goes away, or those that come by HTTP, until a signal
/// comes; then everything that was started is gone.
pub(crate) fn serve(mission: Mission, events: &Events) -> Result<End, AppError> {
    // One thread: a call is handed from pipe to pipe without waking another one.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let end = runtime.block_on(attend(mission, events));
    // A thread that reads a terminal cannot be ended.
    runtime.shutdown_background();
    end
}

async fn attend(mut mission: Mission, events: &Events) -> Result<End, AppError> {
    let shutdown = Shutdown::listen()?;
    let limit = mission.max_message;
    let http = mission.http.take();
    let is_open = http.as_ref().is_some_and(http::Options::is_open);
    let sessions = sessions(mission, is_open, events)?;
    match http {
        Some(options) => {
            let front = http::Front::bind(options, limit, sessions, events).await?;
            front.serve(&shutdown.asked).await;
            let reason = "a signal asked for it".to_owned();
            events.send(Event::Ending { reason });
            tokio::select! {
                () = front.stop() => {}
                () = shutdown.urgent.cancelled() => {}
            }
            Ok(End::Signal)
        }
        None => attend_stdio(&sessions, limit, &shutdown, events).await,
    }
}

fn sessions(mission: Mission, is_open: bool, events: &Events) -> Result<Sessions, AppError> {
    let several = !mission.plan.transparent;
    let mut means = Means::new(events.clone(), mission.max_message, mission.era);
    let watches = mission.watch.is_some() && !mission.plan.lazy;
    means.watched = watches;
    means.warm = Some(Pool::new(mission.warm_limit)).filter(|_| watches && mission.warm_limit > 0);
    let sources = mission
        .watch
        .map(|options| Sources::new(options, events.clone()).map(Arc::new));
    Ok(Sessions {
        plan: mission.plan,
        means,
        sources: sources.transpose()?,
        known: mission.cache.map(|dir| Arc::new(Known::open(dir))),
        offer: Offer::new(mission.meta_tools, several, mission.around, is_open),
        events: events.clone(),
        opened: AtomicBool::new(false),
    })
}

async fn attend_stdio(
    sessions: &Sessions,
    limit: usize,
    shutdown: &Shutdown,
    events: &Events,
) -> Result<End, AppError> {
    let out = Outbox::new(io::stdout().as_fd().try_clone_to_owned()?)?;
    let lines = Lines::new(io::stdin().as_fd().try_clone_to_owned()?, limit)?;
    let session = sessions.open(Arc::new(out.clone()), false)?;
    if sessions.plan.starts_processes() {
        // While the watch is set up on its thread, not when the first server is to start.
        tokio::task::yield_now().await;
        sessions.means.reaper.start();
    }

    let (end, reason) = tokio::select! {
        () = stdio::serve(lines, &out, session.clone(), limit) => (End::ClientGone, "the client closed its side"),
        () = out.closed() => (End::ClientGone, "the client reads no more"),
        () = shutdown.asked.cancelled() => (End::Signal, "a signal asked for it"),
    };
    events.send(Event::Ending {
        reason: reason.to_owned(),
    });
    tokio::select! {
        () = take_down(&session, &out, end, shutdown) => {}
        // Dropping the runtime kills every process group that is left.
        () = shutdown.urgent.cancelled() => {}
    }
    Ok(end)
}

async fn take_down(session: &Arc<Session>, out: &Outbox, end: End, shutdown: &Shutdown) {
    if end == End::ClientGone {
        tokio::select! {
            _ = tokio::time::timeout(LAST_ANSWERS, session.quiet()) => {}
            () = out.closed() => {}
            () = shutdown.asked.cancelled() => {}
        }
    }
    session.end().await;
}
