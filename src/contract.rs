//! Contract of a server: judges the definitions of its tools by the rules of clients.
//!
//! Pure: takes lists and returns findings. Everything here runs after a list was read, never during a call.

#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

mod client;
mod lint;
mod rules;
mod schema;

pub(crate) use client::ClientVersion;
pub(crate) use lint::{LintFinding, LintLevel, lint};
