//! Scores lines of standard input with the model of a folder, and tells how long
//! each took: `cargo run --release -p tidegate-model --example onnx -- FOLDER`.

use std::io::BufRead;
use std::path::Path;
use std::time::Instant;

use tidegate_model::onnx::TextModel;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = std::env::args()
        .nth(1)
        .ok_or("the folder of a model is missing")?;
    let start = Instant::now();
    let model = TextModel::load(Path::new(&folder))?;
    let (name, version) = (model.name(), model.version());
    println!("{name} {version}, loaded in {:.1?}", start.elapsed());
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let start = Instant::now();
        let Some(score) = model.score(&line, &|| false)? else {
            continue;
        };
        println!(
            "{:.4} {:>9.1?} {} windows, worst {}..{}: {}",
            score.probability,
            start.elapsed(),
            score.windows,
            score.window.start,
            score.window.end,
            line.chars().take(60).collect::<String>(),
        );
    }
    Ok(())
}
