//! Headers that must not be accepted, and each limit at its bound and one past.

use proptest::prelude::*;
use strongroom_envelope::esdk::{
    CommitmentPolicy, ContextError, FormatError, Header, Limits, MESSAGE_ID_END, MessageId, Policy,
    Signatures, Suite, message_id,
};

use crate::oracle::{SUITES, encode_context};
use crate::support::{seal, seal_signed};

/// A header by its parts, none of which need be right.
#[derive(Clone)]
struct Raw {
    version: u8,
    suite: u16,
    context: Vec<u8>,
    keys: Vec<[Vec<u8>; 3]>,
    content_type: u8,
    frame_len: u32,
    /// Of format 1: type, reserved bytes, IV length.
    fixed: (u8, [u8; 4], u8),
}

impl Raw {
    fn good() -> Self {
        Self {
            version: 2,
            suite: 0x0478,
            context: encode_context(&[("k".into(), "v".into())]),
            keys: vec![[b"aws-kms".to_vec(), b"arn".to_vec(), vec![1; 10]]],
            content_type: 2,
            frame_len: 4096,
            fixed: (0x80, [0; 4], 12),
        }
    }

    fn version_1(suite: u16) -> Self {
        Self { version: 1, suite, ..Self::good() }
    }

    fn signed(public_key: &str) -> Self {
        let context = encode_context(&[("aws-crypto-public-key".into(), public_key.into())]);
        Self { suite: 0x0578, context, ..Self::good() }
    }

    fn bytes(&self) -> Vec<u8> {
        let field = |bytes: &[u8]| [&(bytes.len() as u16).to_be_bytes(), bytes].concat();
        let (message_type, reserved, iv_len) = self.fixed;
        let is_v1 = self.version == 1;
        let mut out = vec![self.version];
        out.extend(is_v1.then_some(message_type));
        out.extend(self.suite.to_be_bytes());
        out.extend(vec![5; if is_v1 { 16 } else { 32 }]);
        out.extend(field(&self.context));
        out.extend((self.keys.len() as u16).to_be_bytes());
        out.extend(self.keys.iter().flatten().flat_map(|part| field(part)));
        out.push(self.content_type);
        if is_v1 {
            out.extend(reserved);
            out.push(iv_len);
        }
        out.extend(self.frame_len.to_be_bytes());
        out.extend(vec![6; if is_v1 { 12 + 16 } else { 32 + 16 }]);
        out
    }

    fn parse(&self) -> Result<Header, FormatError> {
        parse(&self.bytes(), &Limits::default())
    }

    /// As [`parse`](Self::parse), for jobs that allow every suite.
    fn parse_legacy(&self) -> Result<Header, FormatError> {
        self.parse_under(&legacy())
    }

    fn parse_under(&self, policy: &Policy) -> Result<Header, FormatError> {
        // What is not framed needs the beginning of its body.
        let bytes = [self.bytes(), vec![0; 20]].concat();
        Ok(Header::parse(&bytes, &Limits::default(), policy)?.expect("the header is whole").0)
    }
}

fn parse(bytes: &[u8], limits: &Limits) -> Result<Header, FormatError> {
    let (header, len) =
        Header::parse(bytes, limits, &Policy::default())?.expect("the header is whole");
    assert_eq!(len, bytes.len());
    Ok(header)
}

fn legacy() -> Policy {
    Policy { commitment: CommitmentPolicy::AllowLegacy, ..Policy::default() }
}

#[track_caller]
fn assert_error(raw: &Raw, expected: FormatError) {
    assert_eq!(raw.parse().unwrap_err(), expected);
}

#[test]
fn message_id_is_the_headers_as_soon_as_it_is_there() {
    let message = seal(b"x", 9);
    let (header, _) =
        Header::parse(&message, &Limits::default(), &Policy::default()).unwrap().unwrap();
    for len in 0..message.len() {
        let id = message_id(&message[..len]);
        let whole = (len >= MESSAGE_ID_END).then(|| header.message_id());
        assert_eq!(id.as_ref().map(AsRef::as_ref), whole, "{len}");
    }
    for version in (0..=255).filter(|version| !matches!(version, 1 | 2)) {
        let other = [&[version], &message[1..]].concat();
        assert_eq!(message_id(&other), None, "version {version}");
    }
    // Format 1: the type in front of the suite, and half as long.
    let bytes = Raw::version_1(0x0178).bytes();
    assert_eq!(message_id(&bytes[..19]), None);
    assert_eq!(message_id(&bytes[..20]), Some(MessageId::V1([5; 16])));
}

proptest! {
    #[test]
    fn every_beginning_of_a_header_is_incomplete(at: prop::sample::Index, signed: bool) {
        let message = if signed { seal_signed(b"x", 9) } else { seal(b"x", 9) };
        let (_, len) = Header::parse(&message, &Limits::default(), &Policy::default()).unwrap().unwrap();
        let parsed = Header::parse(&message[..at.index(len)], &Limits::default(), &Policy::default());
        prop_assert!(parsed.unwrap().is_none());
    }

    #[test]
    fn bytes_behind_a_header_are_left_alone(tail in prop::collection::vec(any::<u8>(), 0..50)) {
        let bytes = Raw::good().bytes();
        let longer = [&bytes[..], &tail].concat();
        let (_, len) = Header::parse(&longer, &Limits::default(), &Policy::default()).unwrap().unwrap();
        prop_assert_eq!(len, bytes.len());
    }
}

#[test]
fn unknown_version_is_refused_at_its_first_byte() {
    for version in [0, 3, 0x80, 0xFF] {
        let parsed = Header::parse(&[version], &Limits::default(), &legacy());
        assert_eq!(parsed.unwrap_err(), FormatError::UnsupportedVersion(version));
    }
}

#[test]
fn suites_without_key_commitment_are_refused_by_name() {
    for suite in [0x0014, 0x0046, 0x0078, 0x0114, 0x0146, 0x0178, 0x0214, 0x0346, 0x0378] {
        assert_error(&Raw { suite, ..Raw::good() }, FormatError::NotKeyCommitting(suite));
        let [high, low] = suite.to_be_bytes();
        let version_1 =
            Header::parse(&[1, 0x80, high, low], &Limits::default(), &Policy::default());
        assert_eq!(version_1.unwrap_err(), FormatError::NotKeyCommitting(suite));
    }
    for suite in [0, 0x0479, 0x7804, 0xFFFF] {
        assert_error(&Raw { suite, ..Raw::good() }, FormatError::UnsupportedSuite(suite));
    }
}

//= https://github.com/awslabs/aws-encryption-sdk-specification/blob/master/data-format/message-header.md#supported-versions
#[test]
fn suites_stand_in_their_own_format_only() {
    for suite in SUITES {
        let of_format_1 = suite < 0x0400;
        let version = if of_format_1 { 2 } else { 1 };
        let refused = Raw { version, suite, ..Raw::good() }.parse_legacy().unwrap_err();
        assert_eq!(refused, FormatError::SuiteOfOtherVersion(suite));
    }
    // The job's refusal comes first.
    assert_error(&Raw { suite: 0x0178, ..Raw::good() }, FormatError::NotKeyCommitting(0x0178));
}

#[test]
fn suites_are_what_their_ids_say() {
    let ids: Vec<u16> = Suite::ALL.into_iter().map(Suite::id).collect();
    assert_eq!(ids, SUITES);
    let of = |wanted: fn(Suite) -> bool| -> Vec<u16> {
        Suite::ALL.into_iter().filter(|suite| wanted(*suite)).map(Suite::id).collect()
    };
    assert_eq!(of(Suite::is_signed), [0x0214, 0x0346, 0x0378, 0x0578]);
    assert_eq!(of(Suite::is_committing), [0x0478, 0x0578]);
    assert_eq!(of(|suite| suite.data_key_len() == 16), [0x0014, 0x0114, 0x0214]);
    assert_eq!(of(|suite| suite.data_key_len() == 24), [0x0046, 0x0146, 0x0346]);
}

#[test]
fn job_that_refuses_signatures_refuses_them_by_name() {
    let unsigned_only = Policy { signatures: Signatures::Refuse, ..legacy() };
    for suite in SUITES {
        let head: Vec<u8> = match suite {
            0x0478 | 0x0578 => [&[2][..], &suite.to_be_bytes()].concat(),
            _ => [&[1, 0x80][..], &suite.to_be_bytes()].concat(),
        };
        let parsed = Header::parse(&head, &Limits::default(), &unsigned_only).map(|_| ());
        let signed = matches!(suite, 0x0214 | 0x0346 | 0x0378 | 0x0578);
        assert_eq!(parsed, if signed { Err(FormatError::Signed(suite)) } else { Ok(()) });
        Header::parse(&head, &Limits::default(), &legacy()).unwrap();
    }
    // Of two reasons the one that the data's owner should hear of first.
    let neither = Policy { signatures: Signatures::Refuse, ..Policy::default() };
    let refused = Raw::version_1(0x0378).parse_under(&neither).unwrap_err();
    assert_eq!(refused, FormatError::NotKeyCommitting(0x0378));
}

#[test]
fn fixed_fields_of_format_1_have_their_values() {
    let good = Raw::version_1(0x0178);
    assert_eq!(good.parse_legacy().unwrap().message_id(), [5; 16]);
    for fixed in [(0x81, [0; 4], 12), (0x80, [0, 0, 0, 1], 12), (0x80, [0; 4], 16)] {
        let refused = Raw { fixed, ..good.clone() }.parse_legacy().unwrap_err();
        assert_eq!(refused, FormatError::FixedField);
    }
}

//= https://github.com/awslabs/aws-encryption-sdk-specification/blob/master/data-format/message-header.md#encrypted-data-key-count
#[test]
fn encrypted_data_keys_are_counted_before_they_are_read() {
    let with = |count| Raw { keys: vec![Raw::good().keys[0].clone(); count], ..Raw::good() };
    assert_error(&with(0), FormatError::NoEncryptedDataKeys);
    assert_eq!(with(8).parse().unwrap().encrypted_data_keys().len(), 8);
    assert_error(&with(9), FormatError::TooManyEncryptedDataKeys(9));
    // The count is enough: none of the thousands has to arrive.
    let mut bytes = with(1).bytes();
    let count_at = 35 + 2 + Raw::good().context.len();
    bytes.truncate(count_at);
    bytes.extend([0xFF, 0xFF]);
    let parsed = Header::parse(&bytes, &Limits::default(), &Policy::default());
    assert_eq!(parsed.unwrap_err(), FormatError::TooManyEncryptedDataKeys(0xFFFF));

    let mut raw = Raw::good();
    raw.keys[0][0] = vec![0xC3];
    assert_error(&raw, FormatError::ProviderIdNotUtf8);
}

#[test]
fn header_is_read_up_to_its_limit_and_no_further() {
    let bytes = Raw::good().bytes();
    let limit = |max_header_len| Limits { max_header_len, ..Limits::default() };
    parse(&bytes, &limit(bytes.len())).unwrap();
    let parsed = Header::parse(&bytes, &limit(bytes.len() - 1), &Policy::default());
    assert_eq!(parsed.unwrap_err(), FormatError::HeaderTooLong(bytes.len() - 1));
    // Without the last byte there is nothing to wait for either.
    let parsed =
        Header::parse(&bytes[..bytes.len() - 1], &limit(bytes.len() - 1), &Policy::default());
    assert_eq!(parsed.unwrap_err(), FormatError::HeaderTooLong(bytes.len() - 1));
    let parsed =
        Header::parse(&bytes[..bytes.len() - 2], &limit(bytes.len() - 1), &Policy::default());
    assert!(parsed.unwrap().is_none());
}

//= https://github.com/awslabs/aws-encryption-sdk-specification/blob/master/data-format/message-header.md#frame-length
#[test]
fn frame_length_is_bounded() {
    let with = |frame_len| Raw { frame_len, ..Raw::good() };
    assert_error(&with(0), FormatError::FrameLenZero);
    assert_eq!(with(1).parse().unwrap().frame_len(), 1);
    assert_eq!(with(8 << 20).parse().unwrap().frame_len(), 8 << 20);
    assert_error(&with((8 << 20) + 1), FormatError::FrameTooLong((8 << 20) + 1));
    assert_error(&with(u32::MAX), FormatError::FrameTooLong(u32::MAX));
    for good in [Raw::good(), Raw::version_1(0x0178)] {
        for content_type in [0, 3, 0x80] {
            let refused = Raw { content_type, ..good.clone() }.parse_legacy().unwrap_err();
            assert_eq!(refused, FormatError::UnsupportedContentType(content_type));
        }
        let framed = Raw { frame_len: 0, ..good.clone() };
        assert_eq!(framed.parse_legacy().unwrap_err(), FormatError::FrameLenZero);
        let in_one_piece = Raw { content_type: 1, frame_len: 0, ..good.clone() };
        assert_eq!(in_one_piece.parse_legacy().unwrap().frame_len(), 0);
        let both = Raw { content_type: 1, ..good };
        assert_eq!(both.parse_legacy().unwrap_err(), FormatError::FrameLenUnexpected(4096));
    }
}

//= https://github.com/awslabs/aws-encryption-sdk-specification/blob/master/framework/default-cmm.md#decrypt-materials
#[test]
fn verification_key_stands_in_signed_headers_only() {
    let point = "A".repeat(64) + "AA==";
    let compressed = "A".to_owned() + "g" + &point[2..];
    Raw::signed(&compressed).parse().unwrap();

    let raw = Raw { suite: 0x0578, ..Raw::good() };
    assert_error(&raw, FormatError::VerificationKeyMissing);
    let raw = Raw { suite: 0x0478, ..Raw::signed(&compressed) };
    assert_error(&raw, FormatError::VerificationKeyUnexpected);
    // Not base64; too short; too long; uncompressed or no point at all.
    // A point of the curve of another suite.
    let p256 = "A".to_owned() + "g" + &"A".repeat(42);
    let signed = |suite, public_key| Raw { version: 1, suite, ..Raw::signed(public_key) };
    signed(0x0214, &p256).parse_legacy().unwrap();
    signed(0x0378, &compressed).parse_legacy().unwrap();
    for (suite, public_key) in [(0x0214, &compressed), (0x0378, &p256)] {
        let refused = signed(suite, public_key).parse_legacy().unwrap_err();
        assert_eq!(refused, FormatError::VerificationKeyMalformed);
    }
    let bad = ["", "*", "AgAA", &(compressed.clone() + "AAAA"), &("Ag".to_owned() + &compressed)];
    for public_key in bad.into_iter().chain([point.as_str()]) {
        assert_error(&Raw::signed(public_key), FormatError::VerificationKeyMalformed);
    }
}

#[test]
fn malformed_contexts_are_refused() {
    let cases: [(&[u8], ContextError); 8] = [
        (b"\0", ContextError::Malformed),
        (b"\0\0", ContextError::Malformed),
        (b"\0\x01", ContextError::Malformed),
        (b"\0\x01\0\x01k\0\x02v", ContextError::Malformed),
        (b"\0\x01\0\x01k\0\x01v!", ContextError::Malformed),
        (b"\0\x02\0\x01k\0\x01v\0\x01k\0\x01w", ContextError::DuplicateKey),
        (b"\0\x01\0\x01\xFF\0\x01v", ContextError::NotUtf8),
        (b"\0\x01\0\x01k\0\x01\xFF", ContextError::NotUtf8),
    ];
    for (context, expected) in cases {
        let raw = Raw { context: context.to_vec(), ..Raw::good() };
        assert_error(&raw, FormatError::Context(expected));
    }
}
