//! Background tasks as they meet the limits of models, in virtual time.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::sync::Arc;
use std::time::Duration;

use tidegate_engine::mock::{Mock, Script};
use tidegate_engine::{
    Caller, CancelToken, ChainConfig, Engine, EngineConfig, EntryConfig, InForce, Isolation,
    NewTask, ProviderConfig, ProviderKind, Quota, Retries, SubmitError, Task, TaskState, Tasks,
    TasksConfig, WorkerConfig,
};
use tokio::time::sleep;

/// The only revision.
#[derive(Debug)]
struct Only(Engine);

impl InForce for Only {
    fn engine(&self) -> Engine {
        self.0.clone()
    }

    fn caller(&self, tenant: &str, _: Option<&str>) -> Option<Caller> {
        Some(Caller::new(tenant, Quota::unlimited()))
    }
}

/// Tasks over one model that may be asked once a minute.
fn tasks() -> Tasks {
    let entry = EntryConfig {
        quota: Quota {
            requests: Some(1),
            ..Quota::unlimited()
        },
        ..EntryConfig::new("up", "m")
    };
    let config = EngineConfig {
        providers: vec![ProviderConfig {
            name: "up".to_owned(),
            kind: ProviderKind::Custom(Arc::new(Mock::new(Script::default()))),
        }],
        chains: vec![ChainConfig {
            name: "m".to_owned(),
            entries: vec![entry],
        }],
        ..EngineConfig::default()
    };
    let engine = Engine::assemble(config).unwrap();
    let config = TasksConfig {
        worker: WorkerConfig {
            isolation: Isolation::Task,
            ..WorkerConfig::default()
        },
        ..TasksConfig::default()
    };
    engine.tasks(config, Arc::new(Only(engine.clone())), |_| {})
}

fn caller() -> Caller {
    Caller::new("tenant", Quota::unlimited())
}

fn question() -> NewTask {
    let mut task = NewTask::new("chat", r#"{"query": "When?"}"#);
    task.retries = Retries {
        timeout: Some(Duration::from_secs(5)),
        ..Retries::default()
    };
    task
}

async fn submit(tasks: &Tasks, task: NewTask) -> String {
    let submitted = tasks.submit(&caller(), vec![task]).await;
    submitted.unwrap().remove(0).id
}

async fn until(tasks: &Tasks, id: &str, state: TaskState) -> Task {
    for _ in 0..10_000 {
        let task = tasks.get(&caller(), id).await.unwrap().unwrap();
        if task.state == state {
            return task;
        }
        sleep(Duration::from_millis(50)).await;
    }
    panic!("{id} never is {state}");
}

#[tokio::test(start_paused = true)]
async fn a_chat_without_room_within_its_attempt_comes_back_when_there_is_some() {
    let tasks = tasks();
    let stop = CancelToken::new();
    let story = async {
        let first = submit(&tasks, question()).await;
        until(&tasks, &first, TaskState::Succeeded).await;
        let second = submit(&tasks, question()).await;
        let waits = until(&tasks, &second, TaskState::Retrying).await;
        // It has left its place to others, and not waited until its time was over.
        let times = waits.times;
        assert_eq!(waits.error.unwrap().code, "throttled");
        assert!(times.run_at >= times.created + 50_000, "{times:?}");
        let done = until(&tasks, &second, TaskState::Succeeded).await;
        assert_eq!(done.tries.attempt, 2);
        stop.cancel();
    };
    tokio::join!(tasks.work(stop.clone()), story);
}

#[tokio::test(start_paused = true)]
async fn an_input_that_contradicts_itself_is_refused_when_it_is_submitted() {
    let tasks = tasks();
    for (kind, input, wrong) in [
        (
            "chat",
            "{}",
            "input: messages, at least one, or a query is wanted",
        ),
        (
            "chat",
            r#"{"query": "a", "messages": [{"role": "user", "content": "b"}]}"#,
            "input: messages or query, not both",
        ),
        (
            "process_chat",
            r#"{"context": "c"}"#,
            "input: context belongs to a query",
        ),
        (
            "scan_batch",
            r#"{"texts": [], "direction": "up"}"#,
            "input.direction: ",
        ),
    ] {
        let refused = tasks
            .submit(&caller(), vec![NewTask::new(kind, input)])
            .await;
        let refused = refused.unwrap_err();
        assert!(matches!(refused, SubmitError::Input(_)), "{refused:?}");
        assert!(refused.to_string().starts_with(wrong), "{refused}");
    }
}
