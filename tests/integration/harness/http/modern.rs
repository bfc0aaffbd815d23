//! Requests of the modern era.

use serde_json::{Value, json};

use super::super::modern_meta;
use super::{Answer, Connection, KINDS, Site};

/// Request of the modern era with its headers.
#[derive(Debug, Clone)]
pub(crate) struct Modern {
    pub(crate) body: Value,
    pub(crate) headers: Vec<(String, String)>,
}

impl Modern {
    pub(crate) fn new(id: &Value, method: &str, mut params: Value) -> Self {
        let meta = params["_meta"].take();
        params["_meta"] = modern_meta();
        if let Value::Object(more) = meta {
            params["_meta"].as_object_mut().unwrap().extend(more);
        }
        let name = params.get("name").or(params.get("uri"));
        let mut headers = vec![
            ("MCP-Protocol-Version".to_owned(), "2026-07-28".to_owned()),
            ("Mcp-Method".to_owned(), method.to_owned()),
        ];
        let name = name.and_then(Value::as_str);
        headers.extend(name.map(|name| ("Mcp-Name".to_owned(), name.to_owned())));
        let body = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
        Self { body, headers }
    }

    /// Creates a `tools/call` request.
    pub(crate) fn call(id: &Value, tool: &str, arguments: &Value) -> Self {
        Self::new(
            id,
            "tools/call",
            json!({"name": tool, "arguments": arguments}),
        )
    }

    /// Sets or removes a header.
    pub(crate) fn with(mut self, name: &str, value: Option<&str>) -> Self {
        self.headers
            .retain(|(it, _)| !it.eq_ignore_ascii_case(name));
        self.headers
            .extend(value.map(|value| (name.to_owned(), value.to_owned())));
        self
    }

    #[track_caller]
    pub(crate) fn open(&self, site: &Site) -> Connection {
        let connection = Connection::to(site.address);
        self.send(&connection);
        connection
    }

    pub(crate) fn send(&self, connection: &Connection) {
        let own: Vec<_> = self
            .headers
            .iter()
            .map(|(name, value)| (&**name, &**value))
            .collect();
        connection.request("POST", &[&KINDS, &own[..]].concat(), &self.body.to_string());
    }

    #[track_caller]
    pub(crate) fn ask(&self, site: &Site) -> Answer {
        self.open(site).answer()
    }
}
