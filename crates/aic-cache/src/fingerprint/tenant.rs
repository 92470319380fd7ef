use std::fmt;

/// The purposes of the two key derivations; BLAKE3 asks for constants that nothing else uses.
const NAMED: &str = "aic-cache 2026 tenant by name";
const SECRET: &str = "aic-cache 2026 tenant by secret";

/// On whose behalf answers are kept. Answers of one tenant are never found by another.
///
/// Every fingerprint is keyed by its tenant. A key derived [from a name](Tenant::new) keeps tenants apart;
/// one derived [from a secret](Tenant::with_secret) also keeps somebody who can read the store from testing
/// whether a guessed request was made. The default is one tenant shared by all callers that name none.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Tenant {
    key: [u8; 32],
}

impl Tenant {
    /// The tenant with this name.
    pub fn new(name: &str) -> Self {
        Self { key: blake3::derive_key(NAMED, name.as_bytes()) }
    }

    /// The tenant with this name under a secret that only the application knows.
    pub fn with_secret(name: &str, secret: &[u8]) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key(SECRET);
        hasher.update(&(secret.len() as u64).to_be_bytes()).update(secret).update(name.as_bytes());
        Self { key: hasher.finalize().into() }
    }

    pub(crate) fn key(&self) -> &[u8; 32] {
        &self.key
    }
}

impl Default for Tenant {
    fn default() -> Self {
        Self::new("")
    }
}

impl fmt::Debug for Tenant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tenant(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_name_under_another_secret_is_another_tenant() {
        let tenants = [
            Tenant::new("a"),
            Tenant::with_secret("a", b""),
            Tenant::with_secret("a", b"s"),
            Tenant::with_secret("", b"sa"),
        ];

        for (i, tenant) in tenants.iter().enumerate() {
            assert!(tenants[i + 1..].iter().all(|other| tenant != other));
        }
        assert_eq!(format!("{:?}", tenants[2]), "Tenant(***)");
    }
}
