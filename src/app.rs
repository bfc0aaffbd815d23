//! Puts the parts together, waits for the end, takes them down again.

pub(crate) mod visit;

use std::io;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::config::Surroundings;
use crate::event::{Event, Events};
use crate::fleet::{Fleet, Known, Plan, Sources};
use crate::front::stdio;
use crate::mcp::Era;
use crate::meta_tools::{Offer, Set};
use crate::server::Means;
use crate::session::Session;
use crate::shutdown::Shutdown;
use crate::transport::stream::{Lines, Outbox};
use crate::watcher::{WatchError, WatchOptions};

/// How long requests that were on their way when the client closed its side may still be answered:
/// for `printf … | mcp-proxy`, whose server has to start first. A client that wants an end sooner
/// sends a signal.
const LAST_ANSWERS: Duration = Duration::from_secs(10);

/// How long what is given up at the end may take to tidy up.
const TIDYING: Duration = Duration::from_secs(5);

/// What a client is served with.
pub(crate) struct Mission {
    /// The servers.
    pub(crate) plan: Plan,
    /// The longest message in bytes.
    pub(crate) max_message: usize,
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

async fn attend(mission: Mission, events: &Events) -> Result<End, AppError> {
    let shutdown = Shutdown::listen()?;
    let out = Outbox::new(io::stdout().as_fd().try_clone_to_owned()?)?;
    let limit = mission.max_message;
    let lines = Lines::new(io::stdin().as_fd().try_clone_to_owned()?, limit)?;
    let several = !mission.plan.transparent;
    let offer = Offer::new(mission.meta_tools, several, mission.around);
    let sources = mission
        .watch
        .map(|options| Sources::new(options, events.clone()));
    let fleet = Fleet::new(
        mission.plan,
        Means::new(events.clone(), limit, mission.era),
        sources.transpose()?,
        mission.cache.map(Known::open),
    );
    fleet.begin().await?;
    let session = Session::new(out.clone(), fleet, offer, events.clone());

    let (end, reason) = tokio::select! {
        () = stdio::serve(lines, session.clone(), limit) => (End::ClientGone, "the client closed its side"),
        () = out.closed() => (End::ClientGone, "the client reads no more"),
        () = shutdown.asked.cancelled() => (End::Signal, "a signal asked for it"),
    };
    events.send(Event::Ending {
        reason: reason.to_owned(),
    });
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
    tokio::join!(session.fleet().stop(), async {
        let _ = tokio::time::timeout(TIDYING, session.give_up()).await;
    });
}
