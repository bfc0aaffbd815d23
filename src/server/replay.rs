//! Settings of a client that every new generation needs again: log level and subscriptions.

use tokio::sync::oneshot;

use super::client_settings::ClientSettings;
use super::connection::{Connection, ConnectionLost};
use super::handshake::{Handshake, ProofFailure};
use super::pending_requests::RawResponse;
use crate::jsonrpc::{Members, quoted};
use crate::mcp::{Era, ListKind};

/// Listen stream of a modern server: the id of its request, and the response that ends it.
pub(crate) type ListenStream = (u64, oneshot::Receiver<RawResponse>);

/// Repeats the client's settings for a new generation. Returns the listen stream.
pub(crate) async fn replay(
    connection: &Connection,
    handshake: &Handshake,
    settings: &ClientSettings,
) -> Result<Option<ListenStream>, ProofFailure> {
    let lost = |method| move |_| ProofFailure::Lost(method);
    // The client may have set another level since the generation was started.
    connection.change_identity(|identity| identity.log_level.clone_from(&settings.level));
    if handshake.era == Era::Modern {
        return listen(connection, handshake, settings).map_err(lost("subscriptions/listen"));
    }
    if let Some(level) = settings
        .level
        .as_ref()
        .filter(|_| handshake.offers("logging"))
    {
        connection
            .request("logging/setLevel", Some(&format!(r#"{{"level":{level}}}"#)))
            .await
            .map_err(lost("logging/setLevel"))?;
    }
    if handshake.offers("resources") {
        // All are sent before the first response is awaited: a server may have to process thousands.
        let mut answers = Vec::new();
        for uri in settings.uris() {
            let (sender, answer) = oneshot::channel();
            let params = format!(r#"{{"uri":{}}}"#, quoted(uri));
            connection
                .send_own("resources/subscribe", Some(&params), sender)
                .map_err(lost("resources/subscribe"))?;
            answers.push(answer);
        }
        for answer in answers {
            answer
                .await
                .map_err(|_| ProofFailure::Lost("resources/subscribe"))?;
        }
    }
    Ok(None)
}

/// Opens the listen stream of a modern server; `None` if there is nothing to subscribe to.
pub(crate) fn listen(
    connection: &Connection,
    handshake: &Handshake,
    settings: &ClientSettings,
) -> Result<Option<ListenStream>, ConnectionLost> {
    let mut filter = Members::default();
    for kind in [ListKind::Tools, ListKind::Prompts, ListKind::Resources] {
        if handshake.offers(kind.capability()) {
            filter.set(kind.filter(), "true");
        }
    }
    let uris: Vec<_> = settings.uris().into_iter().map(quoted).collect();
    if !uris.is_empty() {
        filter.set("resourceSubscriptions", format!("[{}]", uris.join(",")));
    }
    for (name, value) in &settings.extensions {
        filter.set(name, value.as_str());
    }
    if filter.is_empty() {
        return Ok(None);
    }
    let (sender, receiver) = oneshot::channel();
    let params = format!(r#"{{"notifications":{filter}}}"#);
    let stream = connection.send_own("subscriptions/listen", Some(&params), sender)?;
    Ok(Some((stream, receiver)))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::server::test_client::client;

    #[tokio::test]
    async fn a_level_that_is_set_during_the_start_goes_with_later_requests() {
        let (client, _reader) = client();
        let connection = Connection::to(client.outbox.clone(), "weather", client.clone());
        let handshake = Handshake {
            era: Era::Modern,
            result: "{}".to_owned(),
            hello_number: 1,
        };
        let settings = ClientSettings {
            level: Some(r#""info""#.into()),
            ..ClientSettings::default()
        };
        replay(&connection, &handshake, &settings).await.unwrap();
        let mut level = None;
        connection.change_identity(|identity| level = identity.log_level.clone());
        assert_eq!(level, settings.level);
    }

    #[tokio::test]
    async fn a_loss_during_the_replay_names_the_request_that_was_lost() {
        for (era, capability, method) in [
            (Era::Legacy, "logging", "logging/setLevel"),
            (Era::Legacy, "resources", "resources/subscribe"),
            (Era::Modern, "tools", "subscriptions/listen"),
        ] {
            let (client, _reader) = client();
            let connection = Connection::to(client.outbox.clone(), "weather", client.clone());
            connection.close();
            let handshake = Handshake {
                era,
                result: format!(r#"{{"capabilities":{{"{capability}":{{}}}}}}"#),
                hello_number: 1,
            };
            let settings = ClientSettings {
                level: Some(r#""info""#.into()),
                subscribed: BTreeSet::from(["file:///a".to_owned()]),
                ..ClientSettings::default()
            };
            let lost = replay(&connection, &handshake, &settings).await;
            assert_eq!(lost.unwrap_err(), ProofFailure::Lost(method));
        }
    }
}
