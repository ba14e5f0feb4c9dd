//! KMS key policies of enclaves: written, and judged. No I/O.
//!
//! A key policy is what makes attestation count: KMS decrypts to whomever it
//! allows, attested or not. [`lint`] looks for the holes that such policies are
//! known to have; [`compose`] writes one that has none of them.

#[cfg(test)]
mod against_kms;
pub(crate) mod compose;
mod condition;
mod document;
mod findings;
pub(crate) mod lint;

pub(crate) use findings::{Finding, Severity};
