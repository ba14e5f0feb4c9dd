//! A request as it came over HTTP, whole and bounded.

use bytes::Bytes;
use http::request::Parts;

use super::operations::{self, Operation};

/// Method, target, headers and body; nothing of it is trusted yet.
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: String,
    headers: Vec<(String, String)>,
    pub(crate) body: Bytes,
}

impl Request {
    /// Takes over what hyper read. HTTP/2's `:authority` stands for `host`.
    pub(crate) fn new(parts: &Parts, body: Bytes) -> Self {
        let mut headers: Vec<_> = parts
            .headers
            .iter()
            .map(|(name, value)| {
                (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
            })
            .collect();
        if let Some(authority) = parts.uri.authority()
            && !parts.headers.contains_key("host")
        {
            headers.push(("host".into(), authority.to_string()));
        }
        Self {
            method: parts.method.to_string(),
            path: parts.uri.path().to_owned(),
            query: parts.uri.query().unwrap_or_default().to_owned(),
            headers,
            body,
        }
    }

    /// A header's value; several of one name are joined by commas.
    pub(crate) fn header(&self, name: &str) -> Option<String> {
        let values: Vec<&str> = self
            .headers
            .iter()
            .filter(|(header, _)| header == name)
            .map(|(_, value)| value.trim())
            .collect();
        (!values.is_empty()).then(|| values.join(","))
    }

    /// The operation that `x-amz-target` names, if it is simulated.
    pub(super) fn operation(&self) -> Option<&'static Operation> {
        operations::find(self.header("x-amz-target")?.strip_prefix("TrentService.")?)
    }
}
