//! What is taken, refused and shown.

use std::time::Duration;

use tidegate_tasks::{Job, ListTasks, NewTask, Settings, SubmitError, TaskState};
use tokio::time::advance;

use super::{OWNER, Shop, config, double};

#[tokio::test(start_paused = true)]
async fn a_task_runs_and_leaves_its_result() {
    let mut shop = Shop::new(double());
    shop.worker(config());
    let id = shop.submit(NewTask::new("double", "21")).await;
    let task = shop.until(&id, TaskState::Succeeded).await;
    assert_eq!(task.result.as_deref(), Some(b"42".as_slice()));
    assert_eq!(task.input.as_deref(), Some(b"21".as_slice()));
    assert_eq!((task.tries.attempt, task.tries.max_retries), (1, 3));
    assert!(task.times.started.is_some() && task.times.finished.is_some());
    shop.close().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_refused_is_refused_before_it_is_kept() {
    let shop = Shop::with(
        double(),
        Settings {
            max_input_bytes: 100,
            ..Settings::default()
        },
    );
    let refused = async |task: NewTask| shop.queue.submit(OWNER, vec![task]).await.unwrap_err();
    let kind = refused(NewTask::new("treble", "1")).await;
    assert_eq!(
        kind.to_string(),
        "kind: there is no \"treble\"; there are double"
    );
    let input = refused(NewTask::new("double", "\"x\"")).await;
    assert!(
        input.to_string().starts_with("input: invalid type: string"),
        "{input}"
    );
    let large = refused(NewTask::new("double", "1".repeat(101))).await;
    assert_eq!(
        large,
        SubmitError::TooLarge {
            bytes: 101,
            limit: 100
        }
    );
    let mut alone = NewTask::new("double", "1");
    alone.depends_on = vec!["nobody".to_owned()];
    let missing = refused(alone).await;
    assert_eq!(
        missing,
        SubmitError::Missing {
            after: "nobody".to_owned()
        }
    );
    assert_eq!(shop.queue.stats().await.unwrap().depth(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_circle_of_tasks_is_refused_and_a_graph_in_any_order_runs() {
    let mut shop = Shop::new(double());
    let task = |id: &str, after: &[&str]| {
        let mut task = NewTask::new("double", "1");
        task.id = Some(id.to_owned());
        task.depends_on = after.iter().map(|id| (*id).to_owned()).collect();
        task
    };
    let circle = vec![task("a", &["b"]), task("b", &["a"])];
    let refused = shop.queue.submit(OWNER, circle).await.unwrap_err();
    assert_eq!(
        refused.to_string(),
        "depends_on: a -> b -> a depend on each other in a circle"
    );

    let graph = vec![task("c", &["a", "b"]), task("b", &["a"]), task("a", &[])];
    let submitted = shop.queue.submit(OWNER, graph).await.unwrap();
    let ids: Vec<&str> = submitted.iter().map(|task| &*task.id).collect();
    assert_eq!(ids, ["c", "b", "a"]);
    assert_eq!(shop.task("c").await.state, TaskState::Waiting);
    shop.worker(config());
    let last = shop.until("c", TaskState::Succeeded).await;
    let before = shop.task("b").await;
    assert!(before.times.finished <= last.times.started);
    shop.close().await;
}

#[tokio::test(start_paused = true)]
async fn the_same_key_is_the_same_task_and_another_input_is_a_conflict() {
    let shop = Shop::new(double());
    let task = |input: &'static str| {
        let mut task = NewTask::new("double", input);
        task.idempotency_key = Some("order-7".to_owned());
        task
    };
    let first = shop
        .queue
        .submit(OWNER, vec![task("1")])
        .await
        .unwrap()
        .remove(0);
    let again = shop
        .queue
        .submit(OWNER, vec![task("1")])
        .await
        .unwrap()
        .remove(0);
    assert_eq!(
        (first.was_there, again.was_there, &again.id),
        (false, true, &first.id)
    );
    let other = shop.queue.submit(OWNER, vec![task("2")]).await.unwrap_err();
    assert_eq!(other.code(), "task_conflict");
    let elsewhere = shop
        .queue
        .submit("other", vec![task("2")])
        .await
        .unwrap()
        .remove(0);
    assert!(!elsewhere.was_there);
    assert_eq!(shop.queue.get("other", &first.id).await.unwrap(), None);
}

#[tokio::test(start_paused = true)]
async fn more_than_may_wait_are_refused() {
    let shop = Shop::with(
        double(),
        Settings {
            max_waiting: 2,
            ..Settings::default()
        },
    );
    let task = || NewTask::new("double", "1");
    shop.queue
        .submit(OWNER, vec![task(), task()])
        .await
        .unwrap();
    let full = shop.queue.submit(OWNER, vec![task()]).await.unwrap_err();
    assert_eq!(
        full.to_string(),
        "2 tasks have not ended, and no more are taken (tasks.max_waiting)"
    );
}

#[tokio::test(start_paused = true)]
async fn lists_hold_the_newest_tasks_of_one_owner_page_by_page() {
    let shop = Shop::new(double().on("other", |_: Job<u64>| async { Ok(()) }));
    for number in 0..10 {
        let mut task = NewTask::new(if number % 2 == 0 { "double" } else { "other" }, "1");
        task.id = Some(format!("t{number}"));
        task.tags = vec![format!("third-{}", number % 3)];
        shop.submit(task).await;
        advance(Duration::from_millis(5)).await;
    }
    shop.queue.cancel(OWNER, "t9").await.unwrap();
    let pages = async |list: ListTasks| {
        let (mut ids, mut list) = (Vec::new(), list);
        loop {
            let page = shop.queue.list(OWNER, &list).await.unwrap();
            ids.extend(page.tasks.into_iter().map(|task| task.id));
            match page.next {
                Some(next) => list.next = Some(next),
                None => return ids.join(" "),
            }
        }
    };
    let list = || ListTasks {
        limit: 3,
        ..ListTasks::default()
    };
    assert_eq!(pages(list()).await, "t9 t8 t7 t6 t5 t4 t3 t2 t1 t0");
    let queued = ListTasks {
        state: Some(TaskState::Queued),
        ..list()
    };
    assert_eq!(pages(queued).await, "t8 t7 t6 t5 t4 t3 t2 t1 t0");
    let kind = ListTasks {
        kind: Some("other".to_owned()),
        ..list()
    };
    assert_eq!(pages(kind).await, "t9 t7 t5 t3 t1");
    let tag = ListTasks {
        tag: Some("third-0".to_owned()),
        ..list()
    };
    assert_eq!(pages(tag).await, "t9 t6 t3 t0");
    let page = shop.queue.list("nobody", &list()).await.unwrap();
    assert_eq!((page.tasks.len(), page.next), (0, None));
}
