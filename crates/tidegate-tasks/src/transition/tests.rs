use proptest::prelude::*;
use tidegate_store::{EntryName, Shelf, Stamps};

use super::*;
use crate::new_task::{NewTask, Retries};
use crate::queue::Settings;

fn doc() -> Doc {
    Doc::new(&NewTask::new("chat", "{}"), &Settings::default())
}

fn head(doc: &Doc) -> Head {
    Head {
        name: EntryName {
            owner: "tenant".to_owned(),
            id: "one".to_owned(),
        },
        lane: "chat".to_owned(),
        rank: 2,
        shelf: Shelf::Held,
        version: 7,
        after: Vec::new(),
        broken: false,
        stopping: false,
        tries: Tries { begun: 1, lost: 0 },
        stamps: Stamps::default(),
        state: doc.write(),
        note: Bytes::new(),
    }
}

fn rules(random: f64) -> Rules {
    Rules {
        cap: Duration::from_secs(120),
        keep_dead: Duration::from_secs(1_000_000),
        random,
    }
}

fn input() -> Bytes {
    Bytes::from_static(b"{}")
}

/// Where a task goes that was taken and not run.
#[track_caller]
fn left(head: &Head) -> (To, Option<String>) {
    match taken(head, Some(&input()), &rules(0.5)) {
        Next::Leave(change) => (change.to, code(&change)),
        Next::Run(_) => panic!("it runs"),
    }
}

fn code(change: &Change) -> Option<String> {
    Some(Doc::read(&change.state)?.error?.code)
}

fn state(change: &Change) -> TaskState {
    match change.to {
        To::Due(_) => TaskState::Queued,
        To::Again(_) => TaskState::Retrying,
        To::Ended { how, .. } => TaskState::of_shelf(Shelf::Ended(how)),
    }
}

fn how_of(state: TaskState) -> u8 {
    how(state)
}

#[test]
fn a_task_that_was_taken_runs() {
    let doc = doc();
    assert_eq!(
        taken(&head(&doc), Some(&input()), &rules(0.5)),
        Next::Run(doc)
    );
}

#[test]
fn a_task_that_cannot_be_read_is_a_dead_letter() {
    let doc = doc();
    let Next::Leave(change) = taken(&head(&doc), None, &rules(0.5)) else {
        panic!("it runs without an input")
    };
    assert_eq!(
        (state(&change), code(&change).unwrap()),
        (TaskState::Dead, "unreadable".to_owned())
    );
    let mut spoiled = head(&doc);
    spoiled.state = Bytes::from_static(b"{");
    assert_eq!(left(&spoiled).1.unwrap(), "unreadable");
}

#[test]
fn a_task_fails_with_what_it_depends_on_unless_it_runs_anyway() {
    let mut broken = head(&doc());
    broken.broken = true;
    let (to, code) = left(&broken);
    assert_eq!(code.unwrap(), "dependency_failed");
    assert!(matches!(to, To::Ended { how, .. } if how == how_of(TaskState::Failed)));

    let mut task = NewTask::new("chat", "{}");
    task.on_failed = OnFailed::Run;
    let mut anyway = head(&Doc::new(&task, &Settings::default()));
    anyway.broken = true;
    assert_eq!(left(&anyway), (To::Due(When::Now), None));
}

#[test]
fn the_fifth_loss_of_its_worker_puts_a_task_away() {
    let mut lost = head(&doc());
    lost.tries.lost = MOST_LOST - 1;
    assert!(matches!(
        taken(&lost, Some(&input()), &rules(0.5)),
        Next::Run(_)
    ));
    lost.tries.lost = MOST_LOST;
    let (to, code) = left(&lost);
    assert_eq!(code.unwrap(), "worker_lost");
    assert!(matches!(to, To::Ended { how, .. } if how == how_of(TaskState::Dead)));
}

#[test]
fn a_retry_by_hand_forgives_losses_and_failures() {
    let mut lost = head(&doc());
    lost.tries.lost = MOST_LOST;
    let change = retried(&lost, doc());
    assert_eq!(change.to, To::Due(When::Now));
    lost.state = change.state;
    assert!(matches!(
        taken(&lost, Some(&input()), &rules(0.5)),
        Next::Run(_)
    ));
    lost.tries.lost += MOST_LOST;
    assert_eq!(left(&lost).1.unwrap(), "worker_lost");
}

#[test]
fn a_task_that_was_cancelled_while_its_worker_died_does_not_run_again() {
    let mut stopping = head(&doc());
    stopping.stopping = true;
    stopping.tries.lost = MOST_LOST;
    let (to, _) = left(&stopping);
    assert!(matches!(to, To::Ended { how, .. } if how == how_of(TaskState::Cancelled)));
}

/// What becomes of a task after this outcome.
fn after(doc: Doc, outcome: Outcome) -> Change {
    attempted(&head(&doc), doc, outcome, &rules(0.5))
}

fn failure() -> Failure {
    Failure::new("busy", "come back")
}

#[test]
fn outcomes_end_where_they_belong() {
    let change = after(doc(), Outcome::Done(input()));
    assert_eq!(
        (state(&change), change.result),
        (TaskState::Succeeded, Some(input()))
    );
    assert_eq!(state(&after(doc(), Outcome::Stopped)), TaskState::Cancelled);
    let lasting = after(doc(), Outcome::Failed(failure(), Repeat::Never));
    assert_eq!(
        (state(&lasting), code(&lasting).unwrap()),
        (TaskState::Failed, "busy".to_owned())
    );
    assert_eq!(after(doc(), Outcome::Interrupted).to, To::Again(When::Now));
    assert_eq!(after(doc(), Outcome::Unbegun).to, To::Due(When::Now));
    let held = Outcome::Held(Duration::from_secs(9));
    assert_eq!(
        after(doc(), held).to,
        To::Due(When::In(Duration::from_secs(9)))
    );
}

#[test]
fn an_interruption_costs_no_attempt_and_a_success_forgets_the_failure() {
    let failed = after(doc(), Outcome::Failed(failure(), Repeat::Backoff));
    let doc = Doc::read(&failed.state).unwrap();
    let interrupted = Doc::read(&after(doc.clone(), Outcome::Interrupted).state).unwrap();
    assert_eq!(interrupted, doc);
    assert_eq!(code(&after(doc, Outcome::Done(input()))), None);
}

#[test]
fn dead_letters_are_kept_longer() {
    let mut doc = doc();
    doc.max_retries = 0;
    let dead = after(doc.clone(), Outcome::Failed(failure(), Repeat::Backoff));
    let failed = after(doc, Outcome::Failed(failure(), Repeat::Never));
    let keep = |change: Change| match change.to {
        To::Ended { keep, .. } => keep,
        To::Due(_) | To::Again(_) => panic!("it has not ended"),
    };
    assert_eq!(keep(dead), Duration::from_secs(1_000_000));
    assert_eq!(keep(failed), Duration::from_secs(86_400));
}

proptest! {
    /// Full jitter, base 2 s, doubling, at most 120 s, three repeats; never
    /// before a throttle allows it.
    #[test]
    fn repeats_come_within_their_bounds_and_then_no_more(
        random in 0.0_f64..1.0,
        asked in proptest::option::of(0_u64..500),
        max in 0_u32..9,
    ) {
        let mut task = NewTask::new("chat", "{}");
        task.retries = Retries { max: Some(max), ..Retries::default() };
        let mut doc = Doc::new(&task, &Settings::default());
        let repeat = asked.map_or(Repeat::Backoff, |asked| Repeat::After(Duration::from_secs(asked)));
        for repeats in 0..max {
            let outcome = Outcome::Failed(failure(), repeat);
            let change = attempted(&head(&doc), doc, outcome, &rules(random));
            let To::Again(When::In(wait)) = change.to else {
                return Err(TestCaseError::fail(format!("{:?} after {repeats}", change.to)));
            };
            let bound = Duration::from_secs((2_u64 << repeats.min(10)).min(120));
            let least = Duration::from_secs(asked.unwrap_or(0));
            prop_assert!(wait >= least && wait <= bound.max(least));
            doc = Doc::read(&change.state).unwrap();
        }
        let change = after(doc, Outcome::Failed(failure(), repeat));
        prop_assert_eq!(state(&change), TaskState::Dead);
    }
}
