//! The page for trying tools: calls a tool with arguments from a form made of its schema, keeps calls under names,
//! rehearses them at each save, and compares the answer of new code with that of the code before.

mod actions;
mod answer;
mod calls;
mod saved;

use std::borrow::Cow;
use std::path::Path;
use std::sync::Arc;

use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use maud::{Markup, html};
use reqwest::Url;
use serde_json::Value;

use super::acting::redirect;
use super::form::ArgumentsForm;
use super::json_tree::json_tree;
use super::layout::{html_response, lines, short_name};
use super::messages::{Exchange, PAGE};
use super::routes::{Site, value};
use crate::fleet::fingerprint;
use crate::jsonrpc::Members;
use crate::lock::locked;
use crate::mcp::{Entry, List, ListKind};
use crate::output::clean;
use crate::server::{ServerHandle, Snapshot};
pub(super) use actions::{cancel_all, handle};
use calls::{PageCall, PageCalls, TriedTool};
use saved::{SavedCall, SavedCalls};

/// Number of the last calls that are listed.
const LAST_CALLS: usize = 10;
/// Length to which arguments are cut in a list, in characters.
const MAX_ARGUMENTS: usize = 100;
/// Length in bytes of the longest name of a tool that forms and addresses contain.
const MAX_TOOL: usize = 1000;

/// Calls of the page.
#[derive(Debug)]
pub(super) struct Trying {
    calls: PageCalls,
    saved: SavedCalls,
}

impl Trying {
    /// Creates the part of the page for a project.
    pub(super) fn of(project: &Path) -> Self {
        Self {
            calls: PageCalls::default(),
            saved: SavedCalls::of(project),
        }
    }
}

/// Loaded server of a session.
struct Target {
    session: u64,
    server: ServerHandle,
}

impl Target {
    fn name(&self) -> String {
        self.server.spec().name.clone()
    }

    /// Returns the value by which a form names the server.
    fn key(&self) -> String {
        format!("{}/{}", self.session, self.name())
    }
}

/// Returns the loaded servers of all sessions.
fn targets(site: &Site) -> impl Iterator<Item = Target> {
    let fleets = site.fleets.all().into_iter();
    fleets.flat_map(|(session, fleet)| {
        let servers = fleet.catalog().servers.clone();
        servers
            .into_iter()
            .map(move |server| Target { session, server })
    })
}

/// Returns the server of this name in this session; for session 0, in the newest session that has it.
fn target(site: &Site, session: u64, server: &str) -> Result<Target, String> {
    let mut named = targets(site).filter(|it| it.name() == server);
    if session > 0 {
        // The server of another session may be in another state.
        let found = named.find(|it| it.session == session);
        return found.ok_or_else(|| {
            format!(
                "Session {session} has the server `{server}` not loaded, or has ended. Load it on the page of the \
                 servers, or choose the server of another session"
            )
        });
    }
    let found = named.max_by_key(|it| it.session);
    found.ok_or_else(|| {
        format!("No session has the server `{server}` loaded. Load it on the page of the servers")
    })
}

/// Returns the tools in a server's lists.
fn tools_of(snapshot: &Snapshot) -> Vec<Entry> {
    let tools = snapshot.list(ListKind::Tools).into_iter();
    tools.flat_map(List::all).cloned().collect()
}

/// Returns the text by which a form or an address names a tool: its name, or a short one for a very long name.
fn tool_key(name: &str) -> Cow<'_, str> {
    if name.len() <= MAX_TOOL {
        return name.into();
    }
    format!("…{:016x}", fingerprint([name.as_bytes()])).into()
}

/// Returns the tool of this name, or with this key.
fn tool_of_key<'a>(tools: &'a [Entry], key: &str) -> Option<&'a Entry> {
    tools
        .iter()
        .find(|it| it.name == key || tool_key(&it.name) == key)
}

/// Returns an address with parameters.
fn address(path: &str, parameters: &[(&str, &str)]) -> String {
    let url = Url::parse_with_params("http://page", parameters);
    let query = url.ok().and_then(|it| it.query().map(str::to_owned));
    format!("{path}?{}", query.unwrap_or_default())
}

/// Tool that the page shows, and what its form begins with.
struct Selection {
    targets: Vec<Target>,
    /// Position of the chosen server among the targets.
    chosen: usize,
    tools: Vec<Entry>,
    tool: Option<Entry>,
    /// Arguments of the call, or saved call, in the address.
    arguments: Option<String>,
    /// Name of the saved call that the arguments come from.
    name: String,
    call: Option<Arc<PageCall>>,
    /// Reason why the wish in the address is not met.
    fault: Option<String>,
}

impl Selection {
    /// Returns the selection that an address names by a call, a saved call, or a server and a tool. `None` if no server
    /// is loaded.
    fn of(site: &Site, url: &Url) -> Option<Self> {
        let mut targets: Vec<Target> = targets(site).collect();
        targets.sort_by_key(|it| std::cmp::Reverse(it.session));
        let call = value(url, "call").and_then(|it| it.parse().ok());
        let call = call.and_then(|number| site.trying.calls.get(number));
        let saved = value(url, "saved").map(|name| site.trying.saved.get(&name));
        let (saved, mut fault) = match saved {
            Some(Ok(saved)) => (Some(saved), None),
            Some(Err(error)) => (None, Some(error)),
            None => (None, None),
        };
        let tried = call.as_ref().map(|it| it.tried.clone());
        let tried = tried.or_else(|| {
            saved.clone().map(|it| TriedTool {
                session: 0,
                server: it.server,
                tool: it.tool,
                arguments: it.arguments,
            })
        });
        let at = value(url, "at").unwrap_or_default();
        let chosen = targets.iter().position(|it| match &tried {
            Some(tried) => {
                it.name() == tried.server && (tried.session == 0 || it.session == tried.session)
            }
            None => it.key() == at,
        });
        if let (Some(tried), None) = (&tried, chosen) {
            fault = Some(format!(
                "No session of this call has the server `{}` loaded",
                tried.server
            ));
        }
        let chosen = chosen.unwrap_or(0);
        let snapshot = targets.get(chosen)?.server.snapshot();
        let tools = tools_of(&snapshot);
        let wanted = tried.as_ref().map(|it| it.tool.clone());
        let wanted = wanted.or_else(|| value(url, "tool"));
        let tool = wanted.and_then(|wanted| tool_of_key(&tools, &wanted));
        let tool = tool.or(tools.first().filter(|_| tried.is_none()));
        // A tool of the same name at another server is not meant.
        let tool = tool.filter(|_| fault.is_none()).cloned();
        if let (Some(tried), None) = (&tried, &tool) {
            fault = fault.or(Some(format!("The server has no tool `{}` now", tried.tool)));
        }
        Some(Self {
            targets,
            chosen,
            tools,
            tool,
            arguments: tried.map(|it| it.arguments),
            name: saved.map(|it| it.name).unwrap_or_default(),
            call,
            fault,
        })
    }

    fn target(&self) -> &Target {
        &self.targets[self.chosen]
    }
}

/// Returns the content of the page.
pub(super) fn content(site: &Site, url: &Url) -> Markup {
    let selection = Selection::of(site, url);
    let call = selection.as_ref().and_then(|it| it.call.clone());
    html! {
        h1 { "Try a tool" }
        div.split {
            div {
                @match &selection {
                    Some(selection) => {
                        @if let Some(fault) = &selection.fault { p.bad role="alert" { (clean(fault)) } }
                        (chooser(selection))
                        @if let Some(tool) = &selection.tool { (call_form(site, selection, tool)) }
                    }
                    None => p { "No server is loaded. Connect a client, or load a server on the page of the servers." },
                }
                (saved_calls(site))
                (last_calls(site))
            }
            section #detail aria-label="Answer" tabindex="-1" {
                div #answer {
                    @match call {
                        Some(call) => (answer::section(site, &call)),
                        None => p.soft { "Run a call to see its answer." },
                    }
                }
            }
        }
    }
}

/// Returns the mark of the tools and the form at an address; `None` if no server is loaded.
pub(super) fn tools(site: &Site, url: &Url) -> Option<Response> {
    let selection = Selection::of(site, url)?;
    let form = selection.tool.as_ref().map(|it| form(site, it));
    Some(tools_mark(&selection.tools, form.as_ref()).into_response())
}

/// Returns a text that differs after a change of the tools or the form.
fn tools_mark(tools: &[Entry], form: Option<&ArgumentsForm>) -> String {
    let fields = form.and_then(|it| it.fields.as_ref()).map(Value::to_string);
    let fields = fields.unwrap_or_default();
    let names = tools.iter().map(|it| it.name.as_bytes());
    format!("{:016x}", fingerprint(names.chain([fields.as_bytes()])))
}

/// Returns the form for a tool.
fn form(site: &Site, tool: &Entry) -> ArgumentsForm {
    let definition = Members::of(&tool.raw);
    let schema = definition.get("inputSchema").unwrap_or("{}");
    ArgumentsForm::of(&locked(&site.hidden).hide_in_json(schema))
}

/// Returns the answer to the call that an address names; `None` if it is not kept.
pub(super) fn answer(site: &Site, url: &Url) -> Option<Response> {
    let call = site.trying.calls.get(value(url, "call")?.parse().ok()?)?;
    Some(html_response(answer::section(site, &call)))
}

/// Redirects to the recorded messages of the call that an address names.
pub(super) fn messages(site: &Site, url: &Url) -> Option<Response> {
    let call = site.trying.calls.get(value(url, "call")?.parse().ok()?)?;
    let id = format!("\"client_id\":{},", call.id().as_raw());
    let is_of_call = |it: &&Arc<Exchange>| {
        *it.from == *PAGE && it.lines.first().is_some_and(|line| line.contains(&id))
    };
    let found = site
        .data
        .messages()
        .iter()
        .rev()
        .find(is_of_call)
        .map(|it| it.number);
    let missing = "No message of this call is recorded: no server has got it, or it is too old.\n";
    Some(found.map_or_else(
        || (StatusCode::NOT_FOUND, missing).into_response(),
        |number| redirect(&format!("/messages#{number}")),
    ))
}

fn chooser(selection: &Selection) -> Markup {
    let several = selection
        .targets
        .iter()
        .any(|it| it.session != selection.target().session);
    let chosen = selection.tool.as_ref().map(|it| &it.name);
    html! {
        form #choose action="/try" {
            label {
                "Server "
                select name="at" {
                    @for (index, target) in selection.targets.iter().enumerate() {
                        option value=(target.key()) selected[index == selection.chosen] {
                            (short_name(&target.name())) @if several { " (session " (target.session) ")" }
                        }
                    }
                }
            }
            label {
                "Tool "
                select name="tool" {
                    @for tool in &selection.tools {
                        option value=(tool_key(&tool.name)) selected[chosen == Some(&tool.name)] {
                            (short_name(&tool.name))
                        }
                    }
                }
            }
            button { "Choose" }
        }
        @if selection.tools.is_empty() { p { "The server lists no tools: see its state on the page of the servers." } }
    }
}

fn call_form(site: &Site, selection: &Selection, tool: &Entry) -> Markup {
    let definition = Members::of(&tool.raw);
    let description = definition.text("description").unwrap_or_default();
    let hidden = locked(&site.hidden).clone();
    let shown = hidden.hide_in_json(selection.arguments.as_deref().unwrap_or("{}"));
    let form = form(site, tool);
    let mark = tools_mark(&selection.tools, Some(&form));
    let fields = form.fields.map(|it| it.to_string());
    html! {
        @if !description.is_empty() {
            div.about { (lines(hidden.hide(description.into_owned()).lines())) }
        }
        details { summary { "Definition" } (json_tree(&hidden.hide_in_json(&tool.raw))) }
        @if let Some(note) = form.note { p.warn { (note) " Edit the JSON below." } }
        p #changed.warn role="status" hidden {
            "The tools of this server have changed. Reload this page to see the form of the new code."
        }
        form #call method="post" action="/try/call" data-tools=(mark) data-given[selection.arguments.is_some()] {
            input type="hidden" name="at" value=(selection.target().key());
            input type="hidden" name="tool" value=(tool_key(&tool.name));
            div #fields data-fields=[fields] {}
            p #misfit.warn hidden { }
            label for="arguments" { "Arguments as JSON" }
            textarea #arguments name="arguments" rows="5" spellcheck="false" autocomplete="off" { (shown) }
            p #fault.bad role="alert" hidden { }
            @if selection.arguments.as_ref().is_some_and(|it| *it != shown) {
                p.warn { "A value that the configuration keeps secret stands as its variable: type it again." }
            }
            div.actions {
                button.main { "Run" }
                label { "Save as " input name="name" value=(selection.name) maxlength="80" size="16"; }
                button formaction="/try/save" { "Save" }
            }
        }
    }
}

fn saved_calls(site: &Site) -> Markup {
    let saved = site.trying.saved.all();
    let targets: Vec<Target> = targets(site).collect();
    html! {
        h2 { "Saved calls" }
        @match saved {
            Err(error) => p.bad { (clean(&error)) },
            Ok(saved) if saved.is_empty() => p.soft { "A call saved under a name stays for the next proxy of this project." },
            Ok(saved) => ul.calls { @for call in &saved { (saved_call(call, &targets)) } },
        }
    }
}

fn saved_call(call: &SavedCall, targets: &[Target]) -> Markup {
    let rehearsed = call.rehearsed();
    let servers = targets.iter().filter(|it| it.name() == call.server);
    let mut servers = servers.map(|it| &it.server);
    let is_named = servers
        .clone()
        .any(|it| it.spec().rehearsed_calls().contains(&rehearsed));
    let is_rehearsed = servers.any(|it| it.status().asked_rehearsals.contains(&rehearsed));
    let button = |action, label: &str| {
        html! {
            form method="post" action=(action) {
                input type="hidden" name="saved" value=(call.name);
                button { (label) }
            }
        }
    };
    html! {
        li {
            a href=(address("/try", &[("saved", &call.name)])) { bdi { (clean(&call.name)) } } " "
            (line(&call.server, &call.tool, &call.arguments))
            div.actions {
                (button("/try/call", "Run"))
                @if is_named {
                    span.soft { "Rehearsed at each save, as the configuration says" }
                } @else {
                    form method="post" action="/try/rehearse" {
                        input type="hidden" name="saved" value=(call.name);
                        @if !is_rehearsed { input type="hidden" name="wanted" value="on"; }
                        button aria-pressed=(is_rehearsed) {
                            @if is_rehearsed { "✓ Rehearsed at each save" } @else { "Rehearse at each save" }
                        }
                    }
                }
                (button("/try/delete", "Delete"))
            }
        }
    }
}

fn last_calls(site: &Site) -> Markup {
    let calls = site.trying.calls.newest();
    html! {
        @if !calls.is_empty() {
            details {
                summary { "Last calls" }
                ul.calls {
                    @for call in calls.iter().take(LAST_CALLS) {
                        li {
                            a href=(format!("/try?call={}", call.number)) { "Call " (call.number) } " "
                            @let tried = &call.tried;
                            (line(&tried.server, &tried.tool, &locked(&site.hidden).hide_in_json(&tried.arguments)))
                        }
                    }
                }
            }
        }
    }
}

/// Returns a call on one line.
fn line(server: &str, tool: &str, arguments: &str) -> Markup {
    let cut: String = arguments.chars().take(MAX_ARGUMENTS).collect();
    let dots = if cut.len() < arguments.len() {
        "…"
    } else {
        ""
    };
    html! { bdi { code { (short_name(server)) " " (short_name(tool)) " " (clean(&cut)) (dots) } } }
}

#[cfg(test)]
mod tests;
