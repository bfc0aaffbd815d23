//! Person on the page who stands in for clients: answers requests of servers for input that their clients cannot give.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use tokio::sync::{oneshot, watch};

use crate::bridge::{InputError, InputRequest};
use crate::lock::locked;

/// Beginning of the ids by which the recorder tells calls and answers of the page from those of clients.
pub(crate) const PAGE_ID: &str = "mcp-proxy-page-";

/// Maximum number of open questions.
const MAX_OPEN: usize = 64;
/// Maximum length in bytes of the params of a question.
const MAX_PARAMS: usize = 1 << 20;

/// Stand-in for the clients of all sessions. Off until the user switches it on.
#[derive(Debug)]
pub(crate) struct StandIn {
    /// Address of the page with the questions, without its token.
    pub(crate) address: String,
    is_on: AtomicBool,
    /// True once it has been on: servers may rely on it until they are started again.
    was_on: AtomicBool,
    questions: Mutex<Questions>,
    /// Wakes the open tabs of the page.
    changed: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct Questions {
    /// Number of the newest question.
    newest: u64,
    /// Open questions, the oldest first.
    open: Vec<UnansweredQuestion>,
    /// Number of changes so far.
    changes: u64,
}

#[derive(Debug)]
struct UnansweredQuestion {
    question: Arc<Question>,
    answer: oneshot::Sender<Result<String, InputError>>,
}

/// Request of a server that waits for the person.
#[derive(Debug)]
pub(crate) struct Question {
    pub(crate) number: u64,
    /// Number of the session.
    pub(crate) session: u64,
    pub(crate) server: String,
    pub(crate) request: InputRequest,
    pub(crate) since: SystemTime,
}

/// Question whose answer is awaited. Dropping it withdraws the question.
#[derive(Debug)]
pub(crate) struct AwaitedAnswer {
    stand_in: Arc<StandIn>,
    question: Arc<Question>,
    answer: oneshot::Receiver<Result<String, InputError>>,
}

impl StandIn {
    /// Creates one for the page at `address`, which is off.
    pub(crate) fn new(address: String, changed: watch::Sender<()>) -> Arc<Self> {
        Arc::new(Self {
            address,
            is_on: AtomicBool::new(false),
            was_on: AtomicBool::new(false),
            questions: Mutex::default(),
            changed,
        })
    }

    /// Returns true if it is on.
    pub(crate) fn is_on(&self) -> bool {
        self.is_on.load(Ordering::Relaxed)
    }

    /// Returns true if it is or has been on.
    pub(crate) fn was_on(&self) -> bool {
        self.was_on.load(Ordering::Relaxed)
    }

    /// Switches it on or off. Switched off, it refuses the open questions.
    pub(crate) fn switch(&self, is_on: bool) {
        self.is_on.store(is_on, Ordering::Relaxed);
        self.was_on.fetch_or(is_on, Ordering::Relaxed);
        if !is_on {
            self.refuse(
                |_| true,
                |it| InputError::StandInOff(it.server.clone(), it.request.method.clone()),
            );
        }
        self.change(|_| {});
    }

    /// Asks the person to answer a request of `server`.
    pub(crate) fn ask(
        self: &Arc<Self>,
        session: u64,
        server: &str,
        request: InputRequest,
    ) -> Result<AwaitedAnswer, InputError> {
        let (name, method) = (server.to_owned(), request.method.clone());
        if request
            .params
            .as_ref()
            .is_some_and(|it| it.len() > MAX_PARAMS)
        {
            return Err(InputError::TooLong(name, method));
        }
        let (sender, answer) = oneshot::channel();
        let question = self.change(|questions| {
            if !self.is_on() {
                return Err(InputError::StandInOff(name, method));
            }
            if questions.open.len() >= MAX_OPEN {
                return Err(InputError::TooManyWaiting(name));
            }
            questions.newest += 1;
            let question = Arc::new(Question {
                number: questions.newest,
                session,
                server: name,
                request,
                since: SystemTime::now(),
            });
            let open = UnansweredQuestion {
                question: question.clone(),
                answer: sender,
            };
            questions.open.push(open);
            Ok(question)
        })?;
        Ok(AwaitedAnswer {
            stand_in: self.clone(),
            question,
            answer,
        })
    }

    /// Answers the question `number` with a raw result or an error. Returns false if it is not open any more.
    pub(crate) fn answer(&self, number: u64, answer: Result<String, InputError>) -> bool {
        let open = self.change(|questions| questions.take(number));
        open.is_some_and(|open| open.answer.send(answer).is_ok())
    }

    /// Refuses all questions of a session whose client has left.
    pub(crate) fn client_left(&self, session: u64) {
        self.refuse(
            |it| it.session == session,
            |it| InputError::ClientGone(it.server.clone()),
        );
    }

    fn refuse(&self, is_over: impl Fn(&Question) -> bool, error: impl Fn(&Question) -> InputError) {
        let over: Vec<_> = self.change(|questions| {
            let open = &mut questions.open;
            open.extract_if(.., |it| is_over(&it.question)).collect()
        });
        for open in over {
            let _ = open.answer.send(Err(error(&open.question)));
        }
    }

    /// Returns the question `number`, if it is open.
    pub(crate) fn question(&self, number: u64) -> Option<Arc<Question>> {
        let questions = locked(&self.questions);
        let mut open = questions.open.iter().map(|it| &it.question);
        open.find(|it| it.number == number).cloned()
    }

    /// Returns the open questions, the oldest first.
    pub(crate) fn questions(&self) -> Vec<Arc<Question>> {
        let questions = locked(&self.questions);
        questions
            .open
            .iter()
            .map(|it| it.question.clone())
            .collect()
    }

    /// Returns the number of open questions, and a number that differs after each change.
    pub(crate) fn state(&self) -> (usize, u64) {
        let questions = locked(&self.questions);
        (questions.open.len(), questions.changes)
    }

    /// Changes the questions and wakes the tabs.
    fn change<T>(&self, change: impl FnOnce(&mut Questions) -> T) -> T {
        let changed = {
            let mut questions = locked(&self.questions);
            questions.changes += 1;
            change(&mut questions)
        };
        self.changed.send_replace(());
        changed
    }
}

impl Questions {
    /// Removes the question `number`, if it is open.
    fn take(&mut self, number: u64) -> Option<UnansweredQuestion> {
        let at = self
            .open
            .iter()
            .position(|it| it.question.number == number)?;
        Some(self.open.remove(at))
    }
}

impl AwaitedAnswer {
    /// Returns the id by which the recorder knows the answer.
    pub(crate) fn page_id(&self) -> String {
        format!("{PAGE_ID}answer-{}", self.question.number)
    }

    /// Waits for the answer: a raw result or an error.
    pub(crate) async fn answer(mut self) -> Result<String, InputError> {
        let answer = (&mut self.answer).await;
        answer.unwrap_or_else(|_| Err(InputError::ClientGone(self.question.server.clone())))
    }
}

impl Drop for AwaitedAnswer {
    fn drop(&mut self) {
        let number = self.question.number;
        if self.stand_in.question(number).is_some() {
            self.stand_in.change(|questions| questions.take(number));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(params: &str) -> InputRequest {
        InputRequest::of_legacy(1, "elicitation/create", Some(params)).unwrap()
    }

    fn stand_in() -> Arc<StandIn> {
        let stand_in = StandIn::new(
            "http://127.0.0.1:1/input".to_owned(),
            watch::Sender::new(()),
        );
        stand_in.switch(true);
        stand_in
    }

    #[tokio::test]
    async fn the_first_answer_counts() {
        let stand_in = stand_in();
        let asked = stand_in.ask(1, "weather", form("{}")).unwrap();
        assert_eq!(stand_in.questions()[0].server, "weather");
        assert!(stand_in.answer(1, Ok("{}".to_owned())));
        assert!(!stand_in.answer(1, Ok("[]".to_owned())) && stand_in.questions().is_empty());
        assert_eq!(asked.answer().await, Ok("{}".to_owned()));
    }

    #[tokio::test]
    async fn a_question_ends_with_its_asker_its_client_or_the_switch() {
        let stand_in = stand_in();
        let [withdrawn, of_client, other] =
            [1, 1, 2].map(|session| stand_in.ask(session, "weather", form("{}")).unwrap());
        drop(withdrawn);
        assert!(!stand_in.answer(1, Ok("{}".to_owned())));
        stand_in.client_left(1);
        let gone = InputError::ClientGone("weather".to_owned());
        assert_eq!(of_client.answer().await, Err(gone));
        assert_eq!(stand_in.state().0, 1);
        stand_in.switch(false);
        let method = "elicitation/create".to_owned();
        let off = InputError::StandInOff("weather".to_owned(), method);
        assert_eq!(other.answer().await, Err(off.clone()));
        assert_eq!(stand_in.ask(1, "weather", form("{}")).unwrap_err(), off);
    }

    #[test]
    fn questions_are_limited() {
        let stand_in = stand_in();
        let long = format!("{{\"message\":\"{}\"}}", "x".repeat(MAX_PARAMS));
        let too_long = stand_in.ask(1, "weather", form(&long)).unwrap_err();
        assert!(matches!(too_long, InputError::TooLong(..)));
        let ask = || stand_in.ask(1, "weather", form("{}"));
        let open: Vec<_> = (0..MAX_OPEN).map(|_| ask().unwrap()).collect();
        assert!(matches!(ask().unwrap_err(), InputError::TooManyWaiting(_)));
        drop(open);
        assert!(ask().is_ok());
    }
}
