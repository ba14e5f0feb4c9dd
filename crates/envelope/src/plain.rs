//! stub
use crate::esdk::{DecryptFailed, EncryptionContext};
use crate::{DataKey, SecretBuf};
/// l
#[derive(Clone, Copy, Debug)]
pub struct Limits { /// a
 pub max_encrypted_data_key: usize, /// b
 pub max_len: usize }
/// e
#[derive(Debug, thiserror::Error, Clone, Copy, PartialEq, Eq)]
pub enum FormatError { /// t
#[error("too long")] TooLong(usize), /// m
#[error("x")] Magic }
/// h
pub struct Header;
/// o
pub struct Opener;
impl Header {
 /// p
 pub fn parse(_: &[u8], _: &Limits) -> Result<Option<(Self, usize)>, FormatError> { Err(FormatError::Magic) }
 /// k
 pub fn encrypted_data_key(&self) -> &[u8] { &[] }
 /// k
 pub fn nonce(&self) -> &[u8; 12] { &[0; 12] }
}
impl Opener {
 /// n
 pub fn new(_: Header, _: &DataKey, _: &EncryptionContext) -> Result<Self, DecryptFailed> { Err(DecryptFailed) }
 /// n
 pub fn check_len(&self, _: usize) -> Result<(), FormatError> { Ok(()) }
 /// n
 pub fn finish(self, _: &[u8], _: &mut SecretBuf) -> Result<(), DecryptFailed> { Err(DecryptFailed) }
}
