use std::time::Duration;

use ::redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionAddr, ConnectionInfo, ErrorKind, FromRedisValue, Pipeline,
    RedisFuture, RedisResult, ServerErrorKind, Value,
    aio::{ConnectionLike, MultiplexedConnection},
    cluster::{ClusterClient, ClusterClientBuilder},
    cluster_async::ClusterConnection,
};
use futures_util::{
    FutureExt,
    future::{select_ok, try_join_all},
};

use super::{address::Address, tls::Trust};

/// Connects to where Redis is now.
///
/// Nothing here waits for ever, but only the nodes of a Cluster have timeouts of their own: whoever dials says
/// how long it may take.
pub(super) struct Dialer {
    to: To,
    trust: Trust,
}

enum To {
    Server(Client),
    Sentinel { sentinels: Vec<Client>, service: String, master: ConnectionInfo },
    Cluster(Box<ClusterClient>),
}

impl Dialer {
    /// Prepares to dial `address`. In a Cluster, each node has `connect` to be connected to and `response` to
    /// answer one command.
    pub(super) fn new(
        address: Address,
        trust: Trust,
        connect: Duration,
        response: Duration,
    ) -> RedisResult<Self> {
        let to = match address {
            Address::Server(server) => To::Server(trust.client(server)?),
            Address::Sentinel { sentinels, service, master } => {
                let sentinels = sentinels.into_iter().map(|sentinel| trust.client(sentinel));
                To::Sentinel { sentinels: sentinels.collect::<Result<_, _>>()?, service, master }
            }
            Address::Cluster(nodes) => {
                let client = cluster(nodes, &trust).connection_timeout(connect).response_timeout(response);
                To::Cluster(Box::new(client.build()?))
            }
        };
        Ok(Self { to, trust })
    }

    pub(super) fn is_for_cluster(&self) -> bool {
        matches!(self.to, To::Cluster(_))
    }

    pub(super) async fn dial(&self) -> RedisResult<Connection> {
        match &self.to {
            To::Server(server) => connect(server).await.map(Connection::Server),
            To::Sentinel { sentinels, service, master } => {
                let asked = sentinels.iter().map(|sentinel| Box::pin(self.ask(sentinel, service, master)));
                select_ok(asked).await.map(|(master, _)| Connection::Server(master))
            }
            To::Cluster(client) => client.get_async_connection().await.map(Connection::Cluster),
        }
    }

    /// Asks one Sentinel who the master is and connects there. All are asked at once and the first one whose
    /// master is one wins: a Sentinel that is silent or lives in the past costs nothing. Steps 1 to 3 of
    /// [Sentinel clients](https://redis.io/docs/latest/develop/reference/sentinel-clients/), which ask one after
    /// the other.
    async fn ask(
        &self,
        sentinel: &Client,
        service: &str,
        master: &ConnectionInfo,
    ) -> RedisResult<MultiplexedConnection> {
        let mut sentinel = connect(sentinel).await?;
        let question = ::redis::cmd("SENTINEL").arg("GET-MASTER-ADDR-BY-NAME").arg(service).to_owned();
        let named: Option<(String, u16)> = question.query_async(&mut sentinel).await?;
        let (host, port) = named.ok_or((ErrorKind::MasterNameNotFoundBySentinel, "no such service"))?;
        let info = master.clone().set_addr(moved(master.addr(), host, port));
        let mut master = connect(&self.trust.client(info)?).await?;
        confirm_master(&mut master).await?;
        Ok(master)
    }
}

/// Fails fast: whatever may take longer than a few milliseconds is tried again by the next caller.
fn cluster(nodes: Vec<ConnectionInfo>, trust: &Trust) -> ClusterClientBuilder {
    let settings = nodes.first().map(|node| node.tcp_settings().clone()).unwrap_or_default();
    trust
        .cluster(nodes)
        .tcp_settings(settings)
        .retries(3)
        .retry_wait_formula(1, 2)
        .min_retry_wait(1)
        .max_retry_wait(8)
        .overall_response_timeout(None)
}

/// Without timeouts, because the whole dialling has one.
async fn connect(client: &Client) -> RedisResult<MultiplexedConnection> {
    let patient = AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
    client.get_multiplexed_async_connection_with_config(&patient).await
}

/// The same kind of address elsewhere.
fn moved(from: &ConnectionAddr, host: String, port: u16) -> ConnectionAddr {
    match from {
        ConnectionAddr::TcpTls { insecure, tls_params, .. } => {
            let (insecure, tls_params) = (*insecure, tls_params.clone());
            ConnectionAddr::TcpTls { host, port, insecure, tls_params }
        }
        _ => ConnectionAddr::Tcp(host, port),
    }
}

/// A user who may not ask for the role has to trust the Sentinel.
async fn confirm_master(connection: &mut MultiplexedConnection) -> RedisResult<()> {
    match ::redis::cmd("ROLE").query_async::<Vec<Value>>(connection).await {
        Ok(role) if role.first().is_some_and(is_master) => Ok(()),
        Ok(_) => Err((ErrorKind::MasterNameNotFoundBySentinel, "the server named is no master").into()),
        Err(error) if matches!(error.kind(), ErrorKind::Server(ServerErrorKind::NoPerm)) => Ok(()),
        Err(error) => Err(error),
    }
}

fn is_master(role: &Value) -> bool {
    String::from_redis_value_ref(role).is_ok_and(|role| role == "master")
}

/// A connection to one server, or to every node of a Cluster.
///
/// Replies are matched to requests by their order. A request whose future is dropped keeps its place in the
/// queue, so that its reply is thrown away and never taken for another's.
#[derive(Clone)]
pub(super) enum Connection {
    Server(MultiplexedConnection),
    Cluster(ClusterConnection),
}

/// Sends `commands` at the same time but not in one piece: while a slot moves to another master, the word that
/// lets a command in there (`ASKING`) holds for one command only.
async fn one_by_one(cluster: &ClusterConnection, commands: &Pipeline) -> RedisResult<Vec<Value>> {
    let sent = commands.cmd_iter().map(|command| {
        let mut cluster = cluster.clone();
        async move { cluster.req_packed_command(command).await }
    });
    try_join_all(sent).await
}

/// No transactions: none of ours needs one, and a Cluster would not keep them together.
impl ConnectionLike for Connection {
    fn req_packed_command<'a>(&'a mut self, command: &'a Cmd) -> RedisFuture<'a, Value> {
        match self {
            Self::Server(server) => server.req_packed_command(command),
            Self::Cluster(cluster) => cluster.req_packed_command(command),
        }
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        commands: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        match self {
            Self::Server(server) => server.req_packed_commands(commands, offset, count),
            Self::Cluster(cluster) => one_by_one(cluster, commands).boxed(),
        }
    }

    fn get_db(&self) -> i64 {
        match self {
            Self::Server(server) => server.get_db(),
            Self::Cluster(cluster) => cluster.get_db(),
        }
    }
}
