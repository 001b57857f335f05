//! The sentences of the hits that answer a question.
//!
//! Nothing is written, only quoted, so an extract can be wrong about what was
//! asked but not about what the document says.

use std::collections::{BTreeMap, HashMap};

use tidegate_text::{Chunk, sentences, words};

use crate::bm25::idf;
use crate::index::Hit;
use crate::stem::stem;
use crate::term::distinct_terms;

/// A sentence that covers less than this share of the question's weight is about
/// something else: usually it shares one common word with it.
const MIN_COVERAGE: f32 = 0.2;
/// What each hint beyond coverage is worth: enough to decide between sentences
/// that cover the same terms, too little to make up for a missing one.
const HINT: f32 = 0.1;
/// Sentences that share this part of their terms say the same thing.
const SAME: f32 = 0.8;
/// What every term weighs, before rarity: otherwise a term that all of a few
/// sentences have weighs next to nothing, and they look irrelevant to it.
const EVEN_WEIGHT: f32 = 1.0;
/// Words that, after "how", ask for a number and are no topic themselves.
const MEASURES: [&str; 12] = [
    "long", "many", "much", "often", "big", "large", "high", "fast", "far", "soon", "quickly",
    "old",
];

/// A quoted sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extract {
    /// The sentence without its list mark, line breaks folded into spaces.
    pub sentence: String,
    /// Which of the hits it is from: an index into `hits`.
    pub hit: usize,
    /// Where it is in the document (not in the chunk): code points, the end exclusive.
    pub span: (usize, usize),
}

/// Quotes at most `most` sentences of `hits` that answer `query`, best first.
///
/// A sentence is worth the share of the question's terms that it covers, rare
/// terms counting more, with small bonuses for starting with what is asked about,
/// for holding a number when one is asked for, and for a good hit. Headings are
/// not quoted, nor is the same thing twice. Empty when no sentence covers a fifth
/// of the question: then the honest answer is that the documents do not say.
pub fn extract(query: &str, hits: &[Hit], most: usize) -> Vec<Extract> {
    let candidates: Vec<Candidate> = hits
        .iter()
        .enumerate()
        .flat_map(|(at, hit)| candidates(at, hit))
        .collect();
    let question = Question::new(query, &candidates);
    let best_hit = hits
        .iter()
        .map(|hit| hit.score)
        .fold(f32::MIN_POSITIVE, f32::max);
    let mut ranked: Vec<(f32, &Candidate)> = candidates
        .iter()
        .filter_map(|candidate| {
            let value = question.value(candidate)?;
            Some((
                value + HINT * hits[candidate.hit].score / best_hit,
                candidate,
            ))
        })
        .collect();
    ranked.sort_by(|a, b| b.0.total_cmp(&a.0));
    distinct(
        ranked.into_iter().map(|(_, candidate)| candidate),
        hits,
        most,
    )
    .into_iter()
    .map(Candidate::extract)
    .collect()
}

/// A sentence that could be quoted.
struct Candidate {
    hit: usize,
    span: (usize, usize),
    text: String,
    terms: Vec<String>,
}

impl Candidate {
    fn extract(&self) -> Extract {
        let words: Vec<&str> = self.text.split_whitespace().collect();
        Extract {
            sentence: words.join(" "),
            hit: self.hit,
            span: self.span,
        }
    }
}

fn candidates(at: usize, hit: &Hit) -> impl Iterator<Item = Candidate> {
    let quotable = prose(sentences(&hit.text)).filter_map(without_mark);
    quotable.map(move |sentence| Candidate {
        hit: at,
        span: (hit.span.0 + sentence.start, hit.span.0 + sentence.end),
        terms: distinct_terms(&sentence.text),
        text: sentence.text,
    })
}

/// Leaves out code fences and what stands between them.
///
/// With a fence too many the chunk starts or ends inside code, and which is
/// unknown: then only the fences go, as quoting code is better than losing prose.
fn prose(sentences: Vec<Chunk>) -> impl Iterator<Item = Chunk> {
    let fences = sentences
        .iter()
        .filter(|sentence| is_fence(sentence))
        .count();
    let mut in_code = false;
    sentences.into_iter().filter(move |sentence| {
        in_code ^= is_fence(sentence) && fences.is_multiple_of(2);
        !is_fence(sentence) && !in_code
    })
}

fn is_fence(sentence: &Chunk) -> bool {
    sentence.text.starts_with("```") || sentence.text.starts_with("~~~")
}

/// `sentence` without the mark of a list item; `None` for what is no sentence.
fn without_mark(mut sentence: Chunk) -> Option<Chunk> {
    let text = &sentence.text;
    if text.starts_with(['#', '|']) {
        return None;
    }
    let Some((mark, rest)) = text.split_once(char::is_whitespace) else {
        return Some(sentence);
    };
    let digits = mark.trim_end_matches(['.', ')']);
    let is_number =
        digits != mark && !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    if is_number || matches!(mark, "-" | "*" | "+" | "•") {
        let rest = rest.trim_start().to_owned();
        sentence.start = sentence.end - rest.chars().count();
        sentence.text = rest;
    }
    Some(sentence)
}

/// What is asked for.
struct Question {
    /// Per term, how much it matters.
    weights: BTreeMap<String, f32>,
    total: f32,
    wants_number: bool,
}

impl Question {
    fn new(query: &str, candidates: &[Candidate]) -> Self {
        let measure = measure(query);
        let containing = frequencies(candidates);
        let weighed = |term: String| {
            let rarity = idf(
                containing.get(term.as_str()).copied().unwrap_or(0),
                candidates.len(),
            );
            (term, EVEN_WEIGHT + rarity)
        };
        let weights: BTreeMap<String, f32> = distinct_terms(query)
            .into_iter()
            .filter(|term| is_informative(term) && Some(term) != measure.as_ref())
            .map(weighed)
            .collect();
        let total = weights.values().sum();
        Self {
            weights,
            total,
            wants_number: measure.is_some(),
        }
    }

    /// What `candidate` is worth as an answer; `None` when it is none.
    fn value(&self, candidate: &Candidate) -> Option<f32> {
        let covered: f32 = candidate
            .terms
            .iter()
            .filter_map(|term| self.weights.get(term))
            .sum();
        let coverage = covered / self.total;
        if covered == 0.0 || coverage < MIN_COVERAGE {
            return None;
        }
        let opens = candidate
            .terms
            .first()
            .is_some_and(|term| self.weights.contains_key(term));
        let counts = self.wants_number && candidate.text.contains(|c: char| c.is_ascii_digit());
        Some(coverage + HINT * f32::from(opens) + HINT * f32::from(counts))
    }
}

/// A single ASCII letter or digit is in every text; a single ideograph is a word.
fn is_informative(term: &str) -> bool {
    term.len() > 1
}

/// In how many candidates each term occurs.
fn frequencies(candidates: &[Candidate]) -> HashMap<&str, usize> {
    let mut frequencies = HashMap::new();
    for term in candidates.iter().flat_map(|candidate| &candidate.terms) {
        *frequencies.entry(term.as_str()).or_default() += 1;
    }
    frequencies
}

/// The measure in "how long", "how many" and their kin, as a term.
fn measure(query: &str) -> Option<String> {
    let mut words = words(query);
    words.by_ref().find(|word| word == "how")?;
    words
        .next()
        .filter(|word| MEASURES.contains(&word.as_str()))
        .map(stem)
}

/// The first `most` of `ranked` that say something new.
fn distinct<'a>(
    ranked: impl Iterator<Item = &'a Candidate>,
    hits: &[Hit],
    most: usize,
) -> Vec<&'a Candidate> {
    let mut chosen: Vec<&Candidate> = Vec::new();
    for candidate in ranked {
        if chosen.len() >= most {
            break;
        }
        if !chosen.iter().any(|other| repeats(candidate, other, hits)) {
            chosen.push(candidate);
        }
    }
    chosen
}

/// True for the same place, which chunks that overlap share, and for the same words.
fn repeats(a: &Candidate, b: &Candidate, hits: &[Hit]) -> bool {
    let same_document = hits[a.hit].document == hits[b.hit].document;
    let same_place = same_document && a.span.0 < b.span.1 && b.span.0 < a.span.1;
    let shared = a.terms.iter().filter(|term| b.terms.contains(term)).count();
    let all = a.terms.len() + b.terms.len() - shared;
    same_place || shared as f32 >= SAME * all as f32
}

#[cfg(test)]
mod tests;
