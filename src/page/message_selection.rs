//! Selected exchanges: those in the memory of the page that a filter admits, and their lines as a recording.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use reqwest::Url;
use tokio::task::spawn_blocking;

use super::message_filter::{MessageFilter, has_text};
use super::messages::{Exchange, HANDSHAKE};
use super::routes::Site;
use crate::lock::locked;
use crate::recorder::recording_head;

/// The last search for a text. A person scrolls through its result, and new messages arrive meanwhile.
#[derive(Debug, Default)]
pub(super) struct TextSearch {
    text: String,
    /// Results by the numbers of the exchanges, with the number of lines that were searched.
    results: HashMap<u64, (usize, bool)>,
}

impl TextSearch {
    /// Keeps the exchanges with the text. Searches only those that are new or have changed.
    fn retain(&mut self, found: &mut Vec<Arc<Exchange>>) {
        let known = std::mem::take(&mut self.results);
        found.retain(|it| {
            let searched = known.get(&it.number).copied();
            let result = searched.filter(|(count, _)| *count == it.lines.len());
            let result = result.unwrap_or_else(|| (it.lines.len(), has_text(it, &self.text)));
            self.results.insert(it.number, result);
            result.1
        });
    }
}

/// Place of a part in the selected exchanges.
#[derive(Debug, Clone, Copy)]
pub(super) enum PartPlace {
    /// At their end.
    Newest,
    /// From this position on.
    From(usize),
    /// Around the exchange with this number.
    Around(u64),
}

/// Some of the selected exchanges, the oldest first.
#[derive(Debug)]
pub(super) struct SelectedPart {
    /// Number of all selected exchanges.
    pub(super) total: usize,
    /// Position of the first one of this part.
    pub(super) from: usize,
    pub(super) exchanges: Vec<Arc<Exchange>>,
}

impl SelectedPart {
    /// Returns at most `count` of `all`.
    fn of<'a>(
        all: impl ExactSizeIterator<Item = &'a Arc<Exchange>> + Clone,
        place: PartPlace,
        count: usize,
    ) -> Self {
        let total = all.len();
        let newest = total.saturating_sub(count);
        let from = match place {
            PartPlace::Newest => newest,
            PartPlace::From(position) => position.min(total),
            PartPlace::Around(number) => {
                let position = all.clone().position(|it| it.number >= number);
                position.map_or(newest, |it| it.saturating_sub(count / 2))
            }
        };
        let exchanges = all.skip(from).take(count).cloned().collect();
        Self {
            total,
            from,
            exchanges,
        }
    }
}

/// Returns at most `count` of the selected exchanges.
pub(super) async fn select_part(
    site: &Site,
    filter: &MessageFilter,
    place: PartPlace,
    count: usize,
) -> SelectedPart {
    if filter.is_empty() {
        return SelectedPart::of(site.data.messages().iter(), place, count);
    }
    SelectedPart::of(select(site, filter).await.iter(), place, count)
}

/// Returns the selected exchanges, the oldest first.
pub(super) async fn select(site: &Site, filter: &MessageFilter) -> Vec<Arc<Exchange>> {
    // The recorder waits for the lock, so that texts are searched without it.
    let mut found: Vec<Arc<Exchange>> = {
        let messages = site.data.messages();
        messages
            .iter()
            .filter(|it| filter.admits(it))
            .cloned()
            .collect()
    };
    if filter.text.is_empty() {
        return found;
    }
    let (search, text) = (site.search.clone(), filter.text.clone());
    let searched = spawn_blocking(move || {
        let mut search = locked(&search);
        if search.text != text {
            *search = TextSearch::default();
            search.text = text;
        }
        search.retain(&mut found);
        found
    });
    searched.await.unwrap_or_default()
}

/// Returns the selected exchanges as a recording, in the order in which their messages passed. The handshakes of their
/// sessions belong to it: replays need those.
pub(super) async fn recording(site: &Site, url: &Url) -> Response {
    let found = select(site, &MessageFilter::of(url)).await;
    attachment(site, found, "messages.ndjson").await
}

/// Returns these exchanges, and the handshakes of their sessions, as a recording with this file name.
pub(super) async fn attachment(
    site: &Site,
    mut found: Vec<Arc<Exchange>>,
    name: &'static str,
) -> Response {
    add_handshakes(&mut found, site.data.messages().iter());
    let text = spawn_blocking(move || {
        let mut lines: Vec<&str> = found
            .iter()
            .flat_map(|it| &it.lines)
            .map(|line| &**line)
            .collect();
        lines.sort_by_key(|line| time_us(line));
        recording_head() + &lines.join("\n") + "\n"
    });
    let headers = [
        (header::CONTENT_TYPE, "application/x-ndjson".to_owned()),
        (
            header::CONTENT_DISPOSITION,
            format!("attachment; filename=\"{name}\""),
        ),
    ];
    (headers, text.await.unwrap_or_default()).into_response()
}
/// Adds the handshakes among `all` of the sessions in `found`.
fn add_handshakes<'a>(
    found: &mut Vec<Arc<Exchange>>,
    all: impl Iterator<Item = &'a Arc<Exchange>>,
) {
    let sessions: HashSet<_> = found.iter().map(|it| it.session.clone()).collect();
    let numbers: HashSet<u64> = found.iter().map(|it| it.number).collect();
    let handshakes = all.filter(|it| {
        HANDSHAKE.contains(&&*it.method)
            && sessions.contains(&it.session)
            && !numbers.contains(&it.number)
    });
    found.extend(handshakes.cloned());
}

/// Returns the time of a recorded line, which is its first member.
fn time_us(line: &str) -> u64 {
    let digits = line.strip_prefix(r#"{"time_us":"#).unwrap_or_default();
    let end = digits
        .find(|it: char| !it.is_ascii_digit())
        .unwrap_or(digits.len());
    digits[..end].parse().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::messages::{LogLimits, MessageLog};
    use super::*;

    #[test]
    fn a_part_has_its_position_among_all() {
        let mut log = MessageLog::new(LogLimits::PROXY);
        let notice = r#"{"time_us":1,"from":"client","to":"proxy","session":"7-1","bytes":1,"message":{"method":"x"}}"#;
        for _ in 0..5 {
            log.add(notice).unwrap();
        }
        for (place, count, first, numbers) in [
            (PartPlace::Newest, 2, 3, &[3, 4][..]),
            (PartPlace::Newest, 9, 0, &[0, 1, 2, 3, 4]),
            (PartPlace::From(1), 2, 1, &[1, 2]),
            (PartPlace::From(4), 2, 4, &[4]),
            (PartPlace::From(9), 2, 5, &[]),
            (PartPlace::Around(2), 2, 1, &[1, 2]),
            (PartPlace::Around(0), 2, 0, &[0, 1]),
            (PartPlace::Around(9), 2, 3, &[3, 4]),
        ] {
            let part = SelectedPart::of(log.iter(), place, count);
            assert_eq!((part.total, part.from), (5, first), "{place:?}");
            let found = part.exchanges.iter().map(|it| it.number);
            assert_eq!(found.collect::<Vec<_>>(), numbers, "{place:?}");
        }
    }

    #[test]
    fn new_messages_of_known_exchanges_are_searched_too() {
        let mut log = MessageLog::new(LogLimits::PROXY);
        let request = r#"{"time_us":1,"from":"client","to":"proxy","session":"7-1","bytes":1,"message":{"id":1,"method":"ping"}}"#;
        let response = r#"{"time_us":2,"from":"proxy","to":"client","session":"7-1","bytes":1,"message":{"id":1,"result":{}}}"#;
        let mut search = TextSearch::default();
        "result".clone_into(&mut search.text);
        for (line, expected) in [(request, 0), (response, 1), (request, 1)] {
            log.add(line).unwrap();
            let mut found: Vec<_> = log.iter().cloned().collect();
            search.retain(&mut found);
            assert_eq!(found.len(), expected, "{line}");
        }
        assert_eq!(search.results[&0], (2, true));
        assert_eq!(search.results[&1], (1, false));
    }
}
