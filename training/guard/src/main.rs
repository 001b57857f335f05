//! Trains the guard's small classifier, and measures it.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use tidegate_guard::Rules;
use tidegate_model::Classifier;
use tidegate_training_guard::{
    Grey, Material, Measure, Measures, Task, documents, overlaps, train,
};

const USAGE: &str =
    "usage: tidegate-training-guard train|evaluate|grey|documents|overlap [--data FOLDER] [--models FOLDER]

train     learns from train.jsonl and writes words.tgm and passages.tgm
evaluate  prints tables about both files, and about trainings that leave parts out
grey      prints what a second stage would not be asked about, on sources left out
documents prints how many documents of retrieval sets in FOLDER the shipped models let pass
overlap   names the lines of the grammars that share words with the rows

--data    the folder with the rows (default ../shared/data/guard)
--models  the folder with the model files (default models/guard)";

struct Arguments {
    command: String,
    data: PathBuf,
    models: PathBuf,
}

/// Reads the arguments; nothing where they are not as in `USAGE`.
fn arguments(mut given: impl Iterator<Item = String>) -> Option<Arguments> {
    let mut arguments = Arguments {
        command: given.next()?,
        data: PathBuf::from("../shared/data/guard"),
        models: PathBuf::from("models/guard"),
    };
    while let Some(name) = given.next() {
        let value = PathBuf::from(given.next()?);
        match name.as_str() {
            "--data" => arguments.data = value,
            "--models" => arguments.models = value,
            _ => return None,
        }
    }
    Some(arguments)
}

fn run(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    if arguments.command == "overlap" {
        return overlap(&arguments.data);
    }
    if arguments.command == "documents" {
        println!("{}", documents(&arguments.data, Rules::builtin()?)?);
        return Ok(());
    }
    let read = |task| Material::read(&arguments.data, task);
    let file = |task: Task| arguments.models.join(task.file());
    if arguments.command == "train" {
        for task in Task::ALL {
            let bytes = train(&read(task)?).to_bytes();
            fs::write(file(task), &bytes)?;
            println!("{}: {} bytes", file(task).display(), bytes.len());
        }
        return Ok(());
    }
    let rules = Rules::builtin()?;
    let classifier =
        |task| -> Result<_, Box<dyn Error>> { Ok(Classifier::from_bytes(&fs::read(file(task))?)?) };
    let (words, passages) = (classifier(Task::Words)?, classifier(Task::Passages)?);
    let (said, read) = (read(Task::Words)?, read(Task::Passages)?);
    if arguments.command == "grey" {
        let grey = Grey {
            words: (&said, &words),
            passages: (&read, &passages),
            rules: &rules,
        };
        println!("{}", grey.tables());
        return Ok(());
    }
    let measures = Measures {
        words: Measure::new(&said, &words, &rules),
        passages: Measure::new(&read, &passages, &rules),
    };
    println!("{}", measures.tables());
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
    let is_known = |arguments: &Arguments| {
        matches!(
            &*arguments.command,
            "train" | "evaluate" | "grey" | "documents" | "overlap"
        )
    };
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
