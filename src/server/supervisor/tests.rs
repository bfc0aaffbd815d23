//! Reports that cross each other, in orders that are rare with real processes.

mod order;

use std::pin::pin;
use std::sync::Mutex;

use tokio::sync::mpsc;
use tokio::time::timeout;

use super::*;
use crate::bridge::{Identity, RequiredUrls};
use crate::config::ServerSpec;
use crate::event::EventSender;
use crate::jsonrpc::{Envelope, RawId, Reply};
use crate::mcp::{Era, List};
use crate::server::client_settings::ClientSettings;
use crate::server::connection::Connection;
use crate::server::generation::{GenerationExit, ProofResults, RunningGeneration};
use crate::server::handshake::Handshake;
use crate::server::process;
use crate::server::report::ReportSender;
use crate::server::test_client::call;
use crate::server::{Call, InputRound, ParkedRound, ResponseSink};
use crate::server::{ProxyResources, ServerHandle};
use crate::transport::child::spawn;
use crate::transport::reaper::Reaper;
use crate::transport::stream::Outbox;

const DEADLINE: Duration = Duration::from_secs(60);

/// Client that stores its responses.
#[derive(Debug)]
struct RecordingClient {
    answers: Mutex<Vec<String>>,
}

impl ResponseSink for RecordingClient {
    fn pipe(&self) -> Option<&Outbox> {
        None
    }
    fn answer(&self, id: RawId<'_>, reply: Reply<'_>) {
        let line = reply.with_id(id, |parts| String::from_utf8(parts.concat()).unwrap());
        self.answers.lock().unwrap().push(line);
    }
}

impl Client for RecordingClient {
    fn deliver_request(&self, _: &Arc<Connection>, _: &str, _: &Envelope<'_>, _: Option<u64>) {}
    fn deliver_notification(&self, _: &Arc<Connection>, _: &str, _: &Envelope<'_>, _: Option<u64>) {
    }
    fn request_input(&self, _: &Arc<Connection>, _: InputRound) {}
    fn request_urls(&self, _: &Connection, _: ParkedRound, _: RequiredUrls, _: &str) {}
    fn withdraw_requests(&self, _: &Connection) {}
}

/// Supervisor that receives the reports of the test; without a client of its own it starts no process.
struct TestSupervisor {
    supervisor: Supervisor,
    messages: UnboundedReceiver<SupervisorMessage>,
    client: Arc<RecordingClient>,
}

impl TestSupervisor {
    /// Creates a stage with a server that writes nothing and exits with its input.
    fn new() -> Self {
        Self::with_events(EventSender::silent())
    }

    /// Creates a stage that sends its events there.
    fn with_events(events: EventSender) -> Self {
        let args = ["-c", "while read -r line; do :; done; exit 3"];
        let args = args.map(Into::into).to_vec();
        let spec = ServerSpec::new("weather".into(), "sh".into(), args, std::env::temp_dir());
        let spec = Arc::new(spec);
        let means = ProxyResources {
            reaper: Reaper::absent(),
            ..ProxyResources::new(events, 1 << 20, None)
        };
        let shared = Arc::new(ServerShared::new(&spec, &means));
        let (sender, messages) = mpsc::unbounded_channel();
        let supply = ServerContext {
            spec,
            resources: means,
            reports: ReportSender(sender),
            notices: mpsc::unbounded_channel().0,
        };
        let client = RecordingClient {
            answers: Mutex::default(),
        };
        Self {
            supervisor: Supervisor::new(supply, shared),
            messages,
            client: Arc::new(client),
        }
    }

    fn start(&self, number: u64) -> RunningGeneration {
        let (supply, client) = (&self.supervisor.context, self.client.clone());
        let (events, reaper) = (&supply.resources.events, &supply.resources.reaper);
        let child = spawn(&supply.spec, number, events, reaper);
        process::start(supply, number, child, client, Identity::default()).unwrap()
    }

    fn prove(&mut self, running: RunningGeneration) {
        let handshake = Handshake {
            era: Era::Legacy,
            result: "{}".into(),
            hello_number: 1,
        };
        let shown = ProofResults {
            handshake: Arc::new(handshake),
            lists: ListKind::ALL.map(|_| Ok(List::default())),
            stream: None,
            sent_settings: ClientSettings::default(),
        };
        let took = Duration::ZERO;
        let proof = ProvenGeneration {
            running,
            results: shown,
            took,
            rehearsal: None,
        };
        self.supervisor.on_report(Report::Proved(Box::new(proof)));
    }

    /// Starts the first generation, which goes live.
    fn go_live(&mut self) -> Arc<Connection> {
        self.supervisor.step(Input::Begin);
        let running = self.start(1);
        let connection = running.connection.clone();
        self.prove(running);
        assert_eq!(self.supervisor.machine.state(), State::Live);
        connection
    }

    fn read(&self, id: &str) {
        let line = format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"resources/read"}}"#);
        let call = Call {
            line: Some(line.clone().into()),
            may_retry: true,
            ..call(self.client.clone(), id)
        };
        let gate = &self.supervisor.shared.gate;
        let _ = gate.submit(call, &line, &Envelope::parse(&line).unwrap());
    }

    async fn next(&mut self) -> Report {
        let message = timeout(DEADLINE, self.messages.recv()).await.unwrap();
        match message.unwrap() {
            SupervisorMessage::Report(report) => report,
            SupervisorMessage::Command(command) => panic!("{command:?}"),
        }
    }
}

#[tokio::test]
async fn a_proof_of_what_has_ended_is_none() {
    let mut stage = TestSupervisor::new();
    stage.supervisor.step(Input::Begin);
    let running = stage.start(1);
    running.connection.link().close();
    let ended = stage.next().await;
    assert!(
        matches!(ended, Report::Ended { number: 1, .. }),
        "{ended:?}"
    );
    stage.supervisor.on_report(ended);
    stage.prove(running);
    let failed = stage.next().await;
    assert!(matches!(failed, Report::Failed(_)), "{failed:?}");
    stage.supervisor.on_report(failed);
    let broken = State::Broken { retry_at: None };
    assert_eq!(stage.supervisor.machine.state(), broken);
    let failure = stage.supervisor.shared.gate.refusal().unwrap();
    assert_eq!(failure.reason, "exited with status 3 right after its start");
}

#[tokio::test]
async fn a_call_does_not_overtake_the_touch_before_it() {
    let mut stage = TestSupervisor::new();
    stage.go_live();
    let handle = ServerHandle {
        shared: stage.supervisor.shared.clone(),
        supervisor: stage.supervisor.context.reports.0.clone(),
    };
    handle.suspect();
    stage.read("1");
    let gate = &handle.shared.gate;
    assert!(gate.holds_any());
    let message = stage.messages.try_recv().unwrap();
    stage.supervisor.on_message(message).await;
    assert!(gate.holds_any());
    stage.supervisor.on_command(Command::Unchanged).await;
    assert!(!gate.holds_any());
}

#[tokio::test]
async fn a_call_that_came_back_from_a_crash_is_cancelled() {
    let mut stage = TestSupervisor::new();
    let connection = stage.go_live();
    stage.read("7");
    assert_eq!(connection.in_flight(), 1);
    let ending = GenerationExit {
        how: "exited".into(),
        status: None,
        runs_on: false,
        stderr: vec![],
        calls: connection.close(),
    };
    // The client cancels after the end of the process and before the supervisor has processed the end.
    let client: Arc<dyn ResponseSink> = stage.client.clone();
    assert!(!stage.supervisor.shared.gate.cancel(&client, "7".into()));
    stage.supervisor.on_report(Report::Ended {
        number: 1,
        exit: ending,
    });
    assert!(stage.supervisor.shared.gate.holds_any());
    let cancel = Command::Cancel {
        sink: client,
        id: "7".into(),
        params: "{}".into(),
    };
    stage.supervisor.on_command(cancel).await;
    assert!(!stage.supervisor.shared.gate.holds_any());
}

#[tokio::test]
async fn a_call_that_is_on_its_way_back_is_cancelled() {
    for is_cancelled in [true, false] {
        let mut stage = TestSupervisor::new();
        let connection = stage.go_live();
        let cancel = || Command::Cancel {
            sink: stage.client.clone(),
            id: "7".into(),
            params: "{}".into(),
        };
        let (first, second) = (cancel(), cancel());
        // The client uses the id of a request again that was answered.
        stage.supervisor.on_command(first).await;
        stage.read("7");
        let exit = GenerationExit {
            how: "exited".into(),
            status: None,
            runs_on: false,
            stderr: vec![],
            calls: connection.close(),
        };
        assert_eq!(exit.calls.len(), 1);
        if is_cancelled {
            stage.supervisor.on_command(second).await;
        }
        let ended = Report::Ended { number: 1, exit };
        stage.supervisor.on_report(ended);
        assert_ne!(stage.supervisor.shared.gate.holds_any(), is_cancelled);
    }
}

#[tokio::test]
async fn a_call_that_waits_for_the_tools_is_cancelled() {
    let mut stage = TestSupervisor::new();
    stage.go_live();
    stage.supervisor.relisting.insert(ListKind::Tools);
    let call = Box::new(call(stage.client.clone(), "7"));
    stage
        .supervisor
        .on_report(Report::Mismatched { number: 1, call });
    assert_eq!(stage.supervisor.mismatched.len(), 1);
    let cancel = Command::Cancel {
        sink: stage.client.clone(),
        id: "7".into(),
        params: "{}".into(),
    };
    stage.supervisor.on_command(cancel).await;
    assert!(stage.supervisor.mismatched.is_empty());
}

#[tokio::test]
async fn input_of_which_a_server_was_not_told_is_reported_once() {
    for is_ready in [true, false] {
        let mut stage = TestSupervisor::new();
        let (sender, events) = std::sync::mpsc::sync_channel(64);
        stage.supervisor.context.resources.events = EventSender::new(sender, Arc::default());
        stage.supervisor.step(Input::Begin);
        let mut starting = Some(stage.start(1));
        for capabilities in [r#"{"roots":{}}"#, r#"{"roots":{},"sampling":{}}"#] {
            if let Some(running) = starting.take_if(|_| is_ready) {
                stage.prove(running);
            }
            let mut identity = Identity::default();
            capabilities.clone_into(&mut identity.capabilities);
            let update = Command::UpdateIdentity(Box::new(identity));
            stage.supervisor.on_command(update).await;
        }
        if let Some(running) = starting {
            stage.prove(running);
        }
        let notes = events.try_iter().filter(|event| {
            matches!(&event.event, Event::WatchNote { message, .. } if message.contains("for input"))
        });
        assert_eq!(notes.count(), 1);
    }
}

#[tokio::test]
async fn a_stop_lets_the_active_generation_finish_its_requests() {
    let mut stage = TestSupervisor::new();
    let connection = stage.go_live();
    stage.read("7");
    stage.supervisor.stop_max_wait = DEADLINE;
    stage.supervisor.step(Input::Stop);
    assert_eq!(stage.supervisor.draining().count(), 1);
    assert_eq!(connection.in_flight(), 1);
}

#[tokio::test]
async fn a_list_that_the_old_code_never_gave_is_read_from_the_new() {
    let mut stage = TestSupervisor::new();
    stage.go_live();
    stage.supervisor.relist(ListKind::Tools);
    stage.supervisor.step(Input::Changed);
    let running = stage.start(2);
    let connection = running.connection.clone();
    stage.prove(running);
    stage.supervisor.relist(ListKind::Tools);
    // A late list of the old code neither ends nor repeats the read.
    let late = Report::Relisted {
        number: 1,
        kind: ListKind::Tools,
        read: vec![],
    };
    stage.supervisor.on_report(late);
    stage.supervisor.relist(ListKind::Tools);
    let answer = r#"{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"new"}]}}"#;
    let asked = async {
        while connection.receive(answer, None).is_err() {
            tokio::task::yield_now().await;
        }
    };
    timeout(DEADLINE, asked).await.unwrap();
    let read = loop {
        if let report @ Report::Relisted { number: 2, .. } = stage.next().await {
            break report;
        }
    };
    stage.supervisor.on_report(read);
    let snapshot = stage.supervisor.shared.snapshot.borrow().clone();
    assert_eq!(snapshot.tool_names(), ["new"]);
    // The list changed during the read, so it is read again.
    assert!(stage.supervisor.relisting.contains(&ListKind::Tools));
}

#[tokio::test]
async fn a_candidate_hears_who_the_client_has_become_meanwhile() {
    let mut stage = TestSupervisor::new();
    stage.supervisor.step(Input::Begin);
    let running = stage.start(1);
    let connection = running.connection.clone();
    let identity = Identity {
        client_info: Some(r#"{"name":"other"}"#.into()),
        ..Identity::default()
    };
    let command = Command::UpdateIdentity(Box::new(identity.clone()));
    stage.supervisor.on_command(command).await;
    stage.prove(running);
    connection.change_identity(|known| assert_eq!(*known, identity));
}

#[tokio::test]
async fn the_last_answer_ends_the_wait_for_idleness() {
    let mut stage = TestSupervisor::new();
    let connection = stage.go_live();
    stage.read("7");
    stage.read("8");
    let waiting = tokio::spawn({
        let connection = connection.clone();
        async move { connection.idle().await }
    });
    tokio::task::yield_now().await;
    for answer in [1, 2] {
        assert!(!waiting.is_finished());
        let line = format!(r#"{{"jsonrpc":"2.0","id":{answer},"result":{{}}}}"#);
        connection.receive(&line, None).unwrap();
        tokio::task::yield_now().await;
    }
    timeout(DEADLINE, waiting).await.unwrap().unwrap();
    let answers = stage.client.answers.lock().unwrap().clone();
    assert_eq!(answers.len(), 2, "{answers:?}");
}

#[test]
fn changed_files_are_read_on_another_thread_than_the_one_that_serves_clients() {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().max_blocking_threads(1).build();
    runtime.unwrap().block_on(async {
        let mut stage = TestSupervisor::new();
        let mut spec = ServerSpec::clone(&stage.supervisor.context.spec);
        spec.build = Some("true".into());
        stage.supervisor.context.spec = Arc::new(spec);
        // Keeps the other thread busy until the sender is dropped.
        let (busy, released) = std::sync::mpsc::channel::<()>();
        tokio::task::spawn_blocking(move || released.recv());
        let changed = Command::Changed(vec!["server.py".into()]);
        let mut changed = pin!(stage.supervisor.on_command(changed));
        assert!(timeout(Duration::ZERO, &mut changed).await.is_err());
        drop(busy);
        timeout(DEADLINE, changed).await.unwrap();
    });
}
