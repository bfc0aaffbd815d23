//! Data is not code, unless it is loaded as a module or read at the start.
