/// Puts the first bytes of all numbers together, then their second bytes and so on. `numbers` are of `width` bytes each, and
/// `out` is as long.
pub(super) fn separate(numbers: &[u8], width: usize, out: &mut [u8]) {
    for (plane, out) in out.chunks_exact_mut(numbers.len() / width).enumerate() {
        for (number, byte) in numbers.chunks_exact(width).zip(out) {
            *byte = number[plane];
        }
    }
}

/// Undoes [`separate`].
pub(super) fn join(planes: &[u8], width: usize, out: &mut [u8]) {
    for (plane, bytes) in planes.chunks_exact(planes.len() / width).enumerate() {
        for (number, byte) in out.chunks_exact_mut(width).zip(bytes) {
            number[plane] = *byte;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_of_numbers_are_separated_and_joined_again() {
        let numbers = [1, 10, 2, 20, 3, 30];
        let mut planes = [0; 6];
        let mut back = [0; 6];
        separate(&numbers, 2, &mut planes);
        join(&planes, 2, &mut back);

        assert_eq!(planes, [1, 2, 3, 10, 20, 30]);
        assert_eq!(back, numbers);
    }
}
