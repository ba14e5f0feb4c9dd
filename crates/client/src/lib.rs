//! Client of a strongroom enclave, for parent applications and data owners.
//!
//! ```no_run
//! use strongroom_client::{Address, Client, Job};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let address: Address = "vsock:16:5005".parse()?;
//! let mut client = Client::connect(&address).await?;
//! let input = tokio::fs::File::open("customers.csv.encrypted").await?;
//! let job = Job::new("mask-customers").arg("tenant", "acme");
//! let summary = client.run_to_file(&job, input, "customers.csv").await?;
//! # drop(summary); Ok(())
//! # }
//! ```
//!
//! A result that is whole is an `Ok`; everything else is an [`Error`], and what
//! the output received before it is void.
//!
//! Two worlds use this crate. The **parent application** runs jobs and relays;
//! nobody has to trust it. The **data owner** believes an enclave only through a
//! [`Verifier`]: [`Client::attest`], [`Client::run_sealed`], [`open_sealed`],
//! [`verify_receipt`].
//!
//! What comes from the other side is judged by parts that do no I/O (`answer`,
//! `sealed`); `connection`, `exchange` and `transport` move the bytes. The
//! protocol is described in `docs/protocol.md`.
#![forbid(unsafe_code)]

mod address;
mod answer;
mod caller;
mod client;
mod connection;
mod digest;
mod error;
mod exchange;
mod file;
mod input;
mod progress;
mod receipt;
mod sealed;
mod sink;
mod transport;
mod unpad;
mod verifier;

pub use address::{Address, AddressError};
pub use caller::Caller;
pub use client::{Client, Job, Options, Recipient, Summary};
pub use error::{Error, ProtocolError};
pub use input::Inputs;
pub use progress::Progress;
pub use receipt::{Checked, ExpectedReceipt, ReceiptRefused, verify_receipt};
pub use sealed::{Expected, Opened, SealedError, open_sealed};
pub use unpad::{PADDING_KEY, PADDING_VALUE, Unpad};
pub use verifier::Verifier;

pub use strongroom_attestation as attestation;
pub use strongroom_envelope::caller::{CallerError, CallerKey, CallerSecret};
pub use strongroom_envelope::name::{NAME_END as INPUT_NAME_END, name as input_name};
pub use strongroom_envelope::receipt::{Receipt, ReceiptError};
pub use strongroom_envelope::seal::{RecipientPublicKey, RecipientSecretKey};
pub use strongroom_wire::{Credentials, ErrorBody, ErrorCode, Protect, RequestId, Status};
