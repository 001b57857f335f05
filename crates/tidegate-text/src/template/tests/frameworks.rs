use super::*;

fn example() -> Framework {
    let library = Library::default();
    library.framework("seller-investigation").unwrap().clone()
}

#[test]
fn the_example_has_the_twenty_checkpoints_in_their_order() {
    let example = example();
    let ids: Vec<&str> = example.checkpoints.iter().map(|one| &*one.id).collect();
    let expected: Vec<String> = (1..=20).map(|number| number.to_string()).collect();
    assert_eq!(ids, expected);
    assert_eq!(example.checkpoints[10].name, "Root Cause Analysis");
}

#[test]
fn the_longest_name_in_a_title_gives_the_guidance() {
    let example = example();
    let guidance = |title: &str| {
        example
            .guidance_for(title)
            .unwrap()
            .split(' ')
            .next()
            .unwrap()
    };
    assert_eq!(guidance("3. TIMELINE of events"), "dates");
    assert_eq!(guidance("Root-cause analysis"), "causes");
    assert_eq!(guidance("Executive Summary"), "the");
    assert_eq!(guidance("resolving_action"), "what");
    assert_eq!(guidance("Summary of the root causes"), "causes");
    // A word is found as a word.
    assert_eq!(guidance("Timelines"), "claims");
    assert_eq!(guidance(""), "claims");
}

#[test]
fn keywords_lead_to_checkpoints_and_words_to_a_risk() {
    let example = example();
    let text = "After the second appeal the seller's funds were held back; the balance is open.";
    assert_eq!(example.references(text, 2), ["8", "6"]);
    assert_eq!(example.references(text, 1), ["8"]);
    assert_eq!(example.references("Nothing of it.", 3), [] as [&str; 0]);
    assert_eq!(example.risk("an ACCOUNT-takeover was found"), Risk::High);
    assert_eq!(example.risk("a delay of two days"), Risk::Medium);
    assert_eq!(example.risk("a delayed frauds"), Risk::Low);
}

const OWN: &str = r#"
[framework]
id = "harbour"
version = "1"
name = "Harbour"
description = "What a harbour needs"

[[checkpoints]]
id = "depth"
name = "Depth"
look_for = "How deep it is"
keywords = ["depth"]
"#;

#[test]
fn a_prompt_judges_by_a_framework_of_ones_own() {
    let library = Library::layered(&[], &[source("harbour.toml", OWN)]).unwrap();
    let parameters = json!({"section": "Depth", "content": "It is deep.", "framework": "harbour"});
    let rendered = library.render("analysis", &wish(parameters)).unwrap();
    let system = &rendered.messages[0].text;
    assert!(
        system.contains("How deep it is") && !system.contains("Root Cause"),
        "{system}"
    );
    assert!(!system.contains("look above all"), "{system}");
}

#[test]
fn a_framework_with_mistakes_is_refused_with_their_lines() {
    let refused = |text: &str, expected: &str| {
        let error = Library::layered(&[], &[source("own.toml", text)])
            .unwrap_err()
            .to_string();
        assert_eq!(error, expected);
    };
    refused(
        &OWN.replace("id = \"depth\"", "id = \"The depth\""),
        "pack own.toml, line 9: checkpoint The depth: the name must be 1 to 64 of a-z, 0-9, _ and \
         -, and begin with a letter or a digit",
    );
    refused(
        &OWN.replace("[\"depth\"]", "[\"depth\", \"--\"]"),
        "pack own.toml, line 12: framework: `keyword` is empty",
    );
    refused(
        OWN.split("[[checkpoints]]").next().unwrap(),
        "pack own.toml, line 1, column 1: missing field `checkpoints`",
    );
    refused(
        &OWN.replace("id = \"harbour\"", "id = \"seller-investigation\""),
        "pack own.toml, line 3: seller-investigation: the name is taken by \
         packs/frameworks/seller-investigation.toml; to take its place, say `replaces = true`",
    );
}
