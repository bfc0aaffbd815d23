//! Ranks tools by a query in a person's or a model's own words.
//!
//! Builds an inverted index over the tools' descriptions of themselves, and scores with BM25F: each field (name, title,
//! server, description, parameters) has its own weight and length, and frequent words count little. Words are split,
//! stemmed and expanded by a small table of synonyms. If a query equals a tool's name, or the beginning of one, that
//! tool ranks first.
//!
//! Pure: no I/O, no clock, no state beside the index; the owner of the tools builds an [`Index`] from them. The same
//! documents and the same query always give the same order.

#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

mod index;
mod stem;
mod synonyms;
#[cfg(test)]
mod tests;
mod words;

pub(crate) use index::Index;

/// Tool as a search document.
#[derive(Debug, Clone, Default)]
pub(crate) struct Document {
    /// Name of the tool's server.
    pub(crate) server: String,
    /// Name of the tool on that server.
    pub(crate) name: String,
    /// Title of the tool; empty if it has none.
    pub(crate) title: String,
    /// Description of the tool; empty if it has none.
    pub(crate) description: String,
    /// Names of the tool's parameters.
    pub(crate) parameters: Vec<String>,
}

/// Found document.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Hit {
    /// Position of the document in the input of the index.
    pub(crate) document: usize,
    /// Score; 0 if the query is empty. Comparable within one search only.
    pub(crate) score: f64,
}
