//! Trains the guard's small classifier, and measures it.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use tidegate_guard::Rules;
use tidegate_model::Classifier;
use tidegate_training_guard::{Material, Measure, overlaps, train};

const USAGE: &str =
    "usage: tidegate-training-guard train|evaluate|overlap [--data FOLDER] [--model FILE]

train     learns from FOLDER/train.jsonl and writes FILE
evaluate  prints tables about FILE, and about trainings that leave parts out
overlap   names the lines of the grammars that share words with the rows

--data    the folder with the rows (default ../shared/data/guard)
--model   the model file (default models/guard/words.tgm)";

struct Arguments {
    command: String,
    data: PathBuf,
    model: PathBuf,
}

/// Reads the arguments; nothing where they are not as in `USAGE`.
fn arguments(mut given: impl Iterator<Item = String>) -> Option<Arguments> {
    let mut arguments = Arguments {
        command: given.next()?,
        data: PathBuf::from("../shared/data/guard"),
        model: PathBuf::from("models/guard/words.tgm"),
    };
    while let Some(name) = given.next() {
        let value = PathBuf::from(given.next()?);
        match name.as_str() {
            "--data" => arguments.data = value,
            "--model" => arguments.model = value,
            _ => return None,
        }
    }
    Some(arguments)
}

fn run(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    if arguments.command == "overlap" {
        return overlap(&arguments.data);
    }
    let material = Material::read(&arguments.data)?;
    if arguments.command == "train" {
        let bytes = train(&material).to_bytes();
        fs::write(&arguments.model, &bytes)?;
        println!("{}: {} bytes", arguments.model.display(), bytes.len());
        return Ok(());
    }
    let classifier = Classifier::from_bytes(&fs::read(&arguments.model)?)?;
    let rules = Rules::builtin()?;
    println!("{}", Measure::new(&material, &classifier, &rules).tables());
    Ok(())
}

/// Names lines and counts, never a row.
fn overlap(data: &Path) -> Result<(), Box<dyn Error>> {
    let found = overlaps(data)?;
    for one in &found {
        println!("{one}");
    }
    match found.len() {
        0 => Ok(()),
        count => Err(format!("{count} lines share words with the rows: write them anew").into()),
    }
}

fn main() -> ExitCode {
    let is_known =
        |arguments: &Arguments| matches!(&*arguments.command, "train" | "evaluate" | "overlap");
    let Some(arguments) = arguments(std::env::args().skip(1)).filter(is_known) else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("{problem}");
            ExitCode::FAILURE
        }
    }
}
