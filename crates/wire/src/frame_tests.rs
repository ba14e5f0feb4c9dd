//! Frames: what is accepted, what is refused, and that splits do not matter.

use super::*;
use proptest::prelude::*;

#[derive(Debug, PartialEq, Eq, Clone)]
enum Owned {
    Control(u8, Vec<u8>),
    Data(Vec<u8>),
}

/// Feeds `stream` in pieces cut at `cuts`; joins neighbouring data.
fn decode(stream: &[u8], cuts: &[usize]) -> Result<Vec<Owned>, FrameError> {
    let mut decoder = FrameDecoder::new();
    let mut pending = Vec::new();
    let mut seen: Vec<Owned> = Vec::new();
    let mut bounds: Vec<usize> = cuts.iter().map(|c| c % (stream.len() + 1)).collect();
    bounds.push(stream.len());
    bounds.sort_unstable();
    let mut at = 0;
    for bound in bounds {
        pending.extend_from_slice(&stream[at..bound]);
        at = bound;
        while let Step::Event { consumed, event } = decoder.next(&pending)? {
            match event {
                Event::Control(kind, cbor) => seen.push(Owned::Control(kind.code(), cbor.to_vec())),
                Event::Data(bytes) => match seen.last_mut() {
                    Some(Owned::Data(data)) => data.extend_from_slice(bytes),
                    _ => seen.push(Owned::Data(bytes.to_vec())),
                },
            }
            pending.drain(..consumed);
        }
    }
    Ok(seen)
}

fn frame(kind: FrameKind, payload: &[u8]) -> Vec<u8> {
    let mut bytes = encode_head(kind, payload.len()).unwrap().to_vec();
    bytes.extend_from_slice(payload);
    bytes
}

fn connection(frames: &[(FrameKind, &[u8])]) -> Vec<u8> {
    let mut bytes = PREFACE.to_vec();
    for (kind, payload) in frames {
        bytes.extend(frame(*kind, payload));
    }
    bytes
}

#[test]
fn another_protocol_is_refused_at_its_first_wrong_byte() {
    let mut decoder = FrameDecoder::new();
    assert_eq!(decoder.next(b"SRO"), Ok(Step::NeedMore(8)));
    assert_eq!(decoder.next(b"SRT"), Err(FrameError::Preface));
    assert_eq!(FrameDecoder::new().next(b"GET / HTTP/1.1"), Err(FrameError::Preface));
    assert_eq!(FrameDecoder::new().next(b"SROOM\0\0\x02"), Err(FrameError::Preface));
}

#[test]
fn lengths_outside_the_limits_are_refused_from_the_head_alone() {
    for (kind, len, ok) in [
        (1, MAX_CONTROL_LEN, true),
        (1, MAX_CONTROL_LEN + 1, false),
        (3, MAX_DATA_LEN, true),
        (3, MAX_DATA_LEN + 1, false),
        (3, 0, false),
        (4, 0, false),
        (3, 0xffff_ffff, false),
    ] {
        let mut bytes = PREFACE.to_vec();
        bytes.extend([kind, 0, 0, 0]);
        bytes.extend(u32::try_from(len).unwrap().to_be_bytes());
        assert_eq!(FrameDecoder::new().next(&bytes).is_ok(), ok, "kind {kind} length {len}");
    }
}

#[test]
fn unknown_kinds_and_reserved_bits_are_refused() {
    for head in [[0, 0, 0, 0], [6, 0, 0, 0], [3, 1, 0, 0], [3, 0, 1, 0], [3, 0, 0, 1]] {
        let mut bytes = PREFACE.to_vec();
        bytes.extend(head);
        bytes.extend([0, 0, 0, 1, 0]);
        assert!(FrameDecoder::new().next(&bytes).is_err(), "{head:?}");
    }
}

#[test]
fn the_end_of_the_stream_inside_a_data_frame_is_no_boundary() {
    let bytes = connection(&[(FrameKind::Data, b"four")]);
    let mut decoder = FrameDecoder::new();
    assert!(matches!(decoder.next(&bytes[..18]), Ok(Step::Event { consumed: 18, .. })));
    assert!(!decoder.at_boundary());
    assert!(matches!(decoder.next(&bytes[18..]), Ok(Step::Event { consumed: 2, .. })));
    assert!(decoder.at_boundary());
}

proptest! {
    #[test]
    fn any_split_of_the_stream_gives_the_same_events(
        payloads in prop::collection::vec((0_u8..2, prop::collection::vec(any::<u8>(), 1..80)), 0..6),
        cuts in prop::collection::vec(any::<usize>(), 0..12),
    ) {
        let frames: Vec<(FrameKind, &[u8])> = payloads
            .iter()
            .map(|(kind, p)| (if *kind == 0 { FrameKind::Request } else { FrameKind::Data }, p.as_slice()))
            .collect();
        let stream = connection(&frames);
        prop_assert_eq!(decode(&stream, &cuts), decode(&stream, &[]));
    }

    #[test]
    fn no_input_panics(input in prop::collection::vec(any::<u8>(), 0..200), preface: bool) {
        let mut stream = if preface { PREFACE.to_vec() } else { Vec::new() };
        stream.extend(input);
        let _ = decode(&stream, &[3, 9, 40]);
    }
}
