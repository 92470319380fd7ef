use std::fmt;

use ::redis::{ConnectionInfo, IntoConnectionInfo, RedisError};

/// The port a Sentinel listens on unless told otherwise.
const SENTINEL_PORT: u16 = 26379;

/// Where Redis is: one server, the master of a service that Sentinels watch, or a Cluster.
///
/// Shown without credentials.
#[derive(Clone)]
pub(super) enum Address {
    Server(ConnectionInfo),
    Sentinel {
        /// The Sentinels, without the credentials: those are for the master.
        sentinels: Vec<ConnectionInfo>,
        service: String,
        /// How to log in at the master, and over what. Its host and port are found out by asking.
        master: ConnectionInfo,
    },
    Cluster(Vec<ConnectionInfo>),
}

impl Address {
    /// Reads `url`. Errors do not repeat it: it may hold a password.
    pub(super) fn parse(url: &str) -> Result<Self, AddressError> {
        let (scheme, rest) = url.split_once("://").ok_or(AddressError::NoScheme)?;
        match scheme.split_once('+') {
            None => Ok(Self::Server(info(url)?)),
            Some((scheme @ ("redis" | "rediss"), "sentinel")) => sentinel(scheme, Parts::of(rest)),
            Some((scheme @ ("redis" | "rediss"), "cluster")) => cluster(scheme, Parts::of(rest)),
            Some(_) => Err(AddressError::Scheme),
        }
    }
}

fn sentinel(scheme: &str, parts: Parts<'_>) -> Result<Address, AddressError> {
    let (service, db) = parts.path.split_once('/').unwrap_or((parts.path, ""));
    if service.is_empty() {
        return Err(AddressError::NoService);
    }
    let one = |host| info(&format!("{scheme}://{}", with_port(host, SENTINEL_PORT)));
    let sentinels = parts.hosts().map(one).collect::<Result<Vec<_>, _>>()?;
    let login = Parts { path: db, ..parts };
    let master = info(&login.url(scheme, login.hosts().next().unwrap_or_default()))?;
    Ok(Address::Sentinel { sentinels, service: service.to_owned(), master })
}

fn cluster(scheme: &str, parts: Parts<'_>) -> Result<Address, AddressError> {
    parts.hosts().map(|host| info(&parts.url(scheme, host))).collect::<Result<_, _>>().map(Address::Cluster)
}

/// Small commands must not wait for more to send: Nagle's algorithm is on by default.
fn info(url: &str) -> Result<ConnectionInfo, AddressError> {
    let info = url.into_connection_info()?;
    let settings = info.tcp_settings().clone().set_nodelay(true);
    Ok(info.set_tcp_settings(settings))
}

/// What stands behind the scheme of a URL with several hosts, still encoded.
#[derive(Clone, Copy)]
struct Parts<'a> {
    /// `user:password@`, or empty.
    login: &'a str,
    hosts: &'a str,
    /// Without the slash before it.
    path: &'a str,
    /// With the question mark, or empty.
    query: &'a str,
}

impl<'a> Parts<'a> {
    fn of(rest: &'a str) -> Self {
        let (rest, query) = rest.split_at(rest.find(['?', '#']).unwrap_or(rest.len()));
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (login, hosts) = authority.split_at(authority.rfind('@').map_or(0, |at| at + 1));
        Self { login, hosts, path, query }
    }

    fn hosts(&self) -> impl Iterator<Item = &'a str> {
        self.hosts.split(',').map(str::trim)
    }

    fn url(&self, scheme: &str, host: &str) -> String {
        format!("{scheme}://{}{host}/{}{}", self.login, self.path, self.query)
    }
}

fn with_port(host: &str, port: u16) -> String {
    let named = host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    if named { host.to_owned() } else { format!("{host}:{port}") }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Server(server) => server.addr().fmt(f),
            Self::Sentinel { sentinels, service, .. } => write!(f, "{}/{service}", Hosts(sentinels)),
            Self::Cluster(nodes) => Hosts(nodes).fmt(f),
        }
    }
}

struct Hosts<'a>(&'a [ConnectionInfo]);

impl fmt::Display for Hosts<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hosts: Vec<_> = self.0.iter().map(|host| host.addr().to_string()).collect();
        f.write_str(&hosts.join(","))
    }
}

/// Why a URL is no address. It is never repeated.
#[derive(Debug, thiserror::Error)]
pub(super) enum AddressError {
    #[error("the URL has no scheme, as in `redis://127.0.0.1:6379`")]
    NoScheme,
    #[error("the URL's scheme is none of redis, rediss, unix, redis+sentinel, redis+cluster")]
    Scheme,
    #[error("the URL names no service, as in `redis+sentinel://host:26379/service`")]
    NoService,
    #[error("the URL is no address")]
    Url(#[from] RedisError),
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shown(url: &str) -> String {
        Address::parse(url).unwrap().to_string()
    }

    #[test]
    fn addresses_are_shown_without_credentials() {
        assert_eq!(shown("redis://me:hunter2@host:7000/3"), "host:7000");
        assert_eq!(shown("unix:///run/redis.sock?pass=hunter2"), "/run/redis.sock");
        assert_eq!(shown("redis+cluster://me:hunter2@a:1,b:2"), "a:1,b:2");
        assert_eq!(shown("redis+sentinel://me:hunter2@a,b:2/main/3"), "a:26379,b:2/main");
    }

    #[test]
    fn credentials_and_database_are_for_the_master_not_for_the_sentinels() {
        let url = "redis+sentinel://me:hunter%40,2@a:1,[::1]:2/main/3?protocol=resp3";
        let Ok(Address::Sentinel { sentinels, master, .. }) = Address::parse(url) else { panic!("refused") };

        let login = master.redis_settings();
        assert_eq!((login.username(), login.password(), login.db()), (Some("me"), Some("hunter@,2"), 3));
        assert_eq!(sentinels[1].addr().to_string(), "::1:2");
        for sentinel in sentinels {
            let login = sentinel.redis_settings();
            assert_eq!((login.username(), login.password(), login.db()), (None, None, 0));
        }
    }

    #[test]
    fn every_node_of_a_cluster_is_logged_in_at_in_the_same_way() {
        let Ok(Address::Cluster(nodes)) = Address::parse("redis+cluster://me:pw@a:1,b") else {
            panic!("refused")
        };

        for node in nodes {
            assert_eq!(node.redis_settings().password(), Some("pw"));
        }
    }

    #[test]
    fn url_that_is_no_address_says_why() {
        let why = |url: &str| Address::parse(url).err().unwrap().to_string();

        assert!(why("hunter2").contains("scheme"));
        assert!(why("redis+ring://a:1").contains("scheme"));
        assert!(why("redis+sentinel://a:1").contains("service"));
        assert!(why("redis+cluster://").contains("address"));
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic_or_show_the_password(
            scheme in "(redis|rediss|unix)?(\\+(sentinel|cluster))?",
            rest in ".{0,40}",
        ) {
            let parsed = Address::parse(&format!("{scheme}://me:hunter2@{rest}"));

            let shown = match parsed {
                Ok(address) => address.to_string(),
                Err(error) => format!("{error} {error:?}"),
            };
            prop_assert!(!shown.contains("hunter2"), "{}", shown);
        }
    }
}
