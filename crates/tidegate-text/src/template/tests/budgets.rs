use proptest::prelude::*;

use super::*;

fn within(parameters: Value, budget: u64) -> Result<Rendered, RenderError> {
    let wish = RenderWish {
        budget_tokens: Some(budget),
        ..wish(parameters)
    };
    report().render("report", &wish)
}

fn blocks(rendered: &Rendered) -> Vec<&str> {
    rendered.cut.iter().map(|cut| cut.block.as_str()).collect()
}

fn long() -> Value {
    let note = |number: usize| format!("Note {number} is as long as the others are.");
    let notes: Vec<String> = (0..10).map(note).collect();
    json!({"question": "Why?", "subject": "pump", "notes": notes,
           "log": "It starts at noon on most days. It runs for a while, and nobody knows why. It stops all of a sudden, and then it is silent until the next day."})
}

#[test]
fn what_is_worth_least_goes_first_and_whole_items_before_parts() {
    let all = within(long(), 10_000).unwrap();
    assert_eq!(all.cut, []);
    // One token less than everything: a sentence of the log is enough.
    let first = within(long(), all.tokens - 1).unwrap();
    assert_eq!(blocks(&first), ["log"]);
    assert!(user(&first).contains("on most days. It runs for a while, and nobody knows why. […]"));
    assert_eq!((first.cut[0].items, first.cut[0].characters), (0, 68));
    assert!(first.tokens < all.tokens && first.cut[0].tokens > 0);
    // Without the log, notes are left out, and the first are kept.
    let half = within(long(), all.tokens - 90).unwrap();
    assert_eq!(blocks(&half), ["log", "notes"]);
    assert!(user(&half).contains("Note 0") && !user(&half).contains("Note 9"));
    assert!(user(&half).contains("left_out=\"") && !user(&half).contains("It starts"));
}

#[test]
fn what_is_required_is_never_cut_and_an_error_says_what_it_needs() {
    let error = within(long(), 10).unwrap_err();
    let RenderError::Budget { needed, budget, .. } = error else {
        panic!("{error}")
    };
    assert_eq!(budget, 10);
    assert_eq!(error.code(), "budget_too_small");
    assert_eq!(error.param().as_deref(), Some("budget_tokens"));
    assert_eq!(
        error.to_string(),
        format!(
            "prompt report needs at least {needed} tokens with these parameters, and the budget \
             is 10; raise budget_tokens, or shorten what is required"
        )
    );
    let least = within(long(), needed).unwrap();
    assert_eq!(
        (least.tokens, blocks(&least)),
        (needed, vec!["log", "notes"])
    );
    assert!(user(&least).contains("pump"));
    assert!(within(long(), needed - 1).is_err());
}

#[test]
fn more_data_than_a_message_may_hold_is_cut_where_there_is_a_budget() {
    let notes = vec!["x".repeat(30_000); 60];
    let parameters = json!({"question": "Why?", "subject": "pump", "notes": notes});
    let error = report()
        .render("report", &wish(parameters.clone()))
        .unwrap_err();
    assert!(
        error.to_string().contains("longer than 1048576 bytes"),
        "{error}"
    );
    let cut = within(parameters, 120).unwrap();
    assert_eq!(blocks(&cut), ["notes"]);
    assert_eq!(cut.cut[0].items, 60);
}

fn notes() -> impl Strategy<Value = Vec<String>> {
    prop::collection::vec(
        "[A-Z][a-z]{1,9}( [a-z]{1,9}){0,6}\\.( [A-Z][a-z ]{1,30}\\.){0,3}",
        0..12,
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// Whatever the budget: the messages are within it, or an error says what
    /// they need; and the notes, which are worth more, are whole while there is
    /// anything of the log.
    #[test]
    fn a_budget_holds_and_the_most_valuable_stays_longest(
        notes in notes(),
        log in notes(),
        question in "\\PC{1,80}",
        budget in 60_u64..420,
    ) {
        let log = log.join(" ");
        let parameters = json!({"question": question, "subject": "pump", "notes": notes, "log": log});
        match within(parameters, budget) {
            Ok(rendered) => {
                let cost: u64 = rendered.messages.iter().map(|message| {
                    crate::tokens::count(&message.text, crate::tokens::Encoding::O200kBase) + 4
                }).sum();
                prop_assert_eq!(cost, rendered.tokens);
                prop_assert!(rendered.tokens <= budget);
                let cut = blocks(&rendered);
                if cut.contains(&"notes") && !log.trim().is_empty() {
                    prop_assert!(cut.contains(&"log"));
                    prop_assert!(!user(&rendered).contains("<data-log"), "{}", user(&rendered));
                }
                prop_assert!(user(&rendered).contains("pump"));
                prop_assert!(user(&rendered).contains(question.trim()));
            }
            Err(RenderError::Budget { needed, budget: said, .. }) => {
                prop_assert!(needed > budget);
                prop_assert_eq!(said, budget);
            }
            Err(error) => prop_assert!(false, "{error}"),
        }
    }
}
