//! Redis servers of a test's own, on free ports, gone when it ends.

#![allow(dead_code, unused_imports, reason = "every test uses a part of it")]

mod cluster;
mod sentinel;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

pub(crate) use cluster::Cluster;
pub(crate) use sentinel::Sentinels;

/// How long a server may take to start, or a group to agree.
const PATIENCE: Duration = Duration::from_secs(60);

/// One `redis-server`.
pub(crate) struct RedisServer {
    program: &'static str,
    args: Vec<String>,
    pub(crate) port: u16,
    folder: PathBuf,
    child: Child,
}

impl RedisServer {
    /// A server that writes nothing to disk.
    pub(crate) fn start() -> Self {
        Self::with(&["--save", "", "--appendonly", "no"])
    }

    /// A server with these arguments.
    pub(crate) fn with(args: &[&str]) -> Self {
        Self::run("redis-server", args, |_| None)
    }

    /// A server that speaks TLS at another port, with a certificate for
    /// `localhost`; that port and the file of whoever signed it.
    pub(crate) fn with_tls() -> (Self, u16, PathBuf) {
        let folder = folder();
        let file = |name: &str| folder.join(name).display().to_string();
        let (key, cert) = (file("key.pem"), file("cert.pem"));
        let mut openssl = Command::new("openssl");
        openssl.args(["req", "-x509", "-newkey", "ec", "-nodes", "-days", "2"]);
        openssl.args([
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-subj",
            "/CN=localhost",
        ]);
        openssl.args(["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]);
        // A certificate that signs others is not taken for a server's.
        openssl.args(["-addext", "basicConstraints=critical,CA:FALSE"]);
        openssl.args(["-keyout", &key, "-out", &cert]);
        let made = openssl.output().expect("openssl is installed");
        assert!(
            made.status.success(),
            "{}",
            String::from_utf8_lossy(&made.stderr)
        );
        let port = free_port();
        let number = port.to_string();
        let tls = [
            "--tls-port",
            &number,
            "--tls-cert-file",
            &cert,
            "--tls-key-file",
            &key,
        ];
        let rest = [
            "--tls-ca-cert-file",
            &cert,
            "--tls-auth-clients",
            "no",
            "--save",
            "",
        ];
        let server = Self::with(&[&tls[..], &rest].concat());
        (server, port, PathBuf::from(cert))
    }

    /// A program whose configuration file, if it has one, is made for its port.
    fn run(program: &'static str, args: &[&str], file: impl Fn(u16) -> Option<String>) -> Self {
        // Another process may take a free port before the server does.
        for _ in 0..5 {
            let (port, folder) = (free_port(), folder());
            let mut all = Vec::new();
            if let Some(text) = file(port) {
                let path = folder.join("server.conf");
                std::fs::write(&path, text).expect("the folder can be written");
                all.push(path.display().to_string());
            }
            let port_text = port.to_string();
            let dir = folder.display().to_string();
            let own = ["--port", &port_text, "--bind", "127.0.0.1", "--dir", &dir];
            all.extend(own.iter().chain(args).map(|arg| (*arg).to_owned()));
            let child = spawn(program, &all);
            let mut server = Self {
                program,
                args: all,
                port,
                folder,
                child,
            };
            if server.answers_within(PATIENCE) {
                return server;
            }
        }
        panic!("{program} does not start");
    }

    /// Its address.
    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Ends it at once, as a crash would.
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Starts it again where it was, with what is left in its folder.
    pub(crate) fn restart(&mut self) {
        self.kill();
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            self.child = spawn(self.program, &self.args);
            if self.answers_within(Duration::from_secs(10)) {
                return;
            }
        }
        panic!("{} does not start again", self.program);
    }

    /// Stops it where it stands, until [`Self::resume`].
    pub(crate) fn pause(&self) {
        self.signal("STOP");
    }

    /// Lets it go on.
    pub(crate) fn resume(&self) {
        self.signal("CONT");
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args(["-s", name, &pid]).status();
        assert!(sent.expect("kill is there").success());
    }

    /// Sends a command and returns what `redis-cli` prints.
    pub(crate) fn cli(&self, args: &[&str]) -> String {
        let port = self.port.to_string();
        let mut command = Command::new("redis-cli");
        let output = command.args(["-p", &port]).args(args).output();
        let output = output.expect("redis-cli is installed: apt-get install redis-tools");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// Waits until a command prints something that is wanted.
    pub(crate) fn wait_for(&self, args: &[&str], wanted: impl Fn(&str) -> bool) {
        let began = Instant::now();
        loop {
            let said = self.cli(args);
            if wanted(&said) {
                return;
            }
            assert!(began.elapsed() < PATIENCE, "{args:?} still says {said}");
            pause(20);
        }
    }

    /// Its own folder.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    fn answers_within(&mut self, patience: Duration) -> bool {
        let began = Instant::now();
        while began.elapsed() < patience {
            if self.child.try_wait().is_ok_and(|ended| ended.is_some()) {
                return false;
            }
            if answers(self.port) {
                return true;
            }
            pause(5);
        }
        false
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.kill();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Another process tells nobody when it is ready.
#[expect(clippy::disallowed_methods, reason = "there is nothing to wait on")]
fn pause(ms: u64) {
    std::thread::sleep(Duration::from_millis(ms));
}

fn spawn(program: &str, args: &[String]) -> Child {
    let mut command = Command::new(program);
    command
        .args(args)
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let child = command.spawn();
    child.unwrap_or_else(|error| panic!("{program}: {error}; apt-get install {program}"))
}

/// Whether whoever listens there speaks: a password that is missing is an
/// answer as well.
fn answers(port: u16) -> bool {
    let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) else {
        return false;
    };
    let _ = stream.set_read_timeout(Some(Duration::from_millis(500)));
    let mut answer = [0; 5];
    stream.write_all(b"PING\r\n").is_ok()
        && stream.read_exact(&mut answer).is_ok()
        && [&b"+PONG"[..], b"-NOAU", b"-DENI"].contains(&&answer[..])
}

fn free_port() -> u16 {
    // A cluster node listens at its port plus 10000 as well.
    loop {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port is free");
        let port = listener.local_addr().expect("it is bound").port();
        if port < 55_000 {
            return port;
        }
    }
}

fn folder() -> PathBuf {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let name = format!("tidegate-redis-{}-{number}", std::process::id());
    let folder = std::env::temp_dir().join(name);
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).expect("the temporary folder can be written");
    folder
}
