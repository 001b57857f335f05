//! One connection to whatever stands at an address.

use std::time::Duration;

use redis::aio::{ConnectionLike, MultiplexedConnection, PubSub};
use redis::cluster::ClusterClient;
use redis::cluster_async::ClusterConnection;
use redis::sentinel::{Sentinel, SentinelNodeConnectionInfo};
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ConnectionInfo, IntoConnectionInfo,
    RedisConnectionInfo, RedisFuture, RedisResult, TlsMode, Value,
};

use crate::url::{Host, RedisUrl, Topology, Transport};

/// How long a connection may take, its handshake included. A server that is
/// paused accepts connections and says nothing.
pub(super) const CONNECT_TIME: Duration = Duration::from_secs(1);

/// A connection that many ask at once. Cheap to clone.
#[derive(Clone)]
pub(crate) enum Line {
    /// To one server.
    Single(MultiplexedConnection),
    /// To the nodes of a cluster.
    Cluster(ClusterConnection),
}

impl ConnectionLike for Line {
    fn req_packed_command<'a>(&'a mut self, cmd: &'a redis::Cmd) -> RedisFuture<'a, Value> {
        match self {
            Self::Single(connection) => connection.req_packed_command(cmd),
            Self::Cluster(connection) => connection.req_packed_command(cmd),
        }
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        cmd: &'a redis::Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        match self {
            Self::Single(connection) => connection.req_packed_commands(cmd, offset, count),
            Self::Cluster(connection) => connection.req_packed_commands(cmd, offset, count),
        }
    }

    fn get_db(&self) -> i64 {
        match self {
            Self::Single(connection) => connection.get_db(),
            Self::Cluster(connection) => connection.get_db(),
        }
    }
}

/// Where to connect to, and as whom.
#[derive(Clone)]
pub(super) struct Address {
    pub(super) url: RedisUrl,
    pub(super) db: u16,
}

impl Address {
    /// Connects to the primary, or to the cluster.
    pub(super) async fn connect(&self) -> RedisResult<Line> {
        match &self.url.topology {
            Topology::Cluster(hosts) => self.connect_to_cluster(hosts).await,
            Topology::Single(_) | Topology::Sentinel { .. } => {
                let client = self.primary().await?;
                let config = connection_config();
                let connection = client.get_multiplexed_async_connection_with_config(&config);
                Ok(Line::Single(connection.await?))
            }
        }
    }

    /// Connects to listen: to the primary, or to any node of the cluster, since
    /// each of them hears what is published at the others.
    pub(super) async fn listen(&self) -> RedisResult<PubSub> {
        match &self.url.topology {
            Topology::Single(_) | Topology::Sentinel { .. } => {
                self.primary().await?.get_async_pubsub().await
            }
            Topology::Cluster(hosts) => {
                let first = fastrand::usize(..hosts.len());
                let mut last = None;
                for host in hosts[first..].iter().chain(&hosts[..first]) {
                    let client = Client::open(self.at(host)?)?;
                    let listening = client.get_async_pubsub();
                    match tokio::time::timeout(CONNECT_TIME / 2, listening).await {
                        Ok(Ok(listening)) => return Ok(listening),
                        Ok(Err(error)) => last = Some(error),
                        Err(_) => {}
                    }
                }
                Err(last.unwrap_or_else(timed_out))
            }
        }
    }

    /// A connection to one server alone: the primary, or a node of the cluster.
    pub(super) async fn connect_to_one(&self) -> RedisResult<MultiplexedConnection> {
        let client = match &self.url.topology {
            Topology::Cluster(hosts) => Client::open(self.at(&hosts[0])?)?,
            Topology::Single(_) | Topology::Sentinel { .. } => self.primary().await?,
        };
        let config = connection_config();
        client
            .get_multiplexed_async_connection_with_config(&config)
            .await
    }

    async fn primary(&self) -> RedisResult<Client> {
        match &self.url.topology {
            Topology::Single(host) => Client::open(self.at(host)?),
            Topology::Sentinel { sentinels, primary } => {
                // A sentinel that hangs must not hide the ones that do not.
                let mut last = None;
                let first = fastrand::usize(..sentinels.len());
                for host in sentinels[first..].iter().chain(&sentinels[..first]) {
                    let mut sentinel = Sentinel::build(vec![self.at_sentinel(host)?])?;
                    let node = self.behind_sentinel();
                    let found = sentinel.async_master_for(primary, Some(&node));
                    match tokio::time::timeout(CONNECT_TIME / 2, found).await {
                        Ok(Ok(client)) => return Ok(client),
                        Ok(Err(error)) => last = Some(error),
                        Err(_) => {}
                    }
                }
                Err(last.unwrap_or_else(timed_out))
            }
            Topology::Cluster(_) => Err(timed_out()),
        }
    }

    async fn connect_to_cluster(&self, hosts: &[Host]) -> RedisResult<Line> {
        let nodes: RedisResult<Vec<_>> = hosts.iter().map(|host| self.at(host)).collect();
        let mut builder = ClusterClient::builder(nodes?)
            .connection_timeout(CONNECT_TIME)
            .retries(CLUSTER_RETRIES)
            .min_retry_wait(5)
            .max_retry_wait(20);
        if self.url.transport == Transport::Tls {
            builder = builder.tls(TlsMode::Secure);
        }
        let connection = builder.build()?.get_async_connection().await?;
        Ok(Line::Cluster(connection))
    }

    fn at(&self, host: &Host) -> RedisResult<ConnectionInfo> {
        Ok(self
            .addr(host)
            .into_connection_info()?
            .set_redis_settings(self.access(self.db)))
    }

    /// Sentinels have no databases, and are asked without a name: a password
    /// there is rare and would be another one.
    fn at_sentinel(&self, host: &Host) -> RedisResult<ConnectionInfo> {
        self.addr(host).into_connection_info()
    }

    fn behind_sentinel(&self) -> SentinelNodeConnectionInfo {
        let node = SentinelNodeConnectionInfo::default();
        let node = node.set_redis_connection_info(self.access(self.db));
        match self.url.transport {
            Transport::Plain => node,
            Transport::Tls => node.set_tls_mode(TlsMode::Secure),
        }
    }

    fn addr(&self, host: &Host) -> ConnectionAddr {
        match self.url.transport {
            Transport::Plain => ConnectionAddr::Tcp(host.name.clone(), host.port),
            Transport::Tls => ConnectionAddr::TcpTls {
                host: host.name.clone(),
                port: host.port,
                insecure: false,
                tls_params: None,
            },
        }
    }

    fn access(&self, db: u16) -> RedisConnectionInfo {
        let mut access = RedisConnectionInfo::default().set_db(i64::from(db));
        if let Some(user) = &self.url.user {
            access = access.set_username(user);
        }
        if let Some(password) = &self.url.password {
            access = access.set_password(password);
        }
        // Servers before 7.2 do not know the command, and rights may not cover it.
        access.set_skip_set_lib_name()
    }
}

/// A command is sent again where its slot has moved; the caller's time limit
/// bounds all of it.
const CLUSTER_RETRIES: u32 = 3;

/// Every question has a time limit of its own.
fn connection_config() -> AsyncConnectionConfig {
    AsyncConnectionConfig::new()
        .set_connection_timeout(Some(CONNECT_TIME))
        .set_response_timeout(None)
}

fn timed_out() -> redis::RedisError {
    std::io::Error::from(std::io::ErrorKind::TimedOut).into()
}
