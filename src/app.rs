//! Assembles the parts of the proxy, serves clients until the end, and shuts everything down.

pub(crate) mod visit;

use std::io;
use std::path::PathBuf;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::runtime::{self, Runtime};

use crate::config::{ConfigContext, EraChoice};
use crate::event::{Event, EventSender};
use crate::fleet::{FleetSetup, OpenFleets, ToolCache, WatchSubscriptions};
use crate::front::{http, stdio};
use crate::meta_tools::{OfferedMetaTools, Set};
use crate::page::{FrontOfPage, Page, PageGuard};
use crate::recorder::Recorder;
use crate::server::ProxyResources;
use crate::session::{Session, SessionFactory};
use crate::shutdown::Shutdown;
use crate::transport::stream::{self, LineReader, Outbox};
use crate::warm::StandbyPool;
use crate::watcher::{WatchError, WatchOptions};

/// Time limit for the responses to requests that are in flight when the client closes stdin. In `printf … | mcp-proxy`,
/// the server has to start first. A client that needs an earlier end sends a signal.
const FINAL_RESPONSES_TIMEOUT: Duration = Duration::from_secs(10);

/// Everything needed to serve clients.
pub(crate) struct ServeOptions {
    /// Servers to run.
    pub(crate) setup: FleetSetup,
    /// Maximum length of a message in bytes.
    pub(crate) max_message: usize,
    /// Maximum number of standby processes; irrelevant for servers that are not watched.
    pub(crate) warm_limit: usize,
    /// Era that the command line sets for all servers.
    pub(crate) era: Option<EraChoice>,
    /// Meta-tools that clients are offered.
    pub(crate) meta_tools: Set,
    /// Settings of the watcher; `None` if nothing is watched.
    pub(crate) watch: Option<WatchOptions>,
    /// Location of the configuration that servers can be installed into, if any.
    pub(crate) config_context: Option<ConfigContext>,
    /// Directory of the last-known tools of servers.
    pub(crate) cache: Option<PathBuf>,
    /// Settings of the HTTP front; without it, the proxy serves one client on stdin and stdout.
    pub(crate) http: Option<http::HttpOptions>,
    /// Page for the browser.
    pub(crate) page: Option<Page>,
}

/// Reason why the proxy cannot start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AppError {
    /// The runtime, the signal handlers or the standard streams are unusable.
    #[error("the proxy cannot start")]
    Io(#[from] io::Error),
    /// The watcher cannot start.
    #[error(transparent)]
    Watch(#[from] WatchError),
    /// The HTTP front cannot start.
    #[error(transparent)]
    Http(#[from] http::HttpError),
}

/// Reason why serving ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EndReason {
    /// The client closed stdin or stopped reading stdout.
    ClientGone,
    /// A signal requested the shutdown.
    Signal,
}

/// Serves the client on stdin and stdout until it disconnects, or all clients over HTTP until a signal. Every process
/// and task that was started has ended on return. `recorder` gets all messages.
pub(crate) fn serve(
    options: ServeOptions,
    recorder: Option<Recorder>,
    events: &EventSender,
) -> Result<EndReason, AppError> {
    let runtime = runtime()?;
    let end = runtime.block_on(serve_clients(options, recorder, events));
    // A thread that blocks on reading a terminal cannot be stopped.
    runtime.shutdown_background();
    end
}

/// Shows a page without servers until a signal.
pub(crate) fn show(page: Page, events: &EventSender) -> io::Result<()> {
    runtime()?.block_on(async {
        let shutdown = Shutdown::listen()?;
        let _page = page.start(events)?;
        shutdown.requested.cancelled().await;
        Ok(())
    })
}

/// Returns a runtime with a single thread, which forwards a call from pipe to pipe without waking another one.
pub(crate) fn runtime() -> io::Result<Runtime> {
    runtime::Builder::new_current_thread().enable_all().build()
}

/// Runs `work`, which may block, on a thread of its own. Returns `None` after a signal, once `work` has ended.
pub(crate) fn interruptible<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<Option<T>, AppError> {
    runtime()?.block_on(async {
        let shutdown = Shutdown::listen()?;
        let done = tokio::task::spawn_blocking(work).await;
        let done = done.map_err(io::Error::from)?;
        Ok((!shutdown.requested.is_cancelled()).then_some(done))
    })
}

async fn serve_clients(
    mut options: ServeOptions,
    recorder: Option<Recorder>,
    events: &EventSender,
) -> Result<EndReason, AppError> {
    let shutdown = Shutdown::listen()?;
    let limit = options.max_message;
    let http = options.http.take();
    let page = options.page.take();
    let open_fleets = page.as_ref().map(Page::fleets);
    let stand_in = page.as_ref().map(Page::stand_in);
    let is_open = http.as_ref().is_some_and(http::HttpOptions::is_open);
    let mut sessions = sessions(options, is_open, recorder, open_fleets, events)?;
    sessions.stand_in = stand_in;
    sessions.resources.has_other_sessions = http.is_some();
    let url = Arc::<OnceLock<String>>::default();
    let front = http.as_ref().map(|options| FrontOfPage {
        url: url.clone(),
        token_file: (options.token_file.as_ref()).and_then(|file| std::path::absolute(file).ok()),
    });
    let page = page.map(|page| page.with_front(front).start(events));
    let page = page.transpose()?;
    match http {
        Some(options) => {
            let front = http::Front::bind(options, limit, sessions, events).await?;
            let _ = url.set(front.url().to_owned());
            front.serve(&shutdown.requested).await;
            if let Some(page) = &page {
                page.stop();
            }
            let reason = "received a signal".to_owned();
            events.send(Event::Ending { reason });
            tokio::select! {
                () = front.stop() => {}
                () = shutdown.forced.cancelled() => {}
            }
            Ok(EndReason::Signal)
        }
        None => serve_stdio(&sessions, limit, &shutdown, page.as_ref(), events).await,
    }
}

fn sessions(
    mission: ServeOptions,
    is_open: bool,
    recorder: Option<Recorder>,
    open_fleets: Option<OpenFleets>,
    events: &EventSender,
) -> Result<SessionFactory, AppError> {
    let several = !mission.setup.is_transparent;
    let mut resources = ProxyResources::new(events.clone(), mission.max_message, mission.era);
    let watches = mission.watch.is_some() && mission.setup.watches_sources;
    resources.watches_files = watches;
    resources.keeps_former_lists = open_fleets.is_some();
    let is_warm = watches && mission.warm_limit > 0;
    resources.standby_pool = is_warm.then(|| StandbyPool::new(mission.warm_limit));
    let files = mission.setup.files.clone();
    let sources = mission
        .watch
        .map(|options| WatchSubscriptions::new(options, files, events.clone()).map(Arc::new));
    Ok(SessionFactory {
        setup: mission.setup,
        resources,
        subscriptions: sources.transpose()?,
        tool_cache: mission.cache.map(|dir| Arc::new(ToolCache::open(dir))),
        meta_tools: OfferedMetaTools::new(
            mission.meta_tools,
            several,
            mission.config_context,
            is_open,
        ),
        events: events.clone(),
        recorder,
        open_fleets,
        stand_in: None,
        opened: AtomicU64::new(0),
    })
}

async fn serve_stdio(
    sessions: &SessionFactory,
    limit: usize,
    shutdown: &Shutdown,
    page: Option<&PageGuard>,
    events: &EventSender,
) -> Result<EndReason, AppError> {
    let out = Outbox::new(stream::stdout()?)?;
    let lines = LineReader::new(stream::stdin()?, limit)?;
    let session = sessions.open(Arc::new(out.clone()), false).await?;
    if sessions.setup.starts_processes() {
        // Starts the reaper while the watcher is set up on its own thread, instead of delaying the first server.
        tokio::task::yield_now().await;
        sessions.resources.reaper.start();
    }

    let (end, reason) = tokio::select! {
        () = stdio::serve(lines, &out, session.clone(), limit) => (EndReason::ClientGone, "the client closed stdin"),
        () = out.closed() => (EndReason::ClientGone, "the client closed stdout"),
        () = shutdown.requested.cancelled() => (EndReason::Signal, "received a signal"),
    };
    if let Some(page) = page {
        page.stop();
    }
    events.send(Event::Ending {
        reason: reason.to_owned(),
    });
    tokio::select! {
        () = close_session(&session, &out, end, shutdown) => {}
        // Dropping the runtime kills the remaining process groups.
        () = shutdown.forced.cancelled() => {}
    }
    Ok(end)
}

async fn close_session(session: &Arc<Session>, out: &Outbox, end: EndReason, shutdown: &Shutdown) {
    if end == EndReason::ClientGone {
        tokio::select! {
            _ = tokio::time::timeout(FINAL_RESPONSES_TIMEOUT, session.wait_until_idle()) => {}
            () = out.closed() => {}
            () = shutdown.requested.cancelled() => {}
        }
    }
    session.end().await;
}
