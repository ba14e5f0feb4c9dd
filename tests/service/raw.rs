//! Bytes on the wire, without the client library: for what it would not send.

use strongroom_client::Address;
use strongroom_wire::frame::encode_head;
use strongroom_wire::{
    Call, ErrorBody, Event, FrameDecoder, FrameKind, Payload, Request, RequestId, Run, Step,
    Trailer,
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
