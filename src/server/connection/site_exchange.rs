//! Exchanges with the rest of a server's site: requests for other paths than its MCP endpoint. A draining generation
//! waits for them, and they are cut when it ends.

use std::sync::Arc;

use reqwest::Url;
use tokio_util::sync::CancellationToken;

use super::super::link::Link;
use super::Connection;
use crate::lock::locked;

/// Request for a path of the site, and its response. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct SiteExchange {
    connection: Arc<Connection>,
    /// Address of the MCP endpoint.
    endpoint: Url,
    is_stream: bool,
}

impl Connection {
    /// Begins an exchange with the site of the process. Returns `None` if it serves none or has ended.
    pub(crate) fn begin_exchange(self: &Arc<Self>) -> Option<SiteExchange> {
        let Link::HttpProcess(link) = &self.link else {
            return None;
        };
        let mut pending = locked(&self.pending);
        if pending.closed {
            return None;
        }
        pending.site_requests += 1;
        Some(SiteExchange {
            connection: self.clone(),
            endpoint: link.url().clone(),
            is_stream: false,
        })
    }

    /// Cuts the open exchanges with the site.
    pub(crate) fn cut_exchanges(&self) {
        self.cut.cancel();
    }
}

impl SiteExchange {
    /// Returns the address of the MCP endpoint of the site.
    pub(crate) fn endpoint(&self) -> &Url {
        &self.endpoint
    }

    /// Returns the name of the server.
    pub(crate) fn server(&self) -> &str {
        &self.connection.server
    }

    /// Records that the response is a stream that may never end. It keeps the generation draining, but does not delay
    /// a generation that must make room for the next one.
    pub(crate) fn become_stream(&mut self) {
        if !self.is_stream {
            self.is_stream = true;
            let mut pending = locked(&self.connection.pending);
            pending.site_requests -= 1;
            pending.site_streams += 1;
            drop(pending);
            self.connection.idle.notify_waiters();
        }
    }

    /// Returns the token that is cancelled when the exchange must end, because its generation ends.
    pub(crate) fn cut(&self) -> &CancellationToken {
        &self.connection.cut
    }
}

impl Drop for SiteExchange {
    fn drop(&mut self) {
        let mut pending = locked(&self.connection.pending);
        if self.is_stream {
            pending.site_streams -= 1;
        } else {
            pending.site_requests -= 1;
        }
        drop(pending);
        self.connection.idle.notify_waiters();
    }
}
