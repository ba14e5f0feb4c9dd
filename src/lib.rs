//! strongroom: a confidential data server for AWS Nitro Enclaves.
//!
//! One binary in the enclave, driven by one manifest. It takes AWS-encrypted
//! data over vsock, has KMS give the data key to the attested enclave, and
//! returns a result in the form that the data's owner agreed to. The machine
//! around it never sees plaintext or a data key.
//!
//! Modules import downwards only:
//!
//! ```text
//! main ─▶ enclave ─▶ init · sandbox · entropy
//!            └▶ server ─▶ request ─▶ job · input · keys · operation · output ─▶ shape · connection · transport
//!                                                                 nsm · clock · manifest · callers · receipts · budget · counters · error · telemetry
//! ```
#![deny(unsafe_code)]

pub mod budget;
pub mod callers;
pub mod clock;
pub mod connection;
pub mod counters;
pub mod enclave;
pub mod entropy;
pub mod error;
mod init;
pub mod input;
pub mod job;
pub mod keys;
pub mod manifest;
pub mod nsm;
pub mod operation;
pub mod output;
pub mod receipts;
pub mod request;
pub mod sandbox;
pub mod server;
pub mod shape;
pub mod telemetry;
pub mod transport;
