//! Sixteen numbers of six bits in twelve bytes, in the two orders that the K types use.

/// The order of Q4_K and Q5_K: eight scales and eight minima.
///
/// Bytes 0–3 have scales 0–3 and bytes 4–7 minima 0–3 in their lower six bits. Bytes 8–11 have the lower halves of scales and
/// minima 4–7; their upper two bits are the upper bits of bytes 0–7.
#[inline(always)]
pub(super) fn pack_pairs(scales: &[u8; 8], minima: &[u8; 8]) -> [u8; 12] {
    let mut bytes = [0; 12];
    for j in 0..4 {
        bytes[j] = scales[j] | (scales[j + 4] >> 4) << 6;
        bytes[j + 4] = minima[j] | (minima[j + 4] >> 4) << 6;
        bytes[j + 8] = scales[j + 4] & 15 | (minima[j + 4] & 15) << 4;
    }
    bytes
}

/// Undoes [`pack_pairs`].
#[inline(always)]
pub(crate) fn unpack_pairs(bytes: &[u8; 12]) -> ([u8; 8], [u8; 8]) {
    let (mut scales, mut minima) = ([0; 8], [0; 8]);
    for j in 0..4 {
        scales[j] = bytes[j] & 63;
        minima[j] = bytes[j + 4] & 63;
        scales[j + 4] = bytes[j + 8] & 15 | (bytes[j] >> 6) << 4;
        minima[j + 4] = bytes[j + 8] >> 4 | (bytes[j + 4] >> 6) << 4;
    }
    (scales, minima)
}

/// The order of Q3_K: sixteen scales.
///
/// Bytes 0–7 have the lower four bits of scales 0–7 and, above them, of scales 8–15; bytes 8–11 the upper two bits of scales
/// `j`, `j + 4`, `j + 8` and `j + 12`.
#[inline(always)]
pub(super) fn pack_scales(scales: &[u8; 16]) -> [u8; 12] {
    let mut bytes = [0; 12];
    for j in 0..8 {
        bytes[j] = scales[j] & 15 | (scales[j + 8] & 15) << 4;
    }
    for j in 0..16 {
        bytes[8 + j % 4] |= (scales[j] >> 4) << (2 * (j / 4));
    }
    bytes
}

/// Undoes [`pack_scales`].
#[inline(always)]
pub(crate) fn unpack_scales(bytes: &[u8; 12]) -> [u8; 16] {
    let mut scales = [0; 16];
    for j in 0..16 {
        let low = bytes[j % 8] >> (4 * (j / 8)) & 15;
        let high = bytes[8 + j % 4] >> (2 * (j / 4)) & 3;
        scales[j] = low | high << 4;
    }
    scales
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_in_every_place_comes_back_alone() {
        for place in 0..16 {
            for number in 0..64 {
                let mut numbers = [0; 16];
                numbers[place] = number;
                let (scales, minima) = (numbers[..8].try_into().unwrap(), numbers[8..].try_into().unwrap());
                assert_eq!(unpack_pairs(&pack_pairs(&scales, &minima)), (scales, minima));
                assert_eq!(unpack_scales(&pack_scales(&numbers)), numbers);
                let rest = numbers.map(|number| 63 - number);
                assert_eq!(unpack_scales(&pack_scales(&rest)), rest);
            }
        }
    }

    #[test]
    fn all_bytes_are_some_numbers() {
        let bytes: [u8; 12] = [0xB4, 0x1E, 0xC7, 0x52, 0x0F, 0xA9, 0x68, 0xF3, 0x3D, 0x91, 0xE0, 0x76];
        let (scales, minima) = unpack_pairs(&bytes);

        assert_eq!(pack_pairs(&scales, &minima), bytes);
        assert_eq!(pack_scales(&unpack_scales(&bytes)), bytes);
    }
}
