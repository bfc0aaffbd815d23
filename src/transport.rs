//! Moves bytes to and from servers and clients: a generation's child process with its pipes and its termination, HTTP,
//! and the streams that carry messages.

pub(crate) mod build;
pub(crate) mod child;
pub(crate) mod file_limit;
pub(crate) mod http;
pub(crate) mod lines;
pub(crate) mod listening_ports;
pub(crate) mod pipe;
mod process_group;
pub(crate) mod process_port;
pub(crate) mod process_table;
pub(crate) mod reaper;
pub(crate) mod resolve;
pub(crate) mod run_command;
pub(crate) mod stream;

#[cfg(test)]
#[cfg(target_os = "linux")]
mod test_support;
