//! Raw client: starts a command, writes lines to it and records every line that it writes.
//!
//! All methods take `&self`, so that one thread may edit files while another calls.

use std::ffi::OsStr;
use std::fmt::Display;
use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::system::{CACHE, STATE};
use super::transcript::Transcript;
use super::{DEADLINE, Message, eventually, processes::new_tag};

/// Sets the directory of the proxy's state, unless the command names one. All tests share it, which keeps the user's
/// own state untouched.
pub(crate) fn keep_state(command: &mut Command) {
    if command.get_envs().all(|(name, _)| name != STATE) {
        let shared = std::path::absolute(concat!(env!("CARGO_TARGET_TMPDIR"), "/state"));
        command.env(STATE, shared.unwrap());
    }
}

#[derive(Debug)]
pub(crate) struct Peer {
    child: Mutex<Child>,
    pid: u32,
    tag: String,
    stdin: Mutex<Option<ChildStdin>>,
    transcript: Arc<Transcript>,
    next_id: AtomicU64,
    deadline: Duration,
    /// Cache directory of the proxy, unless the command names another one. Keeps the user's own cache untouched.
    #[expect(dead_code, reason = "its directory is removed when it is dropped")]
    cache: TempDir,
}

impl Peer {
    /// Starts `command` (a program and its arguments) in the current directory.
    #[track_caller]
    pub(crate) fn spawn<S: AsRef<OsStr>>(command: impl IntoIterator<Item = S>) -> Self {
        let mut words = command.into_iter();
        let mut process = Command::new(words.next().expect("a command has a program"));
        process.args(words);
        Self::spawn_command(process)
    }

    /// Starts a prepared command after setting its stdio, its tag, and the directories of its cache and state.
    #[track_caller]
    pub(crate) fn spawn_command(mut command: Command) -> Self {
        let tag = new_tag();
        let cache = TempDir::with_prefix("mcp-proxy-cache-").unwrap();
        if command.get_envs().all(|(name, _)| name != CACHE) {
            command.env(CACHE, cache.path());
        }
        keep_state(&mut command);
        command
            .env("MCP_PROXY_TEST_TAG", &tag)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = match command.spawn() {
            Ok(child) => child,
            Err(error) => panic!("cannot start {command:?}: {error}"),
        };
        let transcript = Arc::new(Transcript::new());
        let stdout = child.stdout.take().expect("stdout is piped");
        let stderr = child.stderr.take().expect("stderr is piped");
        let reader = Arc::clone(&transcript);
        std::thread::spawn(move || {
            for_each_line(stdout, |line| reader.received(line));
            reader.stdout_closed();
        });
        let reader = Arc::clone(&transcript);
        std::thread::spawn(move || for_each_line(stderr, |line| reader.stderr(line)));
        Self {
            pid: child.id(),
            stdin: Mutex::new(child.stdin.take()),
            child: Mutex::new(child),
            tag,
            transcript,
            next_id: AtomicU64::new(1),
            deadline: DEADLINE,
            cache,
        }
    }

    /// Sets the time limit for each wait on this peer.
    pub(crate) fn with_deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Returns the value of `MCP_PROXY_TEST_TAG`, which the process and its descendants inherit.
    pub(crate) fn tag(&self) -> &str {
        &self.tag
    }

    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    // Sending.

    /// Writes one line unchanged.
    #[track_caller]
    pub(crate) fn send(&self, line: &str) {
        self.transcript.sent(line.to_owned());
        let mut bytes = Vec::with_capacity(line.len() + 1);
        bytes.extend_from_slice(line.as_bytes());
        bytes.push(b'\n');
        self.send_bytes(&bytes);
    }

    /// Writes bytes, which need not be a line or UTF-8.
    #[track_caller]
    pub(crate) fn send_bytes(&self, bytes: &[u8]) {
        let mut stdin = self.stdin.lock().unwrap();
        let pipe = stdin.as_mut().expect("stdin is open");
        // Wine ends a process if a signal interrupts its write of more than 64 KiB to a pipe.
        let mut pieces = bytes.chunks(32 * 1024);
        let written = pieces.try_for_each(|piece| pipe.write_all(piece));
        if let Err(error) = written.and_then(|()| pipe.flush()) {
            panic!("cannot write to the peer: {error}\n{}", self.transcript());
        }
    }

    /// Sends a request; returns its id.
    #[track_caller]
    pub(crate) fn request(&self, method: &str, params: &Value) -> u64 {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        self.send(
            &json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}).to_string(),
        );
        id
    }

    #[track_caller]
    pub(crate) fn notify(&self, method: &str, params: &Value) {
        self.send(&json!({"jsonrpc": "2.0", "method": method, "params": params}).to_string());
    }

    /// Responds to a request of the peer.
    #[track_caller]
    pub(crate) fn respond(&self, request: &Message, result: &Value) {
        let id = request.id().expect("a request has an id");
        self.send(&format!(
            r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#
        ));
    }

    /// Sends a request; waits for the response.
    #[track_caller]
    pub(crate) fn ask(&self, method: &str, params: &Value) -> Message {
        let id = self.request(method, params);
        self.await_response(id)
    }

    /// Calls a tool in the legacy era; waits for the response.
    #[track_caller]
    pub(crate) fn call(&self, tool: &str, arguments: &Value) -> Message {
        self.ask("tools/call", &json!({"name": tool, "arguments": arguments}))
    }

    /// Performs the legacy handshake; returns the response to `initialize`.
    #[track_caller]
    pub(crate) fn initialize(&self, params: &Value) -> Message {
        let response = self.ask("initialize", params);
        self.send(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#);
        response
    }

    /// Sends a request of the modern era (`params` with the required `_meta`); waits for the response.
    #[track_caller]
    pub(crate) fn modern(&self, method: &str, mut params: Value) -> Message {
        params["_meta"] = modern_meta();
        self.ask(method, &params)
    }

    // Receiving.

    /// Waits for the response to `id`, written as on the wire (`1`, `"one"`).
    #[track_caller]
    pub(crate) fn await_response(&self, id: impl Display) -> Message {
        let id = id.to_string();
        self.wait_for(&format!("response to {id}"), |message| message.answers(&id))
    }

    /// Waits for the next notification of this method that no earlier call returned.
    #[track_caller]
    pub(crate) fn expect_notification(&self, method: &str) -> Message {
        self.take(&format!("notification {method}"), |message| {
            message.id().is_none() && message.method() == Some(method)
        })
    }

    /// Waits for the next request of the peer that no earlier call returned.
    #[track_caller]
    pub(crate) fn expect_request(&self, method: &str) -> Message {
        self.take(&format!("request {method}"), |message| {
            message.id().is_some() && message.method() == Some(method)
        })
    }

    /// Waits for the first stderr line that contains `text`.
    #[track_caller]
    pub(crate) fn expect_stderr(&self, text: &str) -> String {
        self.transcript.wait_for(
            &format!("stderr line with {text:?}"),
            self.deadline,
            |lines| {
                let mut stderr = lines.stderr.iter();
                stderr.find(|line| line.contains(text)).cloned()
            },
        )
    }

    /// Returns the number of responses to `id` so far.
    pub(crate) fn responses_to(&self, id: impl Display) -> usize {
        let id = id.to_string();
        self.count(|message| message.answers(&id))
    }

    /// Returns the number of notifications of this method so far.
    pub(crate) fn notifications(&self, method: &str) -> usize {
        self.count(|message| message.id().is_none() && message.method() == Some(method))
    }

    pub(crate) fn count(&self, matches: impl Fn(&Message) -> bool) -> usize {
        let lines = self.transcript.lines();
        lines
            .received
            .iter()
            .filter(|message| matches(message))
            .count()
    }

    /// Returns a position in the stdout lines, for `lines_since`.
    pub(crate) fn mark(&self) -> usize {
        self.transcript.lines().received.len()
    }

    pub(crate) fn lines_since(&self, mark: usize) -> Vec<Message> {
        self.transcript.lines().received[mark..].to_vec()
    }

    pub(crate) fn stderr(&self) -> Vec<String> {
        self.transcript.lines().stderr.clone()
    }

    /// Returns the transcript so far, for the message of a failing test.
    pub(crate) fn transcript(&self) -> String {
        self.transcript.render()
    }

    #[track_caller]
    fn wait_for(&self, what: &str, matches: impl Fn(&Message) -> bool) -> Message {
        self.transcript.wait_for(what, self.deadline, |lines| {
            let mut received = lines.received.iter();
            received.find(|message| matches(message)).cloned()
        })
    }

    #[track_caller]
    fn take(&self, what: &str, matches: impl Fn(&Message) -> bool) -> Message {
        self.transcript.wait_for(what, self.deadline, |lines| {
            let (index, message) = lines
                .received
                .iter()
                .enumerate()
                .find(|(index, message)| !lines.taken.contains(index) && matches(message))?;
            let message = message.clone();
            lines.taken.insert(index);
            Some(message)
        })
    }

    // Ending.

    pub(crate) fn close_stdin(&self) {
        self.stdin.lock().unwrap().take();
    }

    pub(crate) fn has_exited(&self) -> bool {
        self.child.lock().unwrap().try_wait().unwrap().is_some()
    }

    /// Waits until the process exits, by itself or by an earlier signal.
    #[track_caller]
    pub(crate) fn wait_exit(&self) -> ExitStatus {
        eventually(self.deadline, || self.has_exited());
        let mut child = self.child.lock().unwrap();
        child.try_wait().unwrap().expect("it has exited")
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        if let Ok(child) = self.child.get_mut() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Returns the params of a legacy `initialize` from a client with all capabilities.
pub(crate) fn initialize_params() -> Value {
    json!({
        "protocolVersion": "2025-11-25",
        "capabilities": {"roots": {"listChanged": true}, "sampling": {}, "elicitation": {}},
        "clientInfo": {"name": "raw-client", "version": "1.0.0"},
    })
}

/// Returns the `_meta` of a request in the modern era.
pub(crate) fn modern_meta() -> Value {
    json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": {"name": "raw-client", "version": "1.0.0"},
        "io.modelcontextprotocol/clientCapabilities": {"sampling": {}, "elicitation": {}},
    })
}

/// Reads lines to the end of the stream, including lines that are not UTF-8.
fn for_each_line(stream: impl Read, mut each: impl FnMut(String)) {
    let mut stream = BufReader::new(stream);
    let mut line = Vec::new();
    while stream.read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
        if line.last() == Some(&b'\n') {
            line.pop();
        }
        each(String::from_utf8_lossy(&line).into_owned());
        line.clear();
    }
}
