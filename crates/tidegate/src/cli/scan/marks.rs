//! What findings are known by when the text around them changes.

use std::collections::BTreeMap;

use tidegate_guard::{Detection, Layer, Span, Verdict};

/// Letters of a digest: 128 bits, so that nobody finds another line for it.
pub(super) const DIGEST_LETTERS: usize = 32;

/// One line in which a rule matches, or the lines that a match goes over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mark {
    /// Of the lines, never the lines themselves.
    pub(super) digest: String,
    pub(super) times: u64,
    /// Where to look.
    pub(super) span: Span,
}

/// The marks of each detection of `verdict`, by place.
///
/// A verdict knows the first match of a rule only. Where there are more, each
/// line is scanned by itself for the others; of those that no line shows by
/// itself only the number is known.
pub(super) fn marks(
    (path, text): (&str, &str),
    verdict: &Verdict,
    scan: impl Fn(&str) -> Verdict,
) -> Vec<Vec<Mark>> {
    let lines = Lines::of(text);
    let repeated = |found: &Detection| found.counts() && found.matches > 1;
    let mut others: BTreeMap<&str, Vec<Other>> = BTreeMap::new();
    let rules = verdict.detections.iter().filter(|found| repeated(found));
    others.extend(rules.map(|found| (&*found.rule, Vec::new())));
    if !others.is_empty() {
        lines.look(&mut others, scan);
    }
    let marks = verdict.detections.iter().map(|found| {
        let others = others.get(&*found.rule).map_or(&[][..], Vec::as_slice);
        match (found.layer, verdict.l2.reasons.first()) {
            (Layer::L2, Some(reason)) => lines.marks(path, &at(found, reason.span), others),
            (Layer::L1 | Layer::L2, _) => lines.marks(path, found, others),
        }
    });
    marks.collect()
}

/// A window begins anywhere, and moves when something is written before it. What the
/// classifier finds is known by what weighed most in it.
fn at(found: &Detection, span: Span) -> Detection {
    Detection {
        span,
        ..found.clone()
    }
}

/// Matches of a rule in one line.
struct Other {
    line: usize,
    span: Span,
    matches: usize,
}

/// The lines of a text, with the code point at which each begins.
struct Lines<'a>(Vec<(usize, &'a str)>);

impl<'a> Lines<'a> {
    fn of(text: &'a str) -> Self {
        let mut begin = 0;
        let lines = text.split('\n').map(|line| {
            let at = begin;
            begin += line.chars().count() + 1;
            (at, line)
        });
        Self(lines.collect())
    }

    /// Fills in where each of the rules matches by itself.
    fn look(&self, others: &mut BTreeMap<&str, Vec<Other>>, scan: impl Fn(&str) -> Verdict) {
        for (line, (begin, text)) in self.0.iter().enumerate() {
            if text.trim().is_empty() {
                continue;
            }
            for found in scan(text).detections {
                if let Some(others) = others.get_mut(&*found.rule) {
                    let span = Span {
                        start: begin + found.span.start,
                        end: begin + found.span.end,
                    };
                    let matches = found.matches;
                    others.push(Other {
                        line,
                        span,
                        matches,
                    });
                }
            }
        }
    }

    fn marks(&self, path: &str, found: &Detection, others: &[Other]) -> Vec<Mark> {
        let first = self.number(found.span.start);
        let last = self.number(found.span.end.max(found.span.start + 1) - 1);
        let mark = |lines: &[(usize, &str)], span| Mark {
            digest: digest([&found.rule, path], lines.iter().map(|(_, line)| *line)),
            times: 1,
            span,
        };
        let mut marks = vec![mark(&self.0[first..=last], found.span)];
        let mut known = 1;
        for other in others {
            if (first..=last).contains(&other.line) {
                known = known.max(other.matches);
            } else {
                marks.push(mark(&self.0[other.line..=other.line], other.span));
            }
        }
        let elsewhere = others
            .iter()
            .filter(|one| !(first..=last).contains(&one.line));
        known += elsewhere.map(|one| one.matches).sum::<usize>();
        if found.matches > known {
            let times = u64::try_from(found.matches - known).unwrap_or(u64::MAX);
            marks.push(Mark {
                times,
                ..mark(&[], found.span)
            });
        }
        marks
    }

    /// The line of a code point.
    fn number(&self, at: usize) -> usize {
        self.0.partition_point(|(begin, _)| *begin <= at) - 1
    }
}

/// Of a rule, a path and lines; how lines are indented and broken is no matter.
/// Rule and path are in it so that one line has another digest in each file.
fn digest<'a>(of: [&str; 2], lines: impl Iterator<Item = &'a str>) -> String {
    let mut hasher = blake3::Hasher::new_derive_key("tidegate scan baseline 1");
    for part in of {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part.as_bytes());
    }
    for word in lines.flat_map(str::split_whitespace) {
        hasher.update(b" ");
        hasher.update(word.as_bytes());
    }
    let mut digest = hasher.finalize().to_hex().to_string();
    digest.truncate(DIGEST_LETTERS);
    digest
}

#[cfg(test)]
mod tests {
    use tidegate_guard::{Rules, ScanRequest};

    use super::*;

    fn found(text: &str) -> Vec<Mark> {
        let rules = Rules::builtin().unwrap();
        let scan = |text: &str| rules.scan(text, &ScanRequest::default());
        let verdict = scan(text);
        let card = |found: &Detection| &*found.rule == "pii.payment_card";
        let index = verdict.detections.iter().position(card).unwrap();
        marks(("a.txt", text), &verdict, scan).swap_remove(index)
    }

    fn digests(text: &str) -> Vec<String> {
        found(text).into_iter().map(|mark| mark.digest).collect()
    }

    const CARD: &str = "card 4111 1111 1111 1111";
    const OTHER: &str = "card 5555 5555 5555 4444";

    #[test]
    fn a_line_is_known_wherever_it_stands_and_however_it_is_indented() {
        let alone = digests(CARD);
        assert_eq!(alone.len(), 1);
        assert_eq!(alone[0].len(), DIGEST_LETTERS);
        assert_eq!(digests(&format!("é\n\n\t {CARD}  \r\nmore")), alone);
        assert_ne!(digests(&format!("{CARD}.")), alone);
        assert_ne!(digests(OTHER), alone);
    }

    #[test]
    fn every_line_in_which_a_rule_matches_has_a_mark_with_its_place() {
        let both = found(&format!("ä {OTHER}\nnothing\nx\n{CARD}\n"));
        assert_eq!(both.len(), 2, "{both:?}");
        assert_eq!(both[1].digest, digests(CARD)[0]);
        assert_eq!(both[1].span.start, 42);
        assert!(both.iter().all(|mark| mark.times == 1));
    }

    #[test]
    fn the_same_line_has_another_digest_under_another_rule_or_path() {
        let of = |rule, path| digest([rule, path], ["x"].into_iter());
        assert_ne!(of("a", "b"), of("a", "c"));
        assert_ne!(of("a", "b"), of("c", "b"));
        assert_ne!(of("ab", "c"), of("a", "bc"));
    }
}
