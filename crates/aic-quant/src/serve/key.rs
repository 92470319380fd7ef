/// What a full page of keys and values was computed from: its tokens and all before them.
///
/// A chain of BLAKE3 hashes, so that nobody can make a prompt whose pages pass for those of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key([u8; 32]);

impl Key {
    /// The key of a page of `tokens` that follows the page `before`; `None` for the first page.
    fn after(before: Option<&Self>, tokens: &[u32]) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&before.map_or([0; 32], |key| key.0));
        tokens.iter().for_each(|token| _ = hasher.update(&token.to_le_bytes()));
        Self(hasher.finalize().into())
    }

    /// Makes `keys` those of all full pages of `tokens`, knowing those of the first.
    pub(super) fn extend(keys: &mut Vec<Self>, tokens: &[u32], page_size: usize) {
        for page in tokens.chunks_exact(page_size).skip(keys.len()) {
            keys.push(Self::after(keys.last(), page));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(tokens: &[u32]) -> Vec<Key> {
        let mut keys = Vec::new();
        Key::extend(&mut keys, tokens, 2);
        keys
    }

    #[test]
    fn keys_are_equal_as_far_as_all_tokens_are() {
        let [a, b, c] = [[1, 2, 3, 4, 5], [1, 2, 3, 9, 5], [7, 2, 3, 4, 5]].map(|tokens| keys(&tokens));

        assert_eq!(a.len(), 2);
        assert_eq!(a[0], b[0]);
        assert_ne!(a[1], b[1]);
        assert_ne!(a[1], c[1], "the same page after another");
        assert_ne!(keys(&[1, 2, 1, 2])[0], keys(&[1, 2, 1, 2])[1]);
    }

    #[test]
    fn keys_of_grown_tokens_go_on_from_those_known() {
        let mut grown = keys(&[1, 2, 3]);
        Key::extend(&mut grown, &[1, 2, 3, 4, 5, 6, 7], 2);

        assert_eq!(grown, keys(&[1, 2, 3, 4, 5, 6]));
    }
}
