//! How long a prompt of this build takes to be rendered: whole, and cut to half of its
//! tokens. Run it with `--release`.

#[path = "toon_bench/shapes.rs"]
#[allow(dead_code, reason = "the other example uses the rest")]
mod shapes;

use std::hint::black_box;
use std::time::{Duration, Instant};

use mimalloc::MiMalloc;
use serde_json::{Map, Value, json};
use tidegate_text::template::{Library, PromptFolders, RenderWish, Rendered};

/// As the program has it.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

const RUNS: usize = 500;

fn main() {
    let started = Instant::now();
    let folders = PromptFolders::default();
    let library = Library::with_folders(&folders).expect("the packs of this build load");
    println!("library: {:.0} ms\n", started.elapsed().as_secs_f64() * 1e3);
    println!(
        "                         whole: tokens   p50 ms   p99 ms   half: tokens   p50 ms   p99 ms"
    );
    for prompt in library.prompts() {
        let name = prompt.name.as_str();
        let whole = RenderWish {
            parameters: parameters(name),
            variant: Some("base".to_owned()),
            ..RenderWish::default()
        };
        let render = |wish: &RenderWish| -> Rendered {
            let rendered = library.render(name, wish);
            rendered.unwrap_or_else(|error| panic!("{name}: {error}"))
        };
        let tokens = render(&whole).tokens;
        print!("{name:<24} {tokens:>14}{}", times(|| render(&whole)));
        let half = RenderWish {
            budget_tokens: Some(tokens / 2),
            ..whole.clone()
        };
        match library.render(name, &half) {
            Ok(cut) => println!("{:>15}{}", cut.tokens, times(|| render(&half))),
            Err(_) => println!("              – (what is required does not fit)"),
        }
    }
}

/// Median, and the time of 99 of 100.
fn times(work: impl Fn() -> Rendered) -> String {
    let timed = |_| {
        let started = Instant::now();
        black_box(work());
        started.elapsed()
    };
    let mut took: Vec<Duration> = (0..RUNS).map(timed).collect();
    took.sort();
    let shown = |at: usize| format!("{:>9.2}", took[at].as_secs_f64() * 1e3);
    format!("{}{}", shown(RUNS / 2), shown(RUNS * 99 / 100))
}

/// Six hundred words in sentences.
fn page() -> String {
    let hits = shapes::hits(20);
    let hits = hits["hits"].as_array().into_iter().flatten();
    let texts: Vec<&str> = hits.filter_map(|hit| hit["text"].as_str()).collect();
    texts.join(" ")
}

/// What an application would give: a page of text, twelve turns, ten passages, twenty
/// findings.
fn parameters(name: &str) -> Map<String, Value> {
    let page = page();
    let turns = shapes::chat(12)["messages"].clone();
    let hits = shapes::hits(10)["hits"].clone();
    let findings = shapes::feedback(20)["feedback"].clone();
    let given = match name {
        "analysis" => json!({"content": page, "section": "Timeline",
            "framework": "seller-investigation", "earlier": findings, "related": hits}),
        "chat" => json!({"question": "What is missing in the timeline?", "material": findings,
            "history": turns, "framework": "seller-investigation"}),
        "follow-up-analysis" => {
            json!({"feedback": findings[0], "comment": "It is there, see below.",
            "content": page, "framework": "seller-investigation"})
        }
        "procedure" => json!({"question": "How is the gate opened?", "sources": hits}),
        "query-writing" => json!({"question": "Why was the gate late?", "history": turns,
            "glossary": {"gate": "the lock of the harbor"}}),
        "section-identification" => json!({"document": page,
            "known_titles": ["Timeline", "Root Cause", "Resolving Action"]}),
        "troubleshoot" => json!({"problem": "The gate does not open.",
            "tried": ["The power is on."], "sources": hits}),
        other => panic!("{other}: say here what it is rendered with"),
    };
    match given {
        Value::Object(given) => given,
        other => unreachable!("{other} is no object"),
    }
}
