//! Passes requests for other paths than the endpoint to the server's own site: pages, assets, metadata, websockets. They
//! reach the active generation under the access rules of the endpoint, and pass as streams in both directions.

mod forwarding;
mod headers;
mod paths;
mod site_body;

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{Method, StatusCode};
use axum::response::Response;
use tokio::time::timeout;

use super::Front;
use super::responses::ErrorResponse;
use crate::config::{Config, ProcessAddress, ReloadMode, ServerSpec};
use crate::fleet::LoadError;
use crate::jsonrpc::INVALID_REQUEST;
use crate::server::ServerHandle;
use crate::session::Session;

/// Choice of the server whose site is passed through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PassThrough {
    /// Name of the server; without it, the only server that serves HTTP as a process of the proxy.
    pub(crate) server: Option<String>,
}

/// Reason why no site can be passed through.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoSite {
    /// No server serves HTTP as a process of the proxy.
    #[error(
        "no server here is started by the proxy and serves HTTP: give the server a `url` beside its `command` in the \
         configuration, or pass `--url` with the command"
    )]
    Nowhere,
    /// Several do.
    #[error("several servers have a site: name one of {}, as in `--pass-through={}`", .0.join(", "), .0[0])]
    Several(Vec<String>),
    /// The configuration has no such server.
    #[error("the configuration has no server `{0}`")]
    Unknown(String),
    /// The named server does not.
    #[error(
        "`{0}` has no site: it is not both started by the proxy and reached over HTTP, by `url` beside `command`"
    )]
    Without(String),
}

impl From<&str> for PassThrough {
    /// Returns the choice of the server with this name; of the only one if the name is empty.
    fn from(server: &str) -> Self {
        let server = Some(server.to_owned()).filter(|name| !name.is_empty());
        Self { server }
    }
}

impl PassThrough {
    /// Returns the server of `config` whose site is passed through.
    pub(crate) fn choose<'c>(&self, config: &'c Config) -> Result<&'c ServerSpec, NoSite> {
        if let Some(name) = &self.server {
            let spec = config.server(name);
            let spec = spec.ok_or_else(|| NoSite::Unknown(name.clone()))?;
            return match spec.listens {
                Some(_) => Ok(spec),
                None => Err(NoSite::Without(name.clone())),
            };
        }
        let sites = config.servers.iter().filter(|it| it.listens.is_some());
        let sites: Vec<&ServerSpec> = sites.collect();
        match sites[..] {
            [] => Err(NoSite::Nowhere),
            [only] => Ok(only),
            _ => {
                let names = sites.iter().map(|spec| spec.name.clone());
                Err(NoSite::Several(names.collect()))
            }
        }
    }

    /// Passes a request on and returns the response, or an error as plain text.
    pub(super) async fn handle(&self, front: &Front, request: Request) -> Response {
        let allowed = front
            .0
            .access_control
            .check_host_and_origin(request.headers());
        let response = match allowed {
            Ok(()) => self.pass(front, request).await,
            Err(refused) => Err(refused),
        };
        response.unwrap_or_else(ErrorResponse::into_plain_text)
    }

    async fn pass(&self, front: &Front, request: Request) -> Result<Response, ErrorResponse> {
        let newest = front.newest_session();
        let config = match &newest {
            Some(session) => session.fleet().config(),
            None => Arc::new(front.0.session_factory.setup.config.clone()),
        };
        let spec = self.choose(&config);
        let spec = spec.map_err(|error| ErrorResponse::crowded(error.to_string()))?;
        let known = spec.listens.as_ref().and_then(paths::known_endpoint);
        let is_of = |endpoint: &str| paths::is_of_endpoint(&request, endpoint);
        if known.as_deref().is_some_and(is_of) {
            return Ok(super::handle(State(front.clone()), request).await);
        }
        front.0.access_control.check_token(request.headers())?;
        if *request.method() == Method::CONNECT {
            let message = "the method CONNECT is not supported";
            let status = StatusCode::METHOD_NOT_ALLOWED;
            return Err(ErrorResponse::new(status, INVALID_REQUEST, message));
        }
        let session = match newest {
            Some(session) => session,
            None => front.modern_session().await?,
        };
        let server = server_of(&session, spec).await?;
        if known.is_none() {
            // The path of the endpoint is found when the process starts.
            let exchange = server.begin_exchange().await;
            let exchange = exchange.map_err(|error| ErrorResponse::crowded(error.to_string()))?;
            if paths::is_of_endpoint(&request, exchange.endpoint().path()) {
                drop(exchange);
                return Ok(super::handle(State(front.clone()), request).await);
            }
        }
        forwarding::forward(front, &server, request).await
    }
}

/// Returns the loaded server of `session`, after starting it if need be.
async fn server_of(session: &Session, spec: &ServerSpec) -> Result<ServerHandle, ErrorResponse> {
    if !session.is_introduced() {
        let has_fixed_port = |it: &ProcessAddress| it.fixed_port().is_some();
        // Its process would keep that of the first client from starting.
        if spec.reload == ReloadMode::StopFirst || spec.listens.as_ref().is_some_and(has_fixed_port)
        {
            return Err(ErrorResponse::crowded(format!(
                "`{}` starts with the first client of the proxy, because only one process of it can run at a time",
                spec.name
            )));
        }
        session.introduce_proxy();
    }
    let fleet = session.fleet();
    let server = match fleet.loaded(&spec.name) {
        Some(server) => server,
        None => match fleet.load(&spec.name).await {
            Ok((server, _)) | Err(LoadError::Broken(server, _)) => server,
            Err(error) => return Err(ErrorResponse::crowded(error.to_string())),
        },
    };
    if fleet.should_retry(&server) {
        let _ = timeout(spec.timeouts.hold, server.reload()).await;
    }
    Ok(server)
}
