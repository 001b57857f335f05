//! From the text of a pattern to what the engine runs: a syntax tree, and how long
//! its matches are.

use regex_syntax::ParserBuilder;
use regex_syntax::hir::{Capture, Class, ClassUnicodeRange, Hir, HirKind, Look};

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

/// True when a loop over many characters counts far: where a match may begin
/// anywhere, each place it may have begun at is a count of its own.
pub(super) fn counts(hir: &Hir) -> bool {
    const FAR: u32 = 8;
    const MANY: usize = 100;
    let many = |class: &Class| match class {
        Class::Unicode(class) => {
            let chars = |r: &ClassUnicodeRange| u32::from(r.end()) - u32::from(r.start()) + 1;
            class.iter().map(chars).sum::<u32>() as usize > MANY
        }
        Class::Bytes(_) => true,
    };
    match hir.kind() {
        HirKind::Repetition(repetition) => {
            let is_wide = matches!(repetition.sub.kind(), HirKind::Class(class) if many(class));
            let counted = repetition.max.unwrap_or(repetition.min);
            (is_wide && counted > FAR) || counts(&repetition.sub)
        }
        HirKind::Capture(capture) => counts(&capture.sub),
        HirKind::Concat(subs) | HirKind::Alternation(subs) => subs.iter().any(counts),
        HirKind::Empty | HirKind::Literal(_) | HirKind::Class(_) | HirKind::Look(_) => false,
    }
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
pub(super) fn rebuild(hir: &Hir, change: &dyn Fn(&Hir) -> Option<Hir>) -> Hir {
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
