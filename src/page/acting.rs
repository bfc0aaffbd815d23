//! Actions on servers, which forms of the page ask for.

use axum::body::{Body, to_bytes};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use maud::html;
use reqwest::Url;

use super::layout::{Tab, html_response, lines, page};
use super::routes::{Site, value};
use crate::lock::locked;
use crate::meta_tools::{ServerAction, act};

/// Maximum length in bytes of a form that names an action.
const MAX_ACTION: usize = 4096;
/// Maximum length in bytes of a form with JSON, each byte of which may be encoded as three.
const MAX_FORM: usize = 8 << 20;

/// Does what the form in `body` asks for. Responds when it is done, with the page of the servers or with an error.
pub(super) async fn handle(site: &Site, body: Body) -> Response {
    let form = to_bytes(body, MAX_ACTION).await.unwrap_or_default();
    let form = std::str::from_utf8(&form).unwrap_or_default();
    let Some((session, name, action)) = parse(form) else {
        return incomplete();
    };
    let mut fleets = site.fleets.all().into_iter();
    let Some((_, fleet)) = fleets.find(|(number, _)| *number == session) else {
        return (StatusCode::CONFLICT, "This session has ended.\n").into_response();
    };
    // The tasks of the servers belong to the runtime of the proxy.
    let acting = site
        .runtime
        .spawn(async move { act(&fleet, action, &name).await });
    let error = match acting.await {
        Ok(Ok(_)) => None,
        Ok(Err(error)) => Some(error["error"].as_str().unwrap_or_default().to_owned()),
        Err(_) => Some("The proxy is shutting down.".to_owned()),
    };
    error.map_or_else(|| redirect("/"), |error| refuse(site, &error, "/"))
}

/// Returns the form in `body` as the query of an address, or the response that refuses it and leads back to `path`.
pub(super) async fn filled_form(site: &Site, body: Body, path: &str) -> Result<Url, Response> {
    let limit = MAX_FORM / 1024 / 1024;
    let form = to_bytes(body, MAX_FORM).await;
    let form =
        form.map_err(|_| refuse(site, &format!("The form is longer than {limit} MiB"), path))?;
    let form = std::str::from_utf8(&form).unwrap_or_default();
    Url::parse(&format!("http://page/?{form}")).map_err(|_| incomplete())
}

pub(super) fn incomplete() -> Response {
    (StatusCode::BAD_REQUEST, "The form is incomplete.\n").into_response()
}

/// Returns the response that leads to `path` with a GET.
pub(super) fn redirect(path: &str) -> Response {
    let mut response = StatusCode::SEE_OTHER.into_response();
    if let Ok(path) = HeaderValue::from_str(path) {
        response.headers_mut().insert(header::LOCATION, path);
    }
    response
}

/// Returns the page for an action that failed; it leads back to `path`.
pub(super) fn refuse(site: &Site, error: &str, path: &str) -> Response {
    let error = locked(&site.hidden).hide_in_json(error);
    let content = html! {
        h1 { "This did not work" }
        (lines(error.lines()))
        p { a href=(path) { "Back" } }
    };
    let mut response = html_response(page(Tab::Message, site, &content));
    *response.status_mut() = StatusCode::CONFLICT;
    response
}

/// Returns the session, the server and the action of a form.
fn parse(form: &str) -> Option<(u64, String, ServerAction)> {
    let url = Url::parse(&format!("http://page/?{form}")).ok()?;
    let action = match &*value(&url, "do")? {
        "load" => ServerAction::Load,
        "reload" => ServerAction::Reload,
        "unload" => ServerAction::Unload,
        _ => return None,
    };
    Some((
        value(&url, "session")?.parse().ok()?,
        value(&url, "server")?,
        action,
    ))
}
