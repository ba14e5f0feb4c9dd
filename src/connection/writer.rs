//! The writing half of a connection: at once, or behind what goes on meanwhile.
//!
//! A long piece of a result is hashed and written by a task of its own, while the request
//! reads, opens and works on what follows: at most one piece, whose buffer comes
//! back when it has left. Small ones are written where they are, which is faster.

use std::io::{self, IoSlice};
use std::time::Duration;

use strongroom_envelope::SecretBuf;
use strongroom_wire::FrameKind;
use strongroom_wire::frame::{MAX_DATA_LEN, encode_head};
use tokio::io::AsyncWriteExt;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::ConnectionError;
use crate::receipts::Hash;
use crate::transport::WriteHalf;

/// Writes to one connection.
pub(super) struct Writer {
    state: State,
    /// No wait for the peer is longer.
    idle: Duration,
    /// Buffers of pieces that have left.
    spare: Spare,
    /// Of the body that is being sent, where somebody wants to know.
    hash: Option<Hash>,
}

enum State {
    /// Nothing is being written.
    Ready(WriteHalf),
    /// A piece is being written, which has so many bytes of memory.
    Behind(JoinHandle<Written>, usize),
    /// A write was cut off or failed: what followed would not be understood.
    Broken,
}

/// Empty buffers, kept for their memory.
#[derive(Default)]
struct Spare {
    clear: SecretBuf,
    protected: Vec<u8>,
}

/// A piece of a result.
pub enum Piece {
    /// As it leaves the operation, where the job lets it.
    Clear(SecretBuf),
    /// Protected.
    Protected(Vec<u8>),
}

struct Written {
    half: WriteHalf,
    piece: Piece,
    hash: Option<Hash>,
    result: Result<(), ConnectionError>,
}

impl Writer {
    pub(super) fn new(half: WriteHalf, idle: Duration) -> Self {
        Self { state: State::Ready(half), idle, spare: Spare::default(), hash: None }
    }

    /// Whether what is written would still be understood.
    pub(super) const fn is_broken(&self) -> bool {
        matches!(self.state, State::Broken)
    }

    /// Bytes of memory that its buffers have.
    pub(super) fn memory(&self) -> usize {
        let behind = match self.state {
            State::Behind(_, memory) => memory,
            State::Ready(_) | State::Broken => 0,
        };
        let Spare { clear, protected } = &self.spare;
        behind.saturating_add(clear.capacity()).saturating_add(protected.capacity())
    }

    /// Begins a body, which is `hashed` or not.
    pub(super) async fn begin(&mut self, hashed: bool) -> Result<(), ConnectionError> {
        self.settle().await?;
        self.hash = hashed.then(Hash::new);
        Ok(())
    }

    /// Notes bytes of the body that are sent where they are.
    pub(super) async fn note(&mut self, bytes: &[u8]) -> Result<(), ConnectionError> {
        self.settle().await?;
        if let Some(hash) = &mut self.hash {
            hash.update(bytes);
        }
        Ok(())
    }

    /// SHA-256 of the body, which has ended, if it is hashed.
    pub(super) async fn digest(&mut self) -> Result<Option<[u8; 32]>, ConnectionError> {
        self.settle().await?;
        Ok(self.hash.take().map(Hash::finish))
    }

    /// Lets go of spare buffers.
    pub(super) fn trim(&mut self) {
        self.spare = Spare::default();
    }

    /// Writes the pieces, together where the transport can, after what is being
    /// written.
    pub(super) async fn write(
        &mut self,
        first: &[u8],
        second: &[u8],
    ) -> Result<(), ConnectionError> {
        let mut half = self.half().await?;
        // Stays broken when the future is dropped half-way, at a deadline.
        let mut pieces = [IoSlice::new(first), IoSlice::new(second)];
        let written = timeout(self.idle, write_all(&mut half, &mut pieces)).await;
        written.map_err(|_| ConnectionError::Idle)??;
        self.state = State::Ready(half);
        Ok(())
    }

    /// Writes what waits before it and then the piece, in `DATA` frames, while the
    /// caller goes on.
    pub(super) async fn write_behind(
        &mut self,
        before: Vec<u8>,
        piece: Piece,
    ) -> Result<(), ConnectionError> {
        let mut half = self.half().await?;
        let (idle, memory, mut hash) = (self.idle, piece.capacity(), self.hash.take());
        let task = tokio::spawn(async move {
            if let Some(hash) = &mut hash {
                hash.update(piece.bytes());
            }
            let result = data(&mut half, before, piece.bytes(), idle).await;
            Written { half, piece: piece.emptied(), hash, result }
        });
        // The scheduler keeps the newest task for the very thread that made it. With
        // one that is newer, another thread may take the write (measured: 0.59 of a
        // raw echo without, 0.74 with).
        tokio::spawn(std::future::ready(()));
        self.state = State::Behind(task, memory);
        Ok(())
    }

    /// An empty buffer for a piece in the clear.
    pub(super) fn spare_clear(&mut self) -> SecretBuf {
        std::mem::take(&mut self.spare.clear)
    }

    /// An empty buffer for a protected piece.
    pub(super) fn spare_protected(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.spare.protected)
    }

    /// Gives up what is being written, and all that would follow.
    pub(super) fn abandon(&mut self) {
        if let State::Behind(task, _) = std::mem::replace(&mut self.state, State::Broken) {
            task.abort();
        }
    }

    pub(super) async fn shutdown(&mut self) -> Result<(), ConnectionError> {
        Ok(self.half().await?.shutdown().await?)
    }

    /// Waits until what is being written has left.
    async fn settle(&mut self) -> Result<(), ConnectionError> {
        let State::Behind(task, _) = &mut self.state else { return Ok(()) };
        let written = task.await;
        self.state = State::Broken;
        let Written { half, piece, hash, result } = written.map_err(io::Error::other)?;
        match piece {
            Piece::Clear(buffer) => self.spare.clear = buffer,
            Piece::Protected(buffer) => self.spare.protected = buffer,
        }
        result?;
        self.hash = hash;
        self.state = State::Ready(half);
        Ok(())
    }

    /// The half, when what is being written has left. Until it is put back, the
    /// connection counts as broken.
    async fn half(&mut self) -> Result<WriteHalf, ConnectionError> {
        self.settle().await?;
        match std::mem::replace(&mut self.state, State::Broken) {
            State::Ready(half) => Ok(half),
            State::Behind(..) | State::Broken => {
                Err(io::Error::from(io::ErrorKind::BrokenPipe).into())
            }
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.abandon();
    }
}

impl Piece {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Clear(buffer) => buffer.expose(),
            Self::Protected(buffer) => buffer,
        }
    }

    fn capacity(&self) -> usize {
        match self {
            Self::Clear(buffer) => buffer.capacity(),
            Self::Protected(buffer) => buffer.capacity(),
        }
    }

    fn emptied(mut self) -> Self {
        match &mut self {
            Self::Clear(buffer) => buffer.clear(),
            Self::Protected(buffer) => buffer.clear(),
        }
        self
    }
}

/// Writes `before`, and then `bytes` in `DATA` frames.
async fn data(
    half: &mut WriteHalf,
    before: Vec<u8>,
    bytes: &[u8],
    idle: Duration,
) -> Result<(), ConnectionError> {
    let mut head = before;
    for piece in bytes.chunks(MAX_DATA_LEN) {
        head.extend_from_slice(&encode_head(FrameKind::Data, piece.len())?);
        let mut pieces = [IoSlice::new(&head), IoSlice::new(piece)];
        let written = timeout(idle, write_all(half, &mut pieces)).await;
        written.map_err(|_| ConnectionError::Idle)??;
        head.clear();
    }
    Ok(())
}

/// Writes all of several pieces, together where the transport can.
async fn write_all(half: &mut WriteHalf, mut pieces: &mut [IoSlice<'_>]) -> io::Result<()> {
    // Drops those that are empty.
    IoSlice::advance_slices(&mut pieces, 0);
    while !pieces.is_empty() {
        match half.write_vectored(pieces).await? {
            0 => return Err(io::ErrorKind::WriteZero.into()),
            written => IoSlice::advance_slices(&mut pieces, written),
        }
    }
    Ok(())
}
