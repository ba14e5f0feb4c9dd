//! What the module is to do wrong, and the switch for it.
//!
//! Set by tests through [`NsmFaultHandle`]; obeyed by `faulty.rs`. A fault is a
//! value: a kind, the requests it strikes, and how many of them it spares first.

use std::sync::{Arc, Mutex, PoisonError};

use aws_nitro_enclaves_nsm_api::api::Request;

/// What the module does wrong, until told otherwise.
///
/// A fault strikes every request that it fits; [`NsmFault::only`] and
/// [`NsmFault::after`] narrow that down.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NsmFault {
    pub(super) kind: FaultKind,
    only: Option<RequestKind>,
    after: u64,
}

/// The kinds of fault.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum FaultKind {
    #[default]
    None,
    Error(&'static str),
    Stall,
    Garbage,
    WrongAnswer,
    ClockOffsetMs(i64),
    EmptyRandom,
    ConstantRandom,
    ShortPcr,
    TruncatedDocument,
}

/// The module's requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestKind {
    /// `DescribePCR`
    DescribePcr,
    /// `ExtendPCR`
    ExtendPcr,
    /// `LockPCR`
    LockPcr,
    /// `LockPCRs`
    LockPcrs,
    /// `DescribeNSM`
    DescribeNsm,
    /// `Attestation`
    Attestation,
    /// `GetRandom`
    GetRandom,
}

impl NsmFault {
    /// None: the module works.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// Every request is answered with the error code `InternalError`.
    #[must_use]
    pub fn error() -> Self {
        Self::error_code("InternalError")
    }

    /// Every request is answered with this error code, spelt as on the wire.
    #[must_use]
    pub fn error_code(code: &'static str) -> Self {
        FaultKind::Error(code).into()
    }

    /// Requests are taken and never answered. The kernel's driver waits for
    /// 120 s.
    #[must_use]
    pub fn stall() -> Self {
        FaultKind::Stall.into()
    }

    /// Answers are bytes that are no CBOR: a string that claims 2^64 - 1 bytes.
    #[must_use]
    pub fn garbage() -> Self {
        FaultKind::Garbage.into()
    }

    /// Answers are of another kind than the request.
    #[must_use]
    pub fn wrong_answer() -> Self {
        FaultKind::WrongAnswer.into()
    }

    /// Documents carry a timestamp this many milliseconds after the true time
    /// (before it, when negative), under certificates of that time.
    #[must_use]
    pub fn clock_offset_ms(offset: i64) -> Self {
        FaultKind::ClockOffsetMs(offset).into()
    }

    /// `GetRandom` gives no bytes.
    #[must_use]
    pub fn empty_random() -> Self {
        FaultKind::EmptyRandom.into()
    }

    /// `GetRandom` gives the same 256 bytes every time.
    #[must_use]
    pub fn constant_random() -> Self {
        FaultKind::ConstantRandom.into()
    }

    /// `DescribePCR` gives 32 bytes instead of 48.
    #[must_use]
    pub fn short_pcr() -> Self {
        FaultKind::ShortPcr.into()
    }

    /// Documents end in the middle.
    #[must_use]
    pub fn truncated_document() -> Self {
        FaultKind::TruncatedDocument.into()
    }

    /// Strikes requests of this kind alone.
    #[must_use]
    pub fn only(mut self, kind: RequestKind) -> Self {
        self.only = Some(kind);
        self
    }

    /// Spares the first `n` requests that it would strike, counted from when it
    /// is set.
    #[must_use]
    pub fn after(mut self, n: u64) -> Self {
        self.after = n;
        self
    }

    /// Whether it is about such a request; `None` is one that cannot be read.
    fn fits(&self, request: Option<RequestKind>) -> bool {
        let about = match self.kind {
            FaultKind::None => return false,
            FaultKind::Error(_)
            | FaultKind::Stall
            | FaultKind::Garbage
            | FaultKind::WrongAnswer => None,
            FaultKind::ClockOffsetMs(_) | FaultKind::TruncatedDocument => {
                Some(RequestKind::Attestation)
            }
            FaultKind::EmptyRandom | FaultKind::ConstantRandom => Some(RequestKind::GetRandom),
            FaultKind::ShortPcr => Some(RequestKind::DescribePcr),
        };
        [about, self.only].into_iter().flatten().all(|kind| request == Some(kind))
    }
}

impl From<FaultKind> for NsmFault {
    fn from(kind: FaultKind) -> Self {
        Self { kind, ..Self::default() }
    }
}

impl RequestKind {
    pub(super) fn of(request: &Request) -> Option<Self> {
        Some(match request {
            Request::DescribePCR { .. } => Self::DescribePcr,
            Request::ExtendPCR { .. } => Self::ExtendPcr,
            Request::LockPCR { .. } => Self::LockPcr,
            Request::LockPCRs { .. } => Self::LockPcrs,
            Request::DescribeNSM => Self::DescribeNsm,
            Request::Attestation { .. } => Self::Attestation,
            Request::GetRandom => Self::GetRandom,
            _ => return None,
        })
    }
}

/// Switches a running module's fault. Clones switch the same module.
#[derive(Clone, Debug, Default)]
pub struct NsmFaultHandle(Arc<Mutex<Switch>>);

#[derive(Debug, Default)]
struct Switch {
    fault: NsmFault,
    fitting: u64,
    requests: u64,
}

impl NsmFaultHandle {
    /// From the next request on, the module does this wrong.
    pub fn set(&self, fault: NsmFault) {
        self.with(|switch| {
            switch.fault = fault;
            switch.fitting = 0;
        });
    }

    /// From the next request on, the module works.
    pub fn clear(&self) {
        self.set(NsmFault::none());
    }

    /// Requests that the guest has made so far.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.with(|switch| switch.requests)
    }

    /// Counts a request; gives what is to be done wrong with it.
    pub(super) fn strike(&self, request: Option<RequestKind>) -> FaultKind {
        self.with(|switch| {
            switch.requests = switch.requests.saturating_add(1);
            if !switch.fault.fits(request) {
                return FaultKind::None;
            }
            switch.fitting = switch.fitting.saturating_add(1);
            if switch.fitting > switch.fault.after { switch.fault.kind } else { FaultKind::None }
        })
    }

    fn with<T>(&self, change: impl FnOnce(&mut Switch) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
