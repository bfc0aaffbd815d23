//! Selection of exchanges.

use reqwest::Url;

use super::messages::{Exchange, ExchangeOutcome};

/// Selection of exchanges by the parameters of an address; an empty one selects all.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct MessageFilter {
    pub(super) server: String,
    /// Part of the name of a tool, a prompt or a resource, or of a method.
    pub(super) about: String,
    /// Name of a session.
    pub(super) session: String,
    pub(super) text: String,
    pub(super) only_errors: bool,
    /// Without messages that the client has neither sent nor got.
    pub(super) only_client: bool,
    /// Minimum time to the response in milliseconds.
    pub(super) slower: Option<u64>,
}

impl MessageFilter {
    /// Returns the selection that an address names.
    pub(super) fn of(url: &Url) -> Self {
        let mut filter = Self::default();
        for (name, value) in url.query_pairs() {
            let value = value.trim();
            match &*name {
                "server" => value.clone_into(&mut filter.server),
                "about" => value.clone_into(&mut filter.about),
                "session" => value.clone_into(&mut filter.session),
                "text" => value.clone_into(&mut filter.text),
                "errors" => filter.only_errors = true,
                "client" => filter.only_client = true,
                "slower" => filter.slower = value.parse().ok(),
                _ => {}
            }
        }
        filter
    }

    /// Returns true if it selects all exchanges.
    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Returns true if an exchange has the wanted properties, apart from the text.
    pub(super) fn admits(&self, exchange: &Exchange) -> bool {
        let took = |limit: u64| {
            exchange
                .took()
                .is_some_and(|took| took >= limit.saturating_mul(1000))
        };
        let is_failed = matches!(exchange.outcome, ExchangeOutcome::Failed(_));
        (self.server.is_empty() || *exchange.server == *self.server)
            && (self.session.is_empty() || *exchange.session_name == *self.session)
            && [&exchange.name, &exchange.method]
                .iter()
                .any(|it| contains(it.as_bytes(), self.about.as_bytes()))
            && (!self.only_errors || is_failed)
            && (!self.only_client || exchange.concerns_client)
            && self.slower.is_none_or(took)
    }
}

/// Returns true if an exchange has a line with `text`, whose letters of ASCII stand for both cases.
pub(super) fn has_text(exchange: &Exchange, text: &str) -> bool {
    let mut lines = exchange.lines.iter();
    lines.any(|line| contains(line.as_bytes(), text.as_bytes()))
}

fn contains(line: &[u8], text: &[u8]) -> bool {
    let Some(first) = text.first() else {
        return true;
    };
    let mut windows = line.windows(text.len());
    // A comparison of one byte skips almost all places.
    windows.any(|it| it[0].eq_ignore_ascii_case(first) && it.eq_ignore_ascii_case(text))
}

#[cfg(test)]
mod tests {
    use super::super::messages::{LogLimits, MessageLog};
    use super::*;

    const LINES: &str = r#"{"time_us":1000,"from":"client","to":"proxy","session":"7-1","bytes":75,"message":{"id":1,"method":"tools/call","params":{"name":"forecast"}}}
{"time_us":4000,"from":"proxy","to":"client","session":"7-1","bytes":50,"message":{"id":1,"error":{"code":-1,"message":"No"}}}
{"time_us":5000,"from":"proxy","to":"server","session":"7-2","server":"weather","generation":1,"bytes":25,"message":{"id":1,"method":"initialize"}}"#;

    fn found(query: &str) -> Vec<String> {
        let mut log = MessageLog::new(LogLimits::PROXY);
        LINES.lines().for_each(|line| log.add(line).unwrap());
        let url = Url::parse(&format!("http://page/messages?{query}")).unwrap();
        let filter = MessageFilter::of(&url);
        let found = log
            .iter()
            .filter(|it| filter.admits(it) && has_text(it, &filter.text));
        found.map(|it| it.method.clone()).collect()
    }

    #[test]
    fn each_parameter_selects() {
        assert_eq!(found(""), ["tools/call", "initialize"]);
        for query in [
            "session=1",
            "about=forecast",
            "about=tools%2Fcall",
            "about=FORE",
            "errors=on",
            "client=on",
            "slower=3",
            "text=NO%22",
        ] {
            assert_eq!(found(query), ["tools/call"], "{query}");
        }
        for query in ["server=weather", "session=2", "text=%22Initialize"] {
            assert_eq!(found(query), ["initialize"], "{query}");
        }
        for query in [
            "server=weather&errors=on",
            "slower=4",
            "slower=18446744073709551615",
            "text=%5C",
            "about=forex",
        ] {
            assert_eq!(found(query), [""; 0], "{query}");
        }
    }
}
