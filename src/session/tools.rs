//! `tools/call` of a meta-tool.

use super::Session;
use crate::jsonrpc::{Envelope, unquoted};
use crate::mcp::Era;
use crate::meta_tools;

impl Session {
    /// Carries out a call of a meta-tool; false if it is none.
    pub(super) fn call_meta_tool(
        &self,
        line: &str,
        envelope: &Envelope<'_>,
        id: &str,
        era: Era,
    ) -> bool {
        let Some(name) = envelope
            .params
            .name
            .and_then(unquoted)
            .filter(|name| self.offer.has(name))
        else {
            return false;
        };
        let arguments = envelope.params.arguments.unwrap_or("{}");
        if name == meta_tools::CALL {
            self.call_by_name(line, arguments, id, era);
            return true;
        }
        let (session, name, arguments, id) = (
            self.myself(),
            name.into_owned(),
            arguments.to_owned(),
            id.to_owned(),
        );
        self.tasks.spawn(async move {
            let result = meta_tools::run(&name, &arguments, &session.server, era).await;
            session.answer_result(&id, &result);
        });
        true
    }

    /// Makes the call that is meant; the server's answer goes to the client as it is.
    fn call_by_name(&self, line: &str, arguments: &str, id: &str, era: Era) {
        let line = match meta_tools::meant(line, arguments, &self.server) {
            Ok(line) => line,
            Err(error) => {
                return self.answer_result(id, &meta_tools::result(Err(error), era));
            }
        };
        if let Ok(envelope) = Envelope::parse(&line) {
            self.pass_on(&line, &envelope, id, era);
        }
    }
}
