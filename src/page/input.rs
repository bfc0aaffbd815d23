//! The page for requests of servers that the user answers in the place of clients that cannot: forms, URLs, and texts
//! of a model.

use axum::body::Body;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use maud::{Markup, html};
use reqwest::Url;
use serde_json::Value;

use super::acting::{filled_form, incomplete, redirect, refuse};
use super::form::ArgumentsForm;
use super::json_tree::json_tree;
use super::layout::{lines, time};
use super::routes::{Site, value};
use crate::bridge::InputError;
use crate::config::parse_arguments;
use crate::contract::fault_of;
use crate::jsonrpc::{Members, quoted};
use crate::lock::locked;
use crate::meta_tools::{ServerAction, act};
use crate::output::{clean, rfc3339};
use crate::server::{Question, ServerHandle};

/// Name of the model in the place of which the user answers.
const MODEL: &str = "person";
/// Error object for a refused request for a text of the model.
const REJECTED: &str = r#"{"code":-1,"message":"User rejected sampling request"}"#;

/// Length to which the text of a server is cut, in characters.
const MAX_SHOWN: usize = 10_000;
/// Length in bytes from which on the defaults of a form are not filled in.
const MAX_DEFAULTS: usize = 64 * 1024;

/// Input that a server requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wish {
    /// Values in a form.
    Form,
    /// Visit of a URL.
    Url,
    /// Text of the model.
    Text,
}

impl Wish {
    /// Returns the input for a request of this method with these params.
    fn of(method: &str, params: &Members<'_>) -> Self {
        match params.text("mode").as_deref() {
            _ if method == "sampling/createMessage" => Self::Text,
            Some("url") => Self::Url,
            _ => Self::Form,
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::Form => "asks the user to fill in a form",
            Self::Url => "asks the user to open an address",
            Self::Text => "asks the model for a text",
        }
    }
}

/// Returns the content of the page. A tab has rendered the requests up to the number `after` of the `url` already, and
/// gets only the numbers of those that still wait.
pub(super) fn content(site: &Site, url: &Url) -> Markup {
    let is_on = site.stand_in.is_on();
    let questions = site.stand_in.questions();
    let rendered = value(url, "after").and_then(|it| it.parse().ok());
    let is_rendered = |it: &Question| rendered.is_some_and(|rendered: u64| it.number <= rendered);
    html! {
        h1 { "Input" }
        p {
            "A server can ask its client for input: for values in a form, the visit of an address, or a text of the \
             model. A client that cannot answer such requests does not get them. You can answer them here in its place."
        }
        form method="post" action="/input/switch" {
            @if !is_on { input type="hidden" name="wanted" value="on"; }
            button aria-pressed=(is_on) {
                @if is_on { "✓ Standing in for clients" } @else { "Stand in for clients" }
            }
            " " span.soft { "Reloads the servers: they learn at their start which input they can ask for." }
        }
        div #questions data-on=(is_on) {
            @for question in &questions {
                @if is_rendered(question) { article data-question=(question.number) {} }
                @else { (article(site, question)) }
            }
        }
        p #none.soft { @if is_on && questions.is_empty() { "No server waits for input." } }
    }
}

fn article(site: &Site, question: &Question) -> Markup {
    let number = question.number;
    // The lock is also that of the protocol's thread.
    let hidden = locked(&site.hidden).clone();
    let raw = question.request.params.as_deref().unwrap_or("{}");
    let shown = hidden.hide_in_json(raw);
    let params = Members::of(&shown);
    let wish = Wish::of(&question.request.method, &params);
    let message = cut(&params.text("message").unwrap_or_default());
    html! {
        article aria-label=(format!("Request {number}")) data-question=(number) {
            h2 { bdi { (clean(&question.server)) } " " (wish.title()) }
            p.soft { (time(&rfc3339(question.since))) ", session " (question.session) }
            @if wish != Wish::Text { div.about { (lines(message.lines())) } }
            form method="post" action="/input/answer" {
                input type="hidden" name="question" value=(number);
                @match wish {
                    Wish::Form => (form_fields(number, &params)),
                    Wish::Url => (url(&params)),
                    Wish::Text => (text_fields(number, &shown)),
                }
                p.fault.bad role="alert" hidden { }
                p.refused.bad role="alert" hidden { }
                (buttons(wish))
            }
            @if wish != Wish::Text { details { summary { "Request as JSON" } (json_tree(&shown)) } }
        }
    }
}

fn form_fields(number: u64, params: &Members<'_>) -> Markup {
    let schema = params.get("requestedSchema").unwrap_or("{}");
    let form = ArgumentsForm::of(schema);
    let fields = form.fields.map(|it| it.to_string());
    html! {
        @if let Some(note) = form.note { p.warn { (note) " Edit the JSON below." } }
        div.fields data-fields=[fields] {}
        p.misfit.warn hidden { }
        label for=(format!("answer-{number}")) { "Answer as JSON" }
        textarea.as-json id=(format!("answer-{number}")) name="content" rows="3" spellcheck="false" autocomplete="off" {
            (defaults(schema))
        }
    }
}

/// Returns an object with the defaults of a schema: clients fill them in before the user does.
fn defaults(schema: &str) -> String {
    let schema = Members::of(schema);
    let properties = schema.object("properties");
    let defaults = properties.iter().filter_map(|(name, property)| {
        let property = Members::of(property);
        Some(format!("{}:{}", quoted(&name), property.get("default")?))
    });
    let defaults = format!("{{{}}}", defaults.collect::<Vec<_>>().join(","));
    if defaults.len() > MAX_DEFAULTS {
        "{}".to_owned()
    } else {
        defaults
    }
}

/// Returns the beginning of a text that is too long.
fn cut(text: &str) -> String {
    match text.char_indices().nth(MAX_SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// Returns an address that the user may open. Nothing opens it.
fn url(params: &Members<'_>) -> Markup {
    let address = params.text("url").unwrap_or_default();
    let parsed = Url::parse(&address).ok();
    let host = parsed.as_ref().and_then(|it| it.host_str());
    html! {
        p {
            "Host: " strong { bdi { (clean(host.unwrap_or("none"))) } }
            ". Open the address only if you trust it; this page does not open it."
        }
        p { bdi { code { (clean(&cut(&address))) } } }
    }
}

fn text_fields(number: u64, params: &str) -> Markup {
    html! {
        (json_tree(params))
        label for=(format!("answer-{number}")) { "Answer as the model" }
        textarea id=(format!("answer-{number}")) name="text" rows="4" {}
    }
}

fn buttons(wish: Wish) -> Markup {
    let buttons: &[_] = match wish {
        Wish::Form => &[
            ("accept", "Accept"),
            ("decline", "Decline"),
            ("cancel", "Cancel"),
        ],
        Wish::Url => &[
            ("accept", "Done"),
            ("decline", "Decline"),
            ("cancel", "Cancel"),
        ],
        Wish::Text => &[("accept", "Send"), ("decline", "Refuse")],
    };
    html! {
        div.actions {
            @for (action, label) in buttons {
                button.main[*action == "accept"] name="do" value=(action) formnovalidate[*action != "accept"] { (label) }
            }
        }
    }
}

/// Does the action at `path` with the form in `body`. Redirects to the page, or responds with an error.
pub(super) async fn handle(site: &Site, path: &str, body: Body) -> Response {
    let form = match filled_form(site, body, "/input").await {
        Ok(form) => form,
        Err(refused) => return refused,
    };
    let done = match path {
        "/input/answer" => match value(&form, "question").and_then(|it| it.parse().ok()) {
            Some(number) => take_answer(site, number, &form),
            None => return incomplete(),
        },
        "/input/switch" => switch(site, value(&form, "wanted").is_some()).await,
        _ => return StatusCode::NOT_FOUND.into_response(),
    };
    match done {
        Ok(()) => redirect("/input"),
        Err(error) => refuse(site, &error, "/input"),
    }
}

/// Answers the question `number` as the form says.
fn take_answer(site: &Site, number: u64, form: &Url) -> Result<(), String> {
    let over = || {
        "This request does not wait any more: it was answered in another tab, or its server or client has withdrawn it"
            .to_owned()
    };
    let question = site.stand_in.question(number).ok_or_else(over)?;
    let answer = answer(&question, form)?;
    if site.stand_in.answer(number, answer) {
        Ok(())
    } else {
        Err(over())
    }
}

/// Returns the answer to a question in a form. The outer error says why the form has no valid one.
fn answer(question: &Question, form: &Url) -> Result<Result<String, InputError>, String> {
    let (method, params) = (&question.request.method, &question.request.params);
    let params = Members::of(params.as_deref().unwrap_or("{}"));
    let wish = Wish::of(method, &params);
    let action = value(form, "do").unwrap_or_default();
    match (&*action, wish) {
        ("accept", Wish::Form) => {
            let content = value(form, "content").unwrap_or_default();
            let content = content_for(params.get("requestedSchema"), &content)?;
            Ok(Ok(format!(r#"{{"action":"accept","content":{content}}}"#)))
        }
        ("accept", Wish::Text) => {
            let text = value(form, "text").unwrap_or_default();
            if text.is_empty() {
                return Err("Not sent: the answer has no text".to_owned());
            }
            // Browsers end lines in a form with both.
            let text = quoted(&text.replace("\r\n", "\n"));
            Ok(Ok(format!(
                r#"{{"role":"assistant","content":{{"type":"text","text":{text}}},"model":"{MODEL}","stopReason":"endTurn"}}"#
            )))
        }
        ("decline", Wish::Text) => Ok(Err(InputError::Refused(
            question.server.clone(),
            method.clone(),
            REJECTED.to_owned(),
        ))),
        ("accept" | "decline" | "cancel", Wish::Form | Wish::Url) => {
            Ok(Ok(format!(r#"{{"action":"{action}"}}"#)))
        }
        _ => Err("The form names no answer".to_owned()),
    }
}

/// Returns the content of an accepted form, a raw object on one line, or the reason why it does not fit the schema.
fn content_for(schema: Option<&str>, content: &str) -> Result<String, String> {
    let content = match content.trim() {
        "" => "{}",
        content => content,
    };
    let content = parse_arguments(content)
        .map_err(|error| format!("Not sent: {}", error.replace("the arguments", "the answer")))?;
    let value: Value =
        serde_json::from_str(&content).map_err(|error| format!("Not sent: {error}"))?;
    let schema = schema.and_then(|it| serde_json::from_str::<Value>(it).ok());
    match schema.and_then(|schema| fault_of(&schema, &value)) {
        Some(reason) => Err(format!(
            "Not sent, since the server asks for other values: {reason}"
        )),
        None => Ok(content),
    }
}

/// Switches the stand-in on or off, and reloads the loaded servers of all sessions, which are told at their start.
async fn switch(site: &Site, is_wanted: bool) -> Result<(), String> {
    if site.stand_in.is_on() == is_wanted {
        return Ok(());
    }
    site.stand_in.switch(is_wanted);
    let mut reloads = Vec::new();
    for (_, fleet) in site.fleets.all() {
        let servers = fleet.catalog().servers.clone();
        // A server that waits for its client will be told when it starts.
        let has_begun = |it: &&ServerHandle| it.status().state != "not started";
        for server in servers.iter().filter(has_begun) {
            let (fleet, name) = (fleet.clone(), server.spec().name.clone());
            // The tasks of the servers belong to the runtime of the proxy.
            reloads.push(
                site.runtime
                    .spawn(async move { act(&fleet, ServerAction::Reload, &name).await }),
            );
        }
    }
    let mut faults = Vec::new();
    for reload in reloads {
        match reload.await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => faults.push(error["error"].as_str().unwrap_or_default().to_owned()),
            Err(_) => faults.push("The proxy is shutting down.".to_owned()),
        }
    }
    if faults.is_empty() {
        return Ok(());
    }
    let state = if is_wanted { "on" } else { "off" };
    faults.insert(
        0,
        format!("The stand-in is {state}, but not every server has reloaded:"),
    );
    Err(faults.join("\n"))
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::bridge::InputRequest;

    /// Returns the answer that a form with these values gives.
    fn answered(
        method: &str,
        params: &str,
        form: &[(&str, &str)],
    ) -> Result<Result<String, InputError>, String> {
        let question = Question {
            number: 1,
            session: 1,
            server: "weather".to_owned(),
            request: InputRequest::of_legacy(1, method, Some(params)).unwrap(),
            since: SystemTime::now(),
        };
        let form = Url::parse_with_params("http://page", form).unwrap();
        answer(&question, &form)
    }

    #[test]
    fn an_accepted_form_fits_the_schema() {
        let params = r#"{"requestedSchema":{"type":"object","properties":{"name":{"type":"string"},"age":{"type":"integer","default":7}},"required":["name"]}}"#;
        let accept = |content| {
            let form = [("do", "accept"), ("content", content)];
            answered("elicitation/create", params, &form)
        };
        let accepted = r#"{"action":"accept","content":{"name": "Ada"}}"#.to_owned();
        assert_eq!(accept("{\"name\":\n\"Ada\"}"), Ok(Ok(accepted)));
        for (content, fault) in [
            ("", "name"),
            (r#"{"name":7}"#, "name"),
            (r#"{"name":"Ada","age":1.5}"#, "age"),
            ("[]", "object"),
            ("{", "JSON"),
        ] {
            let error = accept(content).unwrap_err();
            assert!(
                error.starts_with("Not sent") && error.contains(fault),
                "{error}"
            );
        }
        let schema = Members::of(params)
            .get("requestedSchema")
            .unwrap()
            .to_owned();
        assert_eq!(defaults(&schema), r#"{"age":7}"#);
    }

    #[test]
    fn each_wish_has_its_answers() {
        let result = |method, params, form: &[_]| answered(method, params, form).unwrap().unwrap();
        let (form, sampling) = ("elicitation/create", "sampling/createMessage");
        let url = r#"{"mode":"url","url":"https://example.com"}"#;
        for (params, action) in [("{}", "decline"), ("{}", "cancel"), (url, "accept")] {
            let expected = format!(r#"{{"action":"{action}"}}"#);
            assert_eq!(result(form, params, &[("do", action)]), expected);
        }
        let text = [("do", "accept"), ("text", "a \"b\"\r\nc")];
        assert_eq!(
            result(sampling, "{}", &text),
            r#"{"role":"assistant","content":{"type":"text","text":"a \"b\"\nc"},"model":"person","stopReason":"endTurn"}"#
        );
        let refused = answered(sampling, "{}", &[("do", "decline")]).unwrap();
        assert!(matches!(refused, Err(InputError::Refused(_, _, error)) if error == REJECTED));
        for (method, action) in [
            (sampling, "accept"),
            (sampling, "cancel"),
            (form, ""),
            (form, "x"),
        ] {
            assert!(
                answered(method, "{}", &[("do", action)]).is_err(),
                "{method} {action}"
            );
        }
    }
}
