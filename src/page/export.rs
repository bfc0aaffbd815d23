//! Page with messages as one HTML file, which needs neither the proxy nor a network.

use std::fmt::Write as _;
use std::sync::Arc;

use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use maud::{DOCTYPE, PreEscaped, html};
use reqwest::Url;
use rustls::crypto::ring::cipher_suite::TLS13_AES_128_GCM_SHA256;
use serde::Serialize;
use tokio::task::spawn_blocking;

use super::acting::refuse;
use super::assets::asset;
use super::message_filter::MessageFilter;
use super::message_list::{FilterChoices, ScriptRow, form};
use super::message_selection::select;
use super::messages::Exchange;
use super::opened_recording::OpenedRecording;
use super::routes::Site;
use crate::output::{clean, count};

/// Modules of the script, each after those that it imports.
const MODULES: [&str; 6] = [
    "harmless.js",
    "latest.js",
    "times.js",
    "copy.js",
    "message-list.js",
    "export.js",
];

/// Maximum size of the messages in bytes: a browser reads them as one string, whose length it limits to about 512 MiB.
const MAX_DATA: usize = 500 * 1024 * 1024;

/// Reason why there is no file.
#[derive(Debug, thiserror::Error)]
#[error("a browser cannot open a page with more than {} MiB of messages; show the recording with `mcp-proxy page`, \
         select messages there, and save those as a page", .0 >> 20)]
pub(crate) struct TooLong(usize);

/// Returns the selected exchanges as a file.
pub(super) async fn response(site: &Site, url: &Url) -> Response {
    let found = select(site, &MessageFilter::of(url)).await;
    let file = site.data.file.as_ref();
    let name = file.map_or("messages", |file| &*file.name).to_owned();
    let text = spawn_blocking(move || exported(&name, &found)).await;
    let text = match text.unwrap_or_else(|_| Ok(String::new())) {
        Ok(text) => text,
        Err(error) => return refuse(site, &error.to_string(), "/messages"),
    };
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (
            header::CONTENT_DISPOSITION,
            "attachment; filename=\"messages.html\"",
        ),
    ];
    (headers, text).into_response()
}

impl OpenedRecording {
    /// Returns the recording as an HTML file.
    pub(crate) fn export(&self) -> Result<String, TooLong> {
        let exchanges: Vec<_> = self.messages.iter().cloned().collect();
        exported(&self.name, &exchanges)
    }
}

/// Returns a file with these exchanges; `name` says where they are from.
fn exported(name: &str, exchanges: &[Arc<Exchange>]) -> Result<String, TooLong> {
    let data = data(exchanges, MAX_DATA)?;
    let (style, script) = (style(), script());
    // No message can load anything, or run a script of its own.
    let policy = format!(
        "default-src 'none'; script-src '{}'; style-src '{}'; base-uri 'none'; form-action 'none'",
        hash(&script),
        hash(style)
    );
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(policy);
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (clean(name)) " · mcp-proxy" }
                style { (PreEscaped(style)) }
            }
            body {
                header {
                    strong { "mcp-proxy" }
                    p { bdi { (clean(name)) } ", " (count(exchanges.len(), "message", "messages")) }
                }
                main {
                    h1 { "Messages" }
                    (form(&MessageFilter::default(), &FilterChoices::of(exchanges.iter()), &html! {}))
                    div.split {
                        div #list { p { "The list needs scripts." } }
                        section #detail aria-label="Message" tabindex="-1" { p.soft { "Select a message." } }
                    }
                }
                script type="application/json" id="data" { (PreEscaped(data)) }
                script { (PreEscaped(script)) }
            }
        }
    };
    Ok(page.into_string())
}

/// Exchange in the file.
#[derive(Serialize)]
struct ExportedRow<'a> {
    #[serde(flatten)]
    row: ScriptRow<'a>,
    client: bool,
    /// Texts, so that numbers and duplicate names stay as they were sent.
    lines: Vec<&'a str>,
}

/// Returns the exchanges as JSON that contains no markup, of at most `limit` bytes.
fn data(exchanges: &[Arc<Exchange>], limit: usize) -> Result<String, TooLong> {
    let mut text = String::from("[");
    for (index, exchange) in exchanges.iter().enumerate() {
        let row = ExportedRow {
            row: ScriptRow::of(exchange),
            client: exchange.concerns_client,
            lines: exchange.lines.iter().map(|line| &**line).collect(),
        };
        let row = serde_json::to_string(&row).unwrap_or_default();
        let separator = if index == 0 { "" } else { ",\n" };
        let _ = write!(text, "{separator}{}", row.replace('<', "\\u003c"));
        if text.len() >= limit {
            return Err(TooLong(limit));
        }
    }
    Ok(text + "]")
}

fn style() -> &'static str {
    asset("style.css").map_or("", |(content, _)| content)
}

/// Returns the modules as one script, without their imports and exports.
fn script() -> String {
    let mut script = String::from("\"use strict\";\n{\n");
    let contents = MODULES.iter().filter_map(|name| asset(name));
    let lines = contents.flat_map(|(content, _)| content.lines());
    for line in lines.filter(|line| !line.starts_with("import ")) {
        script += line.strip_prefix("export ").unwrap_or(line);
        script.push('\n');
    }
    script + "}\n"
}

/// Returns the source of a policy that admits a script or style with this content.
fn hash(content: &str) -> String {
    let sha256 = TLS13_AES_128_GCM_SHA256
        .tls13()
        .map(|suite| suite.common.hash_provider.hash(content.as_bytes()));
    let digest = sha256.map(|it| BASE64_STANDARD.encode(it.as_ref()));
    format!("sha256-{}", digest.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::super::messages::{LogLimits, MessageLog};
    use super::*;

    #[test]
    fn hostile_messages_stay_text() {
        let mut log = MessageLog::new(LogLimits::FILE);
        let line = r#"{"time_us":1,"from":"server","to":"proxy","session":"7-1","server":"</script><b>","generation":1,"bytes":1,"message":{"method":"</script><script>alert(1)</script><!--"}}"#;
        log.add(line).unwrap();
        let exchanges: Vec<_> = log.iter().cloned().collect();
        let page = exported("<i>.ndjson", &exchanges).unwrap();
        assert_eq!(page.matches("<script").count(), 2);
        assert_eq!(page.matches("</script").count(), 2);
        assert!(!page.contains("<!--") && !page.contains("<b>") && !page.contains("<i>"));
        let text = data(&exchanges, MAX_DATA).unwrap();
        assert_eq!(data(&exchanges, text.len()).unwrap(), text);
        let error = data(&exchanges, text.len() - 1).unwrap_err();
        assert!(
            error.to_string().contains("save those as a page"),
            "{error}"
        );
        let data: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(data[0]["lines"][0], line);
    }

    #[test]
    fn the_script_is_one_without_modules() {
        let script = script();
        assert!(!script.contains("\nimport ") && !script.contains("\nexport "));
        assert!(!script.contains("</") && !style().contains("</"));
        assert_eq!(
            hash("abc"),
            "sha256-ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0="
        );
    }
}
