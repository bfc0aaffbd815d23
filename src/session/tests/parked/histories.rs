//! Random histories of a client and a server that requests input.

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

/// One step of a history.
#[derive(Debug, Clone, Copy)]
enum Step {
    /// The client calls.
    Call,
    /// The server asks, for itself or for the open call of this index.
    Ask(Option<u8>),
    /// The client answers one of the results that request input, with or without responses.
    Repeat(u8, bool),
    /// The server answers a call.
    Answer(u8),
    /// The server withdraws its newest request.
    Withdraw,
    /// The client cancels its newest request.
    Cancel,
    /// Time passes.
    Wait(u16),
    /// The generation ends, and the next one begins.
    End,
    /// The generations that have ended answer everything and ask once more.
    Late,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => Just(Step::Call),
        4 => prop::option::of(0..4u8).prop_map(Step::Ask),
        4 => (0..4u8, any::<bool>()).prop_map(|(at, has_input)| Step::Repeat(at, has_input)),
        2 => (0..4u8).prop_map(Step::Answer),
        1 => Just(Step::Withdraw),
        1 => Just(Step::Cancel),
        4 => prop_oneof![Just(5), Just(21), Just(30)].prop_map(Step::Wait),
        1 => Just(Step::Wait(60_000)),
        1 => Just(Step::End),
        1 => Just(Step::Late),
    ]
}

/// Returns the line of a server's request that a client can answer only during a call.
fn ask_form(id: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"elicitation/create","params":{{}}}}"#)
}

/// Returns the line of a server's response to the call of that number.
fn result(number: &str) -> String {
    format!(r#"{{"id":{number},"result":{{"content":[]}}}}"#)
}

/// One history: a client, a server, and everything that passed between them.
struct History {
    stage: Stage,
    connection: Arc<Connection>,
    /// Ids of the client's requests, with the number of responses to each.
    responses: HashMap<String, usize>,
    cancelled: Vec<String>,
    /// Ids of the server's requests since its start, with the number of responses to each.
    asked: HashMap<String, usize>,
    withdrawn: Vec<String>,
    /// Numbers of the calls that reached the generation.
    numbers: Vec<String>,
    /// Generations that have ended, each with the numbers of its open calls.
    ended: Vec<(Arc<Connection>, Vec<String>)>,
    /// Results that request input and were not yet followed: keys and state.
    open: Vec<(Vec<String>, String)>,
    newest: usize,
}

impl History {
    fn new() -> Self {
        let stage = Stage::new(&["a"], true, Set::Dev);
        let connection = stage.connect("a");
        Self {
            stage,
            connection,
            responses: HashMap::new(),
            cancelled: Vec::new(),
            asked: HashMap::new(),
            withdrawn: Vec::new(),
            numbers: Vec::new(),
            ended: Vec::new(),
            open: Vec::new(),
            newest: 0,
        }
    }

    fn next_id(&mut self) -> String {
        self.newest += 1;
        self.newest.to_string()
    }

    fn send_call(&mut self, more: &str) {
        let id = self.next_id();
        self.responses.insert(id.clone(), 0);
        self.stage.receive(&call(&id, more));
    }

    async fn take(&mut self, step: Step) {
        match step {
            Step::Call => self.send_call(""),
            Step::Ask(at) => {
                let related = at.and_then(|at| self.numbers.get(usize::from(at)));
                let related = related.map(|number| number.parse().unwrap());
                let id = self.next_id();
                self.asked.insert(id.clone(), 0);
                self.connection.receive(&ask_form(&id), related).unwrap();
            }
            Step::Repeat(at, has_input) if usize::from(at) < self.open.len() => {
                let (keys, state) = self.open.remove(at.into());
                let keys = keys.iter().filter(|_| has_input);
                let pairs: Vec<_> = keys.map(|key| format!(r#""{key}":{{}}"#)).collect();
                let responses = format!("{{{}}}", pairs.join(","));
                self.send_call(&again(&state, &responses));
            }
            Step::Answer(at) if usize::from(at) < self.numbers.len() => {
                let number = self.numbers.remove(at.into());
                self.connection.receive(&result(&number), None).unwrap();
            }
            Step::Withdraw => {
                let open = self.asked.iter().filter(|(_, count)| **count == 0);
                let Some(id) = open.map(|(id, _)| id.clone()).max() else {
                    return;
                };
                let line = format!(
                    r#"{{"method":"notifications/cancelled","params":{{"requestId":{id}}}}}"#
                );
                self.connection.receive(&line, None).unwrap();
                self.withdrawn.push(id);
            }
            Step::Cancel => {
                let open = self.responses.iter().filter(|(_, count)| **count == 0);
                if let Some(id) = open.map(|(id, _)| id.clone()).max() {
                    let sink = self.stage.session.as_sink();
                    self.connection.cancel(&sink, id.as_str().into(), "{}");
                    self.cancelled.push(id);
                }
            }
            Step::Wait(ms) => tokio::time::sleep(Duration::from_millis(ms.into())).await,
            Step::End => self.restart(),
            Step::Late => {
                self.look();
                for (connection, numbers) in &self.ended {
                    for number in numbers {
                        connection.receive(&result(number), None).unwrap();
                    }
                    connection.receive(&ask("\"late\""), None).unwrap();
                }
                assert!(self.stage.heard().is_empty());
            }
            Step::Repeat(..) | Step::Answer(_) => {}
        }
        self.look();
    }

    /// Ends the generation as a supervisor does, and opens the gate to the next one.
    fn restart(&mut self) {
        self.look();
        let connection = self.stage.connect("a");
        let ended = std::mem::replace(&mut self.connection, connection);
        for call in ended.close() {
            call.reply(Reply::Error(r#"{"code":1,"message":"ended"}"#));
        }
        self.ended.push((ended, std::mem::take(&mut self.numbers)));
        self.asked.clear();
        self.withdrawn.clear();
    }

    /// Counts the messages since the last look.
    fn look(&mut self) {
        for line in self.stage.lines() {
            let message = Members::of(&line);
            let id = message.get("id").unwrap().to_owned();
            *self.responses.get_mut(&id).unwrap() += 1;
            if line.contains("input_required") {
                self.open.push(asked(&[line]));
            }
        }
        for line in self.stage.sent_to("a") {
            let message = Members::of(&line);
            match (message.get("id"), message.get("method")) {
                (Some(id), Some(_)) => self.numbers.push(id.to_owned()),
                (Some(id), None) => {
                    if let Some(count) = self.asked.get_mut(id) {
                        *count += 1;
                    }
                }
                _ => {
                    let params = message.object("params");
                    let number = params.get("requestId").unwrap_or_default();
                    self.numbers.retain(|open| open != number);
                }
            }
        }
    }

    /// Ends everything that is open, and checks that each request has had one response.
    async fn end(mut self) {
        collected().await;
        self.look();
        while let Some(number) = self.numbers.pop() {
            self.connection.receive(&result(&number), None).unwrap();
        }
        self.look();
        while let Some((_, state)) = self.open.pop() {
            self.send_call(&again(&state, "{}"));
            self.look();
        }
        for (id, count) in &self.responses {
            let is_cancelled = self.cancelled.contains(id);
            assert!(*count == 1 || is_cancelled && *count == 0, "{id}: {count}");
        }
        for (id, count) in &self.asked {
            let is_withdrawn = self.withdrawn.contains(id);
            assert!(*count == 1 || is_withdrawn && *count == 0, "{id}: {count}");
        }
        assert_eq!(
            (self.connection.in_flight(), self.connection.parked_calls()),
            (0, 0)
        );
        let state = self.stage.session.state();
        assert!(state.parked_calls.is_empty() && state.early_roots.is_empty());
        assert!(self.ended.iter().all(|(it, _)| it.in_flight() == 0));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn in_every_history_each_request_has_one_response(
        steps in prop::collection::vec(step(), 1..40),
    ) {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_all().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let mut history = History::new();
            for step in steps {
                history.take(step).await;
            }
            history.end().await;
        });
    }
}
