//! A text without the places that a policy does not let through.

use std::sync::Arc;

use crate::rules::Rules;
use crate::span::Span;
use crate::tally::Tally;
use crate::verdict::{Outcome, ScanRequest, Verdict};

/// What the rules find in a text, and the places of it that are to be redacted.
pub(crate) struct Redacted {
    pub(crate) rules: Verdict,
    /// With the rules that they are named by.
    pub(crate) places: Vec<(Span, Arc<str>)>,
}

impl Rules {
    /// The text with `[redacted:RULE]` in the place of every match whose action
    /// is redact, and nothing where there is none.
    ///
    /// The text is scanned again for it: a verdict knows the first match of a
    /// rule only. Matches that overlap are replaced together, and named by the
    /// rule of the one that begins first, of the longest of those, and then by
    /// the order of ids.
    pub fn redact(&self, text: &str, request: &ScanRequest) -> Option<String> {
        without(text, self.redacted(text, request).places)
    }

    /// The places of the text that [`Self::redact`] replaces.
    pub(crate) fn redacted(&self, text: &str, request: &ScanRequest) -> Redacted {
        let tallies = self.tallies(text, request.direction, &Tally::with_spans());
        let verdict = self.verdict(&tallies, request);
        let redacted = |rule: &str| {
            let mut found = verdict.detections.iter();
            found.any(|found| found.action == Outcome::Redact && *found.rule == *rule)
        };
        let found = tallies
            .iter()
            .map(|(number, tally)| (self.rule(number), tally));
        let found = found.filter(|(rule, _)| redacted(&rule.id));
        let places = found.flat_map(|(rule, tally)| {
            let spans = tally.spans.iter().flatten();
            spans.map(|span| (*span, Arc::clone(&rule.id)))
        });
        Redacted {
            places: places.collect(),
            rules: verdict,
        }
    }
}

/// The text without these places, where there are any.
pub(crate) fn without(text: &str, mut places: Vec<(Span, Arc<str>)>) -> Option<String> {
    if places.is_empty() {
        return None;
    }
    places.sort_by(|(a, first), (b, second)| {
        let key = |span: &Span| (span.start, std::cmp::Reverse(span.end));
        (key(a), first).cmp(&(key(b), second))
    });
    let mut out = String::with_capacity(text.len());
    let mut letters = text.chars();
    let (mut at, mut places) = (0, places.iter().peekable());
    while let Some((span, rule)) = places.next() {
        let mut end = span.end;
        while let Some((next, _)) = places.next_if(|(next, _)| next.start < end) {
            end = end.max(next.end);
        }
        out.extend(letters.by_ref().take(span.start - at));
        out.push_str("[redacted:");
        out.push_str(rule);
        out.push(']');
        if end > span.start {
            letters.nth(end - span.start - 1);
        }
        at = end;
    }
    out.extend(letters);
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Policy;

    fn place(start: usize, end: usize, rule: &str) -> (Span, Arc<str>) {
        (Span { start, end }, rule.into())
    }

    fn check(text: &str, places: &[(Span, Arc<str>)], expected: &str) {
        let found = without(text, places.to_vec());
        assert_eq!(found.as_deref(), Some(expected));
    }

    #[test]
    fn places_are_replaced_and_overlapping_ones_together() {
        let places = [place(1, 3, "a"), place(2, 5, "b"), place(5, 6, "c")];
        check("0äö34€7", &places, "0[redacted:a][redacted:c]7");
        check("01", &[place(0, 2, "a")], "[redacted:a]");
        check("01", &[place(1, 2, "a")], "0[redacted:a]");
        let within = [place(0, 4, "a"), place(1, 2, "b"), place(3, 5, "c")];
        check("0123456", &within, "[redacted:a]56");
        assert_eq!(without("01", Vec::new()), None);
    }

    fn request(rules: &str) -> ScanRequest {
        let text = format!(
            "[policy]\nid = 'p'\nbase = 'default'\n[[rules]]\nrules = {rules}\naction = 'redact'"
        );
        ScanRequest {
            policy: Policy::load("p.toml", &text).unwrap(),
            ..ScanRequest::default()
        }
    }

    #[test]
    fn every_match_of_a_redacted_rule_is_replaced_and_nothing_else() {
        let rules = Rules::builtin().unwrap();
        let text = "Für a@example.org, bitte, und b@example.org; iban DE89 3704 0044 0532 0130 00.";
        let redacted = rules.redact(text, &request("['pii.email*']")).unwrap();
        assert!(
            redacted.starts_with("Für [redacted:pii.email"),
            "{redacted}"
        );
        assert!(!redacted.contains("example.org"), "{redacted}");
        assert!(redacted.contains(", bitte, und [redacted:"), "{redacted}");
        assert!(
            redacted.ends_with("; iban DE89 3704 0044 0532 0130 00."),
            "{redacted}"
        );
        assert_eq!(rules.redact(text, &request("['secrets.*']")), None);
        assert_eq!(rules.redact("calm", &request("['pii.*']")), None);
    }

    #[test]
    fn a_suppressed_rule_redacts_nothing() {
        let rules = Rules::builtin().unwrap();
        let request = ScanRequest {
            suppress: vec!["pii.*".to_owned()],
            ..request("['pii.*']")
        };
        assert_eq!(rules.redact("mail a@example.org", &request), None);
    }
}
