use strongroom_wire::{Call, RequestId};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use super::*;

#[tokio::test]
async fn one_byte_of_another_request_does_not_keep_the_memory_of_a_long_result() {
    let (ours, peer) = UnixStream::pair().unwrap();
    let (mut reading, mut writing) = peer.into_split();
    let mut conn = Connection::new(Stream::Unix(ours), Duration::from_secs(60));
    let request =
        Request { id: RequestId([1; 16]), deadline_ms: None, call: Call::Status {} }.encode();
    let request = request.unwrap();
    let head = encode_head(FrameKind::Request, request.len()).unwrap();
    writing.write_all(&[&PREFACE[..], &head, &request, &head[..1]].concat()).await.unwrap();
    let fetching = tokio::spawn(async move {
        let mut piece = vec![0; 1 << 16];
        while reading.read(&mut piece).await.unwrap() > 0 {}
    });
    conn.next_request().await.unwrap().unwrap();
    let mut result = SecretBuf::new();
    result.grow(8 << 20);
    conn.send_clear(&mut result).await.unwrap();
    conn.send(FrameKind::End, &Trailer::default()).await.unwrap();
    // The request is over, and counts no more.
    assert!(timeout(Duration::from_millis(200), conn.next_request()).await.is_err());
    assert!(conn.memory() < 64 << 10, "{} bytes", conn.memory());
    drop(conn);
    fetching.await.unwrap();
}
