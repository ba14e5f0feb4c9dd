//! A bounded BER walker (X.690 section 8.1), just enough for [`super::parse`].
//!
//! Values come in the order the caller asks for; anything else is [`Malformed`].
//! Every value entered must be read to its end, so no byte of a message escapes
//! the profile. The walker allocates nothing, and its one recursion is bounded
//! by [`MAX_DEPTH`].

/// Most indefinite lengths open one inside another. KMS nests five.
pub(super) const MAX_DEPTH: usize = 8;

pub(super) const INTEGER: u8 = 0x02;
pub(super) const OCTET_STRING: u8 = 0x04;
pub(super) const NULL: u8 = 0x05;
pub(super) const OID: u8 = 0x06;
pub(super) const OCTET_STRING_CONSTRUCTED: u8 = OCTET_STRING | CONSTRUCTED;
pub(super) const SEQUENCE: u8 = 0x30;
pub(super) const SET: u8 = 0x31;
pub(super) const CONTEXT_0: u8 = 0x80;
pub(super) const CONTEXT_0_CONSTRUCTED: u8 = CONTEXT_0 | CONSTRUCTED;
pub(super) const CONTEXT_1_CONSTRUCTED: u8 = 0xa1;
pub(super) const CONTEXT_2_CONSTRUCTED: u8 = 0xa2;

const CONSTRUCTED: u8 = 0x20;
const INDEFINITE: u8 = 0x80;
const END_OF_CONTENTS: [u8; 2] = [0, 0];

/// The bytes are not what the caller asked for. Says no more on purpose.
#[derive(Debug)]
pub(super) struct Malformed;

/// The unread rest of one value's contents.
pub(super) struct Reader<'a>(&'a [u8]);

/// Reads all of `input` with `read`; bytes left over are an error.
pub(super) fn read_all<'a, T>(
    input: &'a [u8],
    read: impl FnOnce(&mut Reader<'a>) -> Result<T, Malformed>,
) -> Result<T, Malformed> {
    let mut reader = Reader(input);
    let value = read(&mut reader)?;
    if reader.0.is_empty() { Ok(value) } else { Err(Malformed) }
}

impl<'a> Reader<'a> {
    /// Whether nothing is left.
    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Identifier of the next value.
    pub(super) fn peek(&self) -> Option<u8> {
        self.0.first().copied()
    }

    /// Contents of the next value, which must have this identifier.
    pub(super) fn contents(&mut self, identifier: u8) -> Result<&'a [u8], Malformed> {
        let (header, body) = Header::read(self.0)?;
        if header.identifier != identifier {
            return Err(Malformed);
        }
        let (contents, rest) = match header.length {
            Some(length) => body.split_at_checked(length).ok_or(Malformed)?,
            None => split_indefinite(body, MAX_DEPTH)?,
        };
        self.0 = rest;
        Ok(contents)
    }

    /// The next value must be this identifier with exactly these contents.
    pub(super) fn expect(&mut self, identifier: u8, contents: &[u8]) -> Result<(), Malformed> {
        if self.contents(identifier)? == contents { Ok(()) } else { Err(Malformed) }
    }

    /// Contents of the next value, which must be `N` bytes.
    pub(super) fn array<const N: usize>(&mut self, id: u8) -> Result<&'a [u8; N], Malformed> {
        self.contents(id)?.try_into().map_err(|_| Malformed)
    }

    /// Reads the contents of the next value with `read`, to their end.
    pub(super) fn within<T>(
        &mut self,
        identifier: u8,
        read: impl FnOnce(&mut Self) -> Result<T, Malformed>,
    ) -> Result<T, Malformed> {
        read_all(self.contents(identifier)?, read)
    }
}

struct Header {
    identifier: u8,
    /// `None` for an indefinite length.
    length: Option<usize>,
}

impl Header {
    /// Tags of several bytes need no rule of their own: their first byte is no
    /// identifier that anyone asks for.
    fn read(input: &[u8]) -> Result<(Self, &[u8]), Malformed> {
        let (&[identifier, first], rest) = input.split_first_chunk().ok_or(Malformed)?;
        let (length, rest) = match first {
            0..INDEFINITE => (Some(usize::from(first)), rest),
            INDEFINITE if identifier & CONSTRUCTED != 0 => (None, rest),
            0x81 => long_length::<1>(rest)?,
            0x82 => long_length::<2>(rest)?,
            0x83 => long_length::<3>(rest)?,
            0x84 => long_length::<4>(rest)?,
            // Indefinite on a primitive value; lengths no message can have.
            INDEFINITE | 0x85.. => return Err(Malformed),
        };
        Ok((Self { identifier, length }, rest))
    }
}

fn long_length<const N: usize>(input: &[u8]) -> Result<(Option<usize>, &[u8]), Malformed> {
    let (digits, rest) = input.split_first_chunk::<N>().ok_or(Malformed)?;
    let length = digits.iter().fold(0u64, |sum, &digit| (sum << 8) | u64::from(digit));
    Ok((Some(usize::try_from(length).map_err(|_| Malformed)?), rest))
}

/// Splits `body` before and behind the end-of-contents mark that closes it.
fn split_indefinite(body: &[u8], depth: usize) -> Result<(&[u8], &[u8]), Malformed> {
    let depth = depth.checked_sub(1).ok_or(Malformed)?;
    let mut rest = body;
    loop {
        if let Some(behind) = rest.strip_prefix(&END_OF_CONTENTS) {
            let length = body.len().checked_sub(rest.len()).ok_or(Malformed)?;
            return Ok((body.get(..length).ok_or(Malformed)?, behind));
        }
        let (header, inner) = Header::read(rest)?;
        rest = match header.length {
            Some(length) => inner.get(length..).ok_or(Malformed)?,
            None => split_indefinite(inner, depth)?.1,
        };
    }
}
