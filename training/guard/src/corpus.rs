//! Texts as windows of n-grams: read once, trained on many times.

use std::ops::Range;

use tidegate_model::{Gram, Reader, Settings};

use crate::rows::Row;

/// All windows of all rows.
#[derive(Debug)]
pub(crate) struct Corpus {
    /// The hashes of all n-grams, each once, in order.
    pub(crate) hashes: Vec<u64>,
    /// For each place of an n-gram: which hash.
    pub(crate) grams: Vec<u32>,
    /// For each window: its n-grams.
    pub(crate) windows: Vec<Range<usize>>,
    /// For each row: its windows.
    pub(crate) rows: Vec<Range<usize>>,
    /// How texts became n-grams, here and in the shipped model.
    pub(crate) settings: Settings,
}

/// The borders of the windows of a text, in bytes.
fn windows(text: &str, settings: &Settings) -> Vec<Range<usize>> {
    let (length, stride) = (settings.window as usize, settings.stride as usize);
    let starts: Vec<usize> = text.char_indices().map(|(at, _)| at).collect();
    let byte = |char: usize| starts.get(char).copied().unwrap_or(text.len());
    let mut found = Vec::new();
    let mut start = 0;
    loop {
        found.push(byte(start)..byte(start + length));
        if start + length >= starts.len() {
            return found;
        }
        start += stride;
    }
}

impl Corpus {
    /// Reads the windows of all texts.
    pub(crate) fn of(rows: &[Row], settings: Settings) -> Self {
        let mut corpus = Self {
            hashes: Vec::new(),
            grams: Vec::new(),
            windows: Vec::new(),
            rows: Vec::new(),
            settings,
        };
        let mut all: Vec<u64> = Vec::new();
        for row in rows {
            let first = corpus.windows.len();
            for window in windows(&row.text, &settings) {
                let start = all.len();
                let mut reader = Reader::new(settings.seed, settings.grams);
                let mut each = |gram: Gram| all.push(gram.hash);
                reader.read(&row.text[window], &mut each);
                reader.end(&mut each);
                corpus.windows.push(start..all.len());
            }
            corpus.rows.push(first..corpus.windows.len());
        }
        let mut hashes = all.clone();
        hashes.sort_unstable();
        hashes.dedup();
        corpus.grams = all
            .iter()
            .map(|hash| hashes.binary_search(hash).expect("it is among them") as u32)
            .collect();
        corpus.hashes = hashes;
        corpus
    }
}
