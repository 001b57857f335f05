//! Words that are refused: in names, in comments, in attributes, in any text.

use proc_macro2::{TokenStream, TokenTree};
use syn::visit::{self, Visit};

use crate::Breach;
use crate::edges;
use crate::workspace::File;

/// Names that mean "everything", alone or at the end of a longer name.
const SHAPELESS: [&str; 7] = [
    "util", "utils", "helper", "helpers", "common", "misc", "manager",
];

/// Marks of unfinished work, split so that this line holds none.
const NOTES: [&str; 3] = [
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("XX", "X"),
];

/// Folders that exist on one machine, split so that this line names none. Where
/// a name must follow, the folder alone says nothing about a machine.
const MACHINE: [(&str, bool); 5] = [
    (concat!("/wo", "rk"), false),
    (concat!("/t", "mp"), false),
    (concat!("/ro", "ot"), false),
    (concat!("/ho", "me"), true),
    (concat!("/Us", "ers"), true),
];

/// Files, folders and inline modules whose name says nothing.
pub(crate) fn shapeless_names(file: &File) -> Vec<Breach> {
    let parts = file
        .path
        .split('/')
        .map(|part| part.split('.').next().unwrap_or(part));
    let mut names: Vec<(usize, String)> = parts.map(|part| (1, part.to_owned())).collect();
    if file.path.ends_with(".rs") {
        names.extend(look(&file.text).modules);
    }
    let shapeless = names.into_iter().filter(|(_, name)| is_shapeless(name));
    let breach = shapeless.map(|(line, name)| {
        let what = format!("`{name}` names no thing; say which noun lives here");
        Breach::new(&file.path, line, what)
    });
    breach.collect()
}

fn is_shapeless(name: &str) -> bool {
    let name = name.to_lowercase();
    let last = name.rsplit(['_', '-']).next().unwrap_or_default();
    SHAPELESS.contains(&last)
}

/// Notes of unfinished work without `(#123)` or ` #123` after the word.
pub(crate) fn unnumbered_notes(file: &File) -> Vec<Breach> {
    lines(file, |line| {
        let rest = NOTES.iter().find_map(|note| after(line, note))?;
        let number = rest.trim_start_matches(['(', ' ']).strip_prefix('#');
        let is_numbered = number.is_some_and(|n| n.starts_with(|c: char| c.is_ascii_digit()));
        (!is_numbered).then(|| "a note of work to do without an issue number".to_owned())
    })
}

/// Paths that exist on the machine of whoever wrote the line.
pub(crate) fn machine_paths(file: &File) -> Vec<Breach> {
    lines(file, |line| {
        let named = |(folder, needs_name): &(&'static str, bool)| {
            let mut places = line.match_indices(folder);
            places.any(|(start, _)| {
                let (before, rest) = (&line[..start], &line[start + folder.len()..]);
                let begins =
                    !before.ends_with(|c: char| c.is_alphanumeric() || "._-~/})".contains(c));
                let inside = rest
                    .strip_prefix('/')
                    .is_some_and(|name| name.starts_with(is_word));
                let ends = !rest.starts_with(is_word) && !*needs_name;
                begins && (inside || ends)
            })
        };
        let (folder, _) = MACHINE.iter().find(|folder| named(folder))?;
        Some(format!("names `{folder}`, a path of one machine"))
    })
}

/// Rooms other than the engine, named outside comments.
pub(crate) fn foreign_rooms(file: &File) -> Vec<Breach> {
    let rooms: Vec<String> = edges::rooms()
        .into_iter()
        .map(|room| room.replace('-', "_"))
        .collect();
    let foreign = |room: &&String| !matches!(room.as_str(), "tidegate" | "tidegate_engine");
    lines(file, |line| {
        let code = line.split("//").next().unwrap_or(line);
        let room = rooms
            .iter()
            .filter(foreign)
            .find(|room| after(code, room).is_some())?;
        Some(format!(
            "names `{room}`; this layer knows `tidegate_engine` only"
        ))
    })
}

/// Tests that are compiled and not run.
pub(crate) fn ignored_tests(file: &File) -> Vec<Breach> {
    let ignored = look(&file.text).ignored.into_iter();
    ignored
        .map(|line| Breach::new(&file.path, line, "a test that is switched off"))
        .collect()
}

/// What follows the first whole word `word` of a line.
fn after<'a>(line: &'a str, word: &str) -> Option<&'a str> {
    let mut places = line.match_indices(word);
    places.find_map(|(start, _)| {
        let (before, rest) = (&line[..start], &line[start + word.len()..]);
        (!before.ends_with(is_word) && !rest.starts_with(is_word)).then_some(rest)
    })
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == '-'
}

fn lines(file: &File, rule: impl Fn(&str) -> Option<String>) -> Vec<Breach> {
    let breach = |(index, line)| rule(line).map(|what| Breach::new(&file.path, index + 1, what));
    file.text.lines().enumerate().filter_map(breach).collect()
}

/// The names of modules and the attributes of a file. A file that does not parse
/// has none; the budgets complain about it.
fn look(text: &str) -> Reader {
    let mut reader = Reader::default();
    if let Ok(file) = syn::parse_file(text) {
        reader.visit_file(&file);
    }
    reader
}

#[derive(Default)]
struct Reader {
    modules: Vec<(usize, String)>,
    ignored: Vec<usize>,
}

impl Reader {
    /// Attributes inside a macro call, as in `proptest! { #[test] … }`.
    fn tokens(&mut self, tokens: TokenStream) {
        let mut is_after_hash = false;
        for token in tokens {
            if let TokenTree::Group(group) = &token {
                if is_after_hash && names_ignore(group.stream()) {
                    self.ignored.push(group.span_open().start().line);
                }
                self.tokens(group.stream());
            }
            is_after_hash = matches!(&token, TokenTree::Punct(mark) if mark.as_char() == '#');
        }
    }
}

/// True for `ignore`, `ignore = "…"` and `cfg_attr(…, ignore)`.
fn names_ignore(attribute: TokenStream) -> bool {
    let mut tokens = attribute.into_iter();
    match tokens.next() {
        Some(TokenTree::Ident(name)) if name == "ignore" => true,
        Some(TokenTree::Ident(name)) if name == "cfg_attr" => {
            let list = tokens
                .next()
                .map(|list| list.to_string())
                .unwrap_or_default();
            after(&list, "ignore").is_some()
        }
        _ => false,
    }
}

impl<'ast> Visit<'ast> for Reader {
    fn visit_item_mod(&mut self, module: &'ast syn::ItemMod) {
        self.modules
            .push((module.ident.span().start().line, module.ident.to_string()));
        visit::visit_item_mod(self, module);
    }

    fn visit_attribute(&mut self, attribute: &'ast syn::Attribute) {
        let is_list = attribute.path().is_ident("cfg_attr")
            && attribute
                .meta
                .require_list()
                .is_ok_and(|list| after(&list.tokens.to_string(), "ignore").is_some());
        if is_list || attribute.path().is_ident("ignore") {
            self.ignored.push(attribute.pound_token.span.start().line);
        }
    }

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        self.tokens(call.tokens.clone());
    }
}

#[cfg(test)]
mod proof {
    use super::*;

    /// `rule` finds `text` in breach at these lines.
    #[track_caller]
    fn check(rule: fn(&File) -> Vec<Breach>, text: &str, lines: &[usize]) {
        let path = "crates/tidegate/src/http/chat.rs".to_owned();
        let file = File {
            path,
            text: text.to_owned(),
        };
        let found: Vec<usize> = rule(&file).into_iter().map(|breach| breach.line).collect();
        assert_eq!(found, lines, "{text}");
    }

    #[test]
    fn a_file_a_folder_or_a_module_that_means_everything_is_found() {
        let of = |path: &str| {
            let file = File {
                path: path.to_owned(),
                text: String::new(),
            };
            shapeless_names(&file).len()
        };
        for path in [
            "src/utils.rs",
            "src/util/a.rs",
            "tests/common/mod.rs",
            "a/request_manager.rs",
        ] {
            assert_eq!(of(path), 1, "{path}");
        }
        for path in [
            "a/Helper.py",
            "a/misc.sh",
            "a/http-helpers.ts",
            "a/utils.test.ts",
        ] {
            assert_eq!(of(path), 1, "{path}");
        }
        for path in [
            "src/utilization.rs",
            "src/common_prefix.rs",
            "src/managers_of_none.rs",
        ] {
            assert_eq!(of(path), 0, "{path}");
        }
        check(
            shapeless_names,
            "mod window;\nmod inner {\n    mod helpers {}\n}",
            &[3],
        );
    }

    #[test]
    fn a_note_needs_an_issue_number() {
        for note in NOTES {
            check(
                unnumbered_notes,
                &format!("fn f() {{}}\n// {note}: later"),
                &[2],
            );
            check(
                unnumbered_notes,
                &format!("// {note}(somebody): later"),
                &[1],
            );
            check(
                unnumbered_notes,
                &format!("// {note}(#12): later\n// {note} #3 later"),
                &[],
            );
            check(unnumbered_notes, &format!("// {note}S are not notes"), &[]);
        }
    }

    #[test]
    fn a_path_of_one_machine_is_found() {
        for (folder, needs_name) in MACHINE {
            check(machine_paths, &format!("\nsee {folder}/main/file"), &[2]);
            check(machine_paths, &format!("path = \"{folder}/a\""), &[1]);
            check(
                machine_paths,
                &format!("cd {folder}"),
                if needs_name { &[] } else { &[1] },
            );
            check(
                machine_paths,
                &format!("a{folder}/b ..{folder}/b {folder}ed {folder}-x/y"),
                &[],
            );
        }
    }

    #[test]
    fn a_room_other_than_the_engine_is_foreign_to_http() {
        check(
            foreign_rooms,
            "use tidegate_engine::Engine;\nuse tidegate_store::Cache;",
            &[2],
        );
        check(foreign_rooms, "fn f(a: tidegate_guard::Verdict) {}", &[1]);
        check(
            foreign_rooms,
            "// tidegate_store\nlet a = \"tidegate_tasks_total\";",
            &[],
        );
    }

    #[test]
    fn a_test_that_is_switched_off_is_found() {
        check(ignored_tests, "#[test]\n#[ignore]\nfn a() {}", &[2]);
        check(
            ignored_tests,
            "mod tests {\n#[ignore = \"slow\"]\n#[test] fn a() {} }",
            &[2],
        );
        check(
            ignored_tests,
            "#[cfg_attr(unix, ignore)]\n#[test]\nfn a() {}",
            &[1],
        );
        check(
            ignored_tests,
            "proptest! {\n#[test]\n#[ignore]\nfn a() {} }",
            &[3],
        );
        check(
            ignored_tests,
            "// #[ignore]\nfn a() { b(\"#[ignore]\"); }",
            &[],
        );
        check(
            ignored_tests,
            "#[cfg_attr(unix, doc = \"x\")]\nfn a() {}",
            &[],
        );
    }
}
