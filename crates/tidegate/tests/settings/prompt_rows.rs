//! The rows of `[prompts]`.

use futures_util::FutureExt;
use serde_json::json;

use crate::gateway::{ask, post};
use crate::observe::{Observed, shown};
use crate::rows::row;
use crate::trial::{Row, Trial};

pub(crate) fn prompt_rows() -> Vec<Row> {
    let packs = concat!(
        "\"",
        env!("CARGO_MANIFEST_DIR"),
        "/tests/settings/prompts\""
    );
    let frameworks = concat!(
        "\"",
        env!("CARGO_MANIFEST_DIR"),
        "/tests/settings/frameworks\""
    );
    vec![
        row(
            "prompts.packs",
            [("\"none\"", "404 prompt_not_found"), (packs, "200")],
            own_prompt,
        ),
        row(
            "prompts.frameworks",
            [("\"none\"", "400 invalid_parameter"), (frameworks, "200")],
            own_framework,
        ),
    ]
}

/// Whether a prompt of one's own is there.
fn own_prompt(trial: Trial) -> Observed {
    async move {
        let asked = post("/v1/prompts/own/render", &json!({}));
        shown(&ask(trial.addr(), &asked).await)
    }
    .boxed()
}

/// Whether a prompt of this build judges by a framework of one's own.
fn own_framework(trial: Trial) -> Observed {
    async move {
        let parameters = json!({"question": "Why?", "framework": "own"});
        let asked = post(
            "/v1/prompts/chat/render",
            &json!({"parameters": parameters}),
        );
        shown(&ask(trial.addr(), &asked).await)
    }
    .boxed()
}
