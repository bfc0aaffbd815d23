//! Contract of a server: judges the definitions and results of its tools by the rules of clients, and changes of its
//! lists by their effect on callers.
//!
//! Pure: takes lists and results, and returns findings. Everything here runs after a list was read or a result was
//! delivered, never during a call.

#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

mod changes;
mod client;
mod constraints;
mod coverage;
mod lint;
mod results;
mod rules;
mod sampler;
mod schema;
mod validator;

pub(crate) use changes::{Change, Class, changes, outdated};
pub(crate) use client::ClientVersion;
pub(crate) use lint::{LintFinding, LintLevel, lint, lint_result};
pub(crate) use results::{ResultLimit, fault_of, misfit, too_long};
