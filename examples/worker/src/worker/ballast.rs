//! Bytes that a worker holds for their weight alone, and their checksum, by which a restored
//! worker knows that all of its memory came over.

use sha2::{Digest as _, Sha256};

/// That many bytes that do not compress, as the memory of real applications hardly does.
pub(super) fn fill(bytes: u64) -> Vec<u8> {
    // xorshift64 of Marsaglia: good enough to defeat a compressor, and quick.
    let mut word = 0x2545_F491_4F6C_DD1D_u64;
    let mut filled = Vec::with_capacity(usize::try_from(bytes).unwrap_or(0));
    while (filled.len() as u64) < bytes {
        word ^= word << 13;
        word ^= word >> 7;
        word ^= word << 17;
        let left = bytes - filled.len() as u64;
        let take = usize::try_from(left).map_or(8, |left| left.min(8));
        filled.extend_from_slice(&word.to_le_bytes()[..take]);
    }
    filled
}

/// SHA-256 of the bytes, in hex.
pub(super) fn checksum(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}
