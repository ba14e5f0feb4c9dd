//! The kernel's randomness, seeded from the Nitro Secure Module: rule 10.
//!
//! A parent decides much of what an enclave's kernel sees at boot. The module's
//! random bytes are mixed into the kernel's pool and credited, and the kernel's
//! generator is keyed anew from that pool, before the first key is made, whatever
//! else there is; without them nothing starts.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;

use rustix::ioctl::{NoArg, Opcode, Setter, ioctl, opcode};
use strongroom_attestation::nsm::{Nsm, NsmError};

/// Why the pool was not seeded.
#[derive(Debug, thiserror::Error)]
pub enum EntropyError {
    /// The module gave no bytes.
    #[error(transparent)]
    Nsm(#[from] NsmError),
    /// The module gave bytes that are not random.
    #[error("the Nitro Secure Module's random bytes are not random: {0}")]
    NotRandom(&'static str),
    /// The kernel did not take them.
    #[error("the kernel does not take the module's random bytes: {0}")]
    Kernel(io::Error),
}

/// Mixes random bytes of the module into the kernel's pool.
///
/// # Errors
/// [`EntropyError`]; no key may be made then.
pub fn seed(nsm: &dyn Nsm) -> Result<(), EntropyError> {
    let mut blocks = [[0; BLOCK_LEN]; BLOCKS];
    for block in &mut blocks {
        nsm.random(block)?;
    }
    check(&blocks)?;
    let pool = File::options().write(true).open(POOL).map_err(EntropyError::Kernel)?;
    for block in blocks {
        mix(&pool, block).map_err(EntropyError::Kernel)?;
    }
    Ok(())
}

/// A module that lies well cannot be told from one that does not; one that is
/// broken can.
fn check(blocks: &[[u8; BLOCK_LEN]]) -> Result<(), EntropyError> {
    for (index, block) in blocks.iter().enumerate() {
        if blocks.iter().skip(index + 1).any(|other| other == block) {
            return Err(EntropyError::NotRandom("it gave the same ones twice"));
        }
        let mut seen = [false; 256];
        for byte in block {
            if let Some(seen) = seen.get_mut(usize::from(*byte)) {
                *seen = true;
            }
        }
        // 256 random bytes have about 162 values; fewer than 64 do not happen.
        if seen.iter().filter(|seen| **seen).count() < MIN_VALUES {
            return Err(EntropyError::NotRandom("they have too few different values"));
        }
    }
    Ok(())
}

/// `struct rand_pool_info` of `linux/random.h`.
#[repr(C)]
struct PoolInfo {
    /// In bits, unlike the next.
    entropy_count: i32,
    /// In bytes.
    buf_size: i32,
    buf: [u8; BLOCK_LEN],
}

/// Mixes a block in, credits it, and has the generator take a new key from the
/// pool (random(4)). A generator that counts as ready already, as with
/// `random.trust_cpu=on`, would else go on with its old key for seconds or
/// minutes: the keys of this boot would owe the module nothing.
#[expect(unsafe_code, reason = "the ioctls have no safe form")]
fn mix(pool: &impl AsFd, buf: [u8; BLOCK_LEN]) -> io::Result<()> {
    let info = PoolInfo { entropy_count: BLOCK_BITS, buf_size: BLOCK_BYTES, buf };
    // SAFETY: RNDADDENTROPY reads a `struct rand_pool_info` followed by
    // `buf_size` bytes through the pointer and writes nothing; `PoolInfo` has
    // that layout with exactly `buf_size` bytes, and lives through the call.
    unsafe { ioctl(pool, Setter::<RNDADDENTROPY, PoolInfo>::new(info)) }?;
    // SAFETY: RNDRESEEDCRNG takes no argument and touches no memory of ours.
    unsafe { ioctl(pool, NoArg::<RNDRESEEDCRNG>::new()) }?;
    Ok(())
}

/// `_IOW('R', 0x03, int[2])`.
const RNDADDENTROPY: Opcode = opcode::write::<[i32; 2]>(b'R', 0x03);

/// `_IO('R', 0x07)`.
const RNDRESEEDCRNG: Opcode = opcode::none(b'R', 0x07);

/// The kernel's pool.
const POOL: &str = "/dev/urandom";

/// Blocks taken; the kernel's pool is full after one eighth of one.
const BLOCKS: usize = 4;

/// What the module gives at once, in bytes.
const BLOCK_LEN: usize = 256;
const BLOCK_BYTES: i32 = 256;
const BLOCK_BITS: i32 = 8 * BLOCK_BYTES;

/// Fewest different values in a block.
const MIN_VALUES: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeated_and_uniform_blocks_are_refused() {
        let random = |seed: u8| {
            let mut block = [0; BLOCK_LEN];
            strongroom_sim::SimNsm::builder().build().unwrap().random(&mut block).unwrap();
            block[0] = seed;
            block
        };
        let (one, other) = (random(1), random(2));
        assert!(check(&[one, other]).is_ok());
        assert!(check(&[one, other, one]).is_err());
        assert!(check(&[one, [0; BLOCK_LEN]]).is_err());
        let few = std::array::from_fn(|index| if index % 2 == 0 { 7 } else { 9 });
        assert!(check(&[few]).is_err());
    }

    #[test]
    fn the_requests_are_the_kernels_and_count_bits() {
        assert_eq!((RNDADDENTROPY, RNDRESEEDCRNG), (0x4008_5203, 0x5207));
        assert_eq!(std::mem::size_of::<PoolInfo>(), 8 + BLOCK_LEN);
        assert_eq!((BLOCK_BITS, usize::try_from(BLOCK_BYTES)), (2048, Ok(BLOCK_LEN)));
    }
}
