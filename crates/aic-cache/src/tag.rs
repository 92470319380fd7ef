use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Tenant;

/// A mark on answers that are to be cleared together: all of one provider, model, document or tenant.
///
/// Held as a hash of 64 bits, so a tag costs eight bytes in an entry and does not show what it names. Should two
/// tags ever have the same hash, clearing one clears both: too much, never too little.
///
/// ```
/// use aic_cache::{Tag, Tenant};
///
/// let everywhere = Tag::new("document", "handbook.pdf");
/// let at_acme = Tag::new("document", "handbook.pdf").of(&Tenant::new("acme"));
/// assert_ne!(everywhere, at_acme);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Tag(u64);

impl Tag {
    /// The tag of everything that has to do with the `kind` named `name`, as in `("provider", "openai")`.
    pub fn new(kind: &str, name: &str) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("aic-cache tag 1");
        for field in [kind, name] {
            hasher.update(&(field.len() as u64).to_be_bytes());
            hasher.update(field.as_bytes());
        }
        Self(first_number(&hasher.finalize()))
    }

    /// The tag of everything of one tenant.
    pub fn tenant(tenant: &Tenant) -> Self {
        Self(0).of(tenant)
    }

    /// The same, but for one tenant: another tenant's answers are not cleared with it.
    pub fn of(self, tenant: &Tenant) -> Self {
        Self(first_number(&blake3::keyed_hash(tenant.key(), &self.0.to_be_bytes())))
    }

    /// The tag with this hash, for stores that write tags down.
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// Its hash.
    pub const fn to_bits(self) -> u64 {
        self.0
    }
}

impl fmt::Debug for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tag({:016x})", self.0)
    }
}

fn first_number(hash: &blake3::Hash) -> u64 {
    u64::from_be_bytes(*hash.as_bytes().first_chunk().expect("a BLAKE3 hash has 32 bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_differ_by_kind_name_tenant_and_where_the_kind_ends() {
        let (acme, globex) = (Tenant::new("acme"), Tenant::new("globex"));
        let tags = [
            Tag::new("provider", "openai"),
            Tag::new("model", "openai"),
            Tag::new("providero", "penai"),
            Tag::new("provider", "openai").of(&acme),
            Tag::new("provider", "openai").of(&globex),
            Tag::tenant(&acme),
            Tag::tenant(&globex),
        ];

        let different: std::collections::HashSet<_> = tags.into_iter().collect();

        assert_eq!(different.len(), tags.len());
    }

    #[test]
    fn tag_survives_being_written_down() {
        let tag = Tag::new("document", "a");

        assert_eq!(Tag::from_bits(tag.to_bits()), tag);
    }
}
