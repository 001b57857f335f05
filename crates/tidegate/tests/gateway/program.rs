//! The real program, with a folder and an environment of its own.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::PATIENCE;

/// A folder that is removed with its owner.
#[derive(Debug)]
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("story-{}-{number}", std::process::id());
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    /// Writes `tidegate.toml`, which the program finds by itself.
    pub(crate) fn with_config(text: &str) -> Self {
        let folder = Self::new();
        std::fs::write(folder.path().join("tidegate.toml"), text).unwrap();
        folder
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn command(folder: &Folder, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
    command
        .args(args)
        .current_dir(folder.path())
        .env_clear()
        .kill_on_drop(true)
        .stdin(Stdio::null());
    command
}

/// Runs a command to its end.
pub(crate) async fn run(folder: &Folder, args: &[&str]) -> Output {
    run_with(folder, args, &[]).await
}

/// The same with an environment.
pub(crate) async fn run_with(folder: &Folder, args: &[&str], env: &[(&str, &str)]) -> Output {
    let mut command = command(folder, args);
    let output = timeout(PATIENCE, command.envs(env.iter().copied()).output());
    output.await.expect("the command ends").unwrap()
}

/// Runs a command to its end, with this on its standard input.
pub(crate) async fn run_with_input(folder: &Folder, args: &[&str], input: &[u8]) -> Output {
    let mut child = command(folder, args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let ended = timeout(PATIENCE, async {
        // A command that has heard enough may close its input.
        let _ = stdin.write_all(input).await;
        drop(stdin);
        child.wait_with_output().await
    });
    ended.await.expect("the command ends").unwrap()
}

/// `tidegate serve`, listening. Dropping it kills it.
#[derive(Debug)]
pub(crate) struct Program {
    pub(crate) addr: SocketAddr,
    child: Child,
    said: Arc<Mutex<String>>,
    heard: JoinSet<()>,
    folder: Folder,
}

impl Program {
    /// Starts the gateway and waits until it listens; an error is what it said
    /// instead, with its exit status.
    pub(crate) async fn serve(
        config: &str,
        env: &[(&str, &str)],
    ) -> Result<Self, (ExitStatus, String)> {
        Self::serve_in(Folder::with_config(config), env).await
    }

    /// The same in a folder that has a configuration.
    pub(crate) async fn serve_in(
        folder: Folder,
        env: &[(&str, &str)],
    ) -> Result<Self, (ExitStatus, String)> {
        let mut child = command(&folder, &["serve"])
            .envs(env.iter().copied())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (said, mut heard) = (Arc::new(Mutex::new(String::new())), JoinSet::new());
        let (found, mut addr) = watch::channel(None);
        let (mut out, log) = (child.stdout.take().unwrap(), said.clone());
        heard.spawn(async move {
            let mut text = String::new();
            let _ = out.read_to_string(&mut text).await;
            log.lock().unwrap().push_str(&text);
        });
        let (lines, log) = (child.stderr.take().unwrap(), said.clone());
        heard.spawn(async move {
            let mut lines = BufReader::new(lines).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                if let Some(addr) = address(&line) {
                    found.send_replace(Some(addr));
                }
                let mut log = log.lock().unwrap();
                log.push_str(&line);
                log.push('\n');
            }
        });
        let listens = timeout(PATIENCE, addr.wait_for(Option::is_some));
        let listens = listens.await.expect("it listens or ends");
        match listens.ok().and_then(|addr| *addr) {
            Some(addr) => Ok(Self {
                addr,
                child,
                said,
                heard,
                folder,
            }),
            None => {
                let status = child.wait().await.unwrap();
                let text = said.lock().unwrap().clone();
                Err((status, text))
            }
        }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id().expect("it runs")
    }

    /// Sends SIGTERM.
    pub(crate) async fn terminate(&self) {
        self.signal("TERM").await;
    }

    /// Sends SIGHUP.
    pub(crate) async fn hang_up(&self) {
        self.signal("HUP").await;
    }

    /// Sends a signal such as `STOP`.
    pub(crate) async fn signal(&self, name: &str) {
        let kill = format!("kill -{name} {}", self.id());
        let sent = Command::new("sh").args(["-c", &kill]).status().await;
        assert!(sent.unwrap().success());
    }

    /// Kills it, so that it can tell nobody, and gives its folder back.
    pub(crate) async fn killed(mut self) -> Folder {
        self.child.kill().await.unwrap();
        self.folder
    }

    /// Where it runs.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Puts another `tidegate.toml` in the place of the one it was started with.
    pub(crate) fn configure(&self, text: &str) {
        let (new, file) = ("tidegate.new", "tidegate.toml");
        std::fs::write(self.folder().join(new), text).unwrap();
        std::fs::rename(self.folder().join(new), self.folder().join(file)).unwrap();
    }

    /// Waits for the end; gives the status and all that was said.
    pub(crate) async fn ended(self) -> (ExitStatus, String) {
        let (status, said, _) = self.ended_in_place().await;
        (status, said)
    }

    /// The same, with its folder.
    pub(crate) async fn ended_in_place(mut self) -> (ExitStatus, String, Folder) {
        let status = timeout(PATIENCE, self.child.wait());
        let status = status.await.expect("it ends").unwrap();
        while self.heard.join_next().await.is_some() {}
        let said = self.said.lock().unwrap().clone();
        (status, said, self.folder)
    }

    /// Waits until it has said something.
    pub(crate) async fn until_said(&self, text: &str) {
        let said = timeout(PATIENCE, async {
            while !self.said().contains(text) {
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
        });
        assert!(
            said.await.is_ok(),
            "it never said {text:?}: {}",
            self.said()
        );
    }

    /// What was said so far.
    pub(crate) fn said(&self) -> String {
        self.said.lock().unwrap().clone()
    }
}

/// A command that goes on until it is told to end, and what it says. Dropping it
/// kills it.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    said: watch::Receiver<String>,
    heard: JoinSet<()>,
}

impl Running {
    /// Starts it in a folder.
    pub(crate) fn start(folder: &Path, args: &[&str], env: &[(&str, &str)]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_tidegate"))
            .args(args)
            .current_dir(folder)
            .env_clear()
            .envs(env.iter().copied())
            .kill_on_drop(true)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (say, said) = watch::channel(String::new());
        let mut heard = JoinSet::new();
        let (out, err) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        heard.spawn(hear(out, say.clone()));
        heard.spawn(hear(err, say));
        Self { child, said, heard }
    }

    /// Waits until it has said something, on either output.
    pub(crate) async fn until(&mut self, text: &str) {
        let said = timeout(PATIENCE, self.said.wait_for(|said| said.contains(text)));
        let seen = said.await.is_ok_and(|said| said.is_ok());
        assert!(seen, "it never said {text:?}: {}", *self.said.borrow());
    }

    /// What was said so far.
    pub(crate) fn said(&self) -> String {
        self.said.borrow().clone()
    }

    /// Sends a signal such as `TERM`.
    pub(crate) async fn signal(&self, name: &str) {
        let kill = format!("kill -{name} {}", self.child.id().expect("it runs"));
        let sent = Command::new("sh").args(["-c", &kill]).status().await;
        assert!(sent.unwrap().success());
    }

    /// Waits for the end; gives the status and all that was said.
    pub(crate) async fn ended(mut self) -> (ExitStatus, String) {
        let status = timeout(PATIENCE, self.child.wait());
        let status = status.await.expect("it ends").unwrap();
        while self.heard.join_next().await.is_some() {}
        let said = self.said.borrow().clone();
        (status, said)
    }
}

async fn hear(out: impl AsyncRead + Unpin, say: watch::Sender<String>) {
    let mut lines = BufReader::new(out).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        say.send_modify(|said| {
            said.push_str(&line);
            said.push('\n');
        });
    }
}

/// The address in the hint that is shown at every log level.
fn address(line: &str) -> Option<SocketAddr> {
    let (_, rest) = line.split_once("curl http://")?;
    rest.split_once('/')?.0.parse().ok()
}
