//! The tables of the configuration, and what later versions put into them.

use super::client_keys::CLIENT_KEYS;
use super::keys::{GATE_KEYS, Key};
use super::models::MODEL_KEYS;
use super::providers::PROVIDER_KEYS;
use super::tasks::{KIND_KEYS, SCHEDULE_KEYS, TASK_KEYS, WEBHOOK_KEYS};

/// All settings outside array tables.
pub const KEYS: &[Key] = &joined::<{ GATE_KEYS.len() + TASK_KEYS.len() }>([GATE_KEYS, TASK_KEYS]);

const fn joined<const ALL: usize>(parts: [&[Key]; 2]) -> [Key; ALL] {
    let mut all = [parts[0][0]; ALL];
    let mut at = 0;
    while at < ALL {
        let first = parts[0].len();
        all[at] = if at < first {
            parts[0][at]
        } else {
            parts[1][at - first]
        };
        at += 1;
    }
    all
}

/// The key at `path`, which may be in any table.
pub(super) fn find(path: &str) -> Option<&'static Key> {
    let rows = ARRAY_TABLES.iter().flat_map(|(_, keys)| keys.iter());
    KEYS.iter().chain(rows).find(|key| key.path == path)
}

/// Tables in the order of the reference, with what they are about.
pub(super) const SECTIONS: &[(&str, &str)] = &[
    (
        "server",
        "Where tidegate listens and how long it works on one request.",
    ),
    ("log", "What is written to standard error."),
    (
        "store",
        "Where everything is kept that outlives a request: in the memory of this process, in a\n\
         folder, or in a Redis that several gateways share. docs/operations.md helps to choose.",
    ),
    ("cache", "Answers that are kept and served again."),
    ("sessions", "Conversations that are kept."),
    (
        "guard",
        "What is scanned on its way in and out, and what is not let through.",
    ),
    (
        "guard.flag_threshold",
        "Where the classifier's word begins to count, by direction; docs/guard.md says what it is worth.",
    ),
    (
        "guard.block_threshold",
        "Where it is critical. The default policy blocks what is critical from a score of 0.85 on.",
    ),
    (
        "guard.rollout",
        "A second policy for a stable share of the traffic; docs/guard.md says how to go on.",
    ),
    ("prompts", "Prompts and frameworks of one's own."),
    (
        "resilience",
        "How failures of upstream models are met; holds for every chain entry.",
    ),
    (
        "resilience.backoff_ms",
        "Waiting before the same entry is tried again.",
    ),
    (
        "tasks",
        "Work in the background; docs/tasks.md says what is promised.",
    ),
    (
        "providers",
        "Where models run. Without any, OPENAI_API_KEY, OPENAI_BASE_URL, ANTHROPIC_API_KEY\n\
         and BEDROCK_MODEL_ID set them up; without those, the built-in extractive model answers.",
    ),
    (
        "models",
        "What clients ask for, and which entries serve it, first choice first.\n\
         May be left out when there is exactly one provider.",
    ),
    (
        "keys",
        "Who may come in, and how much each tenant may use. Without any, everybody who\n\
         reaches the address may do everything. One tenant may have several keys, which\n\
         share its limits: that is how a key is replaced without a gap.",
    ),
    (
        "task_kinds",
        "How many tasks of a kind may run, over all workers together.",
    ),
    (
        "schedules",
        "Tasks that are submitted again and again. Every node looks after all of them, and each\n\
         tick is submitted once.",
    ),
    (
        "webhooks",
        "Who may be told the end of a task. Nobody else is called.",
    ),
];

/// The array tables among [`SECTIONS`].
pub(super) const ARRAY_TABLES: &[(&str, &[Key])] = &[
    ("providers", PROVIDER_KEYS),
    ("models", MODEL_KEYS),
    ("keys", CLIENT_KEYS),
    ("task_kinds", KIND_KEYS),
    ("schedules", SCHEDULE_KEYS),
    ("webhooks", WEBHOOK_KEYS),
];

/// Sections that later versions know.
pub(super) const LATER_SECTIONS: &[&str] = &[
    "pipeline",
    "embedder",
    "retrieval",
    "documents",
    "fulfill",
    "roots",
];

/// Keys of present sections that later versions know.
pub(super) const LATER_KEYS: &[&str] = &["guard.l1_timeout_ms", "guard.validate_answers"];
