//! The watched files of one server with the reason for each, and the answer for any other file.

use std::path::{Path, PathBuf};

use maud::{Markup, html};
use reqwest::Url;

use super::routes::{Site, value};
use crate::lock::locked;
use crate::output::{clean, count};

/// Maximum number of files that are shown.
const MAX_FILES: usize = 500;

/// Returns the address of the page about a server's files.
pub(super) fn watched_address(session: u64, server: &str) -> String {
    let session = session.to_string();
    let parameters = [("session", &*session), ("server", server)];
    let url = Url::parse_with_params("http://page/watched", parameters);
    url.map_or_else(
        |_| "/watched".to_owned(),
        |url| format!("{}?{}", url.path(), url.query().unwrap_or_default()),
    )
}

/// Returns the form that asks whether a file is watched.
pub(super) fn question(session: u64, server: &str, path: &str) -> Markup {
    html! {
        form.question action="/watched" {
            input type="hidden" name="session" value=(session);
            input type="hidden" name="server" value=(server);
            label { "Is this file watched? " input name="path" value=(path) size="18" autocomplete="off" spellcheck="false"; }
            " " button { "Ask" }
        }
    }
}

/// Returns the content of the page that an address asks for; `None` if its session has no such server.
pub(super) async fn content(site: &Site, url: &Url) -> Option<Markup> {
    let session: u64 = value(url, "session")?.parse().ok()?;
    let server = value(url, "server")?;
    let path = value(url, "path").unwrap_or_default();
    let path = path.trim();
    let fleets = site.fleets.all();
    let (_, fleet) = fleets.iter().find(|(number, _)| *number == session)?;
    let loaded = fleet.loaded(&server)?;
    let asked = (!path.is_empty()).then(|| PathBuf::from(path));
    let described = fleet.describe_watch(&server, asked, MAX_FILES).await;
    let hidden = locked(&site.hidden).clone();
    let shown = |text: &str| clean(&hidden.hide(text.to_owned())).into_owned();
    let file = |path: &Path| shown(&path.display().to_string());
    Some(html! {
        h1 { "Watched files of " bdi { (shown(&server)) } }
        p { "Paths are relative to " bdi { code { (file(&loaded.spec().cwd)) } } "." }
        (question(session, &server, path))
        @match described {
            None => p { "No file of this server is watched." },
            Some(described) => {
                @if let Some(answer) = &described.answer {
                    p.answer role="status" {
                        @if answer.is_watched { strong.good { "Yes" } } @else { strong.bad { "No" } }
                        ": " bdi { code { (shown(path)) } } ": " bdi { (shown(&answer.reason)) }
                    }
                    @if !answer.is_watched && answer.lacks_glob { p { "To watch it, name it in " code { "watch" } " or with " code { "--watch" } "." } }
                }
                p { (count(described.count, "file is", "files are")) " watched." }
                div.scroll tabindex="0" role="region" aria-label="Watched files" {
                    table {
                        thead { tr { th scope="col" { "File" } th scope="col" { "Reason" } } }
                        tbody {
                            @for (path, reason) in &described.files {
                                tr { td { bdi { (file(path)) } } td { bdi { (shown(reason)) } } }
                            }
                        }
                    }
                }
                @if described.count > described.files.len() { p { (described.count - described.files.len()) " more files" } }
            }
        }
        p { a href="/" { "Back to the servers" } }
    })
}
