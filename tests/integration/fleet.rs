//! Several servers in one session: a client's common view of them, and their independence.

mod calls;
#[cfg(unix)]
mod configuring;
mod eras;
mod kinds;
#[cfg(unix)]
mod load;
#[cfg(unix)]
mod many;
mod names;
#[cfg(unix)]
mod pipes;
mod questions;
mod servers;
#[cfg(unix)]
mod serving;
#[cfg(unix)]
mod trouble;
mod unlisted;
#[cfg(unix)]
mod variables;
mod views;
#[cfg(unix)]
mod watching;

#[cfg(unix)]
use load::under_load;
use servers::{Fleet, Servers};

const LIST_CHANGED: &str = "notifications/tools/list_changed";
