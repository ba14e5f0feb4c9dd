//! Bytes on the wire, without the client library: for what it would not send.

use strongroom_client::Address;
use strongroom_wire::frame::PREFACE;
use strongroom_wire::frame::encode_head;
use strongroom_wire::{
    Call, ErrorBody, Event, FrameDecoder, FrameKind, Outcome, Payload, Request, RequestId,
    Response, Run, Step, Trailer,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use crate::house::House;

pub async fn connect(house: &House) -> UnixStream {
    match &house.address {
        Address::Unix(path) => UnixStream::connect(path).await.unwrap(),
        Address::Vm { socket, port } => {
            let mut stream = UnixStream::connect(socket).await.unwrap();
            stream.write_all(format!("CONNECT {port}\n").as_bytes()).await.unwrap();
            while stream.read_u8().await.unwrap() != b'\n' {}
            stream
        }
        address => panic!("{address} is not on a Unix socket"),
    }
}

pub fn frame(kind: FrameKind, payload: &[u8]) -> Vec<u8> {
    [&encode_head(kind, payload.len()).unwrap()[..], payload].concat()
}

pub fn request(call: Call) -> Vec<u8> {
    let request = Request { id: RequestId([1; 16]), deadline_ms: None, call };
    frame(FrameKind::Request, &request.encode().unwrap())
}

pub fn run() -> Vec<u8> {
    let args = [("tenant".to_owned(), "acme".to_owned())].into();
    request(Call::Run(Run { job: "mask".into(), args, ..Run::default() }))
}

pub fn end(bytes: usize) -> Vec<u8> {
    frame(FrameKind::End, &Trailer { bytes: bytes as u64, ..Trailer::default() }.encode().unwrap())
}

/// Sends `bytes`, closes that half, and gives the kinds of the frames that come
/// back and the last error among them.
pub async fn talk(house: &House, bytes: &[u8]) -> (Vec<FrameKind>, Option<ErrorBody>) {
    let mut stream = connect(house).await;
    // The service may close before it has read everything.
    let _ = stream.write_all(bytes).await;
    let _ = stream.shutdown().await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    let (mut decoder, mut rest) = (FrameDecoder::new(), answer.as_slice());
    let (mut kinds, mut error) = (Vec::new(), None);
    while let Ok(Step::Event { consumed, event }) = decoder.next(rest) {
        match event {
            Event::Data(_) => kinds.push(FrameKind::Data),
            Event::Control(kind, cbor) => {
                kinds.push(kind);
                if kind == FrameKind::Error {
                    error = Some(ErrorBody::decode(cbor).unwrap());
                }
            }
        }
        rest = &rest[consumed..];
    }
    house.client().await.status().await.unwrap();
    (kinds, error)
}

/// A connection on which requests follow one another.
pub struct Line {
    stream: UnixStream,
    decoder: FrameDecoder,
    input: Vec<u8>,
    /// What stands in front of the next request: the preface, once.
    preface: &'static [u8],
}

/// All that came in answer to a request.
#[derive(Debug, Default)]
pub struct Answer {
    pub outcome: Option<Outcome>,
    pub data: Vec<u8>,
    pub trailer: Option<Trailer>,
    pub error: Option<ErrorBody>,
}

impl Line {
    pub async fn to(house: &House) -> Self {
        let stream = connect(house).await;
        Self { stream, decoder: FrameDecoder::new(), input: Vec::new(), preface: &PREFACE }
    }

    /// Sends a `REQUEST` frame and the bodies behind it, reads while it writes,
    /// and gives the answer, as far as there is one.
    pub async fn ask(&mut self, request: &[u8], bodies: &[&[u8]]) -> Answer {
        let mut bytes = [std::mem::take(&mut self.preface), request].concat();
        for body in bodies {
            body.chunks(1 << 16).for_each(|piece| bytes.extend(frame(FrameKind::Data, piece)));
            bytes.extend(end(body.len()));
        }
        let (mut from, mut to) = self.stream.split();
        let (decoder, input) = (&mut self.decoder, &mut self.input);
        // The service may close before it has read everything.
        let (answer, _) = tokio::join!(answer(&mut from, decoder, input), to.write_all(&bytes));
        answer
    }
}

impl Answer {
    /// The result, which must be whole.
    #[track_caller]
    pub fn whole(self) -> Vec<u8> {
        assert_eq!(self.error, None);
        let trailer = self.trailer.expect("the answer has no end");
        assert_eq!(trailer.bytes, self.data.len() as u64);
        self.data
    }

    /// The error, of which the caller must have had no result.
    #[track_caller]
    pub fn refusal(self) -> ErrorBody {
        assert_eq!(self.trailer, None);
        self.error.expect("was not refused")
    }
}

async fn answer(
    stream: &mut (impl AsyncReadExt + Unpin),
    decoder: &mut FrameDecoder,
    input: &mut Vec<u8>,
) -> Answer {
    let mut answer = Answer::default();
    loop {
        while let Step::Event { consumed, event } = decoder.next(input).unwrap() {
            match event {
                Event::Data(bytes) => answer.data.extend_from_slice(bytes),
                Event::Control(FrameKind::Response, cbor) => {
                    answer.outcome = Some(Response::decode(cbor).unwrap().outcome);
                }
                Event::Control(FrameKind::End, cbor) => {
                    answer.trailer = Some(Trailer::decode(cbor).unwrap());
                }
                Event::Control(FrameKind::Error, cbor) => {
                    answer.error = Some(ErrorBody::decode(cbor).unwrap());
                }
                Event::Control(kind, _) => panic!("the service sent {kind:?}"),
            }
            input.drain(..consumed);
            if answer.trailer.is_some() || answer.error.is_some() {
                return answer;
            }
        }
        if stream.read_buf(input).await.unwrap_or(0) == 0 {
            return answer;
        }
    }
}

/// A run of `job`, as a `REQUEST` frame.
pub fn run_of(job: &str, args: &[(&str, &str)]) -> Vec<u8> {
    request(Call::Run(Run { job: job.into(), args: owned(args), ..Run::default() }))
}

pub fn owned(args: &[(&str, &str)]) -> std::collections::BTreeMap<String, String> {
    args.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}
