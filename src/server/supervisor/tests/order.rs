//! Order of the steps of a commit or a failure, as others see them.

use std::sync::Weak;
use std::sync::mpsc::{Receiver, sync_channel};

use super::*;
use crate::event::{EVENT_BACKLOG, SessionEvent};
use crate::server::ListsChange;
use crate::server::gate::GateStatus;

/// Fleet that records the served generation and the gate's status whenever it publishes (true) or notifies (false).
#[derive(Debug)]
struct RecordingFleet {
    shared: Weak<ServerShared>,
    steps: Mutex<Vec<(bool, u64, GateStatus)>>,
}

impl RecordingFleet {
    fn record(&self, is_publication: bool) {
        let shared = self.shared.upgrade().unwrap();
        let generation = shared.snapshot.borrow().generation;
        let step = (is_publication, generation, *shared.gate.status().borrow());
        self.steps.lock().unwrap().push(step);
    }
}

impl ListsObserver for RecordingFleet {
    fn publish_lists(&self) {
        self.record(true);
    }
    fn notify_client(&self, _: &ListsChange<'_>) {
        self.record(false);
    }
}

/// Fleet that records the events before each publication of lists.
#[derive(Debug)]
struct EventRecordingFleet {
    events: Mutex<Receiver<Box<SessionEvent>>>,
    before: Mutex<Vec<Vec<&'static str>>>,
}

impl EventRecordingFleet {
    /// Returns the names of the events since the last call.
    fn names(&self) -> Vec<&'static str> {
        let events = self.events.lock().unwrap();
        let names = events.try_iter().filter_map(|it| match it.event {
            Event::Ready { .. } => Some("ready"),
            Event::Reloaded { .. } => Some("reloaded"),
            Event::Broken { .. } => Some("broken"),
            Event::Exited { .. } => Some("exited"),
            Event::Restarting { .. } => Some("restarting"),
            _ => None,
        });
        names.collect()
    }
}

impl ListsObserver for EventRecordingFleet {
    fn publish_lists(&self) {
        self.before.lock().unwrap().push(self.names());
    }
    fn notify_client(&self, _: &ListsChange<'_>) {}
}

#[tokio::test]
async fn lists_are_served_before_the_gate_opens_and_announced_after() {
    let mut stage = TestSupervisor::new();
    let fleet = Arc::new(RecordingFleet {
        shared: Arc::downgrade(&stage.supervisor.shared),
        steps: Mutex::default(),
    });
    stage.supervisor.lists_observer = Some(fleet.clone());
    stage.go_live();
    stage.supervisor.step(Input::Reload);
    let running = stage.start(2);
    stage.prove(running);
    let expected = [1, 2].map(|generation| {
        let [held, open] = [GateStatus::Held, GateStatus::Open];
        [(true, generation, held), (false, generation, open)]
    });
    assert_eq!(*fleet.steps.lock().unwrap(), expected.concat());
}

#[tokio::test]
async fn events_follow_the_state_that_they_tell_of() {
    let (sender, events) = sync_channel(EVENT_BACKLOG);
    let mut stage = TestSupervisor::with_events(EventSender::new(sender, Arc::default()));
    let fleet = Arc::new(EventRecordingFleet {
        events: Mutex::new(events),
        before: Mutex::default(),
    });
    stage.supervisor.lists_observer = Some(fleet.clone());
    let status = |stage: &TestSupervisor| locked(&stage.supervisor.shared.status).clone();
    stage.go_live();
    assert_eq!(fleet.names(), ["ready"]);
    stage.supervisor.step(Input::Reload);
    stage
        .supervisor
        .fail(Failure::new(2, "does not start".to_owned()));
    assert!(fleet.names().is_empty());
    stage.supervisor.step(Input::Failed);
    assert_eq!(fleet.names(), ["broken"]);
    assert_eq!(status(&stage).state, "broken");
    stage.supervisor.step(Input::Reload);
    let running = stage.start(3);
    let connection = running.connection.clone();
    stage.prove(running);
    assert_eq!(fleet.names(), ["reloaded"]);
    assert_eq!(status(&stage).last_error, None);
    let exit = GenerationExit {
        how: "exited".into(),
        status: None,
        runs_on: false,
        stderr: vec![],
        calls: connection.close(),
    };
    stage
        .supervisor
        .on_report(Report::Ended { number: 3, exit });
    assert_eq!(fleet.names(), ["exited", "restarting"]);
    assert_eq!(status(&stage).state, "restarting after a crash");
    assert_eq!(
        *fleet.before.lock().unwrap(),
        [vec![], vec![]] as [Vec<&str>; 2]
    );
}
