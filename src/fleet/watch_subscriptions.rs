//! Notifies servers of changes to their files, and the fleet of changes to its configuration.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use tokio::sync::mpsc::{self, UnboundedReceiver};

use crate::config::ServerSpec;
use crate::event::EventSender;
use crate::lock::locked;
use crate::server::{LoadedFilesObserver, SaveProbe, ServerHandle, WatchedFiles};
use crate::warm::LoadedFiles;
use crate::watcher::{
    Coverage, FilesInUse, OwnWrites, UsesStandby, WatchDescription, WatchError, WatchNotice,
    WatchOptions, WatchRequest, Watcher, WeakWatcher,
};

/// Receiver of the notices of a watch.
#[derive(Debug)]
enum NoticeReceiver {
    Server(ServerHandle),
    Configuration(mpsc::UnboundedSender<Vec<PathBuf>>),
}

/// The one watcher and the receivers of its notices. Dropping it ends all watches.
#[derive(Debug)]
pub(crate) struct WatchSubscriptions {
    watcher: Watcher,
    receivers: Arc<Mutex<HashMap<u64, NoticeReceiver>>>,
    /// Lets servers query the file events themselves, since they cannot wait for the watcher's thread.
    weak_watcher: Arc<WeakWatcher>,
    /// Files that the configuration is read from.
    configuration: Vec<PathBuf>,
    last: AtomicU64,
}

/// Reports the files that the processes of the server with this number use.
#[derive(Debug)]
struct InUseReporter {
    weak_watcher: Arc<WeakWatcher>,
    number: u64,
}

impl LoadedFilesObserver for InUseReporter {
    fn loaded(&self, loaded: &LoadedFiles, since: SystemTime) {
        let in_use = FilesInUse {
            code: loaded.code.clone(),
            read: loaded.read.clone(),
            since,
        };
        self.weak_watcher.watch_in_use(self.number, in_use);
    }
}

impl SaveProbe for WeakWatcher {
    fn report_saves(&self) {
        self.report_pending();
    }
}

impl WatchSubscriptions {
    /// Creates a watcher without watches. `configuration`: the files that the configuration is read from.
    pub(crate) fn new(
        options: WatchOptions,
        configuration: Vec<PathBuf>,
        events: EventSender,
    ) -> Result<Self, WatchError> {
        let receivers = Arc::<Mutex<HashMap<_, _>>>::default();
        let shared = receivers.clone();
        // Immediately, on the thread that knows: a busy runtime may handle a call before it handles a notice.
        let dispatch = move |number, notice| {
            if let Some(receiver) = locked(&shared).get(&number) {
                dispatch_notice(receiver, notice);
            }
        };
        let watcher = Watcher::start(options, dispatch, events)?;
        Ok(Self {
            weak_watcher: Arc::new(watcher.downgrade()),
            watcher,
            receivers,
            configuration,
            last: AtomicU64::new(0),
        })
    }

    /// Returns the number for a new watch.
    pub(super) fn next_number(&self) -> u64 {
        self.last.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Returns an error if `spec` cannot be watched, without looking at its files.
    pub(super) fn check(spec: &ServerSpec) -> Result<(), WatchError> {
        request(spec).map_or(Ok(()), |request| request.check())
    }

    /// Watches the files of the newest definition of `server`, which belongs to `session`, and replaces the watch with
    /// this `number`. Resolves when no later save can go unnoticed. If its process may have started `since` then, files
    /// that were not watched before and are newer are reported as changed.
    pub(super) async fn watch(
        &self,
        number: u64,
        server: ServerHandle,
        session: Option<u64>,
        since: Option<SystemTime>,
    ) -> Result<(), WatchError> {
        let Some(mut request) = request(&server.spec()) else {
            // It may have been a local command before.
            self.remove(number);
            server.set_watched_files(None);
            return Ok(());
        };
        server.set_save_probe(self.weak_watcher.clone());
        let weak_watcher = self.weak_watcher.clone();
        server.set_files_observer(Arc::new(InUseReporter {
            weak_watcher,
            number,
        }));
        if let WatchRequest::Sources {
            session: of_session,
            left_out,
            own_writes,
            uses_standby: one_start,
            since: started,
            ..
        } = &mut request
        {
            // A change of the configuration restarts only the servers whose definitions differ.
            *of_session = session;
            left_out.clone_from(&self.configuration);
            let (writer, starter) = (server.clone(), server.clone());
            *own_writes = Some(OwnWrites::new(move |path| writer.has_written(path)));
            *one_start = Some(UsesStandby::new(move || starter.has_standby()));
            *started = since;
        }
        locked(&self.receivers).insert(number, NoticeReceiver::Server(server.clone()));
        let added = self.watcher.add(number, request).await;
        if added.is_err() {
            self.remove(number);
        }
        let Coverage { globs, files } = added?;
        server.set_watched_files(Some(WatchedFiles {
            globs,
            count: files,
        }));
        Ok(())
    }

    /// Watches the files of the configuration under `number`; the returned channel receives the paths of each change.
    pub(super) async fn watch_configuration(
        &self,
        number: u64,
        files: &[PathBuf],
    ) -> Result<UnboundedReceiver<Vec<PathBuf>>, WatchError> {
        let (sender, changes) = mpsc::unbounded_channel();
        locked(&self.receivers).insert(number, NoticeReceiver::Configuration(sender));
        let request = WatchRequest::Files {
            name: "configuration".to_owned(),
            files: files.to_vec(),
        };
        self.watcher.add(number, request).await?;
        Ok(changes)
    }

    /// Describes the watch with this number, see [`Watcher::describe`].
    pub(super) async fn describe(
        &self,
        number: u64,
        path: Option<PathBuf>,
        most: usize,
    ) -> Option<WatchDescription> {
        self.watcher.describe(number, path, most).await
    }

    /// Ends a watch.
    pub(super) fn remove(&self, number: u64) {
        locked(&self.receivers).remove(&number);
        self.watcher.remove(number);
    }
}

/// Returns the watch for `spec`; None for a remote server without configured files: its sources are elsewhere.
fn request(spec: &ServerSpec) -> Option<WatchRequest> {
    let is_elsewhere = spec.remote.is_some() && spec.watch.is_empty();
    (!is_elsewhere).then(|| WatchRequest::Sources {
        server: spec.name.clone(),
        session: None,
        cwd: spec.cwd.clone(),
        program: spec.program.clone(),
        args: spec.args.clone(),
        builds: spec.build.is_some(),
        may_reload: spec.listens.is_some(),
        globs: spec.watch.clone(),
        left_out: Vec::new(),
        own_writes: None,
        uses_standby: None,
        since: None,
    })
}

fn dispatch_notice(receiver: &NoticeReceiver, notice: WatchNotice) {
    match (receiver, notice) {
        (NoticeReceiver::Server(server), WatchNotice::Suspect) => server.suspect(),
        (NoticeReceiver::Server(server), WatchNotice::Saved(paths)) => server.saved(paths),
        (NoticeReceiver::Server(server), WatchNotice::Unchanged) => server.unchanged(),
        (NoticeReceiver::Server(server), WatchNotice::Changed(paths)) => server.changed(paths),
        (NoticeReceiver::Configuration(changes), WatchNotice::Changed(paths)) => {
            let _ = changes.send(paths);
        }
        // The content is as the watcher last saw it, but the fleet may have read another content in between.
        (NoticeReceiver::Configuration(changes), WatchNotice::Unchanged) => {
            let _ = changes.send(Vec::new());
        }
        (NoticeReceiver::Configuration(_), WatchNotice::Suspect | WatchNotice::Saved(_)) => {}
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn changes_are_reported_while_the_runtime_is_busy() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("mcp-proxy.toml");
        let subscriptions =
            WatchSubscriptions::new(WatchOptions::default(), Vec::new(), EventSender::silent())
                .unwrap();
        let files = [file.clone()];
        let mut changes = subscriptions.watch_configuration(1, &files).await.unwrap();
        std::fs::write(&file, "new").unwrap();
        let (sender, heard) = std::sync::mpsc::channel();
        std::thread::spawn(move || sender.send(changes.blocking_recv()));
        // Blocks the only thread of the runtime.
        let changed = heard.recv_timeout(Duration::from_secs(30));
        assert_eq!(changed, Ok(Some(vec![file])));
    }
}
