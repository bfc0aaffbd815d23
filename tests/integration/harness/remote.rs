//! Raw HTTP server: sends exactly the responses that a test needs, and records every request.

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};

use super::git_server::{tls, tls_with};
use super::{DEADLINE, eventually, free_port};

/// Received request.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) verb: String,
    pub(crate) path: String,
    headers: Vec<(String, String)>,
    pub(crate) body: String,
    pub(crate) at: Instant,
}

impl Asked {
    fn read(stream: &mut BufReader<TcpStream>) -> Option<Self> {
        let mut line = String::new();
        stream.read_line(&mut line).ok()?;
        let mut words = line.split(' ');
        let (verb, path) = (words.next()?.to_owned(), words.next()?.to_owned());
        let mut headers = Vec::new();
        loop {
            let mut line = String::new();
            stream.read_line(&mut line).ok()?;
            let Some((name, value)) = line.trim_end().split_once(':') else {
                break;
            };
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        let mut asked = Self {
            verb,
            path,
            headers,
            body: String::new(),
            at: Instant::now(),
        };
        let length = asked.header("content-length").unwrap_or("0").parse();
        let mut body = vec![0; length.ok()?];
        stream.read_exact(&mut body).ok()?;
        asked.body = String::from_utf8(body).ok()?;
        Some(asked)
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut named = self.headers.iter().filter(|(it, _)| it == name);
        let value = named.next().map(|(_, value)| value.as_str());
        assert!(named.next().is_none(), "{name} is there twice: {self:?}");
        value
    }

    /// Returns the message in the body; null if the body is not JSON.
    pub(crate) fn message(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_default()
    }

    /// Returns the method of that message; empty if it has none.
    pub(crate) fn method(&self) -> String {
        let message = self.message();
        message["method"].as_str().unwrap_or_default().to_owned()
    }

    /// Returns a response with this result.
    pub(crate) fn result(&self, result: &Value) -> String {
        json!({"jsonrpc": "2.0", "id": self.message()["id"], "result": result}).to_string()
    }

    /// Returns an error response.
    pub(crate) fn error(&self, code: i64, message: &str) -> String {
        let error = json!({"code": code, "message": message});
        json!({"jsonrpc": "2.0", "id": self.message()["id"], "error": error}).to_string()
    }
}

/// Writer of the response to one request.
pub(crate) struct Answering {
    stream: TcpStream,
    /// True if the connection ends after this response.
    is_last: bool,
}

impl Answering {
    /// Returns a writer on the same connection, for another thread.
    pub(crate) fn again(&self) -> Self {
        Self {
            stream: self.stream.try_clone().unwrap(),
            is_last: self.is_last,
        }
    }

    /// Writes arbitrary bytes.
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        let _ = self
            .stream
            .write_all(bytes)
            .and_then(|()| self.stream.flush());
    }

    /// Writes a whole response.
    pub(crate) fn whole(&mut self, status: u16, headers: &[(&str, &str)], body: &str) {
        let mut head = format!(
            "HTTP/1.1 {status} As It Is\r\nContent-Length: {}\r\n",
            body.len()
        );
        // Otherwise the client may send its next request on a connection that is about to end.
        if self.is_last {
            head += "Connection: close\r\n";
        }
        for (name, value) in headers {
            write!(head, "{name}: {value}\r\n").unwrap();
        }
        self.write((head + "\r\n" + body).as_bytes());
    }

    /// Writes a response with a JSON message.
    pub(crate) fn json(&mut self, body: &str) {
        self.whole(200, &[("Content-Type", "application/json")], body);
    }

    /// Writes the head of an event stream, which ends with the connection.
    pub(crate) fn stream(&mut self) {
        let head =
            "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n";
        self.write(head.as_bytes());
    }

    /// Writes an event of the stream.
    pub(crate) fn event(&mut self, message: &str) {
        self.write(format!("data: {message}\n\n").as_bytes());
    }

    /// Closes the connection.
    pub(crate) fn cut(&mut self) {
        let _ = self.stream.shutdown(Shutdown::Both);
    }

    /// Waits until the other side closes the connection; returns false if it sends something instead.
    pub(crate) fn until_closed(&mut self) -> bool {
        let _ = self.stream.set_read_timeout(Some(DEADLINE));
        matches!(self.stream.read(&mut [0]), Ok(0))
            || self
                .stream
                .peek(&mut [0])
                .is_err_and(|error| error.kind() != std::io::ErrorKind::WouldBlock)
    }
}

type Answer = dyn Fn(&Asked, &mut Answering) + Send + Sync;

/// HTTP server. Dropping it stops it and closes its connections.
pub(crate) struct HttpServer {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
    open: Arc<Mutex<Vec<TcpStream>>>,
    stopped: Arc<AtomicBool>,
}

impl HttpServer {
    /// Starts a server that answers every request with `answer`, on one thread per connection.
    #[track_caller]
    pub(crate) fn start(answer: impl Fn(&Asked, &mut Answering) + Send + Sync + 'static) -> Self {
        Self::at(([127, 0, 0, 1], free_port()).into(), answer)
    }

    /// Like [`Self::start`], at an address that another server may have used before.
    #[track_caller]
    pub(crate) fn at(
        address: SocketAddr,
        answer: impl Fn(&Asked, &mut Answering) + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let server = Self {
            address: listener.local_addr().unwrap(),
            asked: Arc::default(),
            open: Arc::default(),
            stopped: Arc::default(),
        };
        let answer: Arc<Answer> = Arc::new(answer);
        let (asked, open, stopped) = (
            server.asked.clone(),
            server.open.clone(),
            server.stopped.clone(),
        );
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                open.lock().unwrap().push(stream.try_clone().unwrap());
                let (asked, answer) = (asked.clone(), answer.clone());
                thread::spawn(move || serve(stream, &asked, &*answer));
            }
        });
        server
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/mcp", self.address)
    }

    /// Returns all requests so far.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    /// Returns the requests with this HTTP method or with a message of this MCP method.
    pub(crate) fn asked_for(&self, method: &str) -> Vec<Asked> {
        let mut asked = self.asked();
        asked.retain(|it| it.verb == method || it.method() == method);
        asked
    }

    /// Waits for `count` requests of this method; returns all of them.
    #[track_caller]
    pub(crate) fn until(&self, method: &str, count: usize) -> Vec<Asked> {
        eventually(DEADLINE, || self.asked_for(method).len() >= count);
        self.asked_for(method)
    }

    /// Stops the server and closes its connections; its address refuses connections. Returns the address.
    pub(crate) fn stop(self) -> SocketAddr {
        self.address
    }
}

impl Drop for HttpServer {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::SeqCst);
        // Wakes the thread, which then drops the listener.
        let _ = TcpStream::connect(self.address);
        for stream in self.open.lock().unwrap().drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
        let free = || TcpStream::connect_timeout(&self.address, Duration::from_secs(1)).is_err();
        if !thread::panicking() {
            eventually(DEADLINE, free);
        }
    }
}

fn serve(stream: TcpStream, asked: &Mutex<Vec<Asked>>, answer: &Answer) {
    let writer = stream.try_clone().unwrap();
    stream.set_nodelay(true).unwrap();
    let mut reader = BufReader::new(stream);
    while let Some(request) = Asked::read(&mut reader) {
        asked.lock().unwrap().push(request.clone());
        let stream = writer.try_clone().unwrap();
        // Only the end of the connection ends a stream.
        let is_last = request.header("accept") == Some("text/event-stream");
        let mut answering = Answering { stream, is_last };
        answer(&request, &mut answering);
        if is_last {
            answering.cut();
        }
    }
    // Signals the end also where clones of the stream are still open.
    let _ = writer.shutdown(Shutdown::Both);
}

/// Session id of the server [`legacy`].
pub(crate) const SESSION: &str = "the-session";

/// Answers like a small legacy server with sessions, the tool `echo` and the prompt `greet`.
pub(crate) fn legacy(asked: &Asked, answering: &mut Answering) {
    let message = asked.message();
    match (asked.verb.as_str(), asked.method().as_str()) {
        ("POST", "initialize") => {
            let result = json!({
                "protocolVersion": message["params"]["protocolVersion"],
                "capabilities": {"tools": {"listChanged": true}, "prompts": {}, "logging": {}},
                "serverInfo": {"name": "by-hand", "version": "1.0.0"},
            });
            let headers = [
                ("Content-Type", "application/json"),
                ("Mcp-Session-Id", SESSION),
            ];
            answering.whole(200, &headers, &asked.result(&result));
        }
        ("POST", "tools/list") => answering.json(&asked.result(&tools(&["echo"]))),
        ("POST", "tools/call") => answering.json(&asked.result(&echo(&message))),
        ("POST", "prompts/list") => {
            answering.json(&asked.result(&json!({"prompts": [{"name": "greet"}]})));
        }
        ("POST", _) if message["id"].is_null() || message["method"].is_null() => {
            answering.whole(202, &[], "");
        }
        ("POST", "server/discover") => {
            answering.whole(400, &[("Content-Type", "text/plain")], "Bad Request");
        }
        ("POST", _) => answering.json(&asked.error(-32601, "no such method")),
        ("DELETE", _) => answering.whole(200, &[], ""),
        _ => answering.whole(405, &[("Allow", "POST, DELETE")], ""),
    }
}

/// Answers like a small modern server with the tool `echo`.
pub(crate) fn modern(asked: &Asked, answering: &mut Answering) {
    let message = asked.message();
    match (asked.verb.as_str(), asked.method().as_str()) {
        ("POST", "server/discover") => {
            let result = json!({
                "resultType": "complete",
                "supportedVersions": ["2026-07-28"],
                "capabilities": {"tools": {"listChanged": true}},
                "_meta": {"io.modelcontextprotocol/serverInfo": {"name": "by-hand", "version": "1.0.0"}},
            });
            answering.json(&asked.result(&result));
        }
        ("POST", "tools/list") => answering.json(&asked.result(&tools(&["echo"]))),
        ("POST", "tools/call") => answering.json(&asked.result(&echo(&message))),
        ("POST", "subscriptions/listen") => {
            answering.stream();
            answering.until_closed();
        }
        ("POST", _) => {
            let kind = [("Content-Type", "application/json")];
            answering.whole(404, &kind, &asked.error(-32601, "no such method"));
        }
        _ => answering.whole(405, &[("Allow", "POST")], ""),
    }
}

/// Returns the result of `tools/list` with tools of these names.
pub(crate) fn tools(names: &[&str]) -> Value {
    let tools: Vec<Value> = names
        .iter()
        .map(|name| json!({"name": name, "inputSchema": {"type": "object"}}))
        .collect();
    json!({ "tools": tools, "resultType": "complete" })
}

/// Returns the result of a call of `echo`.
pub(crate) fn echo(message: &Value) -> Value {
    let text = message["params"]["arguments"]["text"].as_str();
    let text = format!("echo: {}", text.unwrap_or_default());
    json!({"content": [{"type": "text", "text": text}], "resultType": "complete"})
}

/// TLS front of a server: accepts clients over https. `authority` is the file with the certificate that they must
/// trust.
pub(crate) struct Tls {
    port: u16,
    pub(crate) authority: tempfile::NamedTempFile,
}

impl Tls {
    #[track_caller]
    pub(crate) fn before(server: &HttpServer) -> Self {
        Self::with(tls(), server)
    }

    /// Like [`Self::before`], with the certificate of the authority itself.
    #[track_caller]
    pub(crate) fn as_authority(server: &HttpServer) -> Self {
        Self::with(tls_as_authority(), server)
    }

    #[track_caller]
    fn with((config, pem): (Arc<ServerConfig>, String), server: &HttpServer) -> Self {
        let authority = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(authority.path(), pem).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (port, target) = (listener.local_addr().unwrap().port(), server.address);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let config = config.clone();
                thread::spawn(move || pass_on(stream, config, target));
            }
        });
        Self { port, authority }
    }

    pub(crate) fn url(&self) -> String {
        format!("https://localhost:{}/mcp", self.port)
    }
}

/// Returns the TLS configuration of a server named `localhost` that presents the certificate of an authority as its
/// own, and this certificate (PEM).
fn tls_as_authority() -> (Arc<ServerConfig>, String) {
    let mut authority = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap();
    authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = authority.self_signed(&key).unwrap();
    (tls_with(&certificate, &key), certificate.pem())
}

/// Passes on one request and its response.
fn pass_on(stream: TcpStream, config: Arc<ServerConfig>, target: SocketAddr) -> Option<()> {
    let connection = ServerConnection::new(config).unwrap();
    let mut stream = BufReader::new(StreamOwned::new(connection, stream));
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        (stream.read_line(&mut head).ok()? > 0).then_some(())?;
    }
    let length = head
        .lines()
        .find_map(|it| it.strip_prefix("content-length: "));
    let mut body = vec![0; length.map_or(0, |it| it.parse().unwrap())];
    stream.read_exact(&mut body).ok()?;
    let mut server = TcpStream::connect(target).ok()?;
    server.write_all(&[head.as_bytes(), &body].concat()).ok()?;
    server.shutdown(Shutdown::Write).ok()?;
    let mut answer = Vec::new();
    server.read_to_end(&mut answer).ok()?;
    stream.get_mut().write_all(&answer).ok()?;
    stream.get_mut().conn.send_close_notify();
    stream.get_mut().flush().ok()
}
