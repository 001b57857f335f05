use super::*;
use crate::rules::Rules;

const PACK: &str = r#"[pack]
id = "probe"
version = "1.0.0"
name = "Probe"

[[rules]]
id = "probe.open"
family = "probe"
severity = "critical"
confidence = 1.0
message = "asks to open the gate"
remediation = "keep it closed"
patterns = ['open\s+the\s+gate']
examples.must = ["Open the gate!"]
examples.must_not = ["The gate is open."]
"#;

/// Loads the pack with one part replaced; the error must read `expected`.
#[track_caller]
fn check(part: &str, by: &str, expected: &str) {
    assert!(PACK.contains(part), "{part}");
    let pack = PACK.replace(part, by);
    let error = Rules::load(&[("probe.toml", &pack)]).unwrap_err();
    assert_eq!(error.to_string(), expected);
}

#[test]
fn the_pack_without_a_change_loads() {
    assert_eq!(Rules::load(&[("probe.toml", PACK)]).unwrap().len(), 1);
}

#[test]
fn an_unknown_key_is_named_with_its_place() {
    check(
        "severity =",
        "colour = 'red'\nseverity =",
        "pack probe.toml, line 9, column 1: unknown field `colour`, expected one of `id`, \
         `family`, `severity`, `confidence`, `message`, `remediation`, `directions`, `patterns`, \
         `validate`, `near`, `references`, `examples`",
    );
}

#[test]
fn an_unknown_word_is_named_with_its_place() {
    check(
        "'open\\s+the\\s+gate']",
        "'open\\s+the\\s+gate']\nvalidate = 'isbn'",
        &format!(
            "pack probe.toml, line 14, column 12: unknown variant `isbn`, expected one of `{}`",
            crate::Check::ALL
                .iter()
                .map(|check| check.as_str())
                .collect::<Vec<_>>()
                .join("`, `")
        ),
    );
}

#[test]
fn an_example_that_does_not_match_is_named_by_its_number() {
    check(
        "[\"Open the gate!\"]",
        "[\"Open the gate!\", \"Shut it.\"]",
        "pack probe.toml, line 7, column 6: rule probe.open: example must[1] does not match",
    );
}

#[test]
fn an_example_that_must_not_match_is_named_by_its_number() {
    check(
        "The gate is open.",
        "They open the gate.",
        "pack probe.toml, line 7, column 6: rule probe.open: example must_not[0] matches",
    );
}

#[test]
fn a_rule_without_examples_is_refused() {
    check(
        "[\"The gate is open.\"]",
        "[]",
        "pack probe.toml, line 7, column 6: rule probe.open: needs examples of both kinds, \
         `must` and `must_not`",
    );
}

#[test]
fn a_pattern_that_is_too_large_is_refused() {
    check(
        r"open\s+the\s+gate",
        r"open\s(?:\pL{1,99}){20}",
        "pack probe.toml, line 7, column 6: rule probe.open: pattern 0 compiles to more than \
         1048576 bytes",
    );
}

#[test]
fn a_pattern_without_a_longest_match_is_refused() {
    check(
        r"open\s+the",
        r"open(?:.*\s){99}the",
        "pack probe.toml, line 7, column 6: rule probe.open: pattern 0 matches more than 4096 \
         bytes; give its loops an upper bound",
    );
}

#[test]
fn an_expression_with_a_fault_is_refused() {
    check(
        r"open\s+the\s+gate",
        r"open(",
        "pack probe.toml, line 7, column 6: rule probe.open: pattern 0 is not a valid \
         expression: unclosed group",
    );
}

#[test]
fn an_id_outside_its_family_is_refused() {
    check(
        "family = \"probe\"",
        "family = \"other\"",
        "pack probe.toml, line 7, column 6: rule probe.open: the id must be the family, a dot \
         and a name of a-z, 0-9 and _",
    );
}

#[test]
fn the_family_of_the_classifier_is_refused() {
    check(
        "id = \"probe.open\"\nfamily = \"probe\"",
        "id = \"classifier.open\"\nfamily = \"classifier\"",
        "pack probe.toml, line 7, column 6: rule classifier.open: the family classifier is the \
         classifier's; choose another",
    );
}

#[test]
fn a_confidence_above_one_is_refused() {
    check(
        "confidence = 1.0",
        "confidence = 1.5",
        "pack probe.toml, line 7, column 6: rule probe.open: confidence 1.5 is not above 0 and \
         at most 1",
    );
}

#[test]
fn severity_none_is_refused() {
    check(
        "\"critical\"",
        "\"none\"",
        "pack probe.toml, line 7, column 6: rule probe.open: severity none is no severity of a \
         rule",
    );
}

#[test]
fn a_required_pattern_must_be_shared_by_the_pack() {
    check(
        "examples.must =",
        "near = { requires = ['address'], within = 10 }\nexamples.must =",
        "pack probe.toml, line 7, column 6: rule probe.open: requires address, which is no \
         shared pattern of this pack",
    );
}

#[test]
fn a_distance_out_of_range_is_refused() {
    check(
        "examples.must =",
        "near = { requires = [], within = 1001 }\nexamples.must =",
        "pack probe.toml, line 7, column 6: rule probe.open: near.within must be from 1 to 1000",
    );
}

#[test]
fn an_id_that_is_taken_is_refused_across_packs() {
    let error = Rules::load(&[("a.toml", PACK), ("b.toml", PACK)]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "pack b.toml, line 7, column 6: rule probe.open: the id is taken"
    );
}

#[test]
fn what_is_no_toml_is_refused_with_its_place() {
    let error = Rules::load(&[("a.toml", "[pack]\nid = ")]).unwrap_err();
    let PackError::Syntax { line, .. } = error else {
        panic!("{error}");
    };
    assert_eq!(line, 2);
}
