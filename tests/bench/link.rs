//! A blocking client: one child process and the calls it answers. It parses next to nothing, so that its
//! own time does not hide the measured time.

use std::io::{self, BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

use memchr::memmem;
use rustix::process::{Pid, Signal, kill_process};

/// A process that has lived this long hangs: it is killed, and the row that waits for it fails.
const LIFE: Duration = Duration::from_secs(180);
const HELLO: &str = r#"{"text":"hello, how are you today?","n":42}"#;
/// Number of bytes at the start of a line that identify the message.
const HEAD: usize = 96;

pub(crate) struct Link {
    child: Child,
    /// `None` once closed.
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
    line: Vec<u8>,
    /// The tool that is called.
    pub(crate) tool: String,
    next: u64,
    /// Dropped with the link, which calls off the killing.
    _alive: Sender<()>,
}

impl Link {
    /// Starts the command and shakes hands.
    pub(crate) fn open(command: &mut Command) -> io::Result<Self> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let mut link = Self {
            stdin: child.stdin.take(),
            stdout: BufReader::with_capacity(
                64 * 1024,
                child.stdout.take().expect("stdout is piped"),
            ),
            line: Vec::new(),
            tool: "bench".to_owned(),
            next: 0,
            _alive: kill_after(LIFE, &child),
            child,
        };
        link.request(
            "initialize",
            r#"{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"bench","version":"1"}}"#,
        )?;
        link.send(b"{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"}\n")?;
        Ok(link)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a request and returns its answer's line.
    pub(crate) fn request(&mut self, method: &str, params: &str) -> io::Result<&[u8]> {
        let id = self.next_id();
        let line = format!(
            "{{\"jsonrpc\":\"2.0\",\"id\":{id},\"method\":\"{method}\",\"params\":{params}}}\n"
        );
        self.send(line.as_bytes())?;
        self.answer()
    }

    /// Microseconds of each of `count` calls, one after the other.
    pub(crate) fn sequence(&mut self, count: usize) -> io::Result<Vec<f64>> {
        let mut times = Vec::with_capacity(count);
        for _ in 0..count {
            let call = self.echo(HELLO);
            let start = Instant::now();
            self.send(&call)?;
            self.answer()?;
            times.push(start.elapsed().as_secs_f64() * 1e6);
        }
        Ok(times)
    }

    /// Calls per second with `window` small calls in flight; `together` writes as many at once as may be sent.
    pub(crate) fn burst(&mut self, count: usize, window: usize, together: bool) -> io::Result<f64> {
        let start = Instant::now();
        let mut calls = Vec::new();
        let (mut sent, mut answered) = (0, 0);
        while answered < count {
            while sent < count && sent - answered < window {
                calls.extend(self.echo(HELLO));
                sent += 1;
                if !together {
                    self.send(&calls)?;
                    calls.clear();
                }
            }
            self.send(&calls)?;
            calls.clear();
            loop {
                self.answer()?;
                answered += 1;
                if !together || !self.stdout.buffer().contains(&b'\n') {
                    break;
                }
            }
        }
        Ok(ratio(count, start))
    }

    /// MiB per second of `count` echoes of `arguments`, which are one MiB, `window` of them in flight.
    pub(crate) fn bulk(&mut self, arguments: &str, count: usize, window: usize) -> io::Result<f64> {
        let calls: Vec<_> = (0..window).map(|_| self.echo(arguments)).collect();
        let start = Instant::now();
        self.exchange(&calls, count, window, arguments.len())?;
        Ok(ratio(count, start))
    }

    /// Milliseconds until `count` subscriptions that are sent at once are answered.
    pub(crate) fn subscribe(&mut self, count: usize) -> io::Result<f64> {
        let mut line = || {
            let id = self.next_id();
            format!(
                "{{\"jsonrpc\":\"2.0\",\"id\":{id},\"method\":\"resources/subscribe\",\"params\":{{\"uri\":\"file:///some/where/{id}\"}}}}\n"
            )
            .into_bytes()
        };
        let calls: Vec<_> = (0..count).map(|_| line()).collect();
        let start = Instant::now();
        self.exchange(&calls, count, count, 0)?;
        Ok(start.elapsed().as_secs_f64() * 1e3)
    }

    /// Sends `count` of `calls`, which come again once they have been answered, `window` of them in flight. Each answer
    /// has `least` bytes or more.
    fn exchange(
        &mut self,
        calls: &[Vec<u8>],
        count: usize,
        window: usize,
        least: usize,
    ) -> io::Result<()> {
        let mut stdin = self.stdin.take().expect("the link is open");
        let (permits, permit) = mpsc::channel();
        for _ in 0..window {
            let _ = permits.send(());
        }
        let outcome = thread::scope(|scope| {
            let writer = scope.spawn(move || {
                for call in calls.iter().cycle().take(count) {
                    let _ = permit.recv();
                    stdin.write_all(call)?;
                }
                Ok::<_, io::Error>(stdin)
            });
            for _ in 0..count {
                if self.answer()?.len() < least {
                    return Err(io::Error::other("an echo came back short"));
                }
                let _ = permits.send(());
            }
            writer.join().expect("the writer does not panic")
        });
        self.stdin = Some(outcome?);
        Ok(())
    }

    /// Waits for a notification.
    pub(crate) fn notification(&mut self, method: &str) -> io::Result<()> {
        while memmem::find(self.read()?, method.as_bytes()).is_none() {}
        Ok(())
    }

    fn next_id(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn echo(&mut self, arguments: &str) -> Vec<u8> {
        let id = self.next_id();
        let tool = &self.tool;
        format!(
            "{{\"jsonrpc\":\"2.0\",\"id\":{id},\"method\":\"tools/call\",\"params\":{{\"name\":\"{tool}\",\"arguments\":{arguments}}}}}\n"
        )
        .into_bytes()
    }

    fn send(&mut self, lines: &[u8]) -> io::Result<()> {
        self.stdin
            .as_mut()
            .expect("the link is open")
            .write_all(lines)
    }

    /// The next line that is an answer; an error fails.
    fn answer(&mut self) -> io::Result<&[u8]> {
        loop {
            let line = self.read()?;
            let head = &line[..line.len().min(HEAD)];
            if memmem::find(head, b"\"result\"").is_some() {
                return Ok(&self.line);
            }
            if memmem::find(head, b"\"error\"").is_some() {
                return Err(io::Error::other(String::from_utf8_lossy(line)));
            }
        }
    }

    fn read(&mut self) -> io::Result<&[u8]> {
        self.line.clear();
        match self.stdout.read_until(b'\n', &mut self.line)? {
            0 => Err(io::Error::other("the process ended")),
            _ => Ok(&self.line),
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.stdin = None;
        let _ = self.child.wait();
    }
}

fn kill_after(life: Duration, child: &Child) -> Sender<()> {
    let (alive, gone) = mpsc::channel();
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    thread::spawn(move || {
        if gone.recv_timeout(life) == Err(RecvTimeoutError::Timeout)
            && let Some(pid) = pid
        {
            let _ = kill_process(pid, Signal::KILL);
        }
    });
    alive
}

#[expect(clippy::cast_precision_loss, reason = "counts are small")]
fn ratio(count: usize, start: Instant) -> f64 {
    count as f64 / start.elapsed().as_secs_f64()
}
