//! How tasks get into the queue.

use serde_json::json;
use tidegate_store::{Placed, Put, Shelf, StoreError, When};

use super::{TaskQueue, name};
use crate::doc::Doc;
use crate::error::SubmitError;
use crate::id::new_id;
use crate::new_task::{NewTask, OnFailed};
use crate::order::{Link, order};
use crate::priority::Priority;
use crate::task::Task;

/// A task that was submitted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Submitted {
    /// Which one.
    pub id: String,
    /// Whether it was there before, under this id or its idempotency key.
    pub was_there: bool,
}

/// The kind that tells the end of another task to a webhook.
pub(crate) const WEBHOOK: &str = "webhook";

impl TaskQueue {
    /// Submits tasks, all or none. When this returns, they are as safe as the
    /// store can make them.
    ///
    /// # Errors
    /// [`SubmitError`] when none was submitted, or when nobody can say: to
    /// submit the same with ids or idempotency keys again is safe. After a
    /// [`SubmitError::Conflict`] the others are submitted.
    pub async fn submit(
        &self,
        owner: &str,
        tasks: Vec<NewTask>,
    ) -> Result<Vec<Submitted>, SubmitError> {
        for task in &tasks {
            task.check(self.handlers(), self.settings())?;
        }
        let mut named = Vec::with_capacity(tasks.len());
        for task in tasks {
            let id = match &task.id {
                Some(id) => id.clone(),
                None => new_id().map_err(|_| SubmitError::NoId)?,
            };
            named.push((id, task));
        }
        let links: Vec<Link<'_>> = named
            .iter()
            .map(|(id, task)| (&**id, &*task.depends_on))
            .collect();
        let order = order(&links)?;
        let mut puts = Vec::with_capacity(named.len());
        let mut places = vec![0; named.len()];
        for place in &order {
            let (id, task) = &named[*place];
            places[*place] = puts.len();
            puts.push(self.put_of(owner, id, task));
            puts.extend(self.webhook_of(owner, id, task));
        }
        let placed = self.store().put(puts, self.settings().max_waiting).await?;
        let mut submitted: Vec<Submitted> = Vec::with_capacity(named.len());
        for ((id, task), place) in named.iter().zip(places) {
            let placed = placed.get(place);
            submitted.push(self.submitted(owner, id, task, placed).await?);
        }
        Ok(submitted)
    }

    /// Submits a task that nobody takes: whoever submits it runs it.
    pub(crate) async fn submit_held(
        &self,
        owner: &str,
        task: NewTask,
        hold: std::time::Duration,
    ) -> Result<Submitted, SubmitError> {
        task.check(self.handlers(), self.settings())?;
        let id = match &task.id {
            Some(id) => id.clone(),
            None => new_id().map_err(|_| SubmitError::NoId)?,
        };
        self.check_ended(owner, &task).await?;
        let mut put = self.put_of(owner, &id, &task);
        put.held = Some(hold);
        put.when = When::Now;
        let mut puts = vec![put];
        puts.extend(self.webhook_of(owner, &id, &task));
        let placed = self.store().put(puts, self.settings().max_waiting).await?;
        self.submitted(owner, &id, &task, placed.first()).await
    }

    /// Where every task runs as it is submitted, nothing is left to wait for.
    async fn check_ended(&self, owner: &str, task: &NewTask) -> Result<(), SubmitError> {
        for after in &task.depends_on {
            let entry = self.store().get(&name(owner, after)).await?;
            let after = after.clone();
            let Some(entry) = entry else {
                return Err(SubmitError::Missing { after });
            };
            match entry.head.shelf {
                Shelf::Ended(tidegate_store::WELL) => {}
                Shelf::Ended(_) if task.on_failed == OnFailed::Run => {}
                Shelf::Ended(_) | Shelf::Waiting | Shelf::Due | Shelf::Again | Shelf::Held => {
                    return Err(SubmitError::Field {
                        field: "depends_on",
                        wants: "tasks that have succeeded: tasks run inline here (USE_CELERY=false)",
                    });
                }
            }
        }
        Ok(())
    }

    fn put_of(&self, owner: &str, id: &str, task: &NewTask) -> Put {
        Put {
            name: name(owner, id),
            lane: self.handlers().resolve(&task.kind).to_owned(),
            rank: task.priority.rank(),
            after: task.depends_on.clone(),
            when: task.run_at_ms.map_or(When::Now, When::At),
            key: task.idempotency_key.clone(),
            input: task.input.clone(),
            state: Doc::new(task, self.settings()).write(),
            held: None,
        }
    }

    /// What tells its end: a task that follows it, whatever that end is.
    fn webhook_of(&self, owner: &str, id: &str, task: &NewTask) -> Option<Put> {
        let url = task.at_end.webhook.as_ref()?;
        let input = json!({ "url": url, "task": id }).to_string();
        let mut told = NewTask::new(WEBHOOK, input);
        told.priority = Priority::High;
        told.depends_on = vec![id.to_owned()];
        told.on_failed = OnFailed::Run;
        told.retries.max = Some(10);
        told.on_behalf = task.on_behalf.clone();
        Some(self.put_of(owner, &format!("{id}.webhook"), &told))
    }

    async fn submitted(
        &self,
        owner: &str,
        id: &str,
        task: &NewTask,
        placed: Option<&Placed>,
    ) -> Result<Submitted, SubmitError> {
        match placed {
            Some(Placed::New { .. }) => Ok(Submitted {
                id: id.to_owned(),
                was_there: false,
            }),
            Some(Placed::Known { id: known }) => {
                self.check_same(owner, known, task).await?;
                Ok(Submitted {
                    id: known.clone(),
                    was_there: true,
                })
            }
            None => Err(SubmitError::Store(StoreError::Corrupt {
                what: "an answer for every task",
            })),
        }
    }

    /// A key that is used for something else is a mistake of whoever uses it.
    async fn check_same(
        &self,
        owner: &str,
        known: &str,
        task: &NewTask,
    ) -> Result<(), SubmitError> {
        let Some(entry) = self.store().get(&name(owner, known)).await? else {
            return Ok(());
        };
        let there = Task::of_entry(entry);
        let same_input = there
            .input
            .as_ref()
            .is_none_or(|input| *input == task.input);
        if there.kind == self.handlers().resolve(&task.kind) && same_input {
            return Ok(());
        }
        let field = if task.id.as_deref() == Some(known) {
            "id"
        } else {
            "idempotency_key"
        };
        Err(SubmitError::Conflict {
            field,
            id: known.to_owned(),
        })
    }
}
