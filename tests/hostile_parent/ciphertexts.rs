//! Malformed, downgraded and ambiguous ciphertexts: one answer for all of them.
