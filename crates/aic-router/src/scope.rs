use std::collections::HashSet;
use std::fmt;

use crate::{Error, Result};

/// Whose calls are counted together, by a [`RateLimit`](crate::RateLimit) or a [`SpendLimit`](crate::SpendLimit).
///
/// A call may be in several scopes; it has to fit into all of them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Scope {
    /// All calls of the router.
    All,
    /// The calls to the provider of this name.
    Provider(String),
    /// The calls made for the tenant of this name, in place of what [`EachTenant`](Self::EachTenant) says.
    Tenant(String),
    /// The calls of each tenant apart from the others'. Calls for no tenant are not in it.
    EachTenant,
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all calls"),
            Self::Provider(name) => write!(f, "provider `{name}`"),
            Self::Tenant(name) => write!(f, "tenant `{name}`"),
            Self::EachTenant => f.write_str("each tenant"),
        }
    }
}

/// Rules of one sort, each for a scope.
#[derive(Debug)]
pub(crate) struct Scoped<T> {
    rules: Vec<(Scope, T)>,
    /// The tenants that have a rule of their own.
    named: HashSet<String>,
}

/// A rule that applies to a call.
#[derive(Debug)]
pub(crate) struct Applicable<'a, T> {
    /// The rule's place among all.
    pub(crate) index: usize,
    pub(crate) scope: &'a Scope,
    pub(crate) rule: &'a T,
    /// The tenant whose account it is, where each has one; else empty.
    pub(crate) account: &'a str,
}

impl<T> Scoped<T> {
    pub(crate) fn new(rules: Vec<(Scope, T)>) -> Self {
        let named = rules.iter().filter_map(|(scope, _)| match scope {
            Scope::Tenant(name) => Some(name.clone()),
            _ => None,
        });
        Self { named: named.collect(), rules }
    }

    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = &(Scope, T)> {
        self.rules.iter()
    }

    /// The rules a call to `provider` for `tenant` falls under, in order.
    pub(crate) fn of<'a>(
        &'a self,
        provider: &'a str,
        tenant: Option<&'a str>,
    ) -> impl Iterator<Item = Applicable<'a, T>> {
        self.rules.iter().enumerate().filter_map(move |(index, (scope, rule))| {
            let account = self.account(scope, provider, tenant)?;
            Some(Applicable { index, scope, rule, account })
        })
    }

    fn account<'a>(&self, scope: &Scope, provider: &str, tenant: Option<&'a str>) -> Option<&'a str> {
        match scope {
            Scope::All => Some(""),
            Scope::Provider(name) => (name == provider).then_some(""),
            Scope::Tenant(name) => (Some(name.as_str()) == tenant).then_some(""),
            Scope::EachTenant => tenant.filter(|tenant| !self.named.contains(*tenant)),
        }
    }
}

impl<T> Applicable<'_, T> {
    /// Whose account it is, in words.
    pub(crate) fn whose(&self) -> String {
        match (self.scope, self.account) {
            (Scope::EachTenant, tenant) => format!("tenant `{tenant}`"),
            (scope, _) => scope.to_string(),
        }
    }
}

/// Refuses a scope that is stated twice; `what` names the rules.
pub(crate) fn distinct<'a>(scopes: impl IntoIterator<Item = &'a Scope>, what: &str) -> Result<()> {
    let mut seen = HashSet::new();
    match scopes.into_iter().find(|scope| !seen.insert(*scope)) {
        Some(scope) => Err(Error::Config(format!("two {what} for {scope}; state one"))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applying(provider: &str, tenant: Option<&str>) -> Vec<(usize, String)> {
        let scopes =
            [Scope::All, Scope::Provider("p".into()), Scope::Tenant("big".into()), Scope::EachTenant];
        let rules = Scoped::new(scopes.map(|scope| (scope, ())).to_vec());
        rules.of(provider, tenant).map(|rule| (rule.index, rule.account.to_owned())).collect()
    }

    #[test]
    fn call_falls_under_its_provider_its_tenant_and_all() {
        let places = |provider, tenant| -> Vec<usize> {
            applying(provider, tenant).into_iter().map(|(index, _)| index).collect()
        };

        assert_eq!(places("p", None), [0, 1]);
        assert_eq!(places("q", Some("big")), [0, 2]);
        assert_eq!(applying("q", Some("small")), [(0, String::new()), (3, "small".into())]);
    }

    #[test]
    fn scope_stated_twice_is_refused_by_name() {
        let scopes = [Scope::All, Scope::Tenant("a".into()), Scope::Tenant("a".into())];

        let error = distinct(&scopes, "rate limits").unwrap_err();

        assert_eq!(error.to_string(), "invalid setting: two rate limits for tenant `a`; state one");
    }
}
