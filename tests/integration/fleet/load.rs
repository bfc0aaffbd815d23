//! A call every 5 ms while something else happens: each is answered once, well and soon.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;

use super::Fleet;
use crate::harness::{DEADLINE, Message, eventually};

/// Much less than a server's start takes where a test slows it down, and much more than a busy machine
/// needs for a call that nothing holds up.
const SOON: Duration = Duration::from_millis(700);

/// Calls `tool` every 5 ms while `work` is done, and looks at each answer.
#[track_caller]
pub(super) fn under_load<T>(fleet: &Fleet, tool: &str, work: impl FnOnce() -> T) -> T {
    let mark = fleet.peer.mark();
    let over = AtomicBool::new(false);
    let (sent, done) = std::thread::scope(|scope| {
        let load = scope.spawn(|| load(fleet, tool, &over));
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
        over.store(true, Ordering::Relaxed);
        (load.join().unwrap(), done)
    });
    let done = done.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    let all = || {
        let lines = fleet.peer.lines_since(mark).into_iter();
        let answers = lines.filter(|message| message.method().is_none());
        let mut by_id: HashMap<String, Vec<Message>> = HashMap::new();
        for answer in answers {
            let id = answer.id().unwrap_or_default().to_owned();
            by_id.entry(id).or_default().push(answer);
        }
        by_id
    };
    eventually(DEADLINE, || {
        let answers = all();
        sent.keys().all(|id| answers.contains_key(id))
    });
    // A second response to any request would come before this one.
    fleet.peer.ask("ping", &json!({})).result();
    let answers = all();
    for (id, at) in sent {
        let [answer] = &answers[&id][..] else {
            panic!("call {id} was answered more than once: {:?}", answers[&id]);
        };
        let well = !answer.is_error() && answer.result()["isError"] != true;
        assert!(well, "{}\n{}", answer.line, fleet.log.text());
        let delay = answer.at.saturating_duration_since(at);
        assert!(delay < SOON, "call {id} of the load took {delay:?}");
    }
    done
}

fn load(fleet: &Fleet, tool: &str, over: &AtomicBool) -> HashMap<String, Instant> {
    let mut sent = HashMap::new();
    while !over.load(Ordering::Relaxed) || sent.len() < 20 {
        let at = Instant::now();
        let call = json!({"name": tool, "arguments": {}});
        sent.insert(fleet.peer.request("tools/call", &call).to_string(), at);
        // The rhythm of the load, not a wait for anything.
        std::thread::sleep(Duration::from_millis(5));
    }
    sent
}
