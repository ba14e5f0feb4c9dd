//! FF1 proper: NIST SP 800-38G (2016), algorithms 7 and 8, over numerals.
//!
//! [`super::Ff1`] calls it with the numerals of a value. Trusts its caller to
//! hand in numerals below the radix.
//!
//! # Integers instead of strings
//!
//! The standard works on two numeral strings A and B and converts them to
//! integers and back in every round. Here they are integers throughout; with
//! halves of at most [`MAX_HALF`] values every step fits `u128`:
//!
//! - the last block of P ‖ Q is the only one that changes from round to round,
//!   as the round number and NUM(B) are 1 + b ≤ 16 bytes; what the PRF makes of
//!   the blocks before it is computed once for a value;
//! - y = NUM(S) has d = 4⌈b/4⌉ + 4 ≤ 20 bytes: the first 16 are one integer, and
//!   up to 4 more are taken in one at a time, each time modulo the half.
//!
//! Division takes a time that depends on the numbers. Constant time is not
//! claimed; there is no table that a secret would index.

use aws_lc_rs::cipher::EncryptingKey;
use zeroize::{Zeroize, ZeroizeOnDrop};

use super::{TokenError, aes};

/// Fewest values that the strings of a length must have: required by the draft
/// of SP 800-38G Rev. 1 (2025), recommended by the standard of 2016.
pub(super) const MIN_DOMAIN: u128 = 1_000_000;

/// Most values that half a string may have: 15 bytes, so that NUM(B) and the
/// round number share a block, and that a byte more still fits `u128`.
pub(super) const MAX_HALF: u128 = 1 << 120;

/// FF1 with a key, a tweak and a radix.
pub(super) struct Feistel {
    aes: Box<EncryptingKey>,
    radix: u8,
    /// The tweak's whole blocks, then what is left of it, filled with zeros.
    tweak_blocks: Vec<u128>,
    tweak_tail: u128,
    tweak_len: usize,
}

impl Feistel {
    /// Sets up AES-256 under `key`, 32 bytes, for numerals below `radix`, at
    /// least 2.
    pub(super) fn new(key: &[u8], tweak: &[u8], radix: u8) -> Result<Self, TokenError> {
        let aes = aes(key, EncryptingKey::ecb)?;
        let (blocks, tail) = tweak.as_chunks();
        let mut last = [0; BLOCK_LEN];
        last.iter_mut().zip(tail).for_each(|(to, from)| *to = *from);
        Ok(Self {
            aes,
            radix,
            tweak_blocks: blocks.iter().copied().map(u128::from_be_bytes).collect(),
            tweak_tail: u128::from_be_bytes(last),
            tweak_len: tweak.len(),
        })
    }

    /// Encrypts `numerals` in place.
    ///
    /// # Errors
    /// [`TokenError::DomainTooSmall`], [`TokenError::TooLong`]: the numerals'
    /// number is out of bounds; they are as they were.
    pub(super) fn encrypt(&self, numerals: &mut [u8]) -> Result<(), TokenError> {
        let shape = Shape::new(self.radix, numerals.len())?;
        let prefix = self.prefix(&shape)?;
        let mut half = Halves::read(numerals, &shape, self.radix);
        for round in 0..ROUNDS {
            let m = shape.modulus(round);
            let y = self.round(prefix, &shape, round, half.b)?;
            let c = (half.a + y) % m;
            half.a = half.b;
            half.b = c;
        }
        half.write(numerals, &shape, self.radix);
        Ok(())
    }

    /// Decrypts `numerals` in place; errors as those of [`Feistel::encrypt`].
    pub(super) fn decrypt(&self, numerals: &mut [u8]) -> Result<(), TokenError> {
        let shape = Shape::new(self.radix, numerals.len())?;
        let prefix = self.prefix(&shape)?;
        let mut half = Halves::read(numerals, &shape, self.radix);
        for round in (0..ROUNDS).rev() {
            let m = shape.modulus(round);
            let y = self.round(prefix, &shape, round, half.a)?;
            let c = (half.b + m - y) % m;
            half.b = half.a;
            half.a = c;
        }
        half.write(numerals, &shape, self.radix);
        Ok(())
    }

    /// What is added to the last block of P ‖ Q before it is enciphered: the
    /// PRF's state after the blocks before it (steps 5 and 6.i), and of the last
    /// block itself the part that no round changes.
    fn prefix(&self, shape: &Shape) -> Result<u128, TokenError> {
        let mut state = self.encipher(self.first_block(shape)?)?;
        for block in &self.tweak_blocks {
            state = self.encipher(state ^ block)?;
        }
        state ^= self.tweak_tail;
        let tail_len = self.tweak_len % BLOCK_LEN;
        if tail_len + 1 + shape.half_bytes > BLOCK_LEN {
            // No room behind the tweak: zeros fill its block, and open the next.
            state = self.encipher(state)?;
        }
        Ok(state)
    }

    /// P: 1 ‖ 2 ‖ 1 ‖ radix (3 bytes) ‖ 10 ‖ u mod 256 ‖ n (4) ‖ t (4).
    fn first_block(&self, shape: &Shape) -> Result<u128, TokenError> {
        let n = u32::try_from(shape.u + shape.v).map_err(|_| TokenError::TooLong)?;
        let t = u32::try_from(self.tweak_len).map_err(|_| TokenError::NameTooLong)?;
        let [u, ..] = shape.u.to_le_bytes();
        let head = [1, 2, 1, 0, 0, self.radix, ROUNDS, u];
        let head = u128::from(u64::from_be_bytes(head));
        Ok((head << 64) | (u128::from(n) << 32) | u128::from(t))
    }

    /// y of one round, modulo the half it is added to (steps 6.ii to 6.vi).
    fn round(&self, prefix: u128, shape: &Shape, round: u8, b: u128) -> Result<u128, TokenError> {
        let m = shape.modulus(round);
        let r = self.encipher(prefix ^ (u128::from(round) << (8 * shape.half_bytes)) ^ b)?;
        let d = 4 * shape.half_bytes.div_ceil(4) + 4;
        let Some(more) = d.checked_sub(BLOCK_LEN) else {
            return Ok((r >> (8 * (BLOCK_LEN - d))) % m);
        };
        let mut y = r % m;
        if more > 0 {
            let next = self.encipher(r ^ 1)?.to_be_bytes();
            for byte in next.iter().take(more) {
                y = ((y << 8) | u128::from(*byte)) % m;
            }
        }
        Ok(y)
    }

    /// One block of AES.
    fn encipher(&self, block: u128) -> Result<u128, TokenError> {
        let mut bytes = block.to_be_bytes();
        self.aes.encrypt(&mut bytes)?;
        let enciphered = u128::from_be_bytes(bytes);
        bytes.zeroize();
        Ok(enciphered)
    }
}

/// How a string of some length is split.
struct Shape {
    /// Numerals of A and of B.
    u: usize,
    v: usize,
    /// radix to the power of `u`, and of `v`.
    half_u: u128,
    half_v: u128,
    /// b: bytes that the integers of the longer half, B, take.
    half_bytes: usize,
}

impl Shape {
    fn new(radix: u8, len: usize) -> Result<Self, TokenError> {
        let u = len / 2;
        let v = len - u;
        let half_u = power(radix, u).ok_or(TokenError::TooLong)?;
        let half_v = power(radix, v).ok_or(TokenError::TooLong)?;
        if half_u.checked_mul(half_v).is_some_and(|domain| domain < MIN_DOMAIN) {
            return Err(TokenError::DomainTooSmall);
        }
        let bits = u128::BITS - (half_v - 1).leading_zeros();
        let half_bytes = usize::try_from(bits.div_ceil(8)).map_err(|_| TokenError::Fault)?;
        Ok(Self { u, v, half_u, half_v, half_bytes })
    }

    /// Number of values of the half that changes in `round`.
    const fn modulus(&self, round: u8) -> u128 {
        if round.is_multiple_of(2) { self.half_u } else { self.half_v }
    }
}

/// `radix` to the power of `exponent`, at most [`MAX_HALF`].
fn power(radix: u8, exponent: usize) -> Option<u128> {
    let power = u128::from(radix).checked_pow(u32::try_from(exponent).ok()?)?;
    (power <= MAX_HALF).then_some(power)
}

/// NUM(A) and NUM(B).
#[derive(Zeroize, ZeroizeOnDrop)]
struct Halves {
    a: u128,
    b: u128,
}

impl Halves {
    fn read(numerals: &[u8], shape: &Shape, radix: u8) -> Self {
        let number = |half: &[u8]| {
            half.iter().fold(0, |number, n| number * u128::from(radix) + u128::from(*n))
        };
        let (a, b) = numerals.split_at_checked(shape.u).unwrap_or_default();
        Self { a: number(a), b: number(b) }
    }

    /// Writes both as numerals; they are zero afterwards.
    fn write(&mut self, numerals: &mut [u8], shape: &Shape, radix: u8) {
        let (a, b) = numerals.split_at_mut_checked(shape.u).unwrap_or_default();
        for (half, number) in [(a, &mut self.a), (b, &mut self.b)] {
            for numeral in half.iter_mut().rev() {
                [*numeral, ..] = (*number % u128::from(radix)).to_le_bytes();
                *number /= u128::from(radix);
            }
        }
    }
}

const ROUNDS: u8 = 10;
const BLOCK_LEN: usize = 16;

#[cfg(test)]
mod tests;
