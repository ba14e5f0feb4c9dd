//! What the tests of sealed results share: a request, a stream over it, and the
//! format written down a second time from the module's documentation.

use std::collections::BTreeMap;
use std::ops::Range;

use sha2::{Digest, Sha256};
use strongroom_envelope::SecretBuf;
use strongroom_envelope::seal::{
    Binding, MAGIC, MAX_CHUNK_LEN, OpenError, Opener, RecipientPublicKey, RecipientSecretKey,
    Setup, StreamHeader,
};

pub(crate) const DOCUMENT: &[u8] = b"an attestation document";

/// Owner of a binding's parts.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) id: [u8; 16],
    pub(crate) job: String,
    pub(crate) args: BTreeMap<String, String>,
    pub(crate) input: Vec<u8>,
    pub(crate) nonce: Option<Vec<u8>>,
    pub(crate) padded: bool,
}

impl Request {
    pub(crate) fn new() -> Self {
        let args = [("tenant", "acme"), ("zone", "")].map(|(k, v)| (k.to_owned(), v.to_owned()));
        Self {
            id: [9; 16],
            job: "mask-customers".to_owned(),
            args: args.into(),
            input: vec![5; 32],
            nonce: Some(vec![4; 20]),
            padded: false,
        }
    }

    pub(crate) fn binding(&self) -> Binding<'_> {
        Binding {
            request_id: self.id,
            job: &self.job,
            args: &self.args,
            input: &self.input,
            nonce: self.nonce.as_deref(),
            padded: self.padded,
        }
    }
}

/// A stream, and the `user_data` its document would carry.
pub(crate) struct Sealed {
    pub(crate) stream: Vec<u8>,
    pub(crate) user_data: Vec<u8>,
    pub(crate) header_len: usize,
}

pub(crate) fn seal(to: &RecipientPublicKey, request: &Request, plaintext: &[u8]) -> Sealed {
    seal_in(to, request, &[plaintext])
}

pub(crate) fn seal_in(to: &RecipientPublicKey, request: &Request, pieces: &[&[u8]]) -> Sealed {
    let setup = Setup::new(to, &request.binding()).unwrap();
    let user_data = setup.user_data().to_vec();
    let mut stream = Vec::new();
    let mut sealer = setup.start(DOCUMENT, &mut stream).unwrap();
    let header_len = stream.len();
    for piece in pieces {
        sealer.seal(piece, &mut stream).unwrap();
    }
    sealer.finish(&mut stream).unwrap();
    Sealed { stream, user_data, header_len }
}

impl Sealed {
    /// Where each chunk lies in the stream.
    pub(crate) fn chunks(&self) -> Vec<Range<usize>> {
        let mut chunks = Vec::new();
        let mut at = self.header_len;
        while at < self.stream.len() {
            let head = u32::from_be_bytes(self.stream[at..at + 4].try_into().unwrap());
            let end = at + 4 + (head & 0x7fff_ffff) as usize;
            chunks.push(at..end);
            at = end;
        }
        chunks
    }

    /// The header, then these chunks in this order.
    pub(crate) fn arranged(&self, order: &[usize]) -> Vec<u8> {
        let chunks = self.chunks();
        let mut stream = self.stream[..self.header_len].to_vec();
        for &index in order {
            stream.extend_from_slice(&self.stream[chunks[index].clone()]);
        }
        stream
    }
}

pub(crate) fn open(
    secret: &RecipientSecretKey,
    request: &Request,
    user_data: &[u8],
    stream: &[u8],
) -> Result<Vec<u8>, OpenError> {
    let (header, length) = StreamHeader::parse(stream).unwrap().unwrap();
    let mut opener = Opener::new(&header, &request.binding(), secret, user_data)?;
    let mut out = SecretBuf::new();
    let taken = opener.open(&stream[length..], &mut out)?;
    if length + taken < stream.len() {
        return Err(OpenError::OpenFailed);
    }
    opener.finish()?;
    Ok(out.expose().to_vec())
}

/// A pair, a request and a stream of three chunks.
pub(crate) fn three_chunks() -> (RecipientSecretKey, Request, Sealed, Vec<u8>) {
    let (secret, public) = RecipientSecretKey::generate().unwrap();
    let plaintext: Vec<u8> = (0..2 * MAX_CHUNK_LEN + 1000).map(|i| (i % 251) as u8).collect();
    let sealed = seal(&public, &Request::new(), &plaintext);
    assert_eq!(sealed.chunks().len(), 3);
    (secret, Request::new(), sealed, plaintext)
}

/// `info`, written down from the module's documentation.
pub(crate) fn info(request: &Request) -> [u8; 32] {
    let sized = |bytes: &[u8]| [&(bytes.len() as u64).to_be_bytes()[..], bytes].concat();
    let mut input = b"strongroom sealed result v1: info\0".to_vec();
    input.extend(request.id);
    input.extend(sized(request.job.as_bytes()));
    input.extend((request.args.len() as u64).to_be_bytes());
    for (name, value) in &request.args {
        input.extend(sized(name.as_bytes()));
        input.extend(sized(value.as_bytes()));
    }
    input.extend(sized(&request.input));
    input.push(u8::from(request.nonce.is_some()));
    input.extend(sized(request.nonce.as_deref().unwrap_or_default()));
    input.push(u8::from(request.padded));
    Sha256::digest(input).into()
}

pub(crate) fn user_data(request: &Request, enc: &[u8; 32], recipient: &[u8; 32]) -> Vec<u8> {
    let domain = &b"strongroom sealed result v1: attested\0"[..];
    let hash = Sha256::digest([domain, enc, recipient, &info(request)].concat());
    [&b"SRSEAL\x00\x01"[..], &hash].concat()
}

pub(crate) fn aad(index: usize, last: bool) -> Vec<u8> {
    [&(index as u64).to_be_bytes()[..], &[u8::from(last)]].concat()
}

/// The header, its CBOR put together by hand.
pub(crate) fn header(request: &Request, enc: &[u8; 32]) -> Vec<u8> {
    let entries = 6 + u8::from(request.nonce.is_some()) + u8::from(request.padded);
    let mut map = vec![0xa0 + entries];
    map.extend([text("request_id"), bytes(&request.id), text("job"), text(&request.job)].concat());
    map.extend(text("args"));
    map.push(0xa0 | request.args.len() as u8);
    for (name, value) in &request.args {
        map.extend([text(name), text(value)].concat());
    }
    map.extend([text("input"), bytes(&request.input)].concat());
    if let Some(nonce) = &request.nonce {
        map.extend([text("nonce"), bytes(nonce)].concat());
    }
    if request.padded {
        map.extend([text("padded"), vec![0xf5]].concat());
    }
    map.extend([text("enc"), bytes(enc), text("attestation"), bytes(DOCUMENT)].concat());
    framed(&map)
}

pub(crate) fn framed(map: &[u8]) -> Vec<u8> {
    [&MAGIC[..], &(map.len() as u32).to_be_bytes(), map].concat()
}

pub(crate) fn text(text: &str) -> Vec<u8> {
    string(0x60, text.as_bytes())
}

pub(crate) fn bytes(bytes: &[u8]) -> Vec<u8> {
    string(0x40, bytes)
}

pub(crate) fn string(major: u8, contents: &[u8]) -> Vec<u8> {
    let head = match contents.len() {
        length @ 0..24 => vec![major | length as u8],
        length @ 24..256 => vec![major | 24, length as u8],
        length => vec![major | 25, (length >> 8) as u8, length as u8],
    };
    [&head[..], contents].concat()
}
