//! Frame of all pages, and parts that they share.

use std::borrow::Cow;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderValue, header};
use axum::response::Response;
use maud::{DOCTYPE, Markup, html};

use super::failed_servers::FailedServers;
use super::page_recording;
use super::routes::Site;
use crate::output::{clean, duration};

/// Length to which a name is cut, in characters.
const MAX_NAME: usize = 200;

/// Page of the site.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tab {
    Servers,
    Messages,
    /// One of the messages.
    Message,
    TimeLine,
    Try,
    /// Requests of servers that the user answers in the place of clients.
    Input,
    /// The watched files of one server.
    Watched,
}

impl Tab {
    /// The pages that all others link to.
    const LINKED: [Self; 5] = [
        Self::Servers,
        Self::Messages,
        Self::TimeLine,
        Self::Try,
        Self::Input,
    ];

    /// Returns true if the page shows messages, and nothing that a recording does not have.
    fn shows_messages(self) -> bool {
        matches!(self, Self::Messages | Self::TimeLine)
    }

    fn path(self) -> &'static str {
        match self {
            Self::Servers | Self::Watched => "/",
            Self::Messages | Self::Message => "/messages",
            Self::TimeLine => "/time-line",
            Self::Try => "/try",
            Self::Input => "/input",
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::Servers => "Servers",
            Self::Messages => "Messages",
            Self::Message => "Message",
            Self::TimeLine => "Time line",
            Self::Try => "Try",
            Self::Input => "Input",
            Self::Watched => "Watched files",
        }
    }

    /// Returns the address of the script that keeps the page up to date.
    fn script(self) -> &'static str {
        match self {
            Self::Servers => "/assets/refresh.js",
            Self::Messages => "/assets/messages.js",
            Self::Message | Self::Watched => "/assets/message.js",
            Self::TimeLine => "/assets/time-line.js",
            Self::Try => "/assets/try.js",
            Self::Input => "/assets/input.js",
        }
    }
}

/// Returns the page of a tab with this content.
pub(super) fn page(tab: Tab, site: &Site, content: &Markup) -> Markup {
    let data = &site.data;
    html! {
        (DOCTYPE)
        html lang="en" data-run=(data.run) data-messages[tab.shows_messages()] {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (tab.title()) " · mcp-proxy" }
                link rel="icon" href="data:,";
                link rel="stylesheet" href="/assets/style.css";
                @if matches!(tab, Tab::Try | Tab::Input) { link rel="stylesheet" href="/assets/try.css"; }
                script type="module" src=(tab.script()) {}
                @if data.file.is_none() {
                    script type="module" src="/assets/record.js" {}
                    script type="module" src="/assets/waiting.js" {}
                    script type="module" src="/assets/failed.js" {}
                }
            }
            body {
                header {
                    strong { "mcp-proxy" }
                    nav aria-label="Pages" {
                        @for it in Tab::LINKED.iter().filter(|it| data.file.is_none() || it.shows_messages()) {
                            a href=(it.path()) aria-current=[(it.path() == tab.path()).then_some("page")] { (it.title()) }
                        }
                    }
                    @match &data.file {
                        Some(file) => {
                            p #live role="status" data-file=(file.name) { bdi { "Recording " (clean(&file.name)) } }
                        }
                        None => {
                            (page_recording::bar(data))
                            p #live role="status" { "Not live: reload to see changes" }
                        }
                    }
                }
                @if data.file.is_none() { (FailedServers::of(site).line()) }
                main { (content) }
            }
        }
    }
}

/// Returns a response with a page or a part of one.
pub(super) fn html_response(page: Markup) -> Response {
    let mut response = Response::new(Body::from(page.into_string()));
    let html = HeaderValue::from_static("text/html; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, html);
    response
}

/// Returns a time of the log, in UTC; the browser shows it in its own zone.
pub(super) fn time(rfc3339: &str) -> Markup {
    let shown = rfc3339.get(11..23).unwrap_or(rfc3339);
    html! { time datetime=(rfc3339) { (shown) } }
}

/// Returns a foreign name for a list or a title, which a long one would fill.
pub(super) fn short_name(name: &str) -> Cow<'_, str> {
    let name = clean(name);
    match name.char_indices().nth(MAX_NAME) {
        Some((end, _)) => Cow::Owned(format!("{}…", &name[..end])),
        None => name,
    }
}

/// Returns a duration in words.
pub(super) fn milliseconds(ms: u64) -> String {
    duration(Duration::from_millis(ms))
}

/// Returns lines of output.
pub(super) fn lines<'a>(lines: impl IntoIterator<Item = &'a str>) -> Markup {
    let lines: Vec<_> = lines.into_iter().map(clean).collect();
    html! { pre tabindex="0" { (lines.join("\n")) } }
}
