//! Peers for a measuring run, in an image that brings [`WANTED`].
//!
//! Beside the service, in its process and under its sandbox, on vsock ports of
//! their own: a raw echo, an echo through the service's own [`Connection`], the
//! speed of the ciphers alone, and the machine's clock. What the service costs
//! is then told apart from what the machine costs, in one boot.

use std::path::Path;
use std::time::Duration;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::digest;
use aws_lc_rs::error::Unspecified;
use bytes::BytesMut;
use rustix::time::{ClockId, clock_gettime};
use strongroom::connection::{Body, Connection, ConnectionError};
use strongroom::transport::{Listener, Stream};
use strongroom_wire::{FrameKind, Outcome, Payload, Protect, Response, Trailer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// What went wrong with a caller.
#[derive(Debug, thiserror::Error)]
enum MeasureError {
    #[error(transparent)]
    Io(#[from] std::io::Error),
    #[error(transparent)]
    Connection(#[from] ConnectionError),
    #[error("the cipher fails")]
    Cipher(#[from] Unspecified),
}

/// Notes the time, as PID 1; serves, as the service.
pub(crate) fn begin() {
    if !Path::new(WANTED).exists() {
        return;
    }
    let now = millis(ClockId::Boottime);
    if std::process::id() == 1 {
        let _ = std::fs::write(INIT_AT, now.to_string());
        return;
    }
    // Read now: the sandbox lets nothing be opened later.
    let init = std::fs::read_to_string(INIT_AT).unwrap_or_default();
    let times = format!("init {init} service {now}");
    std::thread::spawn(move || serve(&times));
}

fn serve(times: &str) -> Result<(), MeasureError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        // While sockets can still be made.
        let ports = [ECHO, FRAMED, SPEED, CLOCK];
        let [echo, framed, speed, clock] = ports.map(Listener::vsock);
        let (echo, framed, speed, clock) = (echo?, framed?, speed?, clock?);
        loop {
            // One caller at a time; who leaves early harms nobody.
            let _ = tokio::select! {
                accepted = echo.accept() => answer_echo(accepted?.0).await,
                accepted = framed.accept() => answer_framed(accepted?.0).await,
                accepted = speed.accept() => say(accepted?.0, &speeds()?).await,
                accepted = clock.accept() => {
                    let now = millis(ClockId::Boottime);
                    say(accepted?.0, &format!("{times} now {now}")).await
                }
            };
        }
    })
}

/// Every byte back, with the service's reads of 256 KiB and writes of 32 KiB
/// (which are [`Stream`]'s).
async fn answer_echo(mut stream: Stream) -> Result<(), MeasureError> {
    let mut buffer = BytesMut::with_capacity(READ);
    while stream.read_buf(&mut buffer).await? > 0 {
        stream.write_all(&buffer).await?;
        buffer.clear();
    }
    Ok(stream.shutdown().await?)
}

/// Every body back as a result, framed by the service's own code and no more.
async fn answer_framed(stream: Stream) -> Result<(), MeasureError> {
    let mut conn = Connection::new(stream, IDLE);
    while let Some(request) = conn.next_request().await? {
        conn.expect_bodies(1);
        let outcome = Outcome::Run { protect: Protect::None };
        let response = Response { id: request.id, outcome };
        conn.queue(FrameKind::Response, &response.encode().map_err(ConnectionError::from)?)?;
        let (mut piece, mut bytes) = (BytesMut::new(), 0_u64);
        while conn.read_body(&mut piece).await? == Body::More {
            bytes = bytes.saturating_add(u64::try_from(piece.len()).unwrap_or(u64::MAX));
            conn.send_data(&piece).await?;
            piece.clear();
        }
        conn.send(FrameKind::End, &Trailer { bytes, ..Trailer::default() }).await?;
    }
    Ok(())
}

async fn say(mut stream: Stream, line: &str) -> Result<(), MeasureError> {
    stream.write_all(line.as_bytes()).await?;
    Ok(stream.shutdown().await?)
}

/// Milliseconds of this thread's processor time that 32 MiB take, in pieces of
/// 64 KiB: sealed, opened, hashed.
fn speeds() -> Result<String, MeasureError> {
    let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &[7; 32])?);
    let nonce = || Nonce::assume_unique_for_key([9; 12]);
    let mut piece = vec![0; PIECE];
    let seal = timed(|| {
        for _ in 0..PIECES {
            let _ = key.seal_in_place_separate_tag(nonce(), Aad::empty(), &mut piece)?;
        }
        Ok(())
    })?;
    piece.fill(0);
    let tag = key.seal_in_place_separate_tag(nonce(), Aad::empty(), &mut piece)?;
    let mut plain = vec![0; PIECE];
    let open = timed(|| {
        for _ in 0..PIECES {
            key.open_separate_gather(nonce(), Aad::empty(), &piece, tag.as_ref(), &mut plain)?;
        }
        Ok(())
    })?;
    let sha256 = timed(|| {
        let mut hash = digest::Context::new(&digest::SHA256);
        for _ in 0..PIECES {
            hash.update(&piece);
        }
        let _ = hash.finish();
        Ok(())
    })?;
    Ok(format!("seal {seal} open {open} sha256 {sha256}"))
}

fn timed(work: impl FnOnce() -> Result<(), Unspecified>) -> Result<u64, Unspecified> {
    let before = millis(ClockId::ThreadCPUTime);
    work()?;
    Ok(millis(ClockId::ThreadCPUTime).saturating_sub(before))
}

/// A clock's milliseconds.
fn millis(clock: ClockId) -> u64 {
    let now = clock_gettime(clock);
    let secs = u64::try_from(now.tv_sec).unwrap_or(0);
    let nanos = u64::try_from(now.tv_nsec).unwrap_or(0);
    secs.saturating_mul(1000).saturating_add(nanos / 1_000_000)
}

/// A file whose presence asks for the peers.
const WANTED: &str = "/lab-measure";

/// Where PID 1 leaves the time of its start.
const INIT_AT: &str = "/lab-init-at";

/// The peers' vsock ports.
const ECHO: u32 = 6000;
const FRAMED: u32 = 6001;
const SPEED: u32 = 6002;
const CLOCK: u32 = 6003;

/// Bytes read at once, as the service reads a body.
const READ: usize = 256 << 10;

/// What the ciphers are given: 512 pieces of 64 KiB.
const PIECE: usize = 64 << 10;
const PIECES: usize = 512;

const IDLE: Duration = Duration::from_secs(60);
