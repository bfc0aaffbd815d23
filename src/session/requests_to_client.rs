//! Requests to the client that have no response yet: those of servers and the proxy's own. The client knows each by a
//! number, since several servers may use the same id at the same time.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::oneshot;

use crate::jsonrpc::{OwnedJson, RawId, RequestId};
use crate::server::Connection;

/// Open requests to the client, by their numbers.
#[derive(Debug, Default)]
pub(super) struct RequestsToClient {
    /// Number of the newest request.
    last: u64,
    of_servers: HashMap<u64, ServerRequest>,
    /// Senders of the responses to the proxy's own requests.
    own: HashMap<u64, oneshot::Sender<String>>,
}

/// Request of a server.
#[derive(Debug)]
pub(super) struct ServerRequest {
    pub(super) connection: Arc<Connection>,
    /// The server's own id.
    pub(super) id: RequestId,
    /// The server's own progress token, if the client got a different one.
    pub(super) progress_token: Option<OwnedJson>,
    /// The client's request that caused it, where that matters.
    pub(super) related_id: Option<RequestId>,
}

impl RequestsToClient {
    /// Adds a server's request; returns its number, the id for the client.
    pub(super) fn add(&mut self, request: ServerRequest) -> RequestId {
        self.last += 1;
        self.of_servers.insert(self.last, request);
        self.last.into()
    }

    /// Adds a request of the proxy's own, whose response goes to `sender`; returns its number, the id for the client.
    pub(super) fn add_own(&mut self, sender: oneshot::Sender<String>) -> RequestId {
        self.last += 1;
        self.own.insert(self.last, sender);
        self.last.into()
    }

    /// Removes and returns the server's request that the client knows under `id`.
    pub(super) fn take(&mut self, id: RawId<'_>) -> Option<ServerRequest> {
        self.of_servers.remove(&id.number()?)
    }

    /// Removes the proxy's own request that the client knows under `id`; returns the sender of its response.
    pub(super) fn take_own(&mut self, id: RawId<'_>) -> Option<oneshot::Sender<String>> {
        self.own.remove(&id.number()?)
    }

    /// Removes requests of the server behind `from`, each as the iterator returns it with its number: all of them, or
    /// only those with the server's `id`.
    pub(super) fn withdraw(
        &mut self,
        from: &Connection,
        id: Option<RawId<'_>>,
    ) -> impl Iterator<Item = (u64, ServerRequest)> {
        self.of_servers.extract_if(move |_, request| {
            std::ptr::eq(&raw const *request.connection, from)
                && id.is_none_or(|id| request.id == id)
        })
    }

    /// Returns the server that gets the client's progress under `token`, and the server's own token.
    pub(super) fn progress_target(&self, token: &str) -> Option<(Arc<Connection>, OwnedJson)> {
        let request = self.of_servers.get(&token.parse().ok()?)?;
        Some((request.connection.clone(), request.progress_token.clone()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::meta_tools::Set;
    use crate::session::tests::Stage;

    fn request(connection: &Arc<Connection>, id: &str, token: Option<&str>) -> ServerRequest {
        ServerRequest {
            connection: connection.clone(),
            id: id.into(),
            progress_token: token.map(Into::into),
            related_id: None,
        }
    }

    #[tokio::test]
    async fn each_request_has_a_number_and_is_taken_once() {
        let stage = Stage::new(&["a"], true, Set::Dev);
        let (a, mut open) = (stage.connect("a"), RequestsToClient::default());
        let (sender, _receiver) = oneshot::channel();
        assert_eq!(open.add(request(&a, "7", None)), RawId::from("1"));
        assert_eq!(open.add_own(sender), RawId::from("2"));
        assert_eq!(open.add(request(&a, "7", None)), RawId::from("3"));
        for id in ["7", "\"1\"", "1.0", "-1", "null", ""] {
            assert!(open.take(id.into()).is_none() && open.take_own(id.into()).is_none());
        }
        // A server's request is none of the proxy's own.
        let [one, two, three] = ["1", "2", "3"].map(RawId::from);
        assert!(open.take(two).is_none() && open.take_own(one).is_none());
        assert!(open.take_own(two).is_some() && open.take_own(two).is_none());
        assert!(open.take(one).is_some() && open.take(one).is_none());
        assert!(open.take(three).is_some());
        // A number is not used again.
        assert_eq!(open.add(request(&a, "7", None)), RawId::from("4"));
    }

    #[tokio::test]
    async fn a_server_withdraws_only_its_own_requests() {
        let stage = Stage::new(&["a", "b"], false, Set::Dev);
        let (a, b) = (stage.connect("a"), stage.connect("b"));
        let mut open = RequestsToClient::default();
        for (connection, id) in [(&a, "1"), (&b, "1"), (&a, "\"q\""), (&a, "3")] {
            open.add(request(connection, id, None));
        }
        let number = |(number, _)| number;
        let id = Some("\"q\"".into());
        let one = open.withdraw(&a, id).next();
        assert_eq!(one.map(number), Some(3));
        assert!(open.withdraw(&a, id).next().is_none());
        let mut all: Vec<_> = open.withdraw(&a, None).map(number).collect();
        all.sort_unstable();
        assert_eq!(all, [1, 4]);
        assert!(open.take("2".into()).is_some());
    }

    #[tokio::test]
    async fn progress_goes_to_the_server_whose_token_was_replaced() {
        let stage = Stage::new(&["a"], true, Set::Dev);
        let (a, mut open) = (stage.connect("a"), RequestsToClient::default());
        open.add(request(&a, "1", Some("\"t\"")));
        open.add(request(&a, "2", None));
        let token = |open: &RequestsToClient, token| Some(open.progress_target(token)?.1);
        assert_eq!(token(&open, "1"), Some("\"t\"".into()));
        assert_eq!(token(&open, "2"), None);
        assert_eq!(token(&open, "\"t\""), None);
        open.take("1".into());
        assert_eq!(token(&open, "1"), None);
    }
}
