//! Events in the queue of inotify that the watcher's thread has not processed yet.

use super::*;
use crate::watcher::dispatcher::NoticeDispatcher;
use crate::watcher::file_events::{DirectoryWatches, Reach};
use crate::watcher::matcher::Matcher;
use crate::watcher::messages::WatcherMessage;

#[test]
fn a_subscriber_that_joins_before_pending_events_are_read_is_suspect_until_then() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().canonicalize().unwrap();
    let (sender, signals) = std::sync::mpsc::channel();
    let told = Arc::new(Mutex::new(Vec::new()));
    let heard = told.clone();
    let tell = move |id, notice| heard.lock().unwrap().push((id, notice));
    // No thread receives the signals.
    let lookout = Arc::new(NoticeDispatcher::new(sender, tell));
    let mut source = DirectoryWatches::new(start_backend, &lookout).unwrap();
    lookout.listen(1, 10);
    lookout.set_matcher(1, Matcher::new(root.clone(), vec!["*.py".into()]).unwrap());
    source.watch(&root, Reach::Entries, 1).unwrap();
    put(&root.join("x.py"), "new");
    lookout.report_queued();
    lookout.listen(1, 20);
    let suspects = [(10, WatchNotice::Suspect), (20, WatchNotice::Suspect)];
    assert_eq!(*told.lock().unwrap(), suspects);
    // The thread that reads the events may have split them into several batches.
    for signal in signals.try_iter() {
        if let WatcherMessage::BatchEnd(ids) = signal {
            lookout.batch_processed(&ids);
        }
    }
    let unchanged = [(10, WatchNotice::Unchanged), (20, WatchNotice::Unchanged)];
    assert_eq!(told.lock().unwrap()[2..], unchanged);
    lookout.listen(1, 30);
    assert_eq!(told.lock().unwrap().len(), 4, "nothing is coming");
}
