//! The CBOR (RFC 8949) that an attestation document needs, and no more.
//!
//! Called by [`crate::cose`] and [`crate::document`] on bytes nobody vouches
//! for. The reader hands out one item head at a time and borrows from its
//! input: it never recurses and never allocates, so nesting costs it nothing.
//! Tags, floats, booleans, chunked strings and indefinite arrays are refused.
//! Integers need not be in their shortest form (RFC 8949 §4.2 is for encoders).

use crate::error::CborError;

/// One data item: a scalar whole, a container as its head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Item<'a> {
    Unsigned(u64),
    /// A negative integer. No field may hold one, so its value is not kept.
    Negative,
    Bytes(&'a [u8]),
    Text(&'a str),
    /// Number of elements that follow.
    Array(usize),
    /// Number of key-value pairs that follow.
    Map(usize),
    /// Pairs follow until [`Item::Break`].
    MapUntilBreak,
    Null,
    Break,
}

impl<'a> Item<'a> {
    /// The value of an unsigned integer.
    pub(crate) const fn unsigned(self) -> Option<u64> {
        if let Self::Unsigned(value) = self { Some(value) } else { None }
    }

    /// The value of a byte string.
    pub(crate) const fn bytes(self) -> Option<&'a [u8]> {
        if let Self::Bytes(value) = self { Some(value) } else { None }
    }
}

/// Reads items off the front of a byte slice.
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) const fn new(input: &'a [u8]) -> Self {
        Self { rest: input }
    }

    /// Steps over `byte` if it is next.
    pub(crate) fn skip_if(&mut self, byte: u8) {
        if let Some((&first, rest)) = self.rest.split_first()
            && first == byte
        {
            self.rest = rest;
        }
    }

    /// The next item.
    pub(crate) fn item(&mut self) -> Result<Item<'a>, CborError> {
        let &[initial] = self.take(1)? else { return Err(CborError::Truncated) };
        let (major, info) = (initial >> 5, initial & 0x1f);
        match (major, info) {
            (5, 31) => return Ok(Item::MapUntilBreak),
            (7, 22) => return Ok(Item::Null),
            (7, 31) => return Ok(Item::Break),
            (6 | 7, _) => return Err(CborError::Unsupported),
            _ => {}
        }
        let argument = self.argument(info)?;
        Ok(match major {
            0 => Item::Unsigned(argument),
            1 => Item::Negative,
            2 => Item::Bytes(self.string(argument)?),
            3 => Item::Text(
                std::str::from_utf8(self.string(argument)?).map_err(|_| CborError::InvalidText)?,
            ),
            4 => Item::Array(self.count(argument, 1)?),
            _ => Item::Map(self.count(argument, 2)?),
        })
    }

    /// Ends the reading.
    pub(crate) const fn finish(self) -> Result<(), CborError> {
        if self.rest.is_empty() { Ok(()) } else { Err(CborError::TrailingBytes) }
    }

    /// The argument of an item head (RFC 8949 §3). 28..=31 are reserved or
    /// announce an indefinite length.
    fn argument(&mut self, info: u8) -> Result<u64, CborError> {
        let width = match info {
            0..24 => return Ok(u64::from(info)),
            24 => 1,
            25 => 2,
            26 => 4,
            27 => 8,
            _ => return Err(CborError::Unsupported),
        };
        let bytes = self.take(width)?;
        Ok(bytes.iter().fold(0, |value, &byte| value << 8 | u64::from(byte)))
    }

    fn string(&mut self, len: u64) -> Result<&'a [u8], CborError> {
        self.take(usize::try_from(len).map_err(|_| CborError::Truncated)?)
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], CborError> {
        let (taken, rest) = self.rest.split_at_checked(len).ok_or(CborError::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    /// Every item takes at least a byte, so a count above that is a lie; it is
    /// refused before anyone loops over it.
    fn count(&self, count: u64, items_each: usize) -> Result<usize, CborError> {
        let count = usize::try_from(count).map_err(|_| CborError::CountTooLarge)?;
        match count.checked_mul(items_each) {
            Some(items) if items <= self.rest.len() => Ok(count),
            _ => Err(CborError::CountTooLarge),
        }
    }
}

#[cfg(test)]
mod tests {
    use ciborium::Value;
    use proptest::prelude::*;

    use super::*;

    fn one(input: &[u8]) -> Result<Item<'_>, CborError> {
        let mut reader = Reader::new(input);
        let item = reader.item()?;
        reader.finish()?;
        Ok(item)
    }

    #[test]
    fn scalars_and_heads_are_read() {
        assert_eq!(one(&[0x17]), Ok(Item::Unsigned(23)));
        assert_eq!(one(&[0x1b, 0, 0, 0, 0, 0, 0, 1, 0]), Ok(Item::Unsigned(256)));
        assert_eq!(one(&[0x20]), Ok(Item::Negative));
        assert_eq!(one(&[0x42, 1, 2]), Ok(Item::Bytes(&[1, 2])));
        assert_eq!(one(&[0x62, b'h', b'i']), Ok(Item::Text("hi")));
        assert_eq!(one(&[0xbf]), Ok(Item::MapUntilBreak));
        assert_eq!(one(&[0xf6]), Ok(Item::Null));
        assert_eq!(Reader::new(&[0xa1, 0, 0]).item(), Ok(Item::Map(1)));
        assert_eq!(Reader::new(&[0x82, 0, 0]).item(), Ok(Item::Array(2)));
    }

    #[test]
    fn what_no_document_needs_is_refused() {
        let unsupported: [&[u8]; 11] = [
            &[0xc0, 0x00],                   // a tag
            &[0xd2, 0x80],                   // tag 18 anywhere but outside
            &[0xf4],                         // false
            &[0xf5],                         // true
            &[0xf7],                         // undefined
            &[0xf9, 0, 0],                   // a float
            &[0xfb, 0, 0, 0, 0, 0, 0, 0, 0], // a double
            &[0x5f, 0x41, 0, 0xff],          // chunked bytes
            &[0x7f, 0x61, b'a', 0xff],       // chunked text
            &[0x9f, 0xff],                   // an indefinite array
            &[0x1c],                         // a reserved head
        ];
        for input in unsupported {
            assert_eq!(one(input), Err(CborError::Unsupported), "{input:02x?}");
        }
    }

    #[test]
    fn lying_lengths_and_counts_are_refused() {
        assert_eq!(one(&[]), Err(CborError::Truncated));
        assert_eq!(one(&[0x19, 1]), Err(CborError::Truncated));
        assert_eq!(one(&[0x42, 1]), Err(CborError::Truncated));
        let max = [0x5b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
        assert_eq!(one(&max), Err(CborError::Truncated));
        for head in [0x9b, 0xbb] {
            let mut input = max;
            input[0] = head;
            assert_eq!(one(&input), Err(CborError::CountTooLarge));
        }
        assert_eq!(one(&[0x82, 0]), Err(CborError::CountTooLarge));
        assert_eq!(one(&[0xa1, 0]), Err(CborError::CountTooLarge));
        assert_eq!(one(&[0, 0]), Err(CborError::TrailingBytes));
        assert_eq!(one(&[0x61, 0xff]), Err(CborError::InvalidText));
    }

    proptest! {
        #[test]
        fn no_input_panics_and_every_item_consumes(input in proptest::collection::vec(any::<u8>(), 0..64)) {
            let mut reader = Reader::new(&input);
            let mut left = input.len();
            while reader.item().is_ok() {
                prop_assert!(reader.rest.len() < left);
                left = reader.rest.len();
            }
        }

        #[test]
        fn another_encoders_items_come_back(number in any::<u64>(), bytes: Vec<u8>, text: String) {
            let check = |value: Value, expected: Item<'_>| {
                let mut out = Vec::new();
                ciborium::into_writer(&value, &mut out).unwrap();
                assert_eq!(one(&out), Ok(expected));
            };
            check(Value::from(number), Item::Unsigned(number));
            check(Value::Bytes(bytes.clone()), Item::Bytes(&bytes));
            check(Value::Text(text.clone()), Item::Text(&text));
        }
    }
}
