//! The module as a test wants it: right answers, or wrong ones in a chosen way.
//!
//! Called by `queue.rs` with what the guest queued.

use std::collections::BTreeMap;

use aws_nitro_enclaves_nsm_api::api::{Request, Response};
use strongroom_sim::SimNsm;

use super::answer::{decode, encode, respond};
use super::fault::{FaultKind, NsmFaultHandle, RequestKind};

/// Answers a request, or does not.
pub(super) fn answer_or_not(
    nsm: &SimNsm,
    faults: &NsmFaultHandle,
    request: &[u8],
) -> Option<Vec<u8>> {
    let request = decode(request);
    let kind = request.as_ref().ok().and_then(RequestKind::of);
    let fault = faults.strike(kind);
    tracing::debug!(?kind, ?fault, "module asked");
    match fault {
        FaultKind::Stall => return None,
        FaultKind::Error(code) => return Some(error(code)),
        FaultKind::Garbage => return Some(GARBAGE.to_vec()),
        FaultKind::WrongAnswer => return Some(encode(&other_than(kind))),
        FaultKind::None
        | FaultKind::ClockOffsetMs(_)
        | FaultKind::EmptyRandom
        | FaultKind::ConstantRandom
        | FaultKind::ShortPcr
        | FaultKind::TruncatedDocument => {}
    }
    let response = request
        .map_or_else(Response::Error, |request: Request| respond(nsm, request, now_ms(nsm, fault)));
    Some(encode(&spoil(response, fault)))
}

fn now_ms(nsm: &SimNsm, fault: FaultKind) -> u64 {
    let now = nsm.now_ms();
    let FaultKind::ClockOffsetMs(offset) = fault else { return now };
    now.saturating_add_signed(offset).min(LATEST_MS)
}

/// The answer with the fault in it, where it is a good answer.
fn spoil(response: Response, fault: FaultKind) -> Response {
    match (fault, response) {
        (FaultKind::EmptyRandom, Response::GetRandom { .. }) => {
            Response::GetRandom { random: Vec::new() }
        }
        (FaultKind::ConstantRandom, Response::GetRandom { random }) => {
            Response::GetRandom { random: vec![CONSTANT; random.len()] }
        }
        (FaultKind::ShortPcr, Response::DescribePCR { lock, mut data }) => {
            data.truncate(SHORT_PCR_LEN);
            Response::DescribePCR { lock, data }
        }
        (FaultKind::TruncatedDocument, Response::Attestation { mut document }) => {
            document.truncate(document.len() / 2);
            Response::Attestation { document }
        }
        (_, response) => response,
    }
}

fn error(code: &'static str) -> Vec<u8> {
    serde_cbor::to_vec(&BTreeMap::from([("Error", code)])).unwrap_or_default()
}

fn other_than(kind: Option<RequestKind>) -> Response {
    if kind == Some(RequestKind::LockPcr) { Response::LockPCRs } else { Response::LockPCR }
}

/// A byte string (major type 2) with the longest length there is, and one byte.
const GARBAGE: [u8; 10] = [0x5b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x00];
/// SHA-256's length, which other modules have.
const SHORT_PCR_LEN: usize = 32;
/// What constant random consists of: not zero, which a buffer might be anyway.
const CONSTANT: u8 = 0xa5;

/// In the year 9999, which is the last that a certificate can name.
const LATEST_MS: u64 = 253_370_764_800_000;

#[cfg(test)]
mod tests;
