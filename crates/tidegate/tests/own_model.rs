//! A model of one's own, as the command line sees it.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use sha2::{Digest, Sha256};
use tidegate_model::onnx::testing::SmallModel;

/// A folder that is gone with the test.
struct Folder(PathBuf);

impl Folder {
    /// With a model, whose digest is written down, and a configuration beside it.
    fn new(name: &str) -> Self {
        let name = format!("tidegate-own-model-{}-{name}", std::process::id());
        let folder = Self(std::env::temp_dir().join(name));
        let model = folder.0.join("model");
        std::fs::create_dir_all(&model).unwrap();
        let small = SmallModel::new().word("wombat", [0.0, 6.0]);
        let digest = Sha256::digest(small.model());
        let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        let settings = format!("sha256 = \"{digest}\"\n");
        small.settings(&settings).write(&model).unwrap();
        let config = "[guard]\nmodel = \"./model\"\n";
        std::fs::write(folder.0.join("tidegate.toml"), config).unwrap();
        folder
    }

    fn model(&self) -> PathBuf {
        self.0.join("model/model.onnx")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What is left in a folder for passing files harms nobody.
        drop(std::fs::remove_dir_all(&self.0));
    }
}

fn check(folder: &Path) -> Output {
    let mut program = Command::new(env!("CARGO_BIN_EXE_tidegate"));
    program.args(["config", "check", "--config"]);
    program.arg(folder.join("tidegate.toml"));
    program.output().unwrap()
}

#[test]
fn a_model_is_looked_for_beside_the_file_that_names_it() {
    let folder = Folder::new("fine");
    let output = check(&folder.0);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
}

#[test]
fn a_model_of_which_one_bit_is_wrong_is_refused_by_its_digest() {
    let folder = Folder::new("bit");
    let mut bytes = std::fs::read(folder.model()).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    std::fs::write(folder.model(), bytes).unwrap();
    let output = check(&folder.0);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("guard.model: "), "{said}");
    assert!(said.contains("has the SHA-256"), "{said}");
}

#[test]
fn a_model_without_its_file_is_refused_by_the_name_of_the_file() {
    let folder = Folder::new("missing");
    std::fs::remove_file(folder.model()).unwrap();
    let output = check(&folder.0);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("model.onnx is missing"), "{said}");
}
