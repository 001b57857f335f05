use tidegate_store::{MemoryQueue, MemoryRecords, Queue};
use tokio::time::advance;

use super::*;
use crate::handlers::{Handlers, Job};
use crate::priority::Priority;
use crate::queue::{ListTasks, Settings};
use crate::schedule::{Missed, Ticks};

/// Nodes that share a store.
struct Fleet {
    store: Arc<MemoryQueue>,
    queue: TaskQueue,
    records: Arc<MemoryRecords>,
}

impl Fleet {
    fn new() -> Self {
        let handlers = Handlers::new().on("tick", |_: Job<()>| async { Ok(()) });
        let store = Arc::new(MemoryQueue::default());
        let queue = TaskQueue::new(store.clone(), Arc::new(handlers), Settings::default());
        Self {
            store,
            queue,
            records: Arc::default(),
        }
    }

    fn node(&self, missed: Missed) -> Scheduler {
        let schedule = Schedule {
            name: "every-second".to_owned(),
            owner: String::new(),
            ticks: Ticks::cron("* * * * * *").unwrap(),
            missed,
            kind: "tick".to_owned(),
            input: "null".into(),
            priority: Priority::Normal,
        };
        Scheduler::new(self.queue.clone(), self.records.clone(), vec![schedule])
    }

    async fn submitted(&self) -> usize {
        let list = ListTasks {
            limit: 1_000,
            ..ListTasks::default()
        };
        self.queue.list("", &list).await.unwrap().tasks.len()
    }

    /// Whole seconds of the store's clock since then.
    async fn seconds_since(&self, ms: u64) -> usize {
        let now = self.store.now_ms().await.unwrap();
        usize::try_from(now / 1_000 - ms / 1_000).unwrap()
    }
}

#[tokio::test(start_paused = true)]
async fn three_nodes_submit_each_tick_once_though_each_dies_again_and_again() {
    let fleet = Fleet::new();
    fleet.node(Missed::All).look().await.unwrap();
    let began = fleet.store.now_ms().await.unwrap();
    let mut nodes = tokio::task::JoinSet::new();
    let mut stops = Vec::new();
    for second in 0..60 {
        while nodes.len() < 3 {
            let stop = CancelToken::new();
            nodes.spawn(fleet.node(Missed::All).run(stop.clone()));
            stops.push(stop);
        }
        if second % 3 == 2 {
            nodes.abort_all();
            while nodes.join_next().await.is_some() {}
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    fleet.node(Missed::All).look().await.unwrap();
    assert_eq!(fleet.submitted().await, fleet.seconds_since(began).await);
}

#[tokio::test(start_paused = true)]
async fn a_new_schedule_makes_up_for_nothing() {
    let fleet = Fleet::new();
    fleet.node(Missed::All).look().await.unwrap();
    assert_eq!(fleet.submitted().await, 0);
}

#[tokio::test(start_paused = true)]
async fn what_nobody_was_there_for_is_made_up_as_the_schedule_says() {
    for (missed, expected) in [(Missed::Skip, 6), (Missed::Once, 1), (Missed::All, 60)] {
        let fleet = Fleet::new();
        fleet.node(missed).look().await.unwrap();
        let began = fleet.store.now_ms().await.unwrap();
        // To the very second, so that the ticks within the last five are six.
        advance(Duration::from_millis(60_000 - began % 1_000)).await;
        fleet.node(missed).look().await.unwrap();
        assert_eq!(fleet.submitted().await, expected, "{missed:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_that_dies_after_submitting_leaves_no_tick_twice() {
    let fleet = Fleet::new();
    let node = fleet.node(Missed::All);
    node.look().await.unwrap();
    advance(Duration::from_secs(1)).await;
    let now = fleet.store.now_ms().await.unwrap();
    let tick = now / 1_000 * 1_000;
    node.submit(&node.schedules[0], tick).await.unwrap();
    fleet.node(Missed::All).look().await.unwrap();
    assert_eq!(fleet.submitted().await, 1);
}
