use super::*;
use futures_util::future::{join_all, poll_immediate};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;

/// Occupies a thread from `started` until `release` is dropped.
struct Held<F> {
    result: F,
    release: mpsc::Sender<()>,
}

/// Returns once the job is on a thread.
async fn hold(pool: &Pool) -> Held<impl Future<Output = Result<(), PoolError>> + Send + use<>> {
    let (release, released) = mpsc::channel::<()>();
    let (starting, started) = oneshot::channel();
    let mut result = Box::pin(pool.run(move || {
        starting.send(()).unwrap();
        released.recv().unwrap_err();
    }));
    assert_eq!(poll_immediate(&mut result).await, None);
    started.await.unwrap();
    Held { result, release }
}

/// A job that leaves a trace when it runs.
fn tracing() -> (Arc<AtomicBool>, impl FnOnce() + Send + 'static) {
    let ran = Arc::new(AtomicBool::new(false));
    let trace = Arc::clone(&ran);
    (ran, move || trace.store(true, Ordering::SeqCst))
}

#[tokio::test]
async fn a_job_gives_its_result_from_a_thread_of_the_pool() {
    let pool = Pool::new(2, 1);
    let name = pool.run(|| thread::current().name().map(str::to_owned));
    let name = name.await.unwrap().unwrap();
    assert!(name.starts_with("tidegate-cpu-"), "{name}");
}

#[tokio::test]
async fn a_pool_has_the_threads_that_were_asked_for_and_at_least_one() {
    assert_eq!(Pool::new(3, 0).threads(), 3);
    assert_eq!(Pool::new(0, 0).threads(), 1);
    let cores = thread::available_parallelism().unwrap().get();
    assert_eq!(Pool::per_core(0).threads(), cores);
}

#[tokio::test]
async fn as_many_jobs_run_at_once_as_there_are_threads() {
    let pool = Pool::new(2, 0);
    let (first, second) = (hold(&pool).await, hold(&pool).await);
    drop((first.release, second.release));
    assert_eq!(first.result.await, Ok(()));
    assert_eq!(second.result.await, Ok(()));
}

#[tokio::test]
async fn a_full_pool_refuses_at_once_and_takes_jobs_again_later() {
    let pool = Pool::new(1, 2);
    let held = hold(&pool).await;
    let mut queued = Box::pin(join_all([1, 2].map(|number| pool.run(move || number))));
    assert_eq!(poll_immediate(&mut queued).await, None);
    assert_eq!(pool.waiting(), 2);

    let refused = poll_immediate(Box::pin(pool.run(|| 3))).await;
    assert_eq!(refused, Some(Err(PoolError::Full { queue: 2 })));
    assert_eq!(pool.waiting(), 2);

    drop(held.release);
    assert_eq!(queued.await, [Ok(1), Ok(2)]);
    assert_eq!(pool.run(|| 3).await, Ok(3));
}

#[tokio::test]
async fn jobs_start_in_the_order_of_their_arrival() {
    let pool = Pool::new(1, 3);
    let held = hold(&pool).await;
    let (trace, started) = mpsc::channel();
    let mut queued = Box::pin(join_all([1, 2, 3].map(|number| {
        let trace = trace.clone();
        pool.run(move || trace.send(number).unwrap())
    })));
    assert_eq!(poll_immediate(&mut queued).await, None);
    drop((held.release, trace));
    queued.await;
    assert_eq!(started.iter().collect::<Vec<_>>(), [1, 2, 3]);
}

#[tokio::test]
async fn a_burst_as_large_as_the_idle_threads_needs_no_queue() {
    let pool = Pool::new(4, 0);
    for _ in 0..200 {
        let burst = join_all((0..4).map(|number| pool.run(move || number))).await;
        assert_eq!(burst, [Ok(0), Ok(1), Ok(2), Ok(3)]);
    }
}

#[tokio::test]
async fn a_caller_who_has_the_answer_finds_the_thread_free() {
    let pool = Pool::new(1, 0);
    for number in 0..1_000 {
        assert_eq!(pool.run(move || number).await, Ok(number));
    }
}

#[tokio::test]
async fn a_job_whose_caller_left_is_skipped_and_gives_its_place_back() {
    let pool = Pool::new(1, 1);
    let held = hold(&pool).await;
    let (ran, job) = tracing();
    let mut left = Box::pin(pool.run(job));
    assert_eq!(poll_immediate(&mut left).await, None);
    assert_eq!(pool.waiting(), 1);
    drop(left);
    assert_eq!(pool.waiting(), 0);
    assert_eq!(Arc::strong_count(&ran), 1, "what the job held is dropped");

    let mut stayed = Box::pin(pool.run(|| ()));
    assert_eq!(poll_immediate(&mut stayed).await, None);
    drop(held.release);
    assert_eq!(stayed.await, Ok(()));
    assert!(!ran.load(Ordering::SeqCst));
}

#[test]
fn a_job_that_left_the_queue_just_before_its_caller_left_is_skipped() {
    let queue = Queue::new(1, 0);
    queue.lock().running = 1;
    let (ran, job) = tracing();
    let (caller, result) = oneshot::channel();
    let job = answering(caller, job);
    drop(result);
    job(&queue);
    assert!(!ran.load(Ordering::SeqCst));
    assert_eq!(queue.lock().running, 0);
}

#[tokio::test]
async fn nothing_is_queued_before_the_first_poll() {
    let pool = Pool::new(1, 0);
    let idle = pool.run(|| 1);
    assert_eq!(pool.run(|| 2).await, Ok(2));
    assert_eq!(idle.await, Ok(1));
}

#[tokio::test]
async fn a_panic_fails_its_caller_and_the_thread_lives_on() {
    let pool = Pool::new(1, 1);
    let panicked = pool.run(|| panic!("the panic that this test is about"));
    assert_eq!(panicked.await, Err::<(), _>(PoolError::Panicked));
    assert_eq!(pool.run(|| 7).await, Ok(7));
}

#[tokio::test]
async fn a_result_that_panics_when_dropped_does_not_cost_the_thread() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("the panic that this test is about");
        }
    }
    let pool = Pool::new(1, 1);
    let (release, released) = mpsc::channel::<()>();
    let (starting, started) = oneshot::channel();
    let mut left = Box::pin(pool.run(move || {
        starting.send(()).unwrap();
        released.recv().unwrap_err();
        Bomb
    }));
    assert!(poll_immediate(&mut left).await.is_none());
    started.await.unwrap();
    drop(left);
    drop(release);
    assert_eq!(pool.run(|| 7).await, Ok(7));
}

#[tokio::test]
async fn dropping_the_pool_finishes_running_jobs_and_drops_queued_ones() {
    let pool = Pool::new(1, 1);
    let held = hold(&pool).await;
    let (ran, job) = tracing();
    let mut queued = Box::pin(pool.run(job));
    assert_eq!(poll_immediate(&mut queued).await, None);
    let late = pool.run(|| ());

    let dropping = thread::spawn(move || drop(pool));
    assert_eq!(queued.await, Err(PoolError::Closed));
    assert_eq!(late.await, Err(PoolError::Closed));
    drop(held.release);
    dropping.join().unwrap();
    assert_eq!(poll_immediate(held.result).await, Some(Ok(())));
    assert!(!ran.load(Ordering::SeqCst));
}

#[tokio::test]
async fn joining_gives_up_on_a_job_that_does_not_end_in_time() {
    let mut pool = Pool::new(1, 0);
    let held = hold(&pool).await;
    pool.queue.close();
    assert!(!pool.join_within(Duration::ZERO));
    drop(held.release);
    assert_eq!(held.result.await, Ok(()));
}

#[tokio::test]
async fn a_pool_dropped_by_its_own_job_does_not_wait_for_itself() {
    let pool = Arc::new(Pool::new(2, 0));
    let (release, released) = mpsc::channel::<()>();
    let inside = Arc::clone(&pool);
    let mut job = Box::pin(pool.run(move || {
        released.recv().unwrap_err();
        let mut pool = Arc::into_inner(inside).unwrap();
        pool.queue.close();
        pool.join_within(GRACE)
    }));
    assert_eq!(poll_immediate(&mut job).await, None);
    drop(pool);
    drop(release);
    assert_eq!(job.await, Ok(true));
}

#[test]
fn only_a_full_pool_is_worth_another_try() {
    assert!(PoolError::Full { queue: 1 }.may_retry());
    assert!(!PoolError::Panicked.may_retry());
    assert!(!PoolError::Closed.may_retry());
}
