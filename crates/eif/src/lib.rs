//! Enclave Image Format: the files that `nitro-cli run-enclave` starts.
//!
//! Read ([`Image`]), measured ([`Measurements`]), written ([`Builder`]) and
//! signed ([`SigningKey`]), byte for byte as AWS's own
//! `aws-nitro-enclaves-image-format` does it. A leaf: bytes in, bytes out, and
//! the time is an argument.
//!
//! ```text
//! header (548 bytes, CRC-32) │ kernel │ cmdline │ metadata │ ramdisk… │ signature
//! ```
//!
//! An image from elsewhere is untrusted: every offset and size is checked
//! before it is followed. What a PCR covers is data of sections only; the
//! header and the metadata are text that nobody vouches for.
#![forbid(unsafe_code)]

mod builder;
pub mod cpio;
mod error;
mod header;
mod image;
pub mod kernel;
mod measure;
mod metadata;
mod pem;
mod signature;
mod signing;

pub use builder::Builder;
pub use error::EifError;
pub use header::Architecture;
pub use image::Image;
pub use measure::Measurements;
pub use metadata::{BuildMetadata, Metadata};
pub use signature::{Signature, SignatureError, certificate_pcr};
pub use signing::{SigningError, SigningKey};
