//! The HTTP front against the least that axum can do, a server that sends each body back; and a remote server, directly and
//! through the proxy.

use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::http::{StatusCode, header};
use axum::routing::post;
use serde_json::value::RawValue;

use super::link::Link;
use super::process;
use super::rows::{Bench, CALLS, ROUNDS, Variant};
use super::table::{Compare, quantile};

/// A server that does not listen for so long hangs.
const LIFE: Duration = Duration::from_secs(60);
/// Clients at a time where many are.
const MANY: usize = 64;
const MODERN: &str = r#""_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}"#;

/// The floor: tells its address and sends bodies back until it is killed.
pub(crate) fn echo() -> io::Result<()> {
    serve(|body| (StatusCode::OK, body))
}

/// A remote server: tells its address and answers with the arguments of a call until it is killed.
pub(crate) fn remote() -> io::Result<()> {
    serve(|body| match answer(&body) {
        Some(answer) => (StatusCode::OK, answer.into()),
        None => (StatusCode::ACCEPTED, Bytes::new()),
    })
}

fn serve(answer: fn(Bytes) -> (StatusCode, Bytes)) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        writeln!(io::stderr(), "http://{}/mcp", listener.local_addr()?)?;
        let back = move |body: Bytes| async move {
            let (status, body) = answer(body);
            (status, [(header::CONTENT_TYPE, "application/json")], body)
        };
        let limit = axum::extract::DefaultBodyLimit::disable();
        let router = Router::new().route("/mcp", post(back)).layer(limit);
        axum::serve(listener, router).await
    })
}

/// The answer to a message, if it is a request.
fn answer(message: &[u8]) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Request<'a> {
        #[serde(borrow)]
        id: &'a RawValue,
        method: &'a str,
        #[serde(borrow)]
        params: Option<&'a RawValue>,
    }
    let Request { id, method, params } = serde_json::from_slice(message).ok()?;
    let params = params.map_or("{}", RawValue::get);
    let result = match method {
        "initialize" => {
            r#"{"protocolVersion":"2025-06-18","capabilities":{"tools":{}},"serverInfo":{"name":"remote","version":"1"}}"#
                .to_owned()
        }
        "tools/list" => {
            r#"{"tools":[{"name":"bench","inputSchema":{"type":"object"}}]}"#.to_owned()
        }
        _ => format!(r#"{{"content":[],"structuredContent":{params}}}"#),
    };
    Some(format!(
        r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#
    ))
}

/// A server behind an address. It is killed with this.
pub(crate) struct Site {
    child: Child,
    address: SocketAddr,
    /// Headers that every request has besides.
    headers: String,
    /// Members that the params of every call have besides.
    meta: &'static str,
}

impl Site {
    /// Starts the command and waits until it tells its address on stderr.
    fn start(command: &mut Command) -> io::Result<Self> {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()?;
        let mut said = BufReader::new(child.stderr.take().expect("stderr is piped"));
        let address = loop {
            let mut line = String::new();
            if said.read_line(&mut line)? == 0 {
                return Err(io::Error::other("no address was told"));
            }
            let url = line.split_once("http://").map(|(_, rest)| rest);
            let host = url.and_then(|rest| rest.split('/').next());
            if let Some(Ok(address)) = host.map(str::parse) {
                break address;
            }
        };
        thread::spawn(move || io::copy(&mut said, &mut io::sink()));
        Ok(Self {
            child,
            address,
            headers: String::new(),
            meta: "",
        })
    }

    /// Asked by clients whose requests stand alone.
    pub(crate) fn modern(command: &mut Command) -> io::Result<Self> {
        let mut site = Self::start(command)?;
        site.headers =
            "MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: tools/call\r\nMcp-Name: bench\r\n"
                .into();
        site.meta = MODERN;
        Ok(site)
    }

    /// Asked by one client that has a session.
    pub(crate) fn legacy(command: &mut Command) -> io::Result<Self> {
        let mut site = Self::start(command)?;
        site.introduce()?;
        Ok(site)
    }

    /// As [`legacy`](Self::legacy), for a command that serves on this port of this machine and need not tell that.
    pub(crate) fn on_port(command: &mut Command, port: u16) -> io::Result<Self> {
        let null = Stdio::null;
        let child = command.stdin(null()).stdout(null()).stderr(null());
        let child = child.spawn()?;
        let mut site = Self {
            child,
            address: ([127, 0, 0, 1], port).into(),
            headers: String::new(),
            meta: "",
        };
        let begun = Instant::now();
        while TcpStream::connect(site.address).is_err() {
            if begun.elapsed() > LIFE {
                return Err(io::Error::other("nothing listens"));
            }
            thread::sleep(Duration::from_millis(1));
        }
        site.introduce()?;
        Ok(site)
    }

    fn introduce(&mut self) -> io::Result<()> {
        let hello = r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"bench","version":"1"}}}"#;
        let mut client = Client::to(self)?;
        client.post(hello.as_bytes())?;
        if !client.session.is_empty() {
            self.headers = format!("Mcp-Session-Id: {}\r\n", client.session);
        }
        let mut client = Client::to(self)?;
        client.post(br#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#)
    }

    /// Asks for the tools.
    pub(crate) fn list(&self) -> io::Result<()> {
        let list = br#"{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{}}"#;
        Client::to(self)?.post(list)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/mcp", self.address)
    }

    /// A call with `ID` where its id belongs.
    fn call(&self, text: &str) -> Vec<u8> {
        let comma = if self.meta.is_empty() { "" } else { "," };
        let meta = self.meta;
        format!(
            r#"{{"jsonrpc":"2.0","id":ID,"method":"tools/call","params":{{"name":"bench","arguments":{{"text":"{text}"}}{comma}{meta}}}}}"#
        )
        .into_bytes()
    }

    /// Microseconds of each of `count` calls, one after the other.
    pub(crate) fn sequence(&self, count: usize) -> io::Result<Vec<f64>> {
        let mut client = Client::to(self)?;
        let call = numbered(&self.call("hello, how are you today?"), 1);
        let mut times = Vec::with_capacity(count);
        for _ in 0..count {
            let start = Instant::now();
            client.post(&call)?;
            times.push(start.elapsed().as_secs_f64() * 1e6);
        }
        Ok(times)
    }

    /// Calls per second of many clients at once, each of which makes `count`.
    pub(crate) fn many(&self, count: usize) -> io::Result<f64> {
        let call = self.call("hello, how are you today?");
        self.at_once(MANY, count, &call)
    }

    /// MiB per second of four clients at once, each of which has one MiB echoed `count` times.
    pub(crate) fn bulk(&self, count: usize) -> io::Result<f64> {
        let call = self.call(&"x".repeat(1024 * 1024));
        self.at_once(4, count, &call)
    }

    #[expect(clippy::cast_precision_loss, reason = "counts are small")]
    fn at_once(&self, clients: usize, count: usize, call: &[u8]) -> io::Result<f64> {
        let mut all = (0..clients)
            .map(|_| Client::to(self))
            .collect::<io::Result<Vec<_>>>()?;
        let start = Instant::now();
        thread::scope(|scope| {
            let threads: Vec<_> = all
                .iter_mut()
                .enumerate()
                .map(|(number, client)| {
                    let call = numbered(call, number + 1);
                    scope.spawn(move || (0..count).try_for_each(|_| client.post(&call)))
                })
                .collect();
            threads
                .into_iter()
                .try_for_each(|it| it.join().expect("a client does not panic"))
        })?;
        Ok((clients * count) as f64 / start.elapsed().as_secs_f64())
    }
}

impl Bench {
    /// The HTTP front in both eras, against a server that sends each body back.
    pub(crate) fn http(&mut self) -> io::Result<()> {
        if !self.variants.contains(&Variant::Proxy) {
            return Ok(());
        }
        let mut echo = self.here(&self.program);
        let echo = Site::modern(echo.arg("echo"))?;
        let front = || {
            let mut command = self.here(env!("CARGO_BIN_EXE_mcp-proxy"));
            command.args(["dev", "--http", "127.0.0.1:0", "--no-watch"]);
            command.args(["--meta-tools", "none", "--"]);
            command.arg(&self.program).args(["serve", "plain.json"]);
            command
        };
        let (modern, legacy) = (Site::modern(&mut front())?, Site::legacy(&mut front())?);
        let eras = [
            (
                &modern,
                [
                    "HTTP p50, µs",
                    "HTTP calls/s, 64 clients",
                    "HTTP MiB/s, 1 MiB echoes",
                ],
            ),
            (
                &legacy,
                [
                    "HTTP session p50, µs",
                    "HTTP session calls/s",
                    "HTTP session MiB/s",
                ],
            ),
        ];
        for _ in 0..ROUNDS {
            for (site, names) in &eras {
                for (variant, site) in [(Variant::Direct, &echo), (Variant::Proxy, *site)] {
                    let p50 = quantile(&site.sequence(CALLS / 4)?, 0.5).unwrap_or_default();
                    let figures = [p50, site.many(CALLS / 64)?, site.bulk(12)?];
                    for (at, (name, figure)) in names.iter().zip(figures).enumerate() {
                        let compare = if at == 0 {
                            Compare::Beyond
                        } else {
                            Compare::OfDirect
                        };
                        self.table.row(name, compare, "").add(variant, figure);
                    }
                }
            }
        }
        for (site, _) in &eras[..1] {
            if let Some(mib) = process::memory_mib(site.pid(), "VmRSS") {
                let row = self
                    .table
                    .row("HTTP resident after that, MiB", Compare::Alone, "");
                row.add(Variant::Proxy, mib);
            }
        }
        Ok(())
    }

    /// A remote server, directly by HTTP and through the proxy on stdio.
    pub(crate) fn remote(&mut self) -> io::Result<()> {
        if !self.variants.contains(&Variant::Proxy) {
            return Ok(());
        }
        let mut server = self.here(&self.program);
        let server = Site::legacy(server.arg("answer"))?;
        let file = self.directory.path().join("remote.toml");
        fs::write(
            &file,
            format!("[servers.remote]\nurl = '{}'\n", server.url()),
        )?;
        let mut proxy = self.here(env!("CARGO_BIN_EXE_mcp-proxy"));
        proxy.args(["dev", "--meta-tools", "none", "--config"]);
        let mut link = Link::open(proxy.arg(file))?;
        link.request("tools/list", "{}")?;
        "remote__bench".clone_into(&mut link.tool);
        let text = format!("{{\"text\":\"{}\"}}", "x".repeat(1024 * 1024));
        for _ in 0..ROUNDS {
            let direct = (server.sequence(CALLS / 4)?, server.bulk(12)?);
            let through = (link.sequence(CALLS / 4)?, link.bulk(&text, 48, 4)?);
            for (variant, (times, rate)) in [(Variant::Direct, direct), (Variant::Proxy, through)] {
                let p50 = quantile(&times, 0.5).unwrap_or_default();
                let row = self.table.row("remote p50, µs", Compare::Beyond, "");
                row.add(variant, p50);
                let name = "remote MiB/s, 1 MiB echoes, 4 in flight";
                self.table
                    .row(name, Compare::OfDirect, "")
                    .add(variant, rate);
            }
        }
        Ok(())
    }
}

/// The call under an id of its own: clients of one session must not use the same at a time.
fn numbered(call: &[u8], id: usize) -> Vec<u8> {
    let call = String::from_utf8_lossy(call);
    call.replacen("ID", &id.to_string(), 1).into_bytes()
}

impl Drop for Site {
    fn drop(&mut self) {
        // A proxy that is asked to end takes its servers along.
        let pid = i32::try_from(self.child.id()).ok();
        if let Some(pid) = pid.and_then(rustix::process::Pid::from_raw) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        let _ = self.child.wait();
    }
}

/// One connection that is kept open.
struct Client {
    reader: BufReader<TcpStream>,
    head: String,
    body: Vec<u8>,
    /// The id of the session that the last answer began.
    session: String,
}

impl Client {
    fn to(site: &Site) -> io::Result<Self> {
        let stream = TcpStream::connect(site.address)?;
        stream.set_nodelay(true)?;
        let (address, headers) = (site.address, &site.headers);
        let head = format!(
            "POST /mcp HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\nAccept: application/json, text/event-stream\r\n{headers}"
        );
        Ok(Self {
            reader: BufReader::with_capacity(64 * 1024, stream),
            head,
            body: Vec::new(),
            session: String::new(),
        })
    }

    /// Posts a message and reads the answer to its end; an error if it is not of success.
    fn post(&mut self, message: &[u8]) -> io::Result<()> {
        let mut request =
            format!("{}Content-Length: {}\r\n\r\n", self.head, message.len()).into_bytes();
        request.extend_from_slice(message);
        self.reader.get_mut().write_all(&request)?;
        let (mut length, mut line) = (0, String::new());
        self.reader.read_line(&mut line)?;
        let is_good = line.starts_with("HTTP/1.1 2");
        while line != "\r\n" && !line.is_empty() {
            line.clear();
            self.reader.read_line(&mut line)?;
            let lower = line.to_ascii_lowercase();
            if let Some(value) = lower.strip_prefix("content-length:") {
                length = value.trim().parse().map_err(io::Error::other)?;
            } else if let Some(value) = lower.strip_prefix("mcp-session-id:") {
                value.trim().clone_into(&mut self.session);
            }
        }
        self.body.resize(length, 0);
        self.reader.read_exact(&mut self.body)?;
        if is_good {
            return Ok(());
        }
        Err(io::Error::other(
            String::from_utf8_lossy(&self.body).into_owned(),
        ))
    }
}
