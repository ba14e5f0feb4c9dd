//! stub
/// r
pub struct Receipt { /// a
pub request_id: [u8; 16], /// a
pub request: [u8; 32], /// a
pub job: String, /// a
pub manifest: [u8; 32], /// a
pub keys: Vec<String>, /// a
pub inputs: Vec<[u8; 32]>, /// a
pub result: [u8; 32], /// a
pub counter: u64, /// a
pub time_ms: u64, /// a
pub caller: Option<String>, /// a
pub records: Option<u64>, /// a
pub dropped: Option<u64> }
/// k
pub struct ReceiptKey;
/// e
#[derive(Debug, thiserror::Error)]
pub enum ReceiptError { /// c
#[error("c")] Crypto }
impl ReceiptKey {
 /// g
 pub fn generate() -> Result<Self, ReceiptError> { Ok(Self) }
 /// g
 pub fn public_key(&self) -> [u8; 65] { [0; 65] }
 /// g
 pub fn user_data(&self) -> Vec<u8> { vec![] }
 /// g
 pub fn sign(&self, _: &Receipt) -> Result<Vec<u8>, ReceiptError> { Ok(vec![]) }
}
