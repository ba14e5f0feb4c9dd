//! stub
use crate::SecretBuf;
/// p
pub struct Padder;
impl Padder {
 /// n
 pub fn new(_: usize) -> Self { Self }
 /// n
 pub fn count(&mut self, _: usize) {}
 /// n
 pub fn next(&mut self, _: &mut SecretBuf) -> bool { false }
}
