//! What a request says of tasks.

use std::collections::BTreeMap;
use std::time::{Duration, UNIX_EPOCH};

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;
use tidegate_engine::{AtEnd, ListTasks, NewTask, OnFailed, Priority, Retries, parse_rfc3339};

use super::super::error::ApiError;
use super::super::query::pairs;

/// Tasks of one request.
pub(crate) const MOST_TASKS: usize = 1_000;
/// Tasks of one page.
const MOST_LISTED: usize = 1_000;
const USUALLY_LISTED: usize = 50;

/// What is submitted.
#[derive(Debug)]
pub(crate) enum Wish {
    /// A task by itself.
    One(Box<NewTask>),
    /// Tasks that are taken all or none.
    Many(Vec<NewTask>),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Many {
    tasks: Vec<Box<RawValue>>,
}

/// What is to be done.
#[derive(Deserialize)]
struct What {
    id: Option<String>,
    kind: String,
    input: Box<RawValue>,
    priority: Option<Priority>,
    idempotency_key: Option<String>,
    #[serde(default)]
    tags: Vec<String>,
}

/// When, how often, and what follows.
#[derive(Deserialize)]
struct How {
    max_retries: Option<u32>,
    backoff_ms: Option<u64>,
    timeout_ms: Option<u64>,
    #[serde(default)]
    depends_on: Vec<String>,
    on_failed_dependency: Option<OnFailedWord>,
    run_at: Option<String>,
    result_ttl_s: Option<u64>,
    webhook: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum OnFailedWord {
    Fail,
    Run,
}

/// The fields of both.
const FIELDS: [&str; 14] = [
    "kind",
    "input",
    "id",
    "priority",
    "max_retries",
    "backoff_ms",
    "timeout_ms",
    "depends_on",
    "on_failed_dependency",
    "run_at",
    "idempotency_key",
    "tags",
    "result_ttl_s",
    "webhook",
];

/// The tasks of a body: one task, or `{"tasks": […]}`.
pub(crate) fn wish(body: &[u8]) -> Result<Wish, ApiError> {
    let is_many = serde_json::from_slice::<BTreeMap<String, IgnoredAny>>(body)
        .is_ok_and(|object| object.contains_key("tasks"));
    if !is_many {
        return Ok(Wish::One(Box::new(task(body, "")?)));
    }
    let many = read::<Many>(body, "")?.tasks;
    if many.is_empty() || many.len() > MOST_TASKS {
        return Err(wrong("tasks", "a list of 1 to 1000 tasks"));
    }
    let tasks = many.iter().enumerate();
    let tasks = tasks.map(|(place, raw)| task(raw.get().as_bytes(), &format!("tasks[{place}].")));
    Ok(Wish::Many(tasks.collect::<Result<_, _>>()?))
}

/// Reads JSON; `at` stands before the names of its fields in errors.
fn read<T: for<'a> Deserialize<'a>>(json: &[u8], at: &str) -> Result<T, ApiError> {
    let mut json = serde_json::Deserializer::from_slice(json);
    serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let path = error.path().to_string();
        let reason = error.into_inner();
        if reason.is_syntax() || reason.is_eof() {
            return ApiError::invalid("invalid_json", format!("the body is no JSON: {reason}"));
        }
        let param = match (&*path, at.strip_suffix('.')) {
            (".", None) => "body".to_owned(),
            (".", Some(at)) => at.to_owned(),
            (path, _) => format!("{at}{path}"),
        };
        ApiError::invalid("invalid_parameter", format!("{param}: {reason}")).about(&param)
    })
}

/// One task; `at` stands before the names of its fields in errors.
fn task(json: &[u8], at: &str) -> Result<NewTask, ApiError> {
    let names = read::<BTreeMap<String, IgnoredAny>>(json, at)?;
    let unknown = |name: &&String| !FIELDS.contains(&name.as_str());
    if let Some(name) = names.keys().find(unknown) {
        let known = FIELDS.join(", ");
        let message = format!("{at}{name}: unknown field `{name}`, expected one of {known}");
        return Err(ApiError::invalid("unknown_parameter", message).about(name));
    }
    let what = read::<What>(json, at)?;
    let how = read::<How>(json, at)?;
    let run_at = how.run_at.map(|given| time(&given, at)).transpose()?;
    Ok(NewTask {
        id: what.id,
        run_at_ms: run_at,
        priority: what.priority.unwrap_or_default(),
        retries: Retries {
            max: how.max_retries,
            backoff: how.backoff_ms.map(Duration::from_millis),
            timeout: how.timeout_ms.map(Duration::from_millis),
        },
        depends_on: how.depends_on,
        on_failed: match how.on_failed_dependency {
            None | Some(OnFailedWord::Fail) => OnFailed::Fail,
            Some(OnFailedWord::Run) => OnFailed::Run,
        },
        idempotency_key: what.idempotency_key,
        tags: what.tags,
        at_end: AtEnd {
            result_ttl: how.result_ttl_s.map(Duration::from_secs),
            webhook: how.webhook,
        },
        ..NewTask::new(&what.kind, what.input.get().as_bytes().to_vec())
    })
}

fn time(given: &str, at: &str) -> Result<u64, ApiError> {
    let time = parse_rfc3339(given).and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    let millis = time.and_then(|time| u64::try_from(time.as_millis()).ok());
    millis.ok_or_else(|| {
        wrong(
            &format!("{at}run_at"),
            "a time such as 2027-01-31T09:30:00Z",
        )
    })
}

fn wrong(param: &str, expected: &str) -> ApiError {
    let message = format!("{param} must be {expected}");
    ApiError::invalid("invalid_parameter", message).about(param)
}

/// What is asked of a list.
pub(super) fn list(query: &str) -> Result<ListTasks, ApiError> {
    let mut list = ListTasks {
        limit: USUALLY_LISTED,
        ..ListTasks::default()
    };
    for (key, value) in pairs(query)? {
        match key {
            "state" => {
                let state = value.parse();
                let state = state.map_err(|bad: tidegate_engine::BadState| {
                    ApiError::invalid("invalid_parameter", bad.to_string()).about(key)
                });
                list.state = Some(state?);
            }
            "kind" => list.kind = Some(value),
            "tag" => list.tag = Some(value),
            "next" => list.next = Some(value),
            "limit" => {
                let number = value.parse().ok();
                let number = number.filter(|number| (1..=MOST_LISTED).contains(number));
                list.limit = number.ok_or_else(|| wrong(key, "an integer from 1 to 1000"))?;
            }
            unknown => {
                let message =
                    format!("{unknown} is no parameter; state, kind, tag, limit and next are");
                return Err(ApiError::invalid("unknown_parameter", message).about(unknown));
            }
        }
    }
    Ok(list)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(body: &str) -> String {
        wish(body.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn one_task_is_read_with_all_that_it_says() {
        let body = r#"{"kind":"chat","input":{"query":"hi"},"priority":"high","max_retries":1,
            "backoff_ms":5,"timeout_ms":6,"depends_on":["a"],"on_failed_dependency":"run",
            "run_at":"1970-01-01T00:00:01Z","idempotency_key":"k","tags":["t"],
            "result_ttl_s":7,"webhook":"https://h/x","id":"one"}"#;
        let Wish::One(task) = wish(body.as_bytes()).unwrap() else {
            panic!("it is one task")
        };
        assert_eq!((task.id.as_deref(), &*task.kind), (Some("one"), "chat"));
        assert_eq!(&*task.input, br#"{"query":"hi"}"#);
        assert_eq!((task.priority, task.retries.max), (Priority::High, Some(1)));
        assert_eq!(task.retries.timeout, Some(Duration::from_millis(6)));
        assert_eq!(
            (task.on_failed, task.run_at_ms),
            (OnFailed::Run, Some(1_000))
        );
        assert_eq!(task.at_end.result_ttl, Some(Duration::from_secs(7)));
    }

    #[test]
    fn what_is_wrong_is_named() {
        assert!(refused("{").starts_with("the body is no JSON"));
        assert_eq!(
            refused(r#"{"input":1}"#),
            "body: missing field `kind` at line 1 column 11"
        );
        assert!(refused(r#"{"kind":"x","input":1,"prio":1}"#).contains("unknown field `prio`"));
        assert!(
            refused(r#"{"kind":"x","input":1,"priority":"asap"}"#)
                .starts_with("priority: unknown variant")
        );
        assert!(
            refused(r#"{"kind":"x","input":1,"run_at":"soon"}"#)
                .starts_with("run_at must be a time")
        );
        let many = r#"{"tasks":[{"kind":"x","input":1},{"kind":7,"input":1}]}"#;
        assert!(refused(many).starts_with("tasks[1].kind: invalid type"));
        assert_eq!(
            refused(r#"{"tasks":[]}"#),
            "tasks must be a list of 1 to 1000 tasks"
        );
    }

    #[test]
    fn a_list_is_asked_for_by_state_kind_and_tag() {
        let asked = list("state=dead&kind=chat&tag=a%2Fb&limit=7&next=5.x").unwrap();
        assert_eq!(asked.state, Some(tidegate_engine::TaskState::Dead));
        assert_eq!((asked.tag.as_deref(), asked.limit), (Some("a/b"), 7));
        assert!(list("state=done").is_err() && list("limit=0").is_err() && list("x=1").is_err());
    }
}
