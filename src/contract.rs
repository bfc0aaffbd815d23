//! Contract of a server: judges the definitions of its tools by the rules of clients, and changes of its lists by their
//! effect on callers.
//!
//! Pure: takes lists and returns findings. Everything here runs after a list was read, never during a call.

#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

mod changes;
mod client;
mod constraints;
mod coverage;
mod lint;
mod rules;
mod sampler;
mod schema;
mod validator;

pub(crate) use changes::{Change, Class, changes, outdated};
pub(crate) use client::ClientVersion;
pub(crate) use lint::{LintFinding, LintLevel, lint};
