//! The literals without which a pattern cannot match.

use regex_syntax::hir::literal::{Extractor, Literal, Seq};
use regex_syntax::hir::{
    Class, ClassBytes, ClassBytesRange, ClassUnicode, ClassUnicodeRange, Hir, HirKind,
};
use regex_syntax::utf8::Utf8Sequences;

use super::shape::{reach, rebuild};

/// A class with more members than this gives no literals.
const MAX_CLASS: u32 = 12;

/// More literals than this, and the prefilter would cost more than it saves.
const MAX_LITERALS: usize = 400;

/// Literals that begin at fewer places of a text than this are not improved.
const RARE: f64 = 2e-6;

/// Longer literals do not make a hit rarer, only the prefilter bigger.
const MAX_LITERAL_BYTES: usize = 8;

/// Literals that are looked for besides must be fewer, and begin at fewer places of
/// ordinary text: each hit costs time, whether its pattern may match or not.
const MAX_OTHER: usize = 64;
const SELDOM: f64 = 2e-3;

/// A piece of text that a match needs.
#[derive(Clone, Debug)]
pub(super) struct Needed {
    pub(super) bytes: Vec<u8>,
    /// At most this many bytes of the match stand before it.
    pub(super) before: usize,
}

/// Pieces of text, one of which is in every match.
type Literals = Vec<Needed>;

/// What every match needs.
#[derive(Clone, Debug)]
pub(super) struct Required {
    /// One of these, which say where to look.
    pub(super) one_of: Literals,
    /// And one of these, anywhere in it.
    pub(super) and: Option<Vec<Vec<u8>>>,
}

impl Required {
    fn of(one_of: Literals) -> Self {
        Self { one_of, and: None }
    }

    /// What one of them needs if each begins with its literals: of two literals that
    /// begin alike the shorter one.
    pub(super) fn any_of(all: impl Iterator<Item = Self>) -> Self {
        let mut one_of: Literals = all.flat_map(|required| required.one_of).collect();
        one_of.sort_unstable_by(|one, other| one.bytes.cmp(&other.bytes));
        one_of.dedup_by(|longer, shorter| longer.bytes.starts_with(&shorter.bytes));
        Self::of(one_of)
    }

    /// The literals, where it is worth it to look for them besides others.
    fn into_other(self) -> Option<Vec<Vec<u8>>> {
        let literals: Vec<_> = self.one_of.into_iter().map(|needed| needed.bytes).collect();
        (literals.len() <= MAX_OTHER && frequency(&literals) < SELDOM).then_some(literals)
    }

    /// What is needed where one of two things must be there.
    fn or(mut self, other: Self) -> Self {
        self.one_of.extend(other.one_of);
        self.and = match (self.and, other.and) {
            (Some(mut one), Some(other)) => {
                one.extend(other);
                Some(one)
            }
            (_, _) => None,
        };
        self
    }
}

/// Literals in lower case of ASCII, at least one of which is in every match, or
/// nothing where there is no such set that is worth looking for.
pub(super) fn literals(hir: &Hir) -> Option<Required> {
    let folded = rebuild(hir, &|node| match node.kind() {
        HirKind::Class(Class::Unicode(class)) => lower_class(class),
        HirKind::Literal(literal) => Some(Hir::literal(literal.0.to_ascii_lowercase())),
        _ => None,
    });
    required(&folded)
}

/// The class without capitals of ASCII. A large class without ASCII becomes what
/// its characters begin with; any other large class stays as it is, and no
/// literals come from it.
fn lower_class(class: &ClassUnicode) -> Option<Hir> {
    const LARGE: u32 = 64;
    let size = |range: &ClassUnicodeRange| u32::from(range.end()) - u32::from(range.start()) + 1;
    let size: u32 = class.iter().map(size).sum();
    let is_foreign = class.iter().all(|range| !range.start().is_ascii());
    if is_foreign && size > MAX_CLASS {
        return Some(beginnings(class));
    }
    if size > LARGE {
        return None;
    }
    let chars = class.iter().flat_map(|range| range.start()..=range.end());
    let lower = chars.map(|c| c.to_ascii_lowercase());
    let ranges = lower.map(|c| ClassUnicodeRange::new(c, c));
    Some(Hir::class(Class::Unicode(ClassUnicode::new(ranges))))
}

/// The bytes that characters of the class begin with, then any byte.
fn beginnings(class: &ClassUnicode) -> Hir {
    let any = Hir::class(Class::Bytes(ClassBytes::new([ClassBytesRange::new(
        0, 255,
    )])));
    let sequences = class
        .iter()
        .flat_map(|range| Utf8Sequences::new(range.start(), range.end()));
    let branches = sequences.map(|sequence| {
        let fixed = sequence.as_slice().iter().take_while(|r| r.start == r.end);
        let bytes: Vec<u8> = fixed.map(|range| range.start).collect();
        // As long as the character, so that places are counted right.
        let rest = sequence.len().saturating_sub(bytes.len()).max(1);
        let mut parts = vec![Hir::literal(bytes)];
        parts.extend(std::iter::repeat_n(any.clone(), rest));
        Hir::concat(parts)
    });
    Hir::alternation(branches.collect())
}

fn required(hir: &Hir) -> Option<Required> {
    let best = match hir.kind() {
        HirKind::Concat(subs) => required_of_row(subs),
        HirKind::Alternation(subs) => {
            let branches: Option<Vec<_>> = subs.iter().map(required).collect();
            branches.and_then(|branches| branches.into_iter().reduce(Required::or))
        }
        HirKind::Capture(capture) => required(&capture.sub),
        HirKind::Repetition(repetition) if repetition.min > 0 => required(&repetition.sub),
        _ => prefixes(hir).map(Required::of),
    };
    best.filter(|required| required.one_of.len() <= MAX_LITERALS)
}

/// The best literals of a row of parts: what some of them in a row begin with, or
/// what one of them needs by itself; and the rarest of the other parts.
fn required_of_row(subs: &[Hir]) -> Option<Required> {
    let alone: Vec<Option<Required>> = subs.iter().map(required).collect();
    let mut best: Option<Required> = None;
    let mut used = 0..0;
    let mut least = f64::MAX;
    let mut before = 0_usize;
    for (index, sub) in subs.iter().enumerate() {
        let (together, parts) = beginnings_of_row(&subs[index..]);
        let alone = alone[index].clone().map(|required| (required, 1));
        let together = together.map(|literals| (Required::of(literals), parts));
        for (mut candidate, parts) in together.into_iter().chain(alone) {
            for needed in &mut candidate.one_of {
                needed.before = needed.before.saturating_add(before);
            }
            let cost = cost(&candidate.one_of);
            if cost < least {
                (least, used) = (cost, index..index + parts);
                best = Some(candidate);
            }
        }
        before = before.saturating_add(reach(sub).unwrap_or(usize::MAX));
        if least < RARE {
            break;
        }
    }
    let mut best = best?;
    let others = [&alone[..used.start], &alone[used.end..]].concat();
    let others = others
        .into_iter()
        .flatten()
        .filter_map(Required::into_other);
    let all = others.chain(best.and.take());
    best.and = all.min_by(|one, other| frequency(one).total_cmp(&frequency(other)));
    Some(best)
}

/// What the first parts of a row begin with, and the number of those that surely
/// have a share in it.
fn beginnings_of_row(row: &[Hir]) -> (Option<Literals>, usize) {
    // More parts in a row than a literal's length uses would only cost time;
    // fewer help where four are more than can be listed.
    let first = |parts: usize| prefixes(&Hir::concat(row[..parts.min(row.len())].to_vec()));
    let is_something = |hir: &Hir| hir.properties().minimum_len().unwrap_or(0) > 0;
    let sure = row.iter().position(is_something).unwrap_or(0) + 1;
    (first(4).or_else(|| first(3)), sure)
}

fn prefixes(hir: &Hir) -> Option<Literals> {
    let mut seq: Seq = Extractor::new()
        .limit_class(MAX_CLASS as usize)
        .limit_repeat(4)
        .limit_literal_len(MAX_LITERAL_BYTES)
        .limit_total(MAX_LITERALS)
        .extract(hir);
    seq.sort();
    seq.dedup();
    let literals = seq.literals()?;
    let bytes: Vec<Vec<u8>> = literals
        .iter()
        .map(Literal::as_bytes)
        .map(Vec::from)
        .collect();
    let is_useful = !bytes.is_empty() && bytes.iter().all(|literal| !literal.is_empty());
    let needed = |bytes| Needed { bytes, before: 0 };
    is_useful.then(|| bytes.into_iter().map(needed).collect())
}

/// About what it costs to look for the literals in ordinary text. Where a match
/// begins with its literal it is known where to look, which is ten times as cheap.
fn cost(literals: &[Needed]) -> f64 {
    let sum: f64 = literals.iter().map(|needed| rate(&needed.bytes)).sum();
    let is_at_start = literals.iter().all(|needed| needed.before == 0);
    if is_at_start { sum / 10.0 } else { sum }
}

/// How often one of the literals begins at a place of ordinary text.
fn frequency(literals: &[Vec<u8>]) -> f64 {
    literals.iter().map(|literal| rate(literal)).sum()
}

fn rate(literal: &[u8]) -> f64 {
    let of_byte = |byte: &u8| match byte {
        b'e' | b'a' | b'i' | b'o' | b't' | b'n' | b's' | b'r' => 0.07,
        b'a'..=b'z' => 0.025,
        b' ' => 0.16,
        b'0'..=b'9' => 0.01,
        _ => 0.005,
    };
    // A literal too many costs room in the prefilter even where it never hits.
    const ROOM: f64 = 1e-9;
    literal.iter().map(of_byte).product::<f64>() + ROOM
}
