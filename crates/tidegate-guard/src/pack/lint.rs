//! What is allowed in a pack and still worth a second look.

use std::collections::HashMap;

use crate::rules::Rules;
use crate::word::words;

/// A match longer than this keeps long neighborhoods of each literal busy.
const LONG_MATCH_BYTES: usize = 3_072;

/// A group that counts further than this makes large automata.
const MOST_COUNTED: u32 = 48;

words! {
    /// What a remark is about.
    pub enum RemarkKind {
        /// A pattern without a literal runs over every text.
        Unfiltered = "unfiltered",
        /// A pattern is slow on texts that are made for it.
        Slow = "slow",
        /// A rule names no catalogue of threats.
        Reference = "reference",
        /// Something is there twice.
        Twice = "twice",
    }
}

/// Something to look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remark {
    /// What it is about.
    pub kind: RemarkKind,
    /// The id of a rule or a pack, or the name of a pattern.
    pub about: String,
    /// In words.
    pub text: String,
}

impl Rules {
    /// What is worth a second look, in the order of the rules.
    pub fn lint(&self) -> Vec<Remark> {
        let mut remarks = Vec::new();
        let mut remark = |kind, about: &str, text: String| {
            let about = about.to_owned();
            remarks.push(Remark { kind, about, text });
        };
        for name in self.unfiltered() {
            let text = "has no literal of its own, so it runs over every text".to_owned();
            remark(RemarkKind::Unfiltered, name, text);
        }
        let mut packs: HashMap<&str, usize> = HashMap::new();
        for pack in self.packs() {
            let before = packs.entry(&pack.id).or_default();
            *before += 1;
            if *before == 2 {
                remark(
                    RemarkKind::Twice,
                    &pack.id,
                    "is the id of two packs".to_owned(),
                );
            }
        }
        let mut written: HashMap<&str, &str> = HashMap::new();
        for (number, rule) in self.iter().enumerate() {
            if rule.references.is_empty() {
                let text = "names no reference, such as OWASP LLM01:2025".to_owned();
                remark(RemarkKind::Reference, &rule.id, text);
            }
            for (place, pattern) in rule.patterns.iter().enumerate() {
                let name = format!("{}[{place}]", rule.id);
                let reach = self.facts().reach(self.first_pattern(number) + place);
                if reach > LONG_MATCH_BYTES {
                    let text = format!("may match {reach} bytes; shorten its loops");
                    remark(RemarkKind::Slow, &name, text);
                }
                if let Some(count) = counted_group(pattern) {
                    let text = format!(
                        "counts a group up to {count} times; write (?:…)*? where the count does not matter"
                    );
                    remark(RemarkKind::Slow, &name, text);
                }
                match written.insert(pattern, &rule.id) {
                    // The same numbers of different states are told apart by their checks.
                    Some(other) if rule.validate == crate::Check::None => {
                        remark(
                            RemarkKind::Twice,
                            &name,
                            format!("is a pattern of {other} as well"),
                        );
                    }
                    Some(_) | None => {}
                }
            }
        }
        remarks
    }
}

/// The largest count behind a group, where that is more than should be.
fn counted_group(pattern: &str) -> Option<u32> {
    let counts = pattern.split("){").skip(1).filter_map(|behind| {
        let (count, _) = behind.split_once('}')?;
        count.rsplit(',').next()?.parse().ok()
    });
    counts.max().filter(|count| *count > MOST_COUNTED)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lint(pattern: &str, references: &str) -> Vec<String> {
        let pack = format!(
            "[pack]\nid = 'probe'\nversion = '1'\nname = 'Probe'\n[[rules]]\nid = 'probe.gate'\n\
             family = 'probe'\nseverity = 'low'\nconfidence = 0.5\nmessage = 'm'\nremediation = 'r'\n\
             patterns = ['{pattern}']\nreferences = [{references}]\nexamples.must = ['gate gate']\n\
             examples.must_not = ['-']\n"
        );
        let rules = Rules::load(&[("probe.toml", &pack)]).unwrap();
        let shown = |remark: Remark| format!("{} {}", remark.kind, remark.about);
        rules.lint().into_iter().map(shown).collect()
    }

    #[test]
    fn a_rule_without_a_flaw_gives_no_remark() {
        assert!(lint("gate", "'OWASP LLM01:2025'").is_empty());
    }

    #[test]
    fn each_flaw_gives_its_remark() {
        assert_eq!(lint("[a-z]{4}", "'a'"), ["unfiltered probe.gate[0]"]);
        assert_eq!(lint("gate", ""), ["reference probe.gate"]);
        assert_eq!(lint("gate(?: gate){0,60}", "'a'"), ["slow probe.gate[0]"]);
        assert_eq!(lint("gate[0-9]{0,3500}", "'a'"), ["slow probe.gate[0]"]);
        assert_eq!(lint("gate', 'gate", "'a'"), ["twice probe.gate[1]"]);
    }

    #[test]
    fn the_built_in_rules_give_no_remark() {
        let remarks = Rules::builtin().unwrap().lint();
        assert!(remarks.is_empty(), "{remarks:#?}");
    }
}
