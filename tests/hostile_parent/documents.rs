//! Attestation documents that are old, forged or another enclave's; clock and randomness.
