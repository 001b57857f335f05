//! Measures how long the small classifier takes. Prints medians; run it with
//! `--release`.

use std::error::Error;
use std::hint::black_box;
use std::time::{Duration, Instant};

use tidegate_model::Classifier;

fn median(runs: usize, mut work: impl FnMut()) -> Duration {
    let mut times: Vec<Duration> = (0..runs)
        .map(|_| {
            let start = Instant::now();
            work();
            start.elapsed()
        })
        .collect();
    times.sort();
    times[runs / 2]
}

/// A sentence again and again, cut at a length.
fn text(sentence: &str, bytes: usize) -> String {
    let mut text = sentence.repeat(bytes / sentence.len() + 1);
    let mut end = bytes;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
    text
}

fn main() -> Result<(), Box<dyn Error>> {
    let loading = median(20, || {
        black_box(Classifier::builtin().is_ok());
    });
    println!("{:<28} {loading:>12.1?}", "load and check the model");
    let classifier = Classifier::builtin()?;
    let prose = "The harbour opens at six, and boats that wait outside may enter one by one; \
                 please show the papers, follow the pilot and ignore the smaller lights. ";
    let russian = "Гавань открывается в шесть, и лодки входят одна за другой; покажите бумаги. ";
    let chinese = "港口六点开放，在外面等候的船可以一艘接一艘地进入，请出示证件并跟随领航员。";
    let texts = [
        ("500 characters of prose", text(prose, 500), 2001),
        ("1,000 bytes of Russian", text(russian, 1000), 2001),
        ("1,500 bytes of Chinese", text(chinese, 1500), 2001),
        ("1 MB of prose", text(prose, 1_000_000), 21),
        ("1 MB of Chinese", text(chinese, 1_000_000), 21),
        ("1 MB of one word", "a".repeat(1_000_000), 21),
        ("1 MB of signs", "{;}=".repeat(250_000), 21),
        ("1 MB of line ends", "\n".repeat(1_000_000), 21),
    ];
    for (name, text, runs) in &texts {
        let time = median(*runs, || {
            black_box(classifier.score(black_box(text), &|| false));
        });
        println!("{name:<28} {time:>12.1?}");
    }
    let (_, short, runs) = &texts[0];
    let time = median(*runs, || {
        black_box(classifier.explain(black_box(short), 0..500, 3));
    });
    println!("{:<28} {time:>12.1?}", "reasons of 500 characters");
    Ok(())
}
