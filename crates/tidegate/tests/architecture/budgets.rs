//! How big things may be: rules over one Rust file, or over all of them.

use std::collections::BTreeMap;

use crate::Breach;
use crate::measure::{Function, Measures, measure};
use crate::workspace::File;

const FUNCTION_LINES: usize = 60;
const MEDIAN_FUNCTION_LINES: f64 = 10.0;
const FILE_LINES: usize = 500;
const ARGUMENTS: usize = 5;
const FIELDS: usize = 12;

/// Below this many lines in all, a crate may be `YOUNG_SHARE` of them, above it
/// `SHARE`: a young house stands on few rooms. Some of them are still empty, and
/// what is built first must not be cut up because of what is not built yet.
const YOUNG: usize = 80_000;
const YOUNG_SHARE: f64 = 0.30;
const SHARE: f64 = 0.25;

pub(crate) fn long_functions(file: &File) -> Vec<Breach> {
    functions(file, |function| {
        let lines = function.lines.filter(|lines| *lines > FUNCTION_LINES)?;
        Some(format!(
            "`{}` has {lines} lines; the limit is {FUNCTION_LINES}",
            function.name
        ))
    })
}

pub(crate) fn many_arguments(file: &File) -> Vec<Breach> {
    functions(file, |function| {
        let count = function.arguments.filter(|count| *count > ARGUMENTS)?;
        Some(format!(
            "`{}` takes {count} arguments; the limit is {ARGUMENTS}",
            function.name
        ))
    })
}

pub(crate) fn bool_arguments(file: &File) -> Vec<Breach> {
    functions(file, |function| {
        let first = function.bools.first()?;
        Some(format!(
            "`{}` takes the bool `{first}`; the limit is 0",
            function.name
        ))
    })
}

pub(crate) fn wide_structs(file: &File) -> Vec<Breach> {
    measured(file, |measures| {
        let wide = measures.structs.iter().filter(|item| item.fields > FIELDS);
        let breach = wide.map(|item| {
            let what = format!(
                "`{}` has {} fields; the limit is {FIELDS}",
                item.name, item.fields
            );
            Breach::new(&file.path, item.line, what)
        });
        breach.collect()
    })
}

pub(crate) fn unwraps(file: &File) -> Vec<Breach> {
    measured(file, |measures| {
        let what = "`unwrap` outside tests; the limit is 0";
        measures
            .unwraps
            .iter()
            .map(|line| Breach::new(&file.path, *line, what))
            .collect()
    })
}

pub(crate) fn long_file(file: &File) -> Vec<Breach> {
    measured(file, |measures| {
        if measures.lines <= FILE_LINES {
            return Vec::new();
        }
        let what = format!(
            "{} lines without tests; the limit is {FILE_LINES}",
            measures.lines
        );
        vec![Breach::new(&file.path, 1, what)]
    })
}

/// Looks at the whole workspace and, in a breach, names the room whose functions
/// are the longest.
pub(crate) fn long_median<'a>(files: impl Iterator<Item = &'a File>) -> Vec<Breach> {
    let mut rooms: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for file in files {
        let Ok(measures) = measure(&file.text) else {
            continue;
        };
        let lines = measures
            .functions
            .iter()
            .filter_map(|function| function.lines);
        rooms
            .entry(file.room().unwrap_or("").to_owned())
            .or_default()
            .extend(lines);
    }
    let whole = median(rooms.values().flatten().copied().collect());
    if whole <= MEDIAN_FUNCTION_LINES {
        return Vec::new();
    }
    let medians = rooms.into_iter().map(|(room, lines)| (median(lines), room));
    let (worst, room) = medians
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .unwrap_or_default();
    let what = format!(
        "the median function of all rooms has {whole} lines, here it is {worst}; \
         the limit is {MEDIAN_FUNCTION_LINES}"
    );
    vec![Breach::new(&format!("crates/{room}"), 1, what)]
}

fn median(mut lines: Vec<usize>) -> f64 {
    lines.sort_unstable();
    let middle = lines.len() / 2;
    match lines.len() {
        0 => 0.0,
        odd if odd % 2 == 1 => lines[middle] as f64,
        _ => (lines[middle - 1] + lines[middle]) as f64 / 2.0,
    }
}

pub(crate) fn big_crates<'a>(files: impl Iterator<Item = &'a File>) -> Vec<Breach> {
    let mut rooms: BTreeMap<&str, usize> = BTreeMap::new();
    for file in files {
        let lines = measure(&file.text).map_or(0, |measures| measures.lines);
        *rooms.entry(file.room().unwrap_or("")).or_default() += lines;
    }
    let whole: usize = rooms.values().sum();
    let limit = if whole < YOUNG { YOUNG_SHARE } else { SHARE };
    let big = rooms
        .into_iter()
        .filter(|(_, lines)| *lines as f64 > limit * whole as f64);
    let breach = big.map(|(room, lines)| {
        let (share, limit) = (100 * lines / whole, 100.0 * limit);
        let what = format!("{lines} of {whole} lines, {share} %; the limit is {limit} %");
        Breach::new(&format!("crates/{room}"), 1, what)
    });
    breach.collect()
}

fn functions(file: &File, rule: impl Fn(&Function) -> Option<String>) -> Vec<Breach> {
    measured(file, |measures| {
        let breach = |function: &Function| {
            rule(function).map(|what| Breach::new(&file.path, function.line, what))
        };
        measures.functions.iter().filter_map(breach).collect()
    })
}

/// A file that does not parse is a breach of every budget, or a budget could be
/// passed by not being read.
fn measured(file: &File, rule: impl FnOnce(&Measures) -> Vec<Breach>) -> Vec<Breach> {
    match measure(&file.text) {
        Ok(measures) => rule(&measures),
        Err(e) => {
            let line = e.span().start().line;
            vec![Breach::new(
                &file.path,
                line,
                format!("does not parse: {e}"),
            )]
        }
    }
}

#[cfg(test)]
mod proof {
    use super::*;

    fn file(text: impl Into<String>) -> File {
        File {
            path: "crates/tidegate-work/src/pool.rs".to_owned(),
            text: text.into(),
        }
    }

    /// `rule` finds `text` in breach at these lines.
    #[track_caller]
    fn check(rule: fn(&File) -> Vec<Breach>, text: &str, lines: &[usize]) {
        let found: Vec<usize> = rule(&file(text))
            .into_iter()
            .map(|breach| breach.line)
            .collect();
        assert_eq!(found, lines, "{text}");
    }

    /// A function of `lines` lines, from its signature to its brace.
    fn function(head: &str, lines: usize) -> String {
        format!("{head} {{\n{}}}\n", "    step();\n".repeat(lines - 2))
    }

    #[test]
    fn a_function_of_61_lines_is_too_long_wherever_it_stands() {
        let (fits, breaks) = (function("fn a()", 60), function("fn a()", 61));
        check(long_functions, &fits, &[]);
        check(long_functions, &breaks, &[1]);
        check(long_functions, &format!("impl Pool {{\n{breaks}}}"), &[2]);
        check(
            long_functions,
            &format!("impl Run for Pool {{\n{breaks}}}"),
            &[2],
        );
        check(long_functions, &format!("trait Run {{\n{breaks}}}"), &[2]);
        check(long_functions, &format!("mod inner {{\n{breaks}}}"), &[2]);
        check(
            long_functions,
            &format!("/// Says.\n#[inline]\npub async {breaks}"),
            &[3],
        );
        check(
            long_functions,
            &format!("#[cfg(test)]\nmod tests {{\n{breaks}}}"),
            &[],
        );
        check(long_functions, &format!("#[tokio::test]\n{breaks}"), &[]);
        check(
            long_functions,
            &format!("#[cfg(not(test))]\n{breaks}"),
            &[2],
        );
        check(
            long_functions,
            &format!("#[cfg(feature = \"test\")]\n{breaks}"),
            &[2],
        );
    }

    #[test]
    fn a_breach_names_the_place_the_size_and_the_limit() {
        let found = long_functions(&file(function("fn a()", 61)));
        let what = "`a` has 61 lines; the limit is 60";
        assert_eq!(
            found,
            [Breach::new("crates/tidegate-work/src/pool.rs", 1, what)]
        );
    }

    #[test]
    fn a_median_of_11_lines_is_too_long() {
        let text = |middle| {
            let lengths = [2, middle, 40];
            file(lengths.map(|lines| function("fn a()", lines)).concat())
        };
        assert_eq!(long_median([text(10)].iter()), []);
        let found = long_median([text(11)].iter());
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].path, "crates/tidegate-work");
    }

    #[test]
    fn a_file_of_501_lines_is_too_long_but_its_tests_are_free() {
        let lines = |count| "// A line.\n".repeat(count);
        check(long_file, &lines(500), &[]);
        check(long_file, &lines(501), &[1]);
        let tests = format!("#[cfg(test)]\nmod tests {{\n{}}}\n", lines(90));
        check(long_file, &(lines(500) + &tests), &[]);
        check(long_file, &(lines(501) + &tests), &[1]);
    }

    #[test]
    fn a_sixth_argument_is_one_too_many_unless_a_trait_asks_for_it() {
        let (fits, breaks) = (
            "a: u8, b: u8, c: u8, d: u8",
            "a: u8, b: u8, c: u8, d: u8, e: u8",
        );
        check(
            many_arguments,
            &format!("impl Pool {{ fn f(&self, {fits}) {{}} }}"),
            &[],
        );
        check(
            many_arguments,
            &format!("impl Pool {{ fn f(&self, {breaks}) {{}} }}"),
            &[1],
        );
        check(
            many_arguments,
            &format!("trait Run {{ fn f(&self, {breaks}); }}"),
            &[1],
        );
        check(
            many_arguments,
            &format!("impl Run for Pool {{ fn f(&self, {breaks}) {{}} }}"),
            &[],
        );
        let inner = format!("impl Run for Pool {{ fn f() {{ fn g(z: u8, {breaks}) {{}} }} }}");
        check(many_arguments, &inner, &[1]);
    }

    #[test]
    fn a_bool_argument_is_found_unless_a_trait_asks_for_it() {
        check(bool_arguments, "fn f(name: &str,\n force: bool) {}", &[1]);
        check(
            bool_arguments,
            "impl Pool { fn f(self, force: bool) {} }",
            &[1],
        );
        check(
            bool_arguments,
            "trait Run { fn f(&self, force: bool); }",
            &[1],
        );
        check(
            bool_arguments,
            "impl Run for Pool { fn f(&self, force: bool) {} }",
            &[],
        );
        check(
            bool_arguments,
            "fn f(is: impl Fn(u8) -> bool) -> bool { is(1) }",
            &[],
        );
    }

    #[test]
    fn a_thirteenth_field_is_one_too_many() {
        let fields = |count| format!("struct Pool {{ {} }}", "f: u8,".repeat(count));
        check(wide_structs, &fields(12), &[]);
        check(wide_structs, &format!("\n/// Says.\n{}", fields(13)), &[3]);
        check(
            wide_structs,
            &format!("struct Pool({});", "u8,".repeat(13)),
            &[1],
        );
    }

    #[test]
    fn an_unwrap_is_found_in_calls_paths_and_macros_but_not_in_tests_or_words() {
        check(unwraps, "fn f() {\n    a()\n        .unwrap();\n}", &[3]);
        check(unwraps, "fn f() { a().map(Option::unwrap) }", &[1]);
        check(
            unwraps,
            "fn f() {\n    json!({ \"a\": b.unwrap() })\n}",
            &[2],
        );
        check(unwraps, "fn f() { vec![a.map(Option::unwrap)] }", &[1]);
        check(
            unwraps,
            "/// `.unwrap()`\nfn f() { a(\".unwrap()\").unwrap_or(1) } // .unwrap()",
            &[],
        );
        check(
            unwraps,
            "#[cfg(test)] mod tests { fn f() { a().unwrap() } }",
            &[],
        );
        check(
            unwraps,
            "#[cfg(all(test, unix))] fn f() { a().unwrap() }",
            &[],
        );
        check(
            unwraps,
            "#[cfg(any(test, unix))] fn f() { a().unwrap() }",
            &[1],
        );
        check(
            unwraps,
            "impl A { #[cfg(test)] fn f() { a().unwrap() } }",
            &[],
        );
        check(unwraps, "#![cfg(test)]\nfn f() { a().unwrap() }", &[]);
    }

    #[test]
    fn a_crate_above_its_share_is_found_and_the_share_shrinks_with_age() {
        let room = |name: &str, lines| File {
            path: format!("crates/{name}/src/lib.rs"),
            text: "// A line.\n".repeat(lines),
        };
        let five = |first, rest| {
            [
                ("a", first),
                ("b", rest),
                ("c", rest),
                ("d", rest),
                ("e", rest),
            ]
            .map(|(name, lines)| room(name, lines))
        };
        assert_eq!(big_crates(five(300, 175).iter()), []);
        let found = big_crates(five(304, 174).iter());
        assert_eq!(
            found,
            [Breach::new(
                "crates/a",
                1,
                "304 of 1000 lines, 30 %; the limit is 30 %"
            )]
        );
        assert_eq!(big_crates(five(24_000, 15_000).iter())[0].path, "crates/a");
        assert_eq!(big_crates(five(20_000, 15_000).iter()), []);
    }

    #[test]
    fn a_file_that_does_not_parse_is_a_breach() {
        check(unwraps, "fn f() {}\nfn (", &[2]);
    }
}
