//! The one encoding that a receipt's CBOR may have.
//!
//! serde_cbor writes definite lengths and shortest integers, and maps in the
//! order given; so whatever does not encode to the same bytes again had a
//! duplicate, an unknown or a misplaced key, a long integer, an indefinite length
//! or something behind its end.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Decodes all of `bytes`; `None` unless they are the encoding of the result.
pub(super) fn decode<T: Serialize + DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    let value: T = serde_cbor::from_slice(bytes).ok()?;
    (encode(&value)? == bytes).then_some(value)
}

/// Encodes `value`; a struct's fields stand in the order of their declaration.
pub(super) fn encode<T: Serialize>(value: &T) -> Option<Vec<u8>> {
    serde_cbor::to_vec(value).ok()
}
