//! Accepting connections, serving them, and letting go of them in time.

mod plain_errors;

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::http::{Gate, MOST_HEADER_BYTES, app};
use plain_errors::PlainErrors;

/// Asks a server to stop; clones ask the same server.
#[derive(Debug, Clone, Default)]
pub struct Shutdown {
    stop: CancellationToken,
    drain: Arc<OnceLock<Duration>>,
}

impl Shutdown {
    /// Stops accepting at once and lets running requests end.
    pub fn begin(&self) {
        self.stop.cancel();
    }

    /// The same, with another drain time than the server was started with.
    pub fn begin_within(&self, drain: Duration) {
        // The first one to ask decides.
        let _ = self.drain.set(drain);
        self.begin();
    }
}

/// A gate that listens.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    gate: Arc<Gate>,
}

/// How long a connection may take to send a head, and lie idle between two.
const HEAD_TIMEOUT: Duration = Duration::from_secs(75);
/// Pause after the system had no file descriptor left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

impl Server {
    /// Listens on `addr`; port 0 takes a free one.
    ///
    /// # Errors
    /// What the operating system says.
    pub async fn bind(addr: SocketAddr, gate: Arc<Gate>) -> io::Result<Self> {
        Ok(Self {
            listener: TcpListener::bind(addr).await?,
            gate,
        })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until `shutdown` begins, then for at most `drain` until the
    /// running requests have ended. Returns how many connections were cut.
    ///
    /// Dropping the future cuts all of them.
    pub async fn run(self, shutdown: Shutdown, drain: Duration) -> usize {
        let Self { listener, gate } = self;
        let router = app(gate.clone());
        let (stop, cut) = (shutdown.stop, CancellationToken::new());
        let _cut_on_drop = cut.clone().drop_guard();
        let connections = TaskTracker::new();
        loop {
            let accepted = tokio::select! {
                () = stop.cancelled() => break,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, _)) => {
                    let serve = serve(stream, router.clone(), stop.clone());
                    connections.spawn(cut.clone().run_until_cancelled_owned(serve));
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted: {error}");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        gate.draining.store(true, Ordering::Release);
        drop(listener);
        connections.close();
        let drain = shutdown.drain.get().copied().unwrap_or(drain);
        let drained = tokio::time::timeout(drain, connections.wait()).await;
        let left = if drained.is_ok() {
            0
        } else {
            connections.len()
        };
        cut.cancel();
        connections.wait().await;
        left
    }
}

/// Serves one connection until it ends; once `stop` is called, until the
/// request under way has been answered.
async fn serve(stream: TcpStream, router: Router, stop: CancellationToken) {
    // Small events must not wait for the acknowledgement of earlier ones.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY could not be set: {error}");
    }
    let io = TokioIo::new(PlainErrors::new(stream));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(MOST_HEADER_BYTES)
        .serve_connection(io, TowerToHyperService::new(router));
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        // Clients leave when they like: nothing for the operator to do.
        tracing::debug!(%error, "a connection ended: {error}");
    }
}
