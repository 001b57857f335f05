//! Tasks in a list.

use std::cmp::Reverse;

use tidegate_store::{Head, Part, StoreError};

use super::TaskQueue;
use crate::state::TaskState;
use crate::task::Task;

/// Which tasks are listed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListTasks {
    /// Those in this state.
    pub state: Option<TaskState>,
    /// Those of this kind.
    pub kind: Option<String>,
    /// Those with this tag.
    pub tag: Option<String>,
    /// How many at most.
    pub limit: usize,
    /// Where the page before has ended.
    pub next: Option<String>,
}

/// A part of a list, the task that was submitted last first.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TaskPage {
    /// Tasks without their inputs and results.
    pub tasks: Vec<Task>,
    /// Where the next page begins, if there may be one. A page may hold fewer
    /// tasks than its limit, or none, and be followed by another.
    pub next: Option<String>,
}

/// Tasks of one state that are looked at together.
const PART: usize = 200;
/// Parts that one page looks through for tasks of its kind and tag.
const MOST_PARTS: usize = 20;

impl TaskQueue {
    /// Lists tasks of one owner.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot say. A `next` that is none begins
    /// at the beginning.
    pub async fn list(&self, owner: &str, list: &ListTasks) -> Result<TaskPage, StoreError> {
        let limit = list.limit.clamp(1, 1_000);
        let mut page = TaskPage::default();
        let mut after = list.next.as_deref().and_then(read_place);
        for _ in 0..MOST_PARTS {
            let part = Part {
                after: after.clone(),
                limit: PART.min(limit.max(50)),
            };
            let heads = self.part(owner, list.state, &part).await?;
            let is_last = heads.len() < part.limit;
            for head in heads {
                after = Some((head.stamps.put_ms, head.name.id.clone()));
                let task = Task::of_head(head);
                if list.wants(&task) {
                    page.tasks.push(task);
                }
                if page.tasks.len() == limit {
                    page.next = after.as_ref().map(place);
                    return Ok(page);
                }
            }
            if is_last {
                return Ok(page);
            }
        }
        page.next = after.as_ref().map(place);
        Ok(page)
    }

    /// The next tasks in one state, or in all of them.
    async fn part(
        &self,
        owner: &str,
        state: Option<TaskState>,
        part: &Part,
    ) -> Result<Vec<Head>, StoreError> {
        if let Some(state) = state {
            return self.store().list(owner, state.shelf(), part).await;
        }
        let mut heads = Vec::new();
        for state in TaskState::ALL {
            heads.extend(self.store().list(owner, state.shelf(), part).await?);
        }
        heads.sort_by_key(|head| Reverse((head.stamps.put_ms, head.name.id.clone())));
        // One that has moved meanwhile may have been met twice.
        heads.dedup_by(|one, other| one.name == other.name);
        heads.truncate(part.limit);
        Ok(heads)
    }
}

impl ListTasks {
    fn wants(&self, task: &Task) -> bool {
        let of_kind = self.kind.as_ref().is_none_or(|kind| task.kind == *kind);
        of_kind && self.tag.as_ref().is_none_or(|tag| task.tags.contains(tag))
    }
}

fn place((put_ms, id): &(u64, String)) -> String {
    format!("{put_ms}.{id}")
}

fn read_place(place: &str) -> Option<(u64, String)> {
    let (put_ms, id) = place.split_once('.')?;
    Some((put_ms.parse().ok()?, id.to_owned()))
}
