//! Codes of a few bits, several to a byte.

/// Packs `bits` bits of each code, from bit `from` on.
///
/// Byte `i` of each run of `stride` bytes has the bits of codes `i`, `i + stride`, `i + 2·stride` …, lowest bits first. Eight
/// codes move at once: what a shift brings in from the next byte, the mask removes.
#[inline(always)]
pub(super) fn pack(codes: &[u8; 256], from: usize, bits: usize, stride: usize, out: &mut [u8]) {
    let (codes, out) = (codes.as_chunks::<8>().0, out.as_chunks_mut::<8>().0);
    let (stride, shares) = (stride / 8, 8 / bits);
    for (i, word) in out.iter_mut().enumerate() {
        let first = i / stride * stride * shares + i % stride;
        let mut packed = 0;
        for k in 0..shares {
            packed |= ((u64::from_le_bytes(codes[first + k * stride]) >> from) & mask(bits)) << (k * bits);
        }
        *word = packed.to_le_bytes();
    }
}

/// Adds what [`pack`] packed to `codes`.
#[inline(always)]
pub(crate) fn unpack(bytes: &[u8], from: usize, bits: usize, stride: usize, codes: &mut [u8; 256]) {
    let (codes, bytes) = (codes.as_chunks_mut::<8>().0, bytes.as_chunks::<8>().0);
    let (stride, shares) = (stride / 8, 8 / bits);
    for (i, word) in bytes.iter().enumerate() {
        let first = i / stride * stride * shares + i % stride;
        for k in 0..shares {
            let code = &mut codes[first + k * stride];
            let more = ((u64::from_le_bytes(*word) >> (k * bits)) & mask(bits)) << from;
            *code = (u64::from_le_bytes(*code) | more).to_le_bytes();
        }
    }
}

/// The lowest `bits` bits of each byte.
#[inline(always)]
fn mask(bits: usize) -> u64 {
    0x0101_0101_0101_0101 * ((1 << bits) - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_come_back_from_every_arrangement_that_types_use() {
        for (from, bits, stride) in [(0, 2, 32), (4, 2, 32), (0, 4, 32), (0, 4, 64), (2, 1, 32), (4, 1, 32)] {
            let mut codes = [0; 256];
            for (i, code) in codes.iter_mut().enumerate() {
                *code = ((i * 37 % 251) % (1 << bits)) as u8;
            }
            let mut bytes = vec![0xFF; 32 * bits];
            let mut back = [0; 256];

            pack(&codes.map(|code| code << from), from, bits, stride, &mut bytes);
            unpack(&bytes, 0, bits, stride, &mut back);

            assert_eq!(back, codes, "{from} {bits} {stride}");
        }
    }
}
