//! From the text of a pattern to what the engine runs: a syntax tree with its
//! loops bounded, and the literals without which it cannot match.

use regex_syntax::ParserBuilder;
use regex_syntax::hir::literal::{Extractor, Literal, Seq};
use regex_syntax::hir::{
    Capture, Class, ClassBytes, ClassBytesRange, ClassUnicode, ClassUnicodeRange, Hir, HirKind,
    Look,
};
use regex_syntax::utf8::Utf8Sequences;

use super::PatternError;

/// How often a loop without a limit counts beyond its minimum: over white space
/// and punctuation, over other characters, over anything longer. With it every
/// pattern has a longest match, so it is run near its literals only and streams
/// need a short tail. The automaton has a true loop, because a counted one makes
/// states by the thousand.
const SPACES: u32 = 8;
const LETTERS: u32 = 40;
const PARTS: u32 = 6;

/// The same within another loop: of many words in a row few are long, and where
/// words go on forever each one more costs at every place a match may begin.
const SPACES_IN_LOOP: u32 = 2;
const LETTERS_IN_LOOP: u32 = 12;

/// A class with more members than this gives no literals.
const MAX_CLASS: u32 = 12;

/// More literals than this, and the prefilter would cost more than it saves.
const MAX_LITERALS: usize = 400;

/// Literals that begin at fewer places of a text than this are not improved.
const RARE: f64 = 2e-6;

/// Longer literals do not make a hit rarer, only the prefilter bigger.
const MAX_LITERAL_BYTES: usize = 8;

/// A piece of text that a match needs.
#[derive(Clone, Debug)]
pub(super) struct Needed {
    pub(super) bytes: Vec<u8>,
    /// At most this many bytes of the match stand before it.
    pub(super) before: usize,
}

/// Pieces of text, one of which is in every match.
pub(super) type Literals = Vec<Needed>;

/// Reads an expression: without case, `^` and `$` at lines, `\b` of ASCII, because
/// word boundaries of Unicode have no fast automaton.
pub(super) fn parse(expression: &str) -> Result<Hir, PatternError> {
    let mut parser = ParserBuilder::new()
        .case_insensitive(true)
        .multi_line(true)
        .nest_limit(50)
        .build();
    let hir = parser
        .parse(expression)
        .map_err(|error| PatternError::Syntax(reason(&error)))?;
    let anchors = hir.properties().look_set();
    if anchors.contains(Look::Start) || anchors.contains(Look::End) {
        return Err(PatternError::Anchored);
    }
    if hir.properties().minimum_len().unwrap_or(0) == 0 {
        return Err(PatternError::Empty);
    }
    Ok(rebuild(&hir, &|node| match node.kind() {
        HirKind::Look(look) => Some(Hir::look(of_ascii(*look))),
        _ => None,
    }))
}

/// Bytes of the longest match, endless loops bounded.
pub(super) fn reach(hir: &Hir) -> Option<usize> {
    bound(hir, Depth::Outer).properties().maximum_len()
}

/// True when every match begins at a boundary of a word.
pub(super) fn is_at_border(hir: &Hir) -> bool {
    let first = hir.properties().look_set_prefix();
    first.contains(Look::WordAscii) || first.contains(Look::WordStartAscii)
}

/// Whether a loop stands within another one.
#[derive(Clone, Copy)]
enum Depth {
    Outer,
    Inner,
}

impl Depth {
    fn of(self, outer: u32, inner: u32) -> u32 {
        match self {
            Self::Outer => outer,
            Self::Inner => inner,
        }
    }
}

/// The same tree with its loops bounded. It is measured and never compiled.
fn bound(hir: &Hir, depth: Depth) -> Hir {
    rebuild(hir, &|node| match node.kind() {
        HirKind::Repetition(repetition) if repetition.max.is_none() => {
            let mut bounded = repetition.with(bound(&repetition.sub, Depth::Inner));
            bounded.max = Some(repetition.min + beyond(&repetition.sub, depth));
            Some(Hir::repetition(bounded))
        }
        _ => None,
    })
}

fn beyond(sub: &Hir, depth: Depth) -> u32 {
    match sub.kind() {
        _ if is_space(sub) => depth.of(SPACES, SPACES_IN_LOOP),
        HirKind::Class(_) => depth.of(LETTERS, LETTERS_IN_LOOP),
        _ => PARTS,
    }
}

/// The last line of the parser's report; the lines above it draw the pattern.
fn reason(error: &regex_syntax::Error) -> String {
    let report = error.to_string();
    let last = report.lines().last().unwrap_or_default();
    last.strip_prefix("error: ").unwrap_or(last).to_owned()
}

fn is_space(hir: &Hir) -> bool {
    let HirKind::Class(Class::Unicode(class)) = hir.kind() else {
        return *hir.kind() == HirKind::Literal(regex_syntax::hir::Literal(Box::from(*b" ")));
    };
    let chars = |range: &ClassUnicodeRange| range.start()..=range.end();
    let is_space = |c: char| c.is_whitespace() || c.is_ascii_punctuation();
    class.iter().flat_map(chars).all(is_space)
}

fn of_ascii(look: Look) -> Look {
    match look {
        Look::WordUnicode => Look::WordAscii,
        Look::WordUnicodeNegate => Look::WordAsciiNegate,
        Look::WordStartUnicode => Look::WordStartAscii,
        Look::WordEndUnicode => Look::WordEndAscii,
        Look::WordStartHalfUnicode => Look::WordStartHalfAscii,
        Look::WordEndHalfUnicode => Look::WordEndHalfAscii,
        other => other,
    }
}

/// Copies a tree; where `change` has an answer, that takes the node's place.
fn rebuild(hir: &Hir, change: &dyn Fn(&Hir) -> Option<Hir>) -> Hir {
    if let Some(changed) = change(hir) {
        return changed;
    }
    let all = |subs: &[Hir]| subs.iter().map(|sub| rebuild(sub, change)).collect();
    match hir.kind() {
        HirKind::Repetition(repetition) => {
            Hir::repetition(repetition.with(rebuild(&repetition.sub, change)))
        }
        HirKind::Capture(capture) => Hir::capture(Capture {
            sub: Box::new(rebuild(&capture.sub, change)),
            ..capture.clone()
        }),
        HirKind::Concat(subs) => Hir::concat(all(subs)),
        HirKind::Alternation(subs) => Hir::alternation(all(subs)),
        HirKind::Empty | HirKind::Literal(_) | HirKind::Class(_) | HirKind::Look(_) => hir.clone(),
    }
}

/// Literals in lower case of ASCII, at least one of which is in every match, or
/// nothing where there is no such set that is worth looking for.
pub(super) fn literals(hir: &Hir) -> Option<Literals> {
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

fn required(hir: &Hir) -> Option<Literals> {
    let best = match hir.kind() {
        HirKind::Concat(subs) => required_of_row(subs),
        HirKind::Alternation(subs) => {
            let branches: Option<Vec<_>> = subs.iter().map(required).collect();
            branches.map(|branches| branches.concat())
        }
        HirKind::Capture(capture) => required(&capture.sub),
        HirKind::Repetition(repetition) if repetition.min > 0 => required(&repetition.sub),
        _ => prefixes(hir),
    };
    best.filter(|literals| literals.len() <= MAX_LITERALS)
}

/// The best literals of a row of parts: what some of them in a row begin with, or
/// what one of them needs by itself.
fn required_of_row(subs: &[Hir]) -> Option<Literals> {
    let mut best: Option<Literals> = None;
    let mut least = f64::MAX;
    let mut before = 0_usize;
    for (index, sub) in subs.iter().enumerate() {
        // More parts in a row than a literal's length uses would only cost time;
        // fewer help where four are more than can be listed.
        let row = |parts: usize| &subs[index..subs.len().min(index + parts)];
        let first = |parts: usize| prefixes(&Hir::concat(row(parts).to_vec()));
        for candidate in [first(4).or_else(|| first(3)), required(sub)] {
            let Some(mut candidate) = candidate else {
                continue;
            };
            for needed in &mut candidate {
                needed.before = needed.before.saturating_add(before);
            }
            if cost(&candidate) < least {
                least = cost(&candidate);
                best = Some(candidate);
            }
        }
        before = before.saturating_add(reach(sub).unwrap_or(usize::MAX));
        if least < RARE {
            break;
        }
    }
    best
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

/// About what it costs to look for the literals in ordinary text: how often one of
/// them begins at a place. Where a match begins with its literal it is known where
/// to look, which is ten times as cheap.
fn cost(literals: &[Needed]) -> f64 {
    let frequency = |byte: &u8| match byte {
        b'e' | b'a' | b'i' | b'o' | b't' | b'n' | b's' | b'r' => 0.07,
        b'a'..=b'z' => 0.025,
        b' ' => 0.16,
        b'0'..=b'9' => 0.01,
        _ => 0.005,
    };
    // A literal too many costs room in the prefilter even where it never hits.
    const ROOM: f64 = 1e-9;
    let one = |needed: &Needed| needed.bytes.iter().map(frequency).product::<f64>() + ROOM;
    let sum: f64 = literals.iter().map(one).sum();
    let is_at_start = literals.iter().all(|needed| needed.before == 0);
    if is_at_start { sum / 10.0 } else { sum }
}
