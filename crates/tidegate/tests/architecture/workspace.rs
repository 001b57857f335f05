//! The files of the repository, as text. Knows folders and names, no rule.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use crate::measure;

/// Suffixes of files that hold code of any kind.
const SCRIPTS: [&str; 9] = [
    ".rs", ".py", ".sh", ".lua", ".js", ".jsx", ".ts", ".tsx", "Makefile",
];

/// A text file: its path from the repository root with `/` between the parts,
/// and what it holds.
pub(crate) struct File {
    pub(crate) path: String,
    pub(crate) text: String,
}

impl File {
    /// The folder under `crates/` that the file lies in.
    pub(crate) fn room(&self) -> Option<&str> {
        self.path
            .strip_prefix("crates/")?
            .split_once('/')
            .map(|(room, _)| room)
    }

    fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }
}

/// Every text file of the repository that git would not ignore.
pub(crate) struct Workspace {
    files: Vec<File>,
    tests: BTreeSet<String>,
}

impl Workspace {
    /// The repository that this test was built in, read once for all rules.
    pub(crate) fn read() -> &'static Self {
        static READ: LazyLock<Workspace> = LazyLock::new(Workspace::from_disk);
        &READ
    }

    fn from_disk() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let ignored = fs::read_to_string(root.join(".gitignore")).unwrap_or_default();
        let mut files = Vec::new();
        walk(&root, "", &ignored, &mut files);
        files.sort_by(|a, b| a.path.cmp(&b.path));
        let tests = files
            .iter()
            .filter(|f| f.is_rust())
            .flat_map(modules_of_tests)
            .collect();
        Self { files, tests }
    }

    /// The text of one file.
    pub(crate) fn text(&self, path: &str) -> &str {
        let file = self.files.iter().find(|file| file.path == path);
        &file.unwrap_or_else(|| panic!("no text file {path}")).text
    }

    /// The names of the folders under `crates/`.
    pub(crate) fn rooms(&self) -> BTreeSet<String> {
        self.manifests()
            .filter_map(File::room)
            .map(str::to_owned)
            .collect()
    }

    /// All files.
    pub(crate) fn all(&self) -> impl Iterator<Item = &File> {
        self.files.iter()
    }

    /// The files below a folder.
    pub(crate) fn under(&self, folder: &'static str) -> impl Iterator<Item = &File> {
        self.all().filter(move |file| file.path.starts_with(folder))
    }

    /// The manifests of the rooms, without the one of the workspace.
    pub(crate) fn manifests(&self) -> impl Iterator<Item = &File> {
        self.under("crates/")
            .filter(|file| file.path.ends_with("/Cargo.toml"))
    }

    /// Code of any kind, tests included.
    pub(crate) fn scripts(&self) -> impl Iterator<Item = &File> {
        self.all()
            .filter(|file| SCRIPTS.iter().any(|suffix| file.path.ends_with(suffix)))
    }

    /// Rust, tests included.
    pub(crate) fn rust(&self) -> impl Iterator<Item = &File> {
        self.all().filter(|file| file.is_rust())
    }

    /// The Rust of the rooms that reaches a user: no test, no bench.
    pub(crate) fn code(&self) -> impl Iterator<Item = &File> {
        self.rust()
            .filter(|file| file.room().is_some() && !self.is_test(&file.path))
    }

    fn is_test(&self, path: &str) -> bool {
        let is_named_so = path
            .split('/')
            .any(|part| matches!(part, "tests" | "tests.rs" | "benches"));
        is_named_so
            || self.tests.iter().any(|module| {
                path.strip_prefix(module.as_str())
                    .is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
            })
    }
}

/// The modules that a file declares for tests only, as paths without `.rs`.
fn modules_of_tests(file: &File) -> Vec<String> {
    let stem = file.path.trim_end_matches(".rs");
    let (parent, name) = stem.rsplit_once('/').unwrap_or(("", stem));
    let folder = if matches!(name, "lib" | "main" | "mod") {
        parent
    } else {
        stem
    };
    let names = measure::outline_test_modules(&file.text);
    names
        .into_iter()
        .map(|name| format!("{folder}/{name}"))
        .collect()
}

fn walk(root: &Path, folder: &str, ignored: &str, files: &mut Vec<File>) {
    for (name, path) in entries(&root.join(folder)) {
        let relative = if folder.is_empty() {
            name
        } else {
            format!("{folder}/{name}")
        };
        if relative == ".git" || is_ignored(&relative, ignored) || path.is_symlink() {
            continue;
        }
        if path.is_dir() {
            walk(root, &relative, ignored, files);
        } else if let Ok(text) = fs::read_to_string(&path) {
            files.push(File {
                path: relative,
                text,
            });
        }
    }
}

fn entries(folder: &Path) -> Vec<(String, PathBuf)> {
    let listed = fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let paths = listed.filter_map(|entry| entry.ok().map(|entry| entry.path()));
    paths
        .filter_map(|path| Some((path.file_name()?.to_str()?.to_owned(), path)))
        .collect()
}

/// The part of `.gitignore`'s language that ours uses: a leading `/` ties the
/// pattern to the root, without it any part of the path may match, and one `*`
/// stands for anything.
fn is_ignored(relative: &str, ignored: &str) -> bool {
    let patterns = ignored
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty());
    patterns
        .filter(|line| !line.starts_with('#'))
        .any(|pattern| {
            let pattern = pattern.trim_end_matches('/');
            match pattern.strip_prefix('/') {
                Some(rooted) => matches_star(relative, rooted),
                None => relative
                    .rsplit('/')
                    .next()
                    .is_some_and(|name| matches_star(name, pattern)),
            }
        })
}

fn matches_star(name: &str, pattern: &str) -> bool {
    match pattern.split_once('*') {
        None => name == pattern,
        Some((start, end)) => {
            name.len() >= start.len() + end.len() && name.starts_with(start) && name.ends_with(end)
        }
    }
}

#[test]
fn what_git_ignores_is_not_read() {
    let ignored = "/target\n/.venv*\n__pycache__\n*.log\n# note\n";
    for path in [
        "target",
        ".venv",
        ".venv-3",
        "a/b/__pycache__",
        "bench/run.log",
    ] {
        assert!(is_ignored(path, ignored), "{path}");
    }
    for path in ["crates/target", "a/.venv", "src/log.rs", "# note"] {
        assert!(!is_ignored(path, ignored), "{path}");
    }
}

#[test]
fn a_module_that_only_tests_declare_is_a_test_even_under_another_name() {
    let file = |path: &str, text: &str| File {
        path: path.into(),
        text: text.into(),
    };
    let text = "mod window; #[cfg(test)] mod fixtures; #[cfg(test)] mod tests { }";
    let of = |path| modules_of_tests(&file(path, text));
    assert_eq!(of("crates/x/src/lib.rs"), ["crates/x/src/fixtures"]);
    assert_eq!(
        of("crates/x/src/limits.rs"),
        ["crates/x/src/limits/fixtures"]
    );
    assert_eq!(
        of("crates/x/src/limits/mod.rs"),
        ["crates/x/src/limits/fixtures"]
    );
    let tests = BTreeSet::from(["crates/x/src/fixtures".to_owned()]);
    let workspace = Workspace {
        files: Vec::new(),
        tests,
    };
    for path in [
        "crates/x/src/fixtures.rs",
        "crates/x/src/fixtures/a.rs",
        "crates/x/tests/a.rs",
    ] {
        assert!(workspace.is_test(path), "{path}");
    }
    for path in ["crates/x/src/fixtures_of_gold.rs", "crates/x/src/lib.rs"] {
        assert!(!workspace.is_test(path), "{path}");
    }
}

#[test]
fn the_walk_finds_code_manifests_and_this_file() {
    let workspace = Workspace::read();
    let here = "crates/tidegate/tests/architecture/workspace.rs";
    assert!(workspace.rust().any(|file| file.path == here));
    assert!(workspace.code().all(|file| file.path != here));
    assert!(
        workspace
            .code()
            .any(|file| file.path == "crates/tidegate/src/main.rs")
    );
    assert!(
        workspace
            .all()
            .all(|file| !file.path.starts_with("target/"))
    );
}
