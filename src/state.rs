//! State of one user's proxies on disk. It outlives a proxy, and other proxies and commands of the same user read it.
//!
//! Everything lies below one private directory, in one sub-folder per purpose. All functions here block.

mod directory;

pub(crate) use directory::{StateDirectory, StateError, StateFolder};
