//! Line above each page that names the servers whose last start failed or whose process has crashed, with links to the
//! reasons.

use maud::{Markup, html};
use serde_json::{Value, json};

use super::layout::short_name;
use super::routes::Site;
use super::server_cards::card_id;

/// Maximum number of servers that the line names.
const MAX_NAMED: usize = 5;

/// Servers that have failed and do not run again yet.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct FailedServers {
    /// Names, each with the address of its card.
    named: Vec<(String, String)>,
    /// Number of further servers.
    more: usize,
}

impl FailedServers {
    /// Returns those of all sessions. A server that fails in several sessions is named once.
    pub(super) fn of(site: &Site) -> Self {
        let mut all: Vec<(String, String)> = Vec::new();
        for (session, fleet) in site.fleets.all() {
            let catalog = fleet.catalog();
            for server in catalog.servers.iter().filter(|it| it.has_failed()) {
                let name = server.spec().name.clone();
                let cards = &fleet.config().servers;
                let position = cards.iter().position(|it| it.name == name);
                if let Some(position) = position
                    && !all.iter().any(|(known, _)| *known == name)
                {
                    let address = format!("/#{}", card_id(session, position));
                    all.push((name, address));
                }
            }
        }
        let more = all.len().saturating_sub(MAX_NAMED);
        all.truncate(MAX_NAMED);
        Self { named: all, more }
    }

    /// Returns them for a script.
    pub(super) fn json(&self) -> Value {
        let named = self
            .named
            .iter()
            .map(|(name, address)| json!([short_name(name), address]));
        json!({ "named": named.collect::<Vec<_>>(), "more": self.more })
    }

    /// Returns the line, which is hidden if there are none.
    pub(super) fn line(&self) -> Markup {
        html! {
            p #failed.bad role="status" hidden[self.named.is_empty()] {
                "✕ Failed: "
                span {
                    @for (position, (name, address)) in self.named.iter().enumerate() {
                        @if position > 0 { ", " }
                        a href=(address) { bdi { (short_name(name)) } }
                    }
                    @if self.more > 0 { " and " (self.more) " more" }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::super::server_cards;
    use super::*;
    use crate::fleet::Fleet;

    #[tokio::test]
    async fn each_failed_server_is_named_once_with_its_card() {
        let site = Site::empty(SocketAddr::from(([127, 0, 0, 1], 1)));
        let names = ["a", "<b>", "c", "d", "e", "f", "g"];
        let fleets = [3, 4].map(|session| {
            let fleet = Fleet::loaded_with(&names, false);
            site.fleets.add(session, &fleet);
            fleet
        });
        let line = |site: &Site| FailedServers::of(site).line().into_string();
        assert!(line(&site).contains(" hidden"), "{}", line(&site));
        fleets[1].one("<b>").record_failure("cannot be started");
        let link = r#"<a href="/#server-4-1"><bdi>&lt;b&gt;</bdi></a>"#;
        assert!(line(&site).contains(link), "{}", line(&site));
        assert!(!line(&site).contains(" hidden"));
        let cards = server_cards::content(&site).into_string();
        assert!(cards.contains(r#"<article id="server-4-1" aria-label="&lt;b&gt;">"#));
        for name in names {
            fleets[0].one(name).record_failure("cannot be started");
        }
        let json = FailedServers::of(&site).json();
        let [first, second, ..] = &json["named"].as_array().unwrap()[..] else {
            panic!("{json}")
        };
        assert_eq!(first, &json!(["a", "/#server-3-0"]));
        assert_eq!(second, &json!(["<b>", "/#server-3-1"]));
        assert_eq!(json["more"], 2);
        assert!(line(&site).contains(" and 2 more"));
    }
}
