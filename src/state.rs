//! State of one user's proxies on disk. It outlives a proxy, and other proxies and commands of the same user read it.
//!
//! Everything lies below one private directory, in one sub-folder per purpose. `dev` and `serve` keep a record and a log
//! of themselves there. All functions here block.

mod directory;
mod journal;
mod logs;
mod rotating_log;
mod run_record;
mod runs;

pub(crate) use directory::{StateDirectory, StateError, StateFolder};
pub(crate) use journal::{Journal, RunOptions};
pub(crate) use logs::{RunLog, logs};
pub(crate) use run_record::{Occurrence, RunRecord, ServerCondition, ServerRecord, Timestamp};
pub(crate) use runs::{Run, runs};
