//! Raw HTTP: the proxy at an address, connections that send arbitrary bytes, and clients of both eras on top of them.

mod modern;

use std::cell::Cell;
use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use serde_json::{Value, json};

pub(crate) use modern::Modern;

use super::{DEADLINE, Log, Message, Peer, Proxy, initialize_params};

/// Headers of every message.
const KINDS: [(&str, &str); 2] = [
    ("Content-Type", "application/json"),
    ("Accept", "application/json, text/event-stream"),
];

/// Proxy that accepts clients over HTTP.
pub(crate) struct Site {
    pub(crate) peer: Peer,
    pub(crate) log: Log,
    pub(crate) url: String,
    pub(crate) address: SocketAddr,
}

impl Site {
    /// Starts the proxy and waits until it listens.
    #[track_caller]
    pub(crate) fn start(proxy: Proxy) -> Self {
        Self::start_by(proxy, &[])
    }

    /// Like [`Self::start`], with a program and arguments before the proxy's own command line.
    #[track_caller]
    pub(crate) fn start_by(proxy: Proxy, words: &[&str]) -> Self {
        let log = Log::new();
        let proxy = log.written_by(proxy.options(["--http", "127.0.0.1:0"]));
        let peer = Peer::spawn_command(proxy.run_by(words.iter().map(Into::into)));
        let listening = log.until("listening", 1);
        let url = listening[0]["url"].as_str().unwrap().to_owned();
        let host = url.strip_prefix("http://").unwrap();
        let address = host.strip_suffix("/mcp").unwrap().parse().unwrap();
        Self {
            peer,
            log,
            url,
            address,
        }
    }

    /// Sends a request on a new connection; returns the whole response.
    #[track_caller]
    pub(crate) fn ask(&self, method: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let mut connection = Connection::to(self.address);
        connection.request(method, headers, body);
        connection.answer()
    }

    /// Like [`Self::ask`], for a POST with the headers [`KINDS`].
    #[track_caller]
    pub(crate) fn post(&self, headers: &[(&str, &str)], body: &str) -> Answer {
        self.ask("POST", &[&KINDS, headers].concat(), body)
    }

    /// Returns the pids of all servers that were started.
    pub(crate) fn servers(&self) -> Vec<u64> {
        let spawned = self.log.events("spawned");
        spawned
            .iter()
            .map(|it| it["pid"].as_u64().unwrap())
            .collect()
    }
}

/// Connection to the proxy.
pub(crate) struct Connection {
    address: SocketAddr,
    reader: BufReader<TcpStream>,
    /// `Some` if the body of the current response is chunked.
    chunk: Option<usize>,
    /// Bytes of the body read so far.
    body: Vec<u8>,
}

/// Status and headers of a response.
#[derive(Debug, Clone)]
pub(crate) struct Head {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
}

impl Head {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let named = |(it, _): &&(String, String)| it.eq_ignore_ascii_case(name);
        self.headers
            .iter()
            .find(named)
            .map(|(_, value)| value.as_str())
    }
}

/// Whole response.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) head: Head,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn status(&self) -> u16 {
        self.head.status
    }

    /// Returns true if the response is an event stream.
    pub(crate) fn is_stream(&self) -> bool {
        self.head.header("content-type") == Some("text/event-stream")
    }

    /// Returns the messages of a JSON body or of an event stream.
    pub(crate) fn messages(&self) -> Vec<Message> {
        if !self.is_stream() {
            return vec![Message::new(self.body.clone())];
        }
        let events = self.body.split("\n\n").filter_map(Event::read);
        events.filter_map(|event| event.message()).collect()
    }

    /// Returns the last message.
    #[track_caller]
    pub(crate) fn last(&self) -> Message {
        self.messages().pop().expect("an answer")
    }

    #[track_caller]
    pub(crate) fn error_code(&self) -> i64 {
        self.last().error()["code"]
            .as_i64()
            .expect("an error with a code")
    }
}

/// Server-sent event.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Event {
    pub(crate) id: Option<String>,
    pub(crate) data: String,
}

impl Event {
    fn read(text: &str) -> Option<Self> {
        let mut event = Self::default();
        let mut any = false;
        for line in text.lines() {
            let (name, value) = line.split_once(':').unwrap_or((line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match name {
                "id" => event.id = Some(value.to_owned()),
                "data" => event.data += value,
                _ => continue,
            }
            any = true;
        }
        any.then_some(event)
    }

    pub(crate) fn message(&self) -> Option<Message> {
        (!self.data.is_empty()).then(|| Message::new(self.data.clone()))
    }
}

impl Connection {
    #[track_caller]
    pub(crate) fn to(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream.set_write_timeout(Some(DEADLINE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self {
            address,
            reader: BufReader::new(stream),
            chunk: None,
            body: Vec::new(),
        }
    }

    /// Sends arbitrary bytes. Bytes that the other side no longer accepts are lost.
    pub(crate) fn send(&self, bytes: &[u8]) {
        let _ = self.reader.get_ref().write_all(bytes);
    }

    /// Sends a request with a correct `Host` and `Content-Length` unless `headers` override them.
    pub(crate) fn request(&self, method: &str, headers: &[(&str, &str)], body: &str) {
        self.request_at("/mcp", method, headers, body);
    }

    /// Like [`Self::request`], to any path.
    pub(crate) fn request_at(
        &self,
        path: &str,
        method: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) {
        let has = |name: &str| headers.iter().any(|(it, _)| it.eq_ignore_ascii_case(name));
        let mut head = format!("{method} {path} HTTP/1.1\r\n");
        if !has("host") {
            let _ = write!(head, "Host: {}\r\n", self.address);
        }
        if !has("content-length") && !has("transfer-encoding") {
            let _ = write!(head, "Content-Length: {}\r\n", body.len());
        }
        for (name, value) in headers {
            let _ = write!(head, "{name}: {value}\r\n");
        }
        self.send((head + "\r\n" + body).as_bytes());
    }

    /// Reads the status and headers of a response; `None` if the connection was closed instead.
    pub(crate) fn try_head(&mut self) -> Option<Head> {
        let mut line = String::new();
        if self.reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let status = line.split(' ').nth(1)?.parse().ok()?;
        let mut headers = Vec::new();
        loop {
            let mut line = String::new();
            self.reader.read_line(&mut line).ok()?;
            let Some((name, value)) = line.trim_end().split_once(':') else {
                break;
            };
            headers.push((name.to_owned(), value.trim().to_owned()));
        }
        let head = Head { status, headers };
        self.chunk = head.header("transfer-encoding").map(|_| 0);
        self.body.clear();
        Some(head)
    }

    #[track_caller]
    pub(crate) fn head(&mut self) -> Head {
        self.try_head().expect("an answer")
    }

    #[track_caller]
    pub(crate) fn answer(&mut self) -> Answer {
        let head = self.head();
        if self.chunk.is_some() {
            while self.more() {}
        } else {
            let length = head
                .header("content-length")
                .map_or(0, |it| it.parse().unwrap());
            self.body.resize(length, 0);
            self.reader.read_exact(&mut self.body).unwrap();
        }
        let body = String::from_utf8(std::mem::take(&mut self.body)).unwrap();
        Answer { head, body }
    }

    /// Reads one more chunk; returns false at the end of the body.
    fn more(&mut self) -> bool {
        let mut line = String::new();
        if self.reader.read_line(&mut line).unwrap_or(0) == 0 {
            return false;
        }
        let size = usize::from_str_radix(line.trim(), 16).expect("the size of a chunk");
        let mut chunk = vec![0; size + 2];
        if self.reader.read_exact(&mut chunk).is_err() {
            return false;
        }
        self.body.extend_from_slice(&chunk[..size]);
        size > 0
    }

    /// Reads the next chunk of a body; `None` at its end.
    pub(crate) fn chunk(&mut self) -> Option<Vec<u8>> {
        self.more().then(|| std::mem::take(&mut self.body))
    }

    /// Reads and drops bytes of a body, at most `count`; returns their number.
    #[track_caller]
    pub(crate) fn skip(&mut self, count: u64) -> u64 {
        let mut body = (&mut self.reader).take(count);
        std::io::copy(&mut body, &mut std::io::sink()).unwrap()
    }

    /// Reads the next event of a stream, skipping comments; `None` at the end.
    pub(crate) fn event(&mut self) -> Option<Event> {
        loop {
            if let Some(end) = self.body.windows(2).position(|it| it == b"\n\n") {
                let text: Vec<u8> = self.body.drain(..end + 2).collect();
                if let Some(event) = Event::read(&String::from_utf8(text).unwrap()) {
                    return Some(event);
                }
                continue;
            }
            if !self.more() {
                return None;
            }
        }
    }

    /// Reads the next message of a stream; `None` at the end.
    pub(crate) fn message_or_end(&mut self) -> Option<Message> {
        loop {
            if let Some(message) = self.event()?.message() {
                return Some(message);
            }
        }
    }

    /// Reads the next message of a stream that must not end.
    #[track_caller]
    pub(crate) fn message(&mut self) -> Message {
        self.message_or_end().expect("a stream that goes on")
    }
}

/// Client of the legacy era, identified by its session.
pub(crate) struct Legacy {
    address: SocketAddr,
    pub(crate) id: String,
    next: Cell<u64>,
}

impl Legacy {
    /// Begins a session.
    #[track_caller]
    pub(crate) fn begin(site: &Site) -> Self {
        Self::begin_as(site, "2025-11-25")
    }

    /// Begins a session of that revision.
    #[track_caller]
    pub(crate) fn begin_as(site: &Site, revision: &str) -> Self {
        let mut params = initialize_params();
        params["protocolVersion"] = revision.into();
        let answer = site.post(&[], &request(&json!(0), "initialize", &params));
        assert_eq!(answer.status(), 200, "{}", answer.body);
        let id = answer
            .head
            .header("mcp-session-id")
            .expect("an id")
            .to_owned();
        let client = Self {
            address: site.address,
            id,
            next: Cell::new(0),
        };
        let said = client.tell("notifications/initialized", &json!({}));
        assert_eq!(said.status(), 202);
        client
    }

    /// Sends any body in the session; returns the response.
    #[track_caller]
    pub(crate) fn post(&self, body: &str) -> Answer {
        self.open(body).answer()
    }

    /// Like [`Self::post`], without reading the response.
    #[track_caller]
    pub(crate) fn open(&self, body: &str) -> Connection {
        let connection = Connection::to(self.address);
        let headers = [&KINDS[..], &[("Mcp-Session-Id", self.id.as_str())]].concat();
        connection.request("POST", &headers, body);
        connection
    }

    #[track_caller]
    pub(crate) fn tell(&self, method: &str, params: &Value) -> Answer {
        self.post(&json!({"jsonrpc": "2.0", "method": method, "params": params}).to_string())
    }

    /// Sends a request; waits for its response.
    #[track_caller]
    pub(crate) fn ask(&self, method: &str, params: &Value) -> Message {
        self.next.set(self.next.get() + 1);
        self.post(&request(&json!(self.next.get()), method, params))
            .last()
    }

    #[track_caller]
    pub(crate) fn call(&self, tool: &str, arguments: &Value) -> Message {
        self.ask("tools/call", &json!({"name": tool, "arguments": arguments}))
    }

    /// Opens a stream, or resumes one after the event `last`.
    #[track_caller]
    pub(crate) fn stand(&self, last: Option<&str>) -> (Head, Connection) {
        let mut connection = Connection::to(self.address);
        let mut headers = vec![
            ("Accept", "text/event-stream"),
            ("Mcp-Session-Id", &*self.id),
        ];
        headers.extend(last.map(|last| ("Last-Event-ID", last)));
        connection.request("GET", &headers, "");
        (connection.head(), connection)
    }

    #[track_caller]
    pub(crate) fn end(&self) -> Answer {
        let mut connection = Connection::to(self.address);
        connection.request("DELETE", &[("Mcp-Session-Id", &self.id)], "");
        connection.answer()
    }
}

/// Returns the raw line of a request.
pub(crate) fn request(id: &Value, method: &str, params: &Value) -> String {
    json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}).to_string()
}
