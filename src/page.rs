//! The page: a site for the user's browser that shows the servers, the messages and the events of this proxy, or those of
//! a recording.
//!
//! Off unless asked for. It has a thread and a runtime of its own, so that rendering delays no message. Its content
//! comes from the open fleets, from the lines of events and from those of the recorder, of which it keeps the newest. It
//! listens on loopback addresses only, and shows nothing without the token of its link or the cookie that the link sets.

mod access;
mod acting;
mod assets;
mod browser;
mod curl;
mod data;
mod events;
mod export;
mod failed_servers;
mod form;
mod input;
mod json_tree;
mod last_reload;
mod layout;
mod message_detail;
mod message_filter;
mod message_list;
mod message_selection;
mod messages;
mod opened_recording;
mod page_recording;
mod remembered;
mod routes;
mod server_cards;
mod side_by_side;
mod stream;
mod time_line;
mod traceback;
mod trying;
mod watched_files;

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use crate::event::{Event, EventSender};
use crate::fleet::OpenFleets;
use crate::free_port::bind_free;
use crate::line_sink::LineSink;
use crate::random;
use crate::recorder::MessageReceiver;
use crate::server::StandIn;
use crate::state::StateError;
use access::PageAccess;
pub(crate) use curl::FrontOfPage;
use data::PageData;
pub(crate) use opened_recording::OpenedRecording;
use remembered::{last_port, remember_port};
use routes::Site;
use trying::Trying;

/// Time limit for the end of the page's thread.
const END_TIMEOUT: Duration = Duration::from_secs(1);

/// Wish for a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PageWish {
    /// At the address of the project's last page, if it is free.
    Anywhere,
    /// At this loopback address, if it is free; port 0 selects any free port.
    At(SocketAddr),
    /// As [`Self::Anywhere`], and in the user's browser.
    Open,
}

/// Reason why there is no page.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PageError {
    #[error("the page cannot listen on {0}")]
    Bind(SocketAddr, #[source] io::Error),
    #[error("the system provides no random numbers for the link of the page")]
    Random(#[from] getrandom::Error),
}

/// Page that listens, but does not answer yet.
#[derive(Debug)]
pub(crate) struct Page {
    listener: TcpListener,
    access: PageAccess,
    data: Arc<PageData>,
    fleets: OpenFleets,
    front: Option<FrontOfPage>,
    trying: Trying,
    stand_in: Arc<StandIn>,
    opens_browser: bool,
    /// Reason why the page is not at the address that the user names.
    warning: Option<String>,
}

impl Page {
    /// Listens at the address that is wished for or, if that is taken, at a free port of 127.0.0.1. `project` is the
    /// folder that the proxy serves, or the recording that the page shows. Blocks.
    pub(crate) fn bind(wish: PageWish, project: &Path) -> Result<Self, PageError> {
        let any = SocketAddr::from((IpAddr::V4(Ipv4Addr::LOCALHOST), 0));
        let last_port = last_port(project);
        let last = last_port.map(|port| SocketAddr::new(any.ip(), port));
        let wished = match wish {
            PageWish::At(address) => address,
            PageWish::Anywhere | PageWish::Open => last.unwrap_or(any),
        };
        let mut warning = None;
        let bind = |address: SocketAddr| match address.port() {
            // The port is remembered: no other program should have it when the next proxy starts.
            0 => bind_free(|port| TcpListener::bind((address.ip(), port))),
            _ => TcpListener::bind(address),
        };
        let bound = bind(wished).or_else(|error| {
            let text = format!("the page cannot listen on {wished}: {error}; a free port is used");
            warning = matches!(wish, PageWish::At(_)).then_some(text);
            bind(any)
        });
        let bound = bound.and_then(|it| {
            it.set_nonblocking(true)?;
            Ok((it.local_addr()?, it))
        });
        let (address, listener) = bound.map_err(|error| PageError::Bind(any, error))?;
        if last_port != Some(address.port()) {
            // Without it, an open tab does not find the next proxy, which its reader sees.
            let _ = remember_port(project, address.port());
        }
        let data = PageData::new(random::id()?);
        let stand_in = StandIn::new(format!("http://{address}/input"), data.waker());
        Ok(Self {
            listener,
            access: PageAccess::new(address, random::id()?, random::id()?),
            data,
            stand_in,
            fleets: OpenFleets::default(),
            front: None,
            trying: Trying::of(project),
            opens_browser: wish == PageWish::Open,
            warning,
        })
    }

    /// Shows a recording in place of a running proxy.
    pub(crate) fn with_recording(mut self, recording: OpenedRecording) -> Self {
        self.data = PageData::of_recording(self.data.run.clone(), recording);
        self
    }

    /// Sets the HTTP front of the proxy.
    pub(crate) fn with_front(mut self, front: Option<FrontOfPage>) -> Self {
        self.front = front;
        self
    }

    /// Returns the receiver of the proxy's events.
    pub(crate) fn event_sink(&self) -> LineSink {
        let data = self.data.clone();
        LineSink::new(move |line| data.add_event(line))
    }

    /// Returns the receiver of the recorder's messages.
    pub(crate) fn message_receiver(&self) -> Arc<dyn MessageReceiver> {
        self.data.clone()
    }

    /// Returns the list that every session must add its fleet to.
    pub(crate) fn fleets(&self) -> OpenFleets {
        self.fleets.clone()
    }

    /// Returns the stand-in for the clients of all sessions, which is off.
    pub(crate) fn stand_in(&self) -> Arc<StandIn> {
        self.stand_in.clone()
    }

    /// Serves the page on a thread of its own until the returned guard is dropped, and tells its link. Must be called on
    /// the runtime of the servers.
    pub(crate) fn start(self, events: &EventSender) -> io::Result<PageGuard> {
        let url = self.access.link();
        let failure = self.opens_browser.then(|| browser::open(&url));
        let failure = failure.and_then(Result::err);
        let failure = failure.map(|error: StateError| error.to_string());
        let warning = self.warning.or(failure);
        events.send(Event::Page { url, warning });
        let end = CancellationToken::new();
        let ending = end.clone();
        let site = Arc::new(Site {
            access: self.access,
            data: self.data,
            search: Arc::default(),
            fleets: self.fleets,
            front: self.front,
            trying: self.trying,
            stand_in: self.stand_in,
            hidden: events.hidden(),
            runtime: Handle::current(),
        });
        let served = site.clone();
        let thread = thread::Builder::new().name("page".to_owned());
        let (running, ended) = mpsc::channel();
        thread.spawn(move || {
            let _running = running;
            serve(self.listener, served, &ending);
        })?;
        Ok(PageGuard {
            end,
            site,
            ended,
            opens_browser: self.opens_browser,
        })
    }
}

fn serve(listener: TcpListener, site: Arc<Site>, ending: &CancellationToken) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let served = runtime.and_then(|runtime| {
        let served = runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener)?;
            ending
                .run_until_cancelled(routes::serve(listener, site))
                .await;
            Ok(())
        });
        // A request may wait for messages.
        runtime.shutdown_background();
        served
    });
    if let Err(error) = served {
        tracing::warn!(%error, "the page ended");
    }
}

/// Ends the page when it is dropped.
#[derive(Debug)]
#[must_use = "the page ends when it is dropped"]
pub(crate) struct PageGuard {
    end: CancellationToken,
    site: Arc<Site>,
    /// Disconnected when the thread has ended.
    ended: Receiver<()>,
    opens_browser: bool,
}

impl PageGuard {
    /// Stops listening, so that the next proxy can have the address, and cancels the open calls, whose answers nobody can
    /// read any more. Must be called on the runtime of the servers. Does not wait.
    pub(crate) fn stop(&self) {
        self.end.cancel();
        self.site.data.end();
        trying::cancel_all(&self.site);
    }
}

impl Drop for PageGuard {
    fn drop(&mut self) {
        self.end.cancel();
        // A rendering cannot be cancelled; the exit of the process ends it.
        let _ = self.ended.recv_timeout(END_TIMEOUT);
        if self.opens_browser {
            // A file that remains has an expired link.
            let _ = browser::forget();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_end_does_not_wait_for_a_long_rendering() {
        let (rendering, ended) = mpsc::channel();
        drop(PageGuard {
            end: CancellationToken::new(),
            site: Arc::new(Site::empty(SocketAddr::from(([127, 0, 0, 1], 1)))),
            ended,
            opens_browser: false,
        });
        drop(rendering);
    }
}
