//! stub
/// k
pub struct CallerKey;
/// r
#[derive(Default)]
pub struct Replay;
/// e
#[derive(Debug, thiserror::Error)]
pub enum ReplayError { /// r
#[error("r")] Repeated }
/// m
pub fn message(_: &str, _: &[u8; 16], _: &[u8], _: &[u8; 16], _: u64) -> Vec<u8> { vec![] }
impl CallerKey {
 /// e
 pub fn ed25519(_: &[u8; 32]) -> Result<Self, ReplayError> { Ok(Self) }
 /// e
 pub fn p256(_: &[u8; 65]) -> Result<Self, ReplayError> { Ok(Self) }
 /// v
 pub fn verify(&self, _: &[u8], _: &[u8]) -> Result<(), ReplayError> { Ok(()) }
}
impl Replay {
 /// a
 pub fn accept(&mut self, _: &str, _: &[u8; 16], _: u64, _: u64) -> Result<(), ReplayError> { Ok(()) }
}
