//! What TOON saves, and what it costs: tokens of five shapes in every form, and
//! the time of writing and reading beside serde_json. Run it with `--release`.

mod shapes;

use std::hint::black_box;
use std::time::{Duration, Instant};

use mimalloc::MiMalloc;
use serde_json::Value;
use tidegate_text::tokens::{Encoding, count};
use tidegate_text::toon::compact::{self, Abbreviations};
use tidegate_text::toon::{
    DecodeOptions, Dialect, EncodeOptions, Style, decode, encode, smallest, write,
};

/// As the program has it.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// Pairs of runs; the medians are of the ratios within each.
const PAIRS: usize = 15;

fn main() {
    println!("tokens (o200k_base)     toon  compact     json   pretty   least");
    for (name, value) in [
        ("feedback items (20)", shapes::feedback(20)),
        ("tabular records (100)", shapes::records(100)),
        ("configuration (8)", shapes::configuration(8)),
        ("chat context (12)", shapes::chat(12)),
        ("search hits (10)", shapes::hits(10)),
    ] {
        print_tokens(name, &value);
    }
    println!("\ntime beside serde_json      MB   write   read   (compact: write   read)");
    for (name, value) in [
        ("tabular", shapes::records(9_000)),
        ("nested", shapes::configuration(3_500)),
        ("chat", shapes::chat(3_500)),
    ] {
        print_times(name, &value, PAIRS);
    }
    println!("\nlinear                      MB   write MB/s   read MB/s");
    for rows in [9_000, 90_000, 1_100_000] {
        print_rates("tabular", &shapes::records(rows));
    }
    for services in [3_500, 35_000, 175_000] {
        print_rates("nested", &shapes::configuration(services));
    }
}

fn print_tokens(name: &str, value: &Value) {
    let style = Style::default();
    let tokens = |text: &str| count(text, Encoding::O200kBase);
    let of = |dialect| tokens(&written(value, dialect, &style));
    let json = of(Dialect::Json);
    let (least, _) = smallest(value, &style, Encoding::O200kBase).expect("a shape is not deep");
    println!(
        "{name:<22} {:>5} {:>8} {:>8} {:>8}   {:<7} {:+.0} % of json",
        of(Dialect::Toon),
        of(Dialect::Compact),
        json,
        tokens(&format!("{value:#}")),
        least.name(),
        100.0 * of(least) as f64 / json as f64 - 100.0,
    );
}

fn written(value: &Value, dialect: Dialect, style: &Style) -> String {
    write(value, dialect, style).expect("a shape is not deep")
}

/// The time on a processor, so that other work on the machine does not count.
fn timed<T>(work: impl FnOnce() -> T) -> Duration {
    let (clock, start) = (Instant::now(), on_processor());
    black_box(work());
    match (start, on_processor()) {
        (Some(start), Some(end)) => end.saturating_sub(start),
        _ => clock.elapsed(),
    }
}

/// What this thread has had of a processor so far, where the system tells.
fn on_processor() -> Option<Duration> {
    // Nobody counts what a thread has had until the scheduler looks at it: on a quiet
    // machine only every few milliseconds, unless it is made to.
    std::thread::yield_now();
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    let nanoseconds = told.split(' ').next()?.parse().ok()?;
    Some(Duration::from_nanos(nanoseconds))
}

/// The median of how many times longer the second takes than the first.
fn ratio<T, U>(pairs: usize, base: impl Fn() -> T, own: impl Fn() -> U) -> f64 {
    let pair = |at: usize| {
        let (base, own) = if at.is_multiple_of(2) {
            (timed(&base), timed(&own))
        } else {
            let own = timed(&own);
            (timed(&base), own)
        };
        own.as_secs_f64() / base.as_secs_f64()
    };
    let mut ratios: Vec<f64> = (0..pairs).map(pair).collect();
    ratios.sort_by(f64::total_cmp);
    ratios[pairs / 2]
}

fn print_times(name: &str, value: &Value, pairs: usize) {
    let style = Style::default();
    let table = Abbreviations::standard();
    let json = written(value, Dialect::Json, &style);
    let toon = written(value, Dialect::Toon, &style);
    let short = written(value, Dialect::Compact, &style);
    let to_json = || value.to_string();
    let from_json = || serde_json::from_str::<Value>(&json).expect("it was written");
    println!(
        "{name:<22} {:>7.2}   {:>5.2}  {:>5.2}            {:>5.2}  {:>5.2}",
        json.len() as f64 / 1e6,
        ratio(pairs, to_json, || encode(value, &EncodeOptions::default())),
        ratio(pairs, from_json, || decode(
            &toon,
            &DecodeOptions::default()
        )
        .expect("it was written")),
        ratio(pairs, to_json, || compact::encode(value, &table)),
        ratio(pairs, from_json, || compact::decode(&short, &table)
            .expect("it was written")),
    );
}

fn print_rates(name: &str, value: &Value) {
    let toon = encode(value, &EncodeOptions::default()).expect("a shape is not deep");
    let megabytes = toon.len() as f64 / 1e6;
    let best = |work: &dyn Fn() -> Duration| (0..3).map(|_| work()).min().unwrap_or_default();
    let write = best(&|| timed(|| encode(value, &EncodeOptions::default())));
    let read = best(&|| timed(|| decode(&toon, &DecodeOptions::default())));
    println!(
        "{name:<22} {megabytes:>7.2}   {:>10.0}  {:>10.0}",
        megabytes / write.as_secs_f64(),
        megabytes / read.as_secs_f64(),
    );
}
