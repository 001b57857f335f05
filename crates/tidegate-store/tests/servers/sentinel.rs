//! A primary with a replica, and three sentinels that watch them.

use super::RedisServer;

/// Two servers and their sentinels.
pub(crate) struct Sentinels {
    /// The first was the primary at the start.
    pub(crate) servers: Vec<RedisServer>,
    pub(crate) sentinels: Vec<RedisServer>,
}

impl Sentinels {
    /// Starts all of them and waits until they know each other.
    pub(crate) fn start() -> Self {
        let fast = [
            "--repl-ping-replica-period",
            "1",
            "--repl-diskless-sync-delay",
            "0",
        ];
        let primary = RedisServer::with(&[&["--save", ""][..], &fast].concat());
        let port = primary.port.to_string();
        let of = ["--save", "", "--replicaof", "127.0.0.1", &port];
        let replica = RedisServer::with(&[&of[..], &fast].concat());
        replica.wait_for(&["INFO", "replication"], |info| {
            info.contains("link_status:up")
        });
        let config = |_| {
            Some(format!(
                "sentinel monitor primary 127.0.0.1 {port} 2\n\
                 sentinel down-after-milliseconds primary 500\n\
                 sentinel failover-timeout primary 2000\n"
            ))
        };
        let sentinel = |_| RedisServer::run("redis-sentinel", &[], config);
        let sentinels: Vec<_> = (0..3).map(sentinel).collect();
        for sentinel in &sentinels {
            let question = ["SENTINEL", "CKQUORUM", "primary"];
            sentinel.wait_for(&question, |said| said.starts_with("OK 3"));
            let question = ["SENTINEL", "REPLICAS", "primary"];
            sentinel.wait_for(&question, |said| said.contains("slave"));
        }
        let servers = vec![primary, replica];
        Self { servers, sentinels }
    }

    /// The address of the sentinels.
    pub(crate) fn url(&self) -> String {
        let hosts = self.sentinels.iter();
        let hosts: Vec<_> = hosts
            .map(|server| format!("127.0.0.1:{}", server.port))
            .collect();
        format!("redis+sentinel://{}/primary", hosts.join(","))
    }
}
