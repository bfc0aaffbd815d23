//! The rest of a server's site: requests for other paths than the MCP endpoint, on their way through the gate.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use super::ServerHandle;
use super::connection::SiteExchange;
use super::error_replies::explain;
use super::gate::GateStatus;
use crate::event::Failure;

/// Reason why a request does not reach the site of a server.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SiteError {
    /// The saved code does not run.
    #[error("{}", explain(.0, .1))]
    Refused(String, Arc<Failure>),
    /// Requests were held too long.
    #[error(
        "`{server}` was not ready within {} s: the request waited for {reason}. It was not sent; retry it.",
        max_wait.as_secs_f64()
    )]
    Late {
        server: String,
        max_wait: Duration,
        reason: Cow<'static, str>,
    },
    /// The server is not run any more.
    #[error("`{0}` is no longer loaded")]
    Unloaded(String),
}

impl ServerHandle {
    /// Begins an exchange with the site of the active generation. Waits for that generation as a call does, at most for
    /// `hold_timeout`.
    pub(crate) async fn begin_exchange(&self) -> Result<SiteExchange, SiteError> {
        let spec = self.spec();
        let max_wait = spec.timeouts.hold;
        match tokio::time::timeout(max_wait, self.next_exchange()).await {
            Ok(Some(exchange)) => Ok(exchange),
            Ok(None) => Err(match self.refusal() {
                Some(failure) => SiteError::Refused(spec.name.clone(), failure),
                None => SiteError::Unloaded(spec.name.clone()),
            }),
            Err(_) => Err(SiteError::Late {
                server: spec.name.clone(),
                max_wait,
                reason: self.shared.gate.hold_reason(),
            }),
        }
    }

    /// Begins the next exchange that the gate lets pass; returns `None` if it refuses requests.
    async fn next_exchange(&self) -> Option<SiteExchange> {
        let mut status = self.shared.gate.status();
        loop {
            let standing = status.wait_for(|standing| *standing != GateStatus::Held);
            if *standing.await.ok()? == GateStatus::Refusing {
                return None;
            }
            let exchange = self.connection().and_then(|it| it.begin_exchange());
            if exchange.is_some() {
                return exchange;
            }
            // The generation has just ended, and its supervisor is about to process the report.
            status.changed().await.ok()?;
        }
    }
}
