//! JSON-RPC 2.0 as bytes: lines, envelopes whose members stay raw, ids kept byte for byte, error objects.
//!
//! Knows no MCP and does no I/O. What is not rewritten is never decoded: numbers beyond 64 bits,
//! duplicate keys, lone surrogates and unknown members pass through unchanged.

mod ambiguous;
mod envelope;
mod error;
mod framing;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod members;
mod scan;

pub(crate) use ambiguous::{ambiguity, is_plain_name};
pub(crate) use envelope::{Envelope, Invalid, Kind, splice};
pub(crate) use error::{
    ErrorObject, Reply, error_response, error_words, is_error_object, notification, request,
    result_response,
};
pub(crate) use framing::{Frame, Framer, text};
pub(crate) use members::{Members, elements, quoted, request_number, unquoted};

/// The code of a request that is no valid request, or comes at a time when it makes no sense.
pub(crate) const INVALID_REQUEST: i64 = -32600;
/// The code of a method that the receiver does not have.
pub(crate) const METHOD_NOT_FOUND: i64 = -32601;
/// The code of parameters that the method cannot take.
pub(crate) const INVALID_PARAMS: i64 = -32602;
/// The code of a failure inside the receiver.
pub(crate) const INTERNAL_ERROR: i64 = -32603;
/// The code of a line that is no JSON.
pub(crate) const PARSE_ERROR: i64 = -32700;
