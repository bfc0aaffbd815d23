//! JSON-RPC 2.0 as bytes: lines, envelopes whose members stay raw, ids kept byte for byte, error objects.
//!
//! Knows no MCP and does no I/O. Only rewritten parts are decoded: numbers beyond 64 bits, duplicate keys, lone
//! surrogates and unknown members pass through unchanged.
//!
//! Everywhere in the crate, objects of a message (`params`, `result`, `error`, `_meta`, definitions of tools) are texts
//! as they stand in the message. So are ids, as [`RawId`] and [`RequestId`], and values that also occur decoded, such as
//! names and log levels, as [`RawJson`] and [`OwnedJson`].

#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

mod ambiguous;
mod envelope;
mod error;
mod framing;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod id;
mod members;
mod scan;
mod value;

pub(crate) use ambiguous::{ambiguity, is_plain_name};
pub(crate) use envelope::{Envelope, InvalidMessage, MessageKind, splice};
pub(crate) use error::{
    ErrorObject, Reply, error_response, error_words, is_error_object, notification, request,
    result_response,
};
pub(crate) use framing::{Frame, Framer, text};
pub(crate) use id::{RawId, RequestId};
pub(crate) use members::{Members, elements, quoted, request_number, unquoted};
pub(crate) use value::{OwnedJson, RawJson};

/// Error code for an invalid request, or one that is not allowed at this time.
pub(crate) const INVALID_REQUEST: i64 = -32600;
/// Error code for a method that the receiver does not have.
pub(crate) const METHOD_NOT_FOUND: i64 = -32601;
/// Error code for parameters that the method does not accept.
pub(crate) const INVALID_PARAMS: i64 = -32602;
/// Error code for a failure inside the receiver.
pub(crate) const INTERNAL_ERROR: i64 = -32603;
/// Error code for a line that is not JSON.
pub(crate) const PARSE_ERROR: i64 = -32700;
