//! Several servers in one session: what a client sees of them together, and that they do not disturb each other.

mod calls;
mod configuring;
mod eras;
mod kinds;
mod load;
mod many;
mod names;
mod questions;
mod servers;
mod serving;
mod trouble;
mod unlisted;
mod variables;
mod watching;

use load::under_load;
use servers::{Fleet, Servers};

const LIST_CHANGED: &str = "notifications/tools/list_changed";
