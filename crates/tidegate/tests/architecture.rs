//! The house rules, held by the build: who may use whom, where each heavy crate
//! lives, how long a function may be, and which words are refused.
//!
//! Each test here is one rule over the whole workspace. What a rule calls a
//! breach is a function over text in one of the modules below, and each of them
//! is shown a text that breaks it, so a rule that cannot fail does not pass.

#[path = "architecture/budgets.rs"]
mod budgets;
#[path = "architecture/edges.rs"]
mod edges;
#[path = "architecture/measure.rs"]
mod measure;
#[path = "architecture/words.rs"]
mod words;
#[path = "architecture/workspace.rs"]
mod workspace;

use workspace::{File, Workspace};

/// One place where a rule is broken.
#[derive(Debug, PartialEq, Eq)]
struct Breach {
    path: String,
    line: usize,
    what: String,
}

impl Breach {
    fn new(path: &str, line: usize, what: impl Into<String>) -> Self {
        Self {
            path: path.to_owned(),
            line,
            what: what.into(),
        }
    }
}

/// Fails with one `path:line: what` per breach.
#[track_caller]
fn assert_none(breaches: Vec<Breach>) {
    let list: Vec<String> = breaches
        .iter()
        .map(|b| format!("  {}:{}: {}", b.path, b.line, b.what))
        .collect();
    assert!(
        list.is_empty(),
        "{} breach(es) of this rule:\n{}",
        list.len(),
        list.join("\n")
    );
}

/// Applies one rule to many files. A rule that is shown no file fails, or a
/// folder that moved would pass unseen.
#[track_caller]
fn each<'a>(
    files: impl Iterator<Item = &'a File>,
    rule: impl Fn(&File) -> Vec<Breach>,
) -> Vec<Breach> {
    let mut files = files.peekable();
    assert!(files.peek().is_some(), "this rule looked at no file");
    files.flat_map(rule).collect()
}

#[test]
fn the_workspace_holds_the_rooms_of_the_design_and_no_others() {
    let found = Workspace::read().rooms();
    assert_eq!(found, edges::rooms(), "crates/* against the table of rooms");
}

#[test]
fn a_room_uses_only_the_rooms_that_the_design_allows_it() {
    let workspace = Workspace::read();
    let versions = workspace.text("Cargo.toml");
    assert_none(each(workspace.manifests(), |file| {
        edges::forbidden(file, versions)
    }));
}

#[test]
fn each_heavy_crate_has_one_home() {
    let workspace = Workspace::read();
    let versions = workspace.text("Cargo.toml");
    assert_none(each(workspace.manifests(), |file| {
        edges::strays(file, versions)
    }));
}

#[test]
fn no_function_is_longer_than_60_lines() {
    assert_none(each(Workspace::read().code(), budgets::long_functions));
}

#[test]
fn the_median_function_has_at_most_10_lines() {
    assert_none(budgets::long_median(Workspace::read().code()));
}

#[test]
fn no_file_is_longer_than_500_lines_without_its_tests() {
    assert_none(each(Workspace::read().code(), budgets::long_file));
}

#[test]
fn no_function_takes_more_than_5_arguments() {
    assert_none(each(Workspace::read().code(), budgets::many_arguments));
}

#[test]
fn no_function_takes_a_bool() {
    assert_none(each(Workspace::read().code(), budgets::bool_arguments));
}

#[test]
fn no_struct_has_more_than_12_fields() {
    assert_none(each(Workspace::read().code(), budgets::wide_structs));
}

#[test]
fn nothing_outside_tests_calls_unwrap() {
    assert_none(each(Workspace::read().code(), budgets::unwraps));
}

#[test]
fn no_crate_holds_more_than_its_share_of_the_code() {
    assert_none(budgets::big_crates(Workspace::read().code()));
}

#[test]
fn no_file_or_module_has_a_name_that_means_everything() {
    assert_none(each(Workspace::read().scripts(), words::shapeless_names));
}

#[test]
fn the_http_layer_names_no_room_but_the_engine() {
    assert_none(each(
        Workspace::read().under("crates/tidegate/src/http/"),
        words::foreign_rooms,
    ));
}

#[test]
fn every_note_of_work_to_do_carries_an_issue_number() {
    assert_none(each(Workspace::read().scripts(), words::unnumbered_notes));
}

#[test]
fn no_test_is_switched_off() {
    assert_none(each(Workspace::read().rust(), words::ignored_tests));
}

#[test]
fn no_file_names_a_path_of_one_machine() {
    assert_none(each(Workspace::read().all(), words::machine_paths));
}
