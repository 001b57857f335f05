//! An inverted index in memory, searched with BM25.
//!
//! It is built once and never changed: a reader needs no lock. It knows neither
//! files nor prompts.

use std::collections::{BTreeMap, HashMap};

use tidegate_text::{Chunk, Chunker};

use crate::bm25::{idf, saturation};
use crate::term::{distinct_terms, terms};

/// A text to be found, with what a citation needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// Stable and unique; breaks ties between equally good hits.
    pub id: String,
    /// Shown to people; its words count as words of every chunk.
    pub title: String,
    /// Where the text came from, such as a path or a URL.
    pub source: String,
    /// The text itself; Markdown is fine.
    pub text: String,
}

/// A chunk that matches a query.
#[derive(Debug, Clone, PartialEq)]
pub struct Hit {
    /// The id of the document.
    pub document: String,
    /// The title of the document.
    pub title: String,
    /// The source of the document.
    pub source: String,
    /// Which chunk of the document, from 0.
    pub chunk: usize,
    /// Where the chunk is in the document: code points, the end exclusive.
    pub span: (usize, usize),
    /// The text of the chunk.
    pub text: String,
    /// The BM25 score, above 0; comparable within one search only.
    pub score: f32,
}

/// Documents cut into chunks, ready to be searched.
#[derive(Debug, Clone, Default)]
pub struct Index {
    origins: Vec<Origin>,
    passages: Vec<Passage>,
    /// Per term the passages that contain it, ascending.
    postings: HashMap<String, Vec<Posting>>,
    average_length: f32,
}

/// A document without its text, which the passages hold.
#[derive(Debug, Clone)]
struct Origin {
    id: String,
    title: String,
    source: String,
}

#[derive(Debug, Clone)]
struct Passage {
    /// Position in `Index::origins`.
    origin: usize,
    number: usize,
    chunk: Chunk,
    /// In terms, those of the title included.
    length: usize,
}

#[derive(Debug, Clone, Copy)]
struct Posting {
    /// Position in `Index::passages`.
    passage: usize,
    count: u32,
}

impl Index {
    /// Cuts `documents` with `chunker` and indexes the chunks.
    ///
    /// Takes time and memory in proportion to the text; megabytes are fine, more
    /// belongs on disk. Documents with the same id are kept side by side.
    pub fn build(documents: Vec<Document>, chunker: &Chunker) -> Index {
        let mut index = Index::default();
        for document in documents {
            index.add(document, chunker);
        }
        let terms: usize = index.passages.iter().map(|passage| passage.length).sum();
        index.average_length = terms as f32 / index.passages.len().max(1) as f32;
        index
    }

    /// The `k` chunks that match `query` best, best first.
    ///
    /// `query` is plain text, nothing in it is syntax; a query of stop words only
    /// finds nothing. Ties break by document id, then by chunk, so the result is
    /// deterministic.
    pub fn search(&self, query: &str, k: usize) -> Vec<Hit> {
        let mut ranking: Vec<(usize, f32)> = self.scores(query).into_iter().collect();
        ranking.sort_by(|a, b| {
            b.1.total_cmp(&a.1)
                .then_with(|| self.order(a.0).cmp(&self.order(b.0)))
        });
        ranking.truncate(k);
        ranking
            .into_iter()
            .map(|(passage, score)| self.hit(passage, score))
            .collect()
    }

    fn add(&mut self, document: Document, chunker: &Chunker) {
        let origin = self.origins.len();
        for (number, chunk) in chunker.chunks(&document.text).into_iter().enumerate() {
            let counts = count(terms(&document.title).chain(terms(&chunk.text)));
            let passage = self.passages.len();
            let length = counts.values().map(|&count| count as usize).sum();
            for (term, count) in counts {
                self.postings
                    .entry(term)
                    .or_default()
                    .push(Posting { passage, count });
            }
            self.passages.push(Passage {
                origin,
                number,
                chunk,
                length,
            });
        }
        let Document {
            id, title, source, ..
        } = document;
        self.origins.push(Origin { id, title, source });
    }

    /// Scores of the passages that contain a term of `query`.
    fn scores(&self, query: &str) -> BTreeMap<usize, f32> {
        let mut scores = BTreeMap::new();
        for term in distinct_terms(query) {
            let Some(postings) = self.postings.get(&term) else {
                continue;
            };
            let rarity = idf(postings.len(), self.passages.len());
            for posting in postings {
                let relative = self.passages[posting.passage].length as f32 / self.average_length;
                *scores.entry(posting.passage).or_default() +=
                    rarity * saturation(posting.count, relative);
            }
        }
        scores
    }

    fn order(&self, passage: usize) -> (&str, usize) {
        let passage = &self.passages[passage];
        (&self.origins[passage.origin].id, passage.number)
    }

    fn hit(&self, passage: usize, score: f32) -> Hit {
        let passage = &self.passages[passage];
        let origin = &self.origins[passage.origin];
        Hit {
            document: origin.id.clone(),
            title: origin.title.clone(),
            source: origin.source.clone(),
            chunk: passage.number,
            span: (passage.chunk.start, passage.chunk.end),
            text: passage.chunk.text.clone(),
            score,
        }
    }
}

fn count(terms: impl Iterator<Item = String>) -> HashMap<String, u32> {
    let mut counts = HashMap::new();
    for term in terms {
        let count: &mut u32 = counts.entry(term).or_default();
        *count = count.saturating_add(1);
    }
    counts
}

#[cfg(test)]
mod tests;
