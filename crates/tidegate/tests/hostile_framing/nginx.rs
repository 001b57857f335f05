//! nginx before the gate, with connections that are kept.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;

use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::gateway::{Folder, PATIENCE};

/// A running nginx. Dropping it kills it.
pub(crate) struct Nginx {
    pub(crate) addr: SocketAddr,
    _child: Child,
    folder: Folder,
}

/// What nginx noted of a request that it has found.
#[derive(Debug)]
pub(crate) struct Line {
    /// The caller's `x-request-id`, or `-`.
    pub(crate) given: String,
    /// The one of the answer, or `-`.
    pub(crate) sent: String,
    /// The status of the gate's answer, or `-`.
    pub(crate) upstream: String,
}

impl Nginx {
    /// Starts nginx before `gate`; nothing where it is not installed.
    pub(crate) async fn before(gate: SocketAddr) -> Option<Self> {
        // Debian keeps it where only root looks.
        let places = ["/usr/sbin/nginx", "/usr/bin/nginx", "/usr/local/sbin/nginx"];
        let binary = places.into_iter().find(|place| Path::new(place).exists())?;
        let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = free.local_addr().unwrap();
        drop(free);
        let folder = Folder::new();
        let file = folder.path().join("nginx.conf");
        std::fs::write(&file, config(folder.path(), addr, gate)).unwrap();
        let child = Command::new(binary)
            .arg("-p")
            .arg(folder.path())
            .arg("-e")
            .arg(folder.path().join("error.log"))
            .arg("-c")
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let up = async { while TcpStream::connect(addr).await.is_err() {} };
        timeout(PATIENCE, up).await.expect("nginx listens");
        Some(Self {
            addr,
            _child: child,
            folder,
        })
    }

    /// What it has noted so far.
    pub(crate) fn noted(&self) -> Vec<Line> {
        let log = std::fs::read_to_string(self.folder.path().join("access.log")).unwrap();
        log.lines().filter_map(Line::parse).collect()
    }
}

impl Line {
    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split(' ').map(str::to_owned);
        Some(Self {
            given: words.next()?,
            sent: words.next()?,
            upstream: words.next()?,
        })
    }
}

/// Bodies and answers are handed on as they come, which leaves most to chance.
fn config(folder: &Path, addr: SocketAddr, gate: SocketAddr) -> String {
    let folder = folder.display();
    format!(
        "daemon off; master_process off; worker_processes 1;
pid {folder}/pid;
events {{ worker_connections 1024; }}
http {{
  log_format ids '$http_x_request_id $sent_http_x_request_id $upstream_status';
  access_log {folder}/access.log ids;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  client_max_body_size 0;
  upstream gate {{ server {gate}; keepalive 8; }}
  server {{
    listen {addr};
    underscores_in_headers on; ignore_invalid_headers off;
    location / {{
      proxy_pass http://gate; proxy_http_version 1.1; proxy_next_upstream off;
      proxy_request_buffering off; proxy_buffering off;
      proxy_set_header Connection \"\"; proxy_set_header Host gate.example;
    }}
  }}
}}
"
    )
}
