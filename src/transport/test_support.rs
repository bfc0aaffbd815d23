//! Helpers for tests with real processes: servers made of a shell script and marked by an environment variable that
//! every child inherits, so that a scan of `/proc` proves that no process is left.

use std::ffi::OsString;
use std::fs;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use crate::config::ServerSpec;
use crate::event::{EVENT_BACKLOG, EventSender, SessionEvent};

pub(super) const TAG: &str = "MCP_PROXY_TEST_TAG";
const DEADLINE: Duration = Duration::from_secs(60);

/// Returns a server that runs `script` in a shell, with its own tag.
pub(super) fn sh(script: &str) -> ServerSpec {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let tag = format!("{}-{number}", std::process::id());
    let args = ["-c", script].map(OsString::from).to_vec();
    ServerSpec {
        env: vec![(TAG.into(), tag.into())],
        ..ServerSpec::new("weather".into(), "sh".into(), args, std::env::temp_dir())
    }
}

/// Returns the tag that [`sh`] assigned.
pub(super) fn tag(spec: &ServerSpec) -> String {
    spec.env[0].1.to_str().unwrap().to_owned()
}

/// Returns the command lines of the living processes that carry `tag`.
pub(super) fn living(tag: &str) -> Vec<String> {
    let entry = format!("{TAG}={tag}");
    let carries = |process: &fs::DirEntry| {
        // The environment of a zombie reads as empty.
        let environ = fs::read(process.path().join("environ")).unwrap_or_default();
        environ
            .split(|&byte| byte == 0)
            .any(|variable| variable == entry.as_bytes())
    };
    let processes = fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    processes
        .filter(carries)
        .map(|process| fs::read(process.path().join("cmdline")).unwrap_or_default())
        .map(|line| String::from_utf8_lossy(&line).replace('\0', " "))
        .collect()
}

/// Waits until `count` processes carry `tag`.
#[track_caller]
pub(super) fn until_living(tag: &str, count: usize) -> impl Future<Output = ()> {
    let caller = std::panic::Location::caller();
    async move {
        let deadline = Instant::now() + DEADLINE;
        while living(tag).len() != count {
            assert!(
                Instant::now() < deadline,
                "{caller}: {:?}, not {count}",
                living(tag)
            );
            sleep(Duration::from_millis(5)).await;
        }
    }
}

/// Returns the output of `future`; panics after [`DEADLINE`].
#[track_caller]
pub(super) fn soon<T>(future: impl Future<Output = T>) -> impl Future<Output = T> {
    let caller = std::panic::Location::caller();
    async move {
        let output = timeout(DEADLINE, future).await;
        output.unwrap_or_else(|_| panic!("{caller}: not within {DEADLINE:?}"))
    }
}

/// Returns an event sender and the receiver of its events.
pub(super) fn events() -> (EventSender, mpsc::Receiver<Box<SessionEvent>>) {
    let (sender, heard) = mpsc::sync_channel(EVENT_BACKLOG);
    (EventSender::new(sender, std::sync::Arc::default()), heard)
}
