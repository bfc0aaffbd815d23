//! Where clients come in.

pub(crate) mod stdio;
