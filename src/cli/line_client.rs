//! Small blocking MCP client of the legacy era on the stdio of a child process. Every wait for output or exit has a
//! deadline. The child ends with the client.

use std::collections::VecDeque;
use std::fmt::Display;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// Time limit for each wait, ample even on a busy machine.
const DEADLINE: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(2);

/// Mismatch between the expected and the actual event.
#[derive(Debug, thiserror::Error)]
#[error("expected {expected}\n but got {came}")]
pub(super) struct Unexpected {
    expected: String,
    came: String,
}

impl Unexpected {
    pub(super) fn new(expected: impl Into<String>, came: &dyn Display) -> Self {
        Self {
            expected: expected.into(),
            came: came.to_string(),
        }
    }
}

/// Session with a child process.
#[derive(Debug)]
pub(super) struct LineClient {
    child: Child,
    stdin: Option<ChildStdin>,
    /// Lines of stdout.
    lines: Receiver<String>,
    /// Whole stderr, sent when it ends.
    stderr: Receiver<String>,
    notifications: VecDeque<Value>,
    last_id: u64,
}

impl LineClient {
    pub(super) fn start(command: &mut Command) -> std::io::Result<Self> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let (stdin, stdout, stderr) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (line, lines) = mpsc::channel();
        thread::spawn(move || {
            let stdout = BufReader::new(stdout.expect("stdout is piped"));
            for text in stdout.lines().map_while(Result::ok) {
                if line.send(text).is_err() {
                    return;
                }
            }
        });
        let (all, errors) = mpsc::channel();
        thread::spawn(move || {
            let mut bytes = Vec::new();
            let _ = stderr.expect("stderr is piped").read_to_end(&mut bytes);
            let _ = all.send(String::from_utf8_lossy(&bytes).into_owned());
        });
        Ok(Self {
            child,
            stdin,
            lines,
            stderr: errors,
            notifications: VecDeque::new(),
            last_id: 0,
        })
    }

    /// Performs the legacy handshake; returns the result of `initialize`.
    pub(super) fn initialize(&mut self) -> Result<Value, Unexpected> {
        let result = self.result(
            "initialize",
            &json!({
                "protocolVersion": "2025-11-25",
                "capabilities": {},
                "clientInfo": { "name": "mcp-proxy demo", "version": env!("CARGO_PKG_VERSION") },
            }),
        )?;
        self.send(&json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }))?;
        Ok(result)
    }

    /// Sends a request; returns the whole response, which may be an error.
    pub(super) fn request(&mut self, method: &str, params: &Value) -> Result<Value, Unexpected> {
        self.last_id += 1;
        let id = self.last_id;
        self.send(&json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }))?;
        let expected = format!("an answer to {method}");
        let end = Instant::now() + DEADLINE;
        loop {
            let message = self.receive(end, &expected)?;
            if message["id"] == id {
                return Ok(message);
            }
            self.notifications.push_back(message);
        }
    }

    /// Like [`request`](Self::request), but returns the result; an error response is unexpected.
    pub(super) fn result(&mut self, method: &str, params: &Value) -> Result<Value, Unexpected> {
        let mut response = self.request(method, params)?;
        match response.get_mut("result") {
            Some(result) => Ok(result.take()),
            None => Err(Unexpected::new(format!("a result of {method}"), &response)),
        }
    }

    /// Waits for a notification received since [`forget_notifications`](Self::forget_notifications).
    pub(super) fn notification(&mut self, method: &str) -> Result<(), Unexpected> {
        let end = Instant::now() + DEADLINE;
        loop {
            let message = match self.notifications.pop_front() {
                Some(message) => message,
                None => self.receive(end, method)?,
            };
            if message["method"] == method {
                return Ok(());
            }
        }
    }

    pub(super) fn forget_notifications(&mut self) {
        self.notifications.clear();
        while self.lines.try_recv().is_ok() {}
    }

    /// Closes the child's stdin and waits for its exit.
    pub(super) fn close(&mut self) -> Result<ExitStatus, Unexpected> {
        self.stdin = None;
        let end = Instant::now() + DEADLINE;
        let unexpected = |came: &dyn Display| Unexpected::new("an exit when stdin is closed", came);
        loop {
            match self.child.try_wait() {
                Ok(Some(status)) => return Ok(status),
                Ok(None) if Instant::now() < end => thread::sleep(POLL),
                Ok(None) => return Err(unexpected(&format!("none within {DEADLINE:?}"))),
                Err(error) => return Err(unexpected(&error)),
            }
        }
    }

    /// Ends the child, by force if necessary; returns its stderr.
    pub(super) fn into_stderr(mut self) -> String {
        self.end();
        // A process that the child left behind may keep the pipe open.
        self.stderr
            .recv_timeout(Duration::from_secs(1))
            .unwrap_or_default()
    }

    fn end(&mut self) {
        if self.close().is_err() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }

    fn send(&mut self, message: &Value) -> Result<(), Unexpected> {
        self.send_line(&message.to_string())
    }

    /// Sends one line as it is.
    pub(super) fn send_line(&mut self, line: &str) -> Result<(), Unexpected> {
        let stdin = self.stdin.as_mut();
        let sent = stdin.map(|stdin| stdin.write_all(format!("{line}\n").as_bytes()));
        match sent {
            Some(Ok(())) => Ok(()),
            Some(Err(error)) => Err(Unexpected::new("an open stdin", &error)),
            None => Err(Unexpected::new("an open stdin", &"one that was closed")),
        }
    }

    /// Returns the next line of stdout; `None` if there is none until `end`.
    pub(super) fn next_line(&mut self, end: Instant) -> Option<String> {
        let left = end.saturating_duration_since(Instant::now());
        self.lines.recv_timeout(left).ok()
    }

    fn receive(&mut self, end: Instant, expected: &str) -> Result<Value, Unexpected> {
        let left = end.saturating_duration_since(Instant::now());
        let line = self.lines.recv_timeout(left).map_err(|error| match error {
            RecvTimeoutError::Timeout => {
                Unexpected::new(expected, &format!("nothing within {DEADLINE:?}"))
            }
            RecvTimeoutError::Disconnected => Unexpected::new(expected, &"the end of stdout"),
        })?;
        serde_json::from_str(&line).map_err(|_| Unexpected::new(expected, &line))
    }
}

impl Drop for LineClient {
    fn drop(&mut self) {
        self.end();
    }
}
