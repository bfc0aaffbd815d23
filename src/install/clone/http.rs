//! Fetches over https with the program's own TLS: git's smart protocol, version 0, stateless on the server. The worker
//! passes the pack to libgit2. (A custom transport of libgit2 needs `unsafe`, and has no time limits.)

use std::path::Path;
use std::pin::pin;
use std::time::Duration;

use git2::Oid;
use reqwest::{Client, RequestBuilder, Response, StatusCode, Url, header};
use tokio::io::{AsyncWrite, AsyncWriteExt as _};
use tokio::time::timeout;

use super::git_transport::{FetchExtent, GitTransport};
use super::packets::{self, FetchResponseParser, PacketSplitter, ResponsePart};
use super::refs::Refs;
use super::worker::{self, WorkerTask};
use super::{CloneContext, CloneError};
use crate::transport::http::{self, causes};
use crate::transport::pipe;

/// Maximum length of the list of refs, in bytes.
const LONGEST_LIST: usize = 64 << 20;
const CONNECT: Duration = Duration::from_secs(20);

/// Repository at a URL. Its methods block, so they belong on a thread that may block.
#[derive(Debug)]
pub(super) struct HttpRepository {
    client: Client,
    /// URL of the advertisement without `/info/refs`. Follows redirects within the server.
    base: Url,
    credentials: Option<(String, String)>,
    job: CloneContext,
}

impl HttpRepository {
    pub(super) fn new(
        url: &Url,
        credentials: Option<&(String, String)>,
        job: &CloneContext,
    ) -> Result<Self, CloneError> {
        Ok(Self {
            client: client(&job.roots)?,
            base: url.clone(),
            credentials: credentials.cloned(),
            job: job.clone(),
        })
    }

    /// Blocks this thread until `future` completes.
    fn wait<T>(
        &self,
        future: impl Future<Output = Result<T, reqwest::Error>>,
    ) -> Result<T, CloneError> {
        self.job.runtime.block_on(self.within(future))
    }

    /// Awaits `future` until the silence limit, the overall deadline or cancellation.
    async fn within<T>(
        &self,
        future: impl Future<Output = Result<T, reqwest::Error>>,
    ) -> Result<T, CloneError> {
        let (left, limits) = (self.job.left(), &self.job.limits);
        tokio::select! {
            () = self.job.cancel.cancelled() => Err(CloneError::Cancelled),
            done = timeout(left.min(limits.silence), future) => match done {
                Err(_) if left < limits.silence => Err(CloneError::Slow(limits.whole)),
                Err(_) => Err(CloneError::Silent(limits.silence)),
                Ok(done) => done.map_err(|error| unreachable_or_cut(&error)),
            }
        }
    }

    fn at(&self, path: &str) -> Url {
        let mut url = self.base.clone();
        url.set_path(&format!(
            "{}/{path}",
            self.base.path().trim_end_matches('/')
        ));
        url
    }

    /// URL of the repository after redirects.
    pub(super) fn base(&self) -> &Url {
        &self.base
    }

    fn send(&self, request: RequestBuilder) -> Result<Response, CloneError> {
        let request = match &self.credentials {
            Some((user, password)) => request.basic_auth(user, Some(password)),
            None => request,
        };
        self.wait(request.header(header::PRAGMA, "no-cache").send())
    }

    /// Checks that a response is a git response of type `kind`.
    fn judge(&self, response: Response, kind: &str) -> Result<Response, CloneError> {
        let status = response.status();
        match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => return Err(CloneError::Denied),
            StatusCode::NOT_FOUND | StatusCode::GONE => return Err(CloneError::Missing),
            _ if status.is_redirection() => return Err(self.elsewhere(&response)),
            _ if !status.is_success() => return Err(CloneError::Status(status.as_u16())),
            _ => {}
        }
        let content = response.headers().get(header::CONTENT_TYPE);
        let expected = format!("application/x-git-upload-pack-{kind}");
        if content.is_none_or(|it| !it.as_bytes().starts_with(expected.as_bytes())) {
            return Err(CloneError::NoRepository);
        }
        Ok(response)
    }

    /// Error for a redirect that was not followed: the user has to agree to the other address.
    fn elsewhere(&self, response: &Response) -> CloneError {
        let target = response.headers().get(header::LOCATION);
        let target = target.and_then(|it| it.to_str().ok());
        let target = target.and_then(|it| self.base.join(it).ok());
        match target {
            Some(mut url) => {
                url.set_query(None);
                let _ = url.set_username("");
                let _ = url.set_password(None);
                CloneError::Redirected(url.as_str().trim_end_matches("/info/refs").to_owned())
            }
            None => CloneError::Status(response.status().as_u16()),
        }
    }

    /// Pipes the pack in `response` to the worker, which indexes it. Returns the commits without parents.
    async fn receive(
        &self,
        response: Response,
        wants: usize,
        folder: &Path,
    ) -> Result<Vec<Oid>, CloneError> {
        let (input, reader) = pipe::input()?;
        let work = worker::work(WorkerTask::Index, folder, reader.into(), &self.job);
        let mut indexing = pin!(work);
        let shallow = tokio::select! {
            fed = self.feed(response, input, wants) => fed?,
            // Returns the worker's error. Without an error the worker still waits for more input.
            ended = &mut indexing => {
                ended?;
                return Err(packets::ProtocolError::Cut.into());
            }
        };
        indexing.await?;
        Ok(shallow)
    }

    /// Writes the pack to `input` until the pack ends or the reader closes the pipe.
    async fn feed(
        &self,
        mut response: Response,
        mut input: impl AsyncWrite + Unpin,
        wants: usize,
    ) -> Result<Vec<Oid>, CloneError> {
        let (mut cutter, mut answer) = (PacketSplitter::default(), FetchResponseParser::default());
        let (mut shallow, mut bytes) = (Vec::new(), 0);
        loop {
            let chunk = self.within(response.chunk()).await?;
            let chunk = chunk.ok_or(packets::ProtocolError::Cut)?;
            bytes += chunk.len() as u64;
            self.job.limits.check_download(bytes)?;
            cutter.push(&chunk);
            while let Some(packet) = cutter.next()? {
                match answer.take(packet)? {
                    ResponsePart::Pack(piece) => {
                        if input.write_all(&piece).await.is_err() {
                            return Ok(shallow);
                        }
                    }
                    // A server has no reason to list more shallow commits than were requested.
                    ResponsePart::Shallow(_) if shallow.len() == wants => {
                        return Err(packets::ProtocolError::Length.into());
                    }
                    ResponsePart::Shallow(id) => shallow.push(id),
                    ResponsePart::Nothing => {}
                    ResponsePart::End => return Ok(shallow),
                }
            }
        }
    }
}

impl GitTransport for HttpRepository {
    fn refs(&mut self) -> Result<Refs, CloneError> {
        let mut url = self.at("info/refs");
        url.set_query(Some("service=git-upload-pack"));
        let response = self.send(self.client.get(url))?;
        // Later requests, also those of the git program, go to the URL that answered.
        let mut base = response.url().clone();
        base.set_query(None);
        if let Some(path) = response.url().path().strip_suffix("/info/refs") {
            base.set_path(path);
            self.base = base;
        }
        let mut response = self.judge(response, "advertisement")?;
        let mut list = Vec::new();
        while let Some(chunk) = self.wait(response.chunk())? {
            list.extend_from_slice(&chunk);
            if list.len() > LONGEST_LIST {
                return Err(CloneError::NoRepository);
            }
        }
        Ok(packets::advertisement(&list)?)
    }

    fn fetch(
        &mut self,
        folder: &Path,
        wants: &[Oid],
        extent: FetchExtent,
    ) -> Result<(), CloneError> {
        let request = self
            .client
            .post(self.at("git-upload-pack"))
            .header(
                header::CONTENT_TYPE,
                "application/x-git-upload-pack-request",
            )
            .body(packets::request(wants, extent));
        let response = self.judge(self.send(request)?, "result")?;
        let receiving = self.receive(response, wants.len(), folder);
        let shallow = self.job.runtime.block_on(receiving)?;
        if !shallow.is_empty() {
            let ids: Vec<String> = shallow.iter().map(Oid::to_string).collect();
            let ids = ids.join("\n") + "\n";
            std::fs::write(folder.join(".git/shallow"), ids)?;
        }
        Ok(())
    }
}

/// Builds a client that trusts the system's root certificates, or only `roots`.
fn client(roots: &[reqwest::Certificate]) -> Result<Client, CloneError> {
    let agent = concat!("git/2.0 (mcp-proxy ", env!("CARGO_PKG_VERSION"), ")");
    let builder = http::client(|_| true)
        .user_agent(agent)
        // A server may close an idle connection just as one of the few requests is sent on it.
        .pool_max_idle_per_host(0)
        .connect_timeout(CONNECT);
    let builder = if roots.is_empty() {
        builder
    } else {
        builder.tls_certs_only(roots.iter().cloned())
    };
    builder
        .build()
        .map_err(|error| CloneError::Connection(causes(&error)))
}

fn unreachable_or_cut(error: &reqwest::Error) -> CloneError {
    if error.is_connect() || error.is_request() {
        CloneError::Connection(causes(error))
    } else {
        CloneError::Broken(causes(error))
    }
}
