//! What has come of an input, and the memory that it takes.

use bytes::{Buf, BytesMut};
use strongroom_envelope::name::name;

use super::InputError;
use crate::budget::{OverBudget, Share};
use crate::connection::{Body, Connection, ConnectionError};
use crate::receipts::Hash;

/// Where an input comes from, and what is kept of it until it is opened.
pub struct Incoming<'c> {
    /// The caller's connection.
    pub conn: &'c mut Connection,
    /// What has arrived and is not opened yet.
    pub bytes: BytesMut,
    /// Of what has arrived, where somebody wants to know.
    hash: Option<Hash>,
}

/// The memory that a request holds, by what it is besides an input.
pub struct Held<'a> {
    /// The request's share.
    pub share: &'a mut Share,
    /// Bytes of everything else.
    pub others: usize,
}

impl Held<'_> {
    /// Holds `bytes` for an input.
    ///
    /// # Errors
    /// [`OverBudget`].
    pub(super) fn hold(&mut self, bytes: usize) -> Result<(), OverBudget> {
        self.share.hold(self.others.saturating_add(bytes))
    }
}

impl<'c> Incoming<'c> {
    /// What comes over `conn`; `hashed` where its digest is asked for.
    #[must_use]
    pub fn new(conn: &'c mut Connection, hashed: bool) -> Self {
        Self { conn, bytes: BytesMut::new(), hash: hashed.then(Hash::new) }
    }

    /// Reads more, or finds the end of the input.
    ///
    /// # Errors
    /// [`ConnectionError`].
    pub async fn read(&mut self) -> Result<Body, ConnectionError> {
        let before = self.bytes.len();
        let body = self.conn.read_body(&mut self.bytes).await?;
        if let Some(hash) = &mut self.hash {
            hash.update(self.bytes.get(before..).unwrap_or_default());
        }
        Ok(body)
    }

    /// SHA-256 of the input that has ended, if it is asked for; what is read next
    /// is another one.
    pub fn digest(&mut self) -> Option<[u8; 32]> {
        self.hash.as_mut().map(|hash| std::mem::take(hash).finish())
    }

    /// Bytes of memory that its buffers have.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.conn.memory().saturating_add(self.bytes.capacity())
    }

    /// Reads until a client has seen what it sends: the response then finds it
    /// knowing the name of its input.
    pub(super) async fn first_bytes(&mut self, memory: &mut Share) -> Result<(), InputError> {
        while name(&self.bytes).is_none() && self.read().await? == Body::More {
            memory.hold(self.memory())?;
        }
        Ok(())
    }

    /// Reads until `parse` finds a header at the front, and takes it off.
    pub(super) async fn header<T>(
        &mut self,
        memory: &mut Share,
        parse: impl Fn(&[u8]) -> Result<Option<(T, usize)>, InputError>,
    ) -> Result<T, InputError> {
        loop {
            if let Some((header, len)) = parse(&self.bytes)? {
                // An entry of a few bytes becomes two strings and a place in a map.
                memory.hold(self.memory().saturating_add(len.saturating_mul(PARSED)))?;
                self.bytes.advance(len);
                return Ok(header);
            }
            if self.read().await? == Body::End {
                return Err(InputError::NoHeader);
            }
            memory.hold(self.memory())?;
        }
    }
}

/// How many times as much memory a header takes once it is parsed.
pub(super) const PARSED: usize = 32;
