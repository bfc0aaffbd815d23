//! Rehearsal: compares the answers of new code to calls with those of the code before.
//!
//! Results are compared by JSON paths, texts by lines. Places that vary by themselves, such as times, are learned from
//! two answers of the same code and left out. Pure: takes answers and returns differences.

#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

mod answer;
mod compare;

pub(crate) use answer::{Answer, MAX_COMPARED, json};
pub(crate) use compare::{Comparison, Varying, compare, differs_by_itself, is_slower};
