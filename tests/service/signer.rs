//! Callers with keys: signed requests, right and wrong.

use aws_lc_rs::digest::{SHA256, digest};
use serde_bytes::ByteBuf;
use strongroom_envelope::caller::{CallerSecret, message};
use strongroom_wire::{Call, Payload, Request, RequestId, Run, Signed};

use crate::house::{House, now_ms};
use crate::raw::frame;

/// A caller, as its own machine has it.
pub struct Caller {
    pub name: &'static str,
    pub secret: CallerSecret,
}

/// All that a signature covers.
#[derive(Clone)]
pub struct Order {
    pub enclave: String,
    pub id: [u8; 16],
    pub run: Vec<u8>,
    pub nonce: [u8; 16],
    pub time_ms: u64,
}

impl Caller {
    pub fn ed25519(name: &'static str) -> Self {
        Self { name, secret: CallerSecret::generate_ed25519().unwrap() }
    }

    pub fn p256(name: &'static str) -> Self {
        Self { name, secret: CallerSecret::generate_p256().unwrap() }
    }

    /// Its entry in a manifest.
    pub fn entry(&self) -> String {
        let key = hex::encode(self.secret.public_key().unwrap().as_bytes());
        format!("\n[[caller]]\nname = \"{}\"\npublic_key = \"{key}\"\n", self.name)
    }

    pub fn sign(&self, order: &Order) -> [u8; 64] {
        let Order { enclave, id, run, nonce, time_ms } = order;
        self.secret.sign(&message(enclave, id, run, nonce, *time_ms)).unwrap()
    }

    /// A signed request, as a `REQUEST` frame.
    pub fn request(&self, order: &Order) -> Vec<u8> {
        signed(order, self.name, &self.sign(order))
    }

    /// A run of a job over `input`, signed for this house and now.
    pub fn run(&self, house: &House, job: &str, args: &[(&str, &str)], input: &[u8]) -> Vec<u8> {
        self.request(&Order::new(house, &over(job, args, input)))
    }
}

impl Order {
    pub fn new(house: &House, run: &Run) -> Self {
        Self {
            enclave: house.nitro.nsm.module_id().to_owned(),
            id: random(),
            run: run.encode().unwrap(),
            nonce: random(),
            time_ms: now_ms(),
        }
    }
}

/// A run that names its input.
pub fn over(job: &str, args: &[(&str, &str)], input: &[u8]) -> Run {
    Run {
        job: job.into(),
        args: crate::raw::owned(args),
        input_sha256: Some(ByteBuf::from(sha256(input))),
        ..Run::default()
    }
}

/// A request with any signature, as a `REQUEST` frame.
pub fn signed(order: &Order, caller: &str, signature: &[u8]) -> Vec<u8> {
    let call = Call::Signed(Signed {
        run: ByteBuf::from(order.run.clone()),
        caller: caller.to_owned(),
        nonce: ByteBuf::from(order.nonce),
        time_ms: order.time_ms,
        signature: ByteBuf::from(signature),
    });
    let request = Request { id: RequestId(order.id), deadline_ms: None, call };
    frame(strongroom_wire::FrameKind::Request, &request.encode().unwrap())
}

pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    digest(&SHA256, bytes).as_ref().try_into().unwrap()
}

pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes).unwrap();
    bytes
}
