//! Drives the crate's own reader and writer the way the service does.

use strongroom_envelope::esdk::{
    CommitmentPolicy, EncryptedDataKey, EncryptionContext, FormatError, FrameLen, Header, Limits,
    Opener, Policy, RequiredContextError, Sealer, Signer, Suite,
};
use strongroom_envelope::{DataKey, SecretBuf};

pub(crate) const KEY: [u8; 32] = [0x42; 32];

pub(crate) fn data_key() -> DataKey {
    DataKey::from_slice(&KEY).unwrap()
}

pub(crate) fn context() -> EncryptionContext {
    EncryptionContext::new([("purpose", "test"), ("tenant", "a")]).unwrap()
}

pub(crate) fn edk() -> EncryptedDataKey {
    EncryptedDataKey {
        provider_id: "aws-kms".into(),
        provider_info: b"arn".to_vec(),
        ciphertext: vec![9; 40],
    }
}

pub(crate) fn seal(plaintext: &[u8], frame_len: usize) -> Vec<u8> {
    seal_in_parts(plaintext, frame_len, &[])
}

pub(crate) fn seal_in_parts(plaintext: &[u8], frame_len: usize, cuts: &[usize]) -> Vec<u8> {
    let mut out = Vec::new();
    let frame_len = FrameLen::new(frame_len).unwrap();
    let sealer = Sealer::new(&data_key(), &context(), &[edk()], frame_len, &mut out).unwrap();
    write_all(sealer, plaintext, cuts, &mut out);
    out
}

pub(crate) fn seal_signed(plaintext: &[u8], frame_len: usize) -> Vec<u8> {
    let mut out = Vec::new();
    let signer = Signer::new(&context()).unwrap();
    let frame_len = FrameLen::new(frame_len).unwrap();
    let sealer = Sealer::signed(&data_key(), signer, &[edk()], frame_len, &mut out).unwrap();
    write_all(sealer, plaintext, &[], &mut out);
    out
}

fn write_all(mut sealer: Sealer, plaintext: &[u8], cuts: &[usize], out: &mut Vec<u8>) {
    for part in parts(plaintext, cuts) {
        sealer.seal(part, out).unwrap();
    }
    sealer.finish(out).unwrap();
}

/// Why a message was refused.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    Format(FormatError),
    /// The input ended inside the header.
    Incomplete,
    Context(RequiredContextError),
    Decrypt,
}

/// What came of a message.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// Plaintext that was released, even if the message was refused later.
    pub(crate) released: Vec<u8>,
    pub(crate) result: Result<(), Refused>,
}

impl Outcome {
    pub(crate) fn plaintext(self) -> Vec<u8> {
        self.result.unwrap();
        self.released
    }
}

pub(crate) fn open(message: &[u8]) -> Outcome {
    open_in_parts(message, &[], usize::MAX)
}

/// What a reader brings along.
#[derive(Clone)]
pub(crate) struct Reader {
    pub(crate) policy: Policy,
    pub(crate) key: Vec<u8>,
    pub(crate) required: Vec<(String, String)>,
}

impl Reader {
    /// What a job that says nothing is.
    pub(crate) fn strict() -> Self {
        Self { policy: Policy::default(), key: KEY.to_vec(), required: vec![] }
    }

    /// Opens every suite, with a key of the suite's length.
    pub(crate) fn legacy(suite: Suite) -> Self {
        let policy = Policy { commitment: CommitmentPolicy::AllowLegacy, ..Policy::default() };
        let key = KEY[..suite.data_key_len()].to_vec();
        Self { policy, key, required: vec![] }
    }

    pub(crate) fn open(&self, message: &[u8]) -> Outcome {
        self.open_in_parts(message, &[], usize::MAX)
    }

    pub(crate) fn open_in_parts(&self, message: &[u8], cuts: &[usize], max_out: usize) -> Outcome {
        let mut released = Vec::new();
        let result = self.drive(message, cuts, max_out, &mut released);
        Outcome { released, result }
    }

    pub(crate) fn start(&self, header: Header) -> Result<Opener, Refused> {
        let supplied = EncryptionContext::new(self.required.clone()).unwrap();
        let header = header.with_required_context(&supplied).map_err(Refused::Context)?;
        let key = DataKey::from_slice(&self.key).unwrap();
        Opener::new(header, &key).map_err(|_| Refused::Decrypt)
    }

    fn drive(
        &self,
        message: &[u8],
        cuts: &[usize],
        max_out: usize,
        released: &mut Vec<u8>,
    ) -> Result<(), Refused> {
        let mut buffer = Vec::new();
        let mut opener = None;
        for part in parts(message, cuts) {
            buffer.extend_from_slice(part);
            if opener.is_none() {
                let parsed = Header::parse(&buffer, &Limits::default(), &self.policy);
                let Some((header, len)) = parsed.map_err(Refused::Format)? else { continue };
                opener = Some(self.start(header)?);
                buffer.drain(..len);
            }
            step(opener.as_mut().unwrap(), &mut buffer, max_out, released)?;
        }
        opener.ok_or(Refused::Incomplete)?.finish().map_err(|_| Refused::Decrypt)
    }
}

/// Opens what there is of the body.
fn step(
    opener: &mut Opener,
    buffer: &mut Vec<u8>,
    max_out: usize,
    released: &mut Vec<u8>,
) -> Result<(), Refused> {
    loop {
        let ready = opener.needs(buffer) <= buffer.len();
        let mut out = SecretBuf::new();
        let used = opener.open(buffer, &mut out, max_out);
        released.extend_from_slice(out.expose());
        let used = used.map_err(|_| Refused::Decrypt)?;
        assert_eq!(ready, used > 0 || opener.is_complete());
        if used == 0 {
            break;
        }
        buffer.drain(..used);
    }
    assert!(opener.needs(buffer) <= opener.max_needs());
    Ok(())
}

/// Feeds the message in parts: each part is added to what was left over, as a
/// connection's buffer is.
pub(crate) fn open_in_parts(message: &[u8], cuts: &[usize], max_out: usize) -> Outcome {
    Reader::strict().open_in_parts(message, cuts, max_out)
}

/// Cuts `bytes` at each of `cuts`, taken modulo what there is.
fn parts<'a>(bytes: &'a [u8], cuts: &[usize]) -> Vec<&'a [u8]> {
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).collect();
    cuts.extend([0, bytes.len()]);
    cuts.sort_unstable();
    cuts.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect()
}

/// A message taken apart.
pub(crate) struct Pieces {
    pub(crate) header: Vec<u8>,
    pub(crate) frames: Vec<Vec<u8>>,
    pub(crate) footer: Vec<u8>,
}

impl Pieces {
    pub(crate) fn of(message: &[u8]) -> Self {
        let (header, header_len) =
            Header::parse(message, &Limits::default(), &Policy::default()).unwrap().unwrap();
        let mut frames = Vec::new();
        let mut rest = &message[header_len..];
        loop {
            let last = rest[..4] == [0xFF; 4];
            let len = if last {
                40 + u32::from_be_bytes(rest[20..24].try_into().unwrap()) as usize
            } else {
                32 + header.frame_len()
            };
            frames.push(rest[..len].to_vec());
            rest = &rest[len..];
            if last {
                break;
            }
        }
        Self { header: message[..header_len].to_vec(), frames, footer: rest.to_vec() }
    }

    pub(crate) fn join(&self) -> Vec<u8> {
        [self.header.clone(), self.frames.concat(), self.footer.clone()].concat()
    }
}
