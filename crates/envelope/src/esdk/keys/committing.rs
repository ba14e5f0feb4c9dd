//! The key derivation of message format 2, with extraction done once.
//!
//! Used by [`MessageKey`](super::MessageKey), whose file has the formulas. The
//! cryptographic library's own HKDF extracts again for each key that is
//! expanded, which for a short message would be a third of all its work; these
//! are its HMACs, in the order of RFC 5869.
//!
//! The library hands HMAC's state and its results over by value: to be called
//! within [`stack::erased`](crate::stack::erased) only.

use aws_lc_rs::error::Unspecified;
use aws_lc_rs::hmac::{Context, HMAC_SHA512, Key, sign};

use super::Commitment;
use crate::DataKey;
use crate::esdk::Suite;

/// The pseudorandom key that both outputs are expanded from.
pub(super) struct Prk(Key);

impl Prk {
    /// HKDF-Extract with `salt` (RFC 5869, section 2.2).
    pub(super) fn extract(salt: &[u8], data_key: &[u8]) -> Self {
        let prk = sign(&Key::new(HMAC_SHA512, salt), data_key);
        Self(Key::new(HMAC_SHA512, prk.as_ref()))
    }

    /// What a header holds to commit to the data key; no secret.
    pub(super) fn commitment(&self) -> Result<Commitment, Unspecified> {
        //= https://github.com/awslabs/aws-encryption-sdk-specification/blob/master/framework/algorithm-suites.md#algorithm-suites-commit-key-derivation-settings
        let mut commitment = [0; 32];
        self.expand(&[COMMIT_LABEL], &mut commitment)?;
        Ok(commitment)
    }

    /// Fills `key` with what header and body are encrypted under.
    pub(super) fn encryption_key(
        &self,
        suite: Suite,
        key: &mut [u8; DataKey::LEN],
    ) -> Result<(), Unspecified> {
        //= https://github.com/awslabs/aws-encryption-sdk-specification/blob/master/framework/algorithm-suites.md#algorithm-suites-encryption-key-derivation-settings
        self.expand(&[&suite.id().to_be_bytes(), DERIVE_LABEL], key)
    }

    /// HKDF-Expand of one block (RFC 5869, section 2.3): `out` is no longer than
    /// a hash.
    fn expand(&self, info: &[&[u8]], out: &mut [u8]) -> Result<(), Unspecified> {
        let mut mac = Context::with_key(&self.0);
        for part in info {
            mac.update(part);
        }
        mac.update(&FIRST_BLOCK);
        let block = mac.sign();
        out.copy_from_slice(block.as_ref().get(..out.len()).ok_or(Unspecified)?);
        Ok(())
    }
}

const COMMIT_LABEL: &[u8] = b"COMMITKEY";
const DERIVE_LABEL: &[u8] = b"DERIVEKEY";
const FIRST_BLOCK: [u8; 1] = [1];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn oracle(salt: &[u8], key: &[u8], info: &[u8]) -> [u8; 32] {
        let mut out = [0; 32];
        hkdf::Hkdf::<sha2::Sha512>::new(Some(salt), key).expand(info, &mut out).unwrap();
        out
    }

    proptest! {
        #[test]
        fn both_outputs_are_those_of_another_hkdf(salt: [u8; 32], data_key: [u8; 32]) {
            let prk = Prk::extract(&salt, &data_key);
            prop_assert_eq!(prk.commitment().unwrap(), oracle(&salt, &data_key, b"COMMITKEY"));
            for suite in [Suite::HkdfSha512Commit, Suite::HkdfSha512CommitEcdsaP384] {
                let mut key = [0; 32];
                prk.encryption_key(suite, &mut key).unwrap();
                let info = [&suite.id().to_be_bytes()[..], b"DERIVEKEY"].concat();
                prop_assert_eq!(key, oracle(&salt, &data_key, &info));
            }
        }
    }

    #[test]
    fn more_than_one_block_is_refused() {
        assert!(Prk::extract(&[1; 32], &[2; 32]).expand(&[], &mut [0; 65]).is_err());
        assert!(Prk::extract(&[1; 32], &[2; 32]).expand(&[], &mut [0; 64]).is_ok());
    }
}
