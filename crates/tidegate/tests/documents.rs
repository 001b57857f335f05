//! What the repository shows its readers is what the code does.

use std::fs;
use std::path::{Path, PathBuf};

use tidegate::config::{Sources, load, reference_markdown};
use tidegate::trace_names_markdown;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

#[test]
fn the_configuration_reference_is_current() {
    let path = root().join("docs/configuration.md");
    let written = fs::read_to_string(path).unwrap_or_default();
    assert_eq!(
        written.trim_end(),
        reference_markdown().trim_end(),
        "run `cargo run -- config reference > docs/configuration.md`"
    );
}

#[test]
fn the_names_of_traces_are_documented_as_they_are() {
    let written = fs::read_to_string(root().join("docs/observability.md")).expect("it is there");
    let (_, rest) = written
        .split_once("<!-- names: begin -->\n")
        .expect("a begin");
    let (names, _) = rest.split_once("<!-- names: end -->").expect("an end");
    assert_eq!(names, trace_names_markdown());
}

#[test]
fn every_example_configuration_loads() {
    let folder = fs::read_dir(root().join("examples")).expect("examples/ is there");
    let files = folder.map(|entry| entry.expect("a readable entry").path());
    let files: Vec<_> = files
        .filter(|path| path.extension().is_some_and(|end| end == "toml"))
        .collect();
    assert!(!files.is_empty());
    for file in files {
        let text = fs::read_to_string(&file).expect("a readable example");
        let sources = Sources {
            file: Some((file.display().to_string(), text)),
            env: &|name| (name == "OPENAI_API_KEY").then(|| "sk-example".to_owned()),
            env_names: Vec::new(),
            flags: Vec::new(),
            read_file: &|path| fs::read_to_string(path),
        };
        if let Err(problems) = load(&sources) {
            panic!("{problems}");
        }
    }
}
