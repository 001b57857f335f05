//! Where a handler runs, so that one that goes wrong harms nobody else.

use std::any::Any;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt;
use tidegate_work::CancelToken;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio_util::task::TaskTracker;

/// How long an attempt that was told to end for good may take for it, before
/// its thread is given up.
pub(super) const STUCK: Duration = Duration::from_secs(1);

/// Where handlers run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Isolation {
    /// Each attempt on a thread of its own: one that never awaits holds up
    /// nobody but itself.
    Thread,
    /// On the threads of the runtime, which costs a little less: for handlers
    /// that are known to await.
    Task,
}

/// How an attempt came to its end.
#[derive(Debug)]
pub(super) enum Came<T> {
    /// By itself.
    Home(T),
    /// It was dropped at an await.
    Dropped,
    /// With a panic, and its message.
    Panicked(String),
}

/// An attempt that runs.
pub(super) struct Seat<T> {
    run: JoinHandle<Came<T>>,
    kill: CancelToken,
}

impl<T: Send + 'static> Seat<T> {
    /// Begins to run a future.
    pub(super) fn take(
        isolation: Isolation,
        threads: &TaskTracker,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Self {
        let kill = CancelToken::new();
        let killed = kill.clone();
        let work = async move {
            tokio::select! {
                biased;
                () = killed.cancelled() => None,
                done = work => Some(done),
            }
        };
        let work = AssertUnwindSafe(work)
            .catch_unwind()
            .map(|came| match came {
                Ok(Some(done)) => Came::Home(done),
                Ok(None) => Came::Dropped,
                Err(panic) => Came::Panicked(message(&*panic)),
            });
        let run = match isolation {
            Isolation::Task => threads.spawn(work),
            Isolation::Thread => {
                let runtime = Handle::current();
                threads.spawn_blocking(move || runtime.block_on(work))
            }
        };
        Self { run, kill }
    }

    /// Waits for its end. Dropping the future does not end the attempt.
    pub(super) async fn ended(&mut self) -> Came<T> {
        match (&mut self.run).await {
            Ok(came) => came,
            Err(error) if error.is_panic() => Came::Panicked(message(&*error.into_panic())),
            Err(_) => Came::Dropped,
        }
    }

    /// Ends it at its next await. `None` says that it has not awaited.
    pub(super) async fn kill(&mut self) -> Option<Came<T>> {
        self.kill.cancel();
        tokio::time::timeout(STUCK, self.ended()).await.ok()
    }
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    text.unwrap_or_else(|| "without a message".to_owned())
}
