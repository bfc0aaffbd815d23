//! Bytes to and from servers and clients: the child process of a generation, its pipes and its end, or HTTP;
//! the streams that messages travel on.

pub(crate) mod build;
pub(crate) mod child;
pub(crate) mod errand;
pub(crate) mod files;
mod group;
pub(crate) mod http;
pub(crate) mod lines;
pub(crate) mod reaper;
pub(crate) mod resolve;
pub(crate) mod stream;

#[cfg(test)]
#[cfg(target_os = "linux")]
mod probe;
