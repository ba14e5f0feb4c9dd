//! The alphabets of format-preserving tokens: which numeral a character is.
//!
//! [`super::Ff1`] calls it. Trusts nothing.

/// Characters of which a value and its token consist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alphabet {
    /// `0`–`9`; values of 6 to 72 characters.
    Digits,
    /// `a`–`z`; values of 5 to 50 characters.
    Lowercase,
    /// `0`–`9`, `A`–`Z`, `a`–`z`, in this order; values of 4 to 40 characters.
    Alphanumeric,
    /// `0`–`9`, `a`–`f`; values of 5 to 60 characters.
    HexLowercase,
}

impl Alphabet {
    /// Number of characters.
    pub(super) const fn radix(self) -> u8 {
        match self {
            Self::Digits => 10,
            Self::Lowercase => 26,
            Self::Alphanumeric => 62,
            Self::HexLowercase => 16,
        }
    }

    /// The numeral that `byte` is, less than the radix; `None` when it is not in
    /// the alphabet.
    pub(super) const fn numeral(self, byte: u8) -> Option<u8> {
        match (self, byte) {
            (Self::Digits | Self::HexLowercase | Self::Alphanumeric, b'0'..=b'9') => {
                Some(byte - b'0')
            }
            (Self::HexLowercase, b'a'..=b'f') => Some(byte - b'a' + 10),
            (Self::Alphanumeric, b'A'..=b'Z') => Some(byte - b'A' + 10),
            (Self::Alphanumeric, b'a'..=b'z') => Some(byte - b'a' + 36),
            (Self::Lowercase, b'a'..=b'z') => Some(byte - b'a'),
            _ => None,
        }
    }

    /// The character that stands for `numeral`, which is less than the radix.
    pub(super) const fn character(self, numeral: u8) -> u8 {
        match (self, numeral) {
            (Self::Lowercase, _) => b'a'.wrapping_add(numeral),
            (_, 0..=9) => b'0'.wrapping_add(numeral),
            (Self::HexLowercase, _) => b'a'.wrapping_add(numeral).wrapping_sub(10),
            (_, 10..=35) => b'A'.wrapping_add(numeral).wrapping_sub(10),
            (_, _) => b'a'.wrapping_add(numeral).wrapping_sub(36),
        }
    }
}

/// Whether `byte` stays where it stands and is not part of the value proper.
pub(super) const fn is_separator(byte: u8) -> bool {
    matches!(byte, b'-' | b' ' | b'.' | b'/')
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [(Alphabet, &str); 4] = [
        (Alphabet::Digits, "0123456789"),
        (Alphabet::Lowercase, "abcdefghijklmnopqrstuvwxyz"),
        (Alphabet::Alphanumeric, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"),
        (Alphabet::HexLowercase, "0123456789abcdef"),
    ];

    #[test]
    fn every_byte_is_its_place_in_the_alphabet_or_outside_it() {
        for (alphabet, characters) in ALL {
            assert_eq!(usize::from(alphabet.radix()), characters.len());
            for byte in 0..=255 {
                let place = characters.bytes().position(|c| c == byte);
                assert_eq!(alphabet.numeral(byte).map(usize::from), place, "{alphabet:?} {byte}");
            }
            for (place, character) in (0..).zip(characters.bytes()) {
                assert_eq!(alphabet.character(place), character, "{alphabet:?} {place}");
            }
        }
    }

    #[test]
    fn no_separator_is_in_an_alphabet() {
        for (alphabet, _) in ALL {
            assert!((0..=255).all(|b| !is_separator(b) || alphabet.numeral(b).is_none()));
        }
    }
}
