use super::*;

#[test]
fn the_packs_of_this_build_keep_their_promises() {
    let library = Library::default();
    let failed: Vec<String> = library
        .prompts()
        .flat_map(|prompt| library.failed_trials(prompt))
        .map(|error| error.to_string())
        .collect();
    assert!(failed.is_empty(), "{}", failed.join("\n"));
    for prompt in library.prompts() {
        assert!(prompt.trials.len() >= 2, "{}", prompt.name);
    }
}
