//! Padding: the length says a multiple only, and nothing but the padding goes.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::as_conversions,
    clippy::panic,
    missing_docs
)]

use proptest::prelude::*;
use strongroom_envelope::SecretBuf;
use strongroom_envelope::padding::{MAX_PAD_TO, PIECE_LEN, Padder, PaddingError, Unpadder};

/// `data` and its padding, written piece by piece.
fn padded(data: &[u8], pad_to: u64) -> Vec<u8> {
    let mut padder = Padder::new(pad_to).unwrap();
    for piece in data.chunks(7) {
        padder.count(piece.len() as u64);
    }
    let mut padding = padder.finish();
    let mut stream = data.to_vec();
    loop {
        let mut out = SecretBuf::new();
        let remaining = padding.remaining();
        let count = padding.emit(&mut out);
        assert!(count == out.len() && count <= PIECE_LEN);
        assert_eq!(padding.remaining(), remaining - count as u64);
        if count == 0 {
            assert_eq!(remaining, 0);
            return stream;
        }
        stream.extend_from_slice(out.expose());
    }
}

/// What [`Unpadder`] makes of a stream that arrives in `pieces`.
fn unpadded<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> (Vec<u8>, Result<(), PaddingError>) {
    let mut unpadder = Unpadder::new();
    let mut data = Vec::new();
    let mut out = SecretBuf::new();
    for mut piece in pieces {
        while !piece.is_empty() {
            let taken = unpadder.feed(piece, &mut out);
            assert!(out.len() <= PIECE_LEN, "{} bytes at once", out.len());
            assert!(taken > 0 || !out.is_empty(), "no progress");
            piece = &piece[taken..];
            data.extend_from_slice(out.expose());
            out.clear();
        }
    }
    (data, unpadder.finish())
}

#[test]
fn stream_that_does_not_end_in_padding_is_refused() {
    for stream in [&b""[..], b"\0", b"\0\0", b"data", b"data\0", b"data\x80\x01", b"\x80\0\x7F\0"] {
        assert_eq!(unpadded([stream]).1, Err(PaddingError::NotPadded), "{stream:?}");
    }
}

#[test]
fn data_that_looks_like_padding_is_kept() {
    for data in
        [&b""[..], b"\x80", b"\x80\x80", b"\x80\0\0", b"\0\0", b"a\x80\0b\x80\0\x80", b"\xFF"]
    {
        for pad_to in [1, 2, 7, 16] {
            let stream = padded(data, pad_to);
            assert_eq!(unpadded([&stream[..]]), (data.to_vec(), Ok(())));
            assert_eq!(unpadded(stream.chunks(1)), (data.to_vec(), Ok(())));
        }
    }
}

#[test]
fn at_least_one_byte_is_always_added() {
    assert_eq!(padded(b"", 1), b"\x80");
    assert_eq!(padded(b"abcd", 4), b"abcd\x80\0\0\0");
    assert_eq!(padded(b"abc", 4), b"abc\x80");
    assert_eq!(padded(b"", 4), b"\x80\0\0\0");
}

#[test]
fn pad_to_outside_its_range_is_refused() {
    for pad_to in [0, MAX_PAD_TO + 1, u64::MAX] {
        assert_eq!(Padder::new(pad_to).err(), Some(PaddingError::PadTo(pad_to)));
    }
}

#[test]
fn counts_do_not_overflow() {
    let mut padder = Padder::new(MAX_PAD_TO).unwrap();
    for _ in 0..3 {
        padder.count(u64::MAX);
    }
    // 3 × (2⁶⁴ − 1) is −3 modulo any power of two: the padding is 3 bytes.
    assert_eq!(padder.finish().remaining(), 3);
}

#[test]
fn largest_padding_is_written_and_removed_in_pieces() {
    let stream = padded(b"x", MAX_PAD_TO);
    assert_eq!(stream.len() as u64, MAX_PAD_TO);
    assert_eq!(unpadded([&stream[..]]), (b"x".to_vec(), Ok(())));
    assert_eq!(unpadded(stream.chunks(PIECE_LEN - 1)), (b"x".to_vec(), Ok(())));
}

#[test]
fn long_run_that_turns_out_to_be_data_is_released_in_pieces() {
    let mut data = vec![0; 5 * PIECE_LEN + 3];
    data[0] = 0x80;
    for end in [0x01, 0x80] {
        let stream = [&data[..], &[end]].concat();
        let expected = if end == 0x80 { &data[..] } else { &stream[..] };
        let (unpadded, ended) = unpadded(stream.chunks(1000));
        assert!(unpadded == expected);
        assert_eq!(ended.is_ok(), end == 0x80);
    }
}

/// Bytes that make runs likely.
fn tricky() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(prop::sample::select(vec![0, 0, 0, 0x80, 1]), 0..60)
}

proptest! {
    #[test]
    fn padding_comes_off_again_in_any_split(
        data in tricky(),
        pad_to in 1..40_u64,
        cuts in prop::collection::vec(1..10_usize, 1..10),
    ) {
        let stream = padded(&data, pad_to);
        prop_assert_eq!(stream.len() as u64 % pad_to, 0);
        prop_assert!(stream.len() > data.len() && (stream.len() - data.len()) as u64 <= pad_to);
        let (mut pieces, mut rest) = (Vec::new(), &stream[..]);
        for cut in cuts.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (piece, behind) = rest.split_at(rest.len().min(*cut));
            pieces.push(piece);
            rest = behind;
        }
        prop_assert_eq!(unpadded(pieces), (data, Ok(())));
    }

    #[test]
    fn any_stream_is_read_as_a_reader_with_all_of_it_would(stream in tricky()) {
        let expected = stream
            .iter()
            .rposition(|byte| *byte != 0)
            .filter(|at| stream[*at] == 0x80)
            .map(|at| stream[..at].to_vec());
        let (data, ended) = unpadded(stream.chunks(3));
        prop_assert_eq!(ended.is_ok().then_some(data), expected);
    }
}
