//! Entry points for clients.

pub(crate) mod http;
pub(crate) mod stdio;
