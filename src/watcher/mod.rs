//! Watches the servers' sources and says which server's content really changed.
//!
//! One thread owns everything: notify behind its debouncer (`source`) marks paths, `matcher` and
//! `ignores` say which of them are wanted, `tree` walks and remembers what each file held, `settle`
//! waits until a save is over, `run` ties them together. Event kinds decide nothing: a path is
//! looked at and compared. It never touches a server or a session; it sends [`Notice`]s into an
//! unbounded channel, and what a person should know to [`Events`].

mod baseline;
mod ignores;
mod infer;
mod matcher;
mod run;
mod settle;
mod source;
#[cfg(test)]
mod tests;
mod tree;

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::mpsc::{Sender, channel, sync_channel};
use std::time::{Duration, Instant};

use tokio::sync::mpsc::UnboundedSender;

use self::matcher::Matcher;
use self::run::Run;
use self::settle::Settle;
use self::source::{Signal, Source, remote_mount};
use self::tree::Tree;
use crate::event::Events;

/// How often files are looked at where no events can be had.
const POLL: Duration = Duration::from_millis(500);

/// What to watch for one server.
#[derive(Debug, Clone)]
pub(crate) struct WatchRequest {
    /// The server's name, for events.
    pub(crate) server: String,
    /// Globs are relative to it.
    pub(crate) cwd: PathBuf,
    /// The command, from which globs are inferred if none is given.
    pub(crate) program: OsString,
    pub(crate) args: Vec<OsString>,
    /// Ordered, `!` excludes, the last match wins. Without an including one they are inferred.
    pub(crate) globs: Vec<String>,
}

/// What happened to a server's files. Each `Suspect` is followed by exactly one of the other two
/// before the next `Suspect` of that server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Notice {
    /// A wanted path was touched; its content is not compared yet.
    Suspect,
    /// Nothing really changed.
    Unchanged,
    /// The content of these files changed; relative to cwd where they lie below it.
    Changed(Vec<PathBuf>),
}

/// How to watch.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WatchOptions {
    /// A save is over when nothing was touched for this long,
    pub(crate) quiet: Duration,
    /// or when this long has passed since the first touch.
    pub(crate) max_wait: Duration,
    /// Look at the files this often instead of waiting for events.
    pub(crate) poll: Option<Duration>,
}

impl Default for WatchOptions {
    fn default() -> Self {
        Self {
            quiet: Duration::from_millis(30),
            max_wait: Duration::from_secs(1),
            poll: None,
        }
    }
}

/// Why watching could not begin.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WatchError {
    #[error("watch glob {glob:?} is not valid")]
    Glob {
        glob: String,
        #[source]
        source: globset::Error,
    },
    #[error("a watch glob is empty; remove it or name files, as in \"src/**/*.py\"")]
    EmptyGlob,
    #[error("{server}: cannot watch below {}; does the directory exist?", cwd.display())]
    Cwd {
        server: String,
        cwd: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("cannot start the watcher's thread")]
    Thread(#[source] std::io::Error),
}

/// Keeps the watch alive; dropping it ends the watch.
#[derive(Debug)]
#[must_use]
pub(crate) struct Watcher {
    signals: Sender<Signal>,
}

impl Drop for Watcher {
    fn drop(&mut self) {
        // The thread may have ended by itself.
        let _ = self.signals.send(Signal::Stop);
    }
}

/// Starts watching. Returns when no later save can go unnoticed, which takes one walk through
/// what is watched; `notices` receives an index into `requests` with each notice.
pub(crate) fn watch(
    requests: Vec<WatchRequest>,
    options: WatchOptions,
    notices: UnboundedSender<(usize, Notice)>,
    events: Events,
) -> Result<Watcher, WatchError> {
    let inferred: Vec<bool> = requests.iter().map(names_nothing).collect();
    let trees = requests
        .into_iter()
        .map(|request| tree(request, options))
        .collect::<Result<Vec<_>, _>>()?;
    let (sender, signals) = channel();
    let (armed, is_armed) = sync_channel(1);
    let source_signals = sender.clone();
    let poll_every = options.poll.unwrap_or(POLL);
    std::thread::Builder::new()
        .name("watcher".into())
        .spawn(move || {
            let mut run = Run {
                trees,
                source: None,
                signals,
                notices,
                events,
                poll_every,
                next_poll: Instant::now() + poll_every,
                unread: Vec::new(),
            };
            choose_source(&mut run, source_signals, options.poll.is_some());
            run.arm(&inferred);
            // The caller waits for it.
            let _ = armed.send(());
            run.run();
        })
        .map_err(WatchError::Thread)?;
    // An error means that the thread is gone, and then there is nothing to wait for.
    let _ = is_armed.recv();
    Ok(Watcher { signals: sender })
}

fn names_nothing(request: &WatchRequest) -> bool {
    request.globs.iter().all(|glob| glob.starts_with('!'))
}

fn tree(request: WatchRequest, options: WatchOptions) -> Result<Tree, WatchError> {
    let cwd = request.cwd.canonicalize();
    let cwd = cwd.map_err(|source| WatchError::Cwd {
        server: request.server.clone(),
        cwd: request.cwd.clone(),
        source,
    })?;
    let mut globs = Vec::new();
    if names_nothing(&request) {
        globs = infer::globs(&request.program, &request.args, &cwd);
    }
    globs.extend(request.globs);
    let settle = Settle::new(options.quiet, options.max_wait);
    Ok(Tree::new(request.server, Matcher::new(cwd, globs)?, settle))
}

/// Events where they can be had, polling elsewhere; the user is told once why.
fn choose_source(run: &mut Run, signals: Sender<Signal>, force_polling: bool) {
    let every = run.poll_every.as_millis();
    let mut warning = None;
    for tree in &mut run.trees {
        let remote = tree.matcher.roots().find_map(|root| {
            let existing = root.ancestors().find(|place| place.exists())?;
            Some((existing.to_owned(), remote_mount(existing)?))
        });
        tree.polled = force_polling || remote.is_some();
        if let (Some((place, kind)), false, None) = (remote, force_polling, &warning) {
            let place = place.display();
            warning = Some((
                tree.server.clone(),
                format!(
                    "{place} is a {kind} mount, which may not report changes: looking at its files every {every} ms instead; keep the sources on a local disk for quicker reloads"
                ),
            ));
        }
    }
    if let Some(tree) = run.trees.iter().find(|tree| !tree.polled) {
        match Source::new(signals) {
            Ok(source) => run.source = Some(source),
            Err(error) => {
                warning = Some((tree.server.clone(), source_failure(&error, every)));
                for tree in &mut run.trees {
                    tree.polled = true;
                }
            }
        }
    }
    if let Some((server, message)) = warning {
        run.warn(&server, message);
    }
}

fn source_failure(error: &notify::Error, every: u128) -> String {
    let too_many = matches!(&error.kind, notify::ErrorKind::Io(error)
        if error.raw_os_error() == Some(rustix::io::Errno::MFILE.raw_os_error()));
    let cure = if too_many {
        "; close other watching programs, or raise the limit: sudo sysctl fs.inotify.max_user_instances=512"
    } else {
        ""
    };
    format!(
        "the system gives no file events ({error}): looking at the files every {every} ms instead{cure}"
    )
}
