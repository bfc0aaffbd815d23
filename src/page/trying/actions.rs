//! Actions of the page for trying tools: calls, and changes of the saved ones.

use std::sync::Arc;

use axum::body::Body;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use reqwest::Url;

use super::calls::{PageCall, TriedTool};
use super::saved::SavedCall;
use super::{Target, target, targets, tool_of_key, tools_of};
use crate::config::parse_arguments;
use crate::fleet::Fleet;
use crate::lock::locked;
use crate::page::acting::{filled_form, redirect, refuse};
use crate::page::routes::{Site, value};

/// Does the action at `path` with the form in `body`. Redirects to the page, or responds with an error.
pub(in crate::page) async fn handle(site: &Site, path: &str, body: Body) -> Response {
    let form = match filled_form(site, body, "/try").await {
        Ok(form) => form,
        Err(refused) => return refused,
    };
    let done = match path {
        "/try/call" => call(site, &form),
        "/try/cancel" => cancel(site, &form),
        "/try/save" => save(site, &form).await,
        "/try/delete" => delete(site, &form).await,
        "/try/rehearse" => rehearse(site, &form).await,
        _ => return StatusCode::NOT_FOUND.into_response(),
    };
    match done {
        Ok(next) => redirect(&next),
        Err(error) => refuse(site, &error, "/try"),
    }
}

/// Returns the name of the saved call that a form names.
fn named(form: &Url) -> Result<String, String> {
    value(form, "saved").ok_or_else(|| "The form names no saved call".to_owned())
}

/// Returns the call that a form names.
fn known_call(site: &Site, form: &Url) -> Result<Arc<PageCall>, String> {
    let number = value(form, "call").and_then(|it| it.parse().ok());
    let call = number.and_then(|number| site.trying.calls.get(number));
    call.ok_or_else(|| "This call is not kept any more".to_owned())
}

/// Returns the tool and the arguments that the user has filled in.
pub(super) fn filled_in(site: &Site, form: &Url) -> Result<TriedTool, String> {
    let missing = || "The form names no server or no tool".to_owned();
    let at = value(form, "at").ok_or_else(missing)?;
    let (session, server) = at.split_once('/').ok_or_else(missing)?;
    let arguments = value(form, "arguments").unwrap_or_default();
    let arguments = if arguments.trim().is_empty() {
        "{}".to_owned()
    } else {
        parse_arguments(arguments.trim()).map_err(|error| format!("Not sent: {error}"))?
    };
    let session = session.parse().map_err(|_| missing())?;
    let key = value(form, "tool").filter(|it| !it.is_empty());
    let key = key.ok_or_else(missing)?;
    let tools = target(site, session, server).map(|it| tools_of(&it.server.snapshot()));
    let tool = match tool_of_key(tools.as_deref().unwrap_or_default(), &key) {
        Some(tool) => tool.name.clone(),
        // A key in the place of a very long name.
        None if key.starts_with('…') => {
            let gone = || "The server does not have this tool now. Choose another one".to_owned();
            return Err(tools.err().unwrap_or_else(gone));
        }
        None => key,
    };
    Ok(TriedTool {
        session,
        server: server.to_owned(),
        tool,
        arguments,
    })
}

/// Sends the call that is filled in, saved, or to be repeated and compared. Returns the address of its answer.
fn call(site: &Site, form: &Url) -> Result<String, String> {
    let mut before = None;
    let mut tried = if let Some(name) = value(form, "saved") {
        let saved = site.trying.saved.get(&name)?;
        TriedTool {
            session: 0,
            server: saved.server,
            tool: saved.tool,
            arguments: saved.arguments,
        }
    } else if value(form, "call").is_some() {
        let call = known_call(site, form)?;
        before = Some(call.number);
        call.tried.clone()
    } else {
        filled_in(site, form)?
    };
    let target = target(site, tried.session, &tried.server)?;
    tried.session = target.session;
    let call = site.trying.calls.add(tried, before, &site.data);
    let next = format!("/try?call={}#answer", call.number);
    // The tasks of the servers belong to the runtime of the proxy.
    let gives_input = site.stand_in.is_on();
    site.runtime
        .spawn(async move { call.send(&target.server, gives_input) });
    Ok(next)
}

fn cancel(site: &Site, form: &Url) -> Result<String, String> {
    let call = known_call(site, form)?;
    let next = format!("/try?call={}#answer", call.number);
    let fleet = fleet(site, &call);
    site.runtime
        .spawn(async move { call.cancel(fleet.as_ref()) });
    Ok(next)
}

/// Cancels all calls that are open. Must be called on the runtime of the servers.
pub(in crate::page) fn cancel_all(site: &Site) {
    for call in site.trying.calls.newest() {
        call.cancel(fleet(site, &call).as_ref());
    }
}

/// Returns the fleet that a call was sent to.
fn fleet(site: &Site, call: &PageCall) -> Option<Fleet> {
    let mut fleets = site.fleets.all().into_iter();
    let found = fleets.find(|(session, _)| *session == call.tried.session);
    found.map(|(_, fleet)| fleet)
}

async fn save(site: &Site, form: &Url) -> Result<String, String> {
    let TriedTool {
        server,
        tool,
        arguments,
        ..
    } = filled_in(site, form)?;
    let name = value(form, "name").unwrap_or_default().trim().to_owned();
    let saved = SavedCall {
        name,
        server,
        tool,
        arguments,
    };
    let next = super::address("/try", &[("saved", &saved.name)]);
    let hidden = locked(&site.hidden).clone();
    let replaced = site.trying.saved.save(saved, &hidden)?;
    end_rehearsals(site, replaced).await;
    Ok(next)
}

async fn delete(site: &Site, form: &Url) -> Result<String, String> {
    let deleted = site.trying.saved.delete(&named(form)?)?;
    end_rehearsals(site, deleted).await;
    Ok("/try".to_owned())
}

/// Ends the rehearsals of a call that is no longer saved: the page has no switch for it.
async fn end_rehearsals(site: &Site, call: Option<SavedCall>) {
    let Some(call) = call else { return };
    let targets: Vec<_> = targets(site)
        .filter(|it| it.name() == call.server)
        .collect();
    for target in targets {
        // Nothing forbids the end.
        let _ = target.server.rehearse(call.rehearsed(), false);
        target.server.wait_processed().await;
    }
}

/// Makes the saved call a rehearsed call of its server in each session, or ends that.
async fn rehearse(site: &Site, form: &Url) -> Result<String, String> {
    let saved = site.trying.saved.get(&named(form)?)?;
    let is_wanted = value(form, "wanted").is_some();
    // The server must be loaded.
    target(site, 0, &saved.server)?;
    let mut targets: Vec<_> = targets(site)
        .filter(|it| it.name() == saved.server)
        .collect();
    if is_wanted {
        // A server that has not run yet begins without, as a later session does.
        let has_run = |it: &Target| it.server.snapshot().generation > 0;
        if targets.iter().any(has_run) {
            targets.retain(has_run);
        }
        for target in &targets {
            target.server.may_rehearse(&saved.rehearsed())?;
        }
    }
    for target in targets {
        target.server.rehearse(saved.rehearsed(), is_wanted)?;
        // The page shows the calls that are rehearsed then.
        target.server.wait_processed().await;
    }
    Ok(super::address("/try", &[("saved", &saved.name)]))
}
