//! A cluster of six: three primaries, each with a replica.

use std::process::Command;

use super::RedisServer;

/// Six servers that are one cluster.
pub(crate) struct Cluster {
    pub(crate) servers: Vec<RedisServer>,
}

impl Cluster {
    /// Starts them and waits until every one of them knows all slots.
    pub(crate) fn start() -> Self {
        let args = [
            ["--cluster-enabled", "yes"],
            ["--cluster-config-file", "nodes.conf"],
            ["--cluster-node-timeout", "1000"],
            ["--cluster-require-full-coverage", "no"],
            ["--repl-diskless-sync-delay", "0"],
            ["--save", ""],
        ];
        let args = args.concat();
        let servers: Vec<_> = (0..6).map(|_| RedisServer::with(&args)).collect();
        let mut create = Command::new("redis-cli");
        create.args(["--cluster", "create"]);
        for server in &servers {
            create.arg(format!("127.0.0.1:{}", server.port));
        }
        create.args(["--cluster-replicas", "1", "--cluster-yes"]);
        let made = create.output().expect("redis-cli is installed");
        let said = String::from_utf8_lossy(&made.stdout);
        assert!(made.status.success(), "{said}");
        for server in &servers {
            server.wait_for(&["CLUSTER", "INFO"], |info| {
                info.contains("cluster_state:ok")
            });
        }
        // A replica that has copied nothing yet does not take over.
        for replica in &servers[3..] {
            replica.wait_for(&["INFO", "replication"], |info| {
                info.contains("link_status:up")
            });
        }
        Self { servers }
    }

    /// The address of some of its nodes.
    pub(crate) fn url(&self) -> String {
        let hosts = self.servers[..3].iter();
        let hosts: Vec<_> = hosts
            .map(|server| format!("127.0.0.1:{}", server.port))
            .collect();
        format!("redis+cluster://{}", hosts.join(","))
    }
}
