//! From packs to rules: everything is checked, or nothing is loaded.

use std::collections::{HashMap, HashSet};

use sha2::{Digest, Sha256};
use toml::Spanned;

use crate::facts::{Facts, Pattern, PatternError};
use crate::pack::{self, PackError, RawExamples, RawPack, RawRule, RuleProblem};
use crate::rule::{Near, Rule};
use crate::rules::{Bound, MAX_MATCH_BYTES, Parts, Rules};

/// Where a rule was read: what errors need to name it.
#[derive(Clone, Debug)]
struct Origin<'a> {
    pack: &'a str,
    text: &'a str,
    id: Spanned<String>,
}

impl Origin<'_> {
    fn refuse(&self, problem: RuleProblem) -> PackError {
        let (line, column) = pack::place(self.text, self.id.span().start);
        PackError::Rule {
            pack: self.pack.to_owned(),
            line,
            column,
            rule: self.id.get_ref().clone(),
            problem,
        }
    }
}

/// What has been read so far.
#[derive(Default)]
struct Draft<'a> {
    ids: HashSet<String>,
    parts: Parts,
    examples: Vec<RawExamples>,
    origins: Vec<Origin<'a>>,
    patterns: Vec<Pattern>,
    /// For each pattern who brought it, and its number there.
    owners: Vec<(Origin<'a>, usize)>,
}

impl Rules {
    /// Reads packs, given as names and TOML texts, compiles all their patterns
    /// together and tries every example.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong, with its place. Nothing is loaded then.
    pub fn load(packs: &[(&str, &str)]) -> Result<Self, PackError> {
        let mut draft = Draft::default();
        for (name, text) in packs {
            draft.take(name, text)?;
        }
        let facts = Facts::draft(&draft.patterns)
            .map_err(|(pattern, error)| draft.refuse_pattern(pattern, error))?;
        let mut rules = Self::assemble(std::mem::take(&mut draft.parts), facts, digest(packs));
        // One rule at a time: all automata together would take tens of megabytes.
        let mut tried = vec![false; draft.patterns.len()];
        for (index, (examples, origin)) in draft.examples.iter().zip(&draft.origins).enumerate() {
            for pattern in rules.patterns_of(index) {
                try_pattern(&rules, pattern)
                    .map_err(|error| draft.refuse_pattern(pattern, error))?;
                tried[pattern] = true;
            }
            try_examples(&rules, index, examples).map_err(|problem| origin.refuse(problem))?;
            rules.forget_automata();
        }
        for pattern in (0..tried.len()).filter(|pattern| !tried[*pattern]) {
            try_pattern(&rules, pattern).map_err(|error| draft.refuse_pattern(pattern, error))?;
            rules.forget_automata();
        }
        Ok(rules)
    }
}

impl<'a> Draft<'a> {
    fn take(&mut self, name: &'a str, text: &'a str) -> Result<(), PackError> {
        let raw: RawPack = pack::parse(name, text)?;
        let mut shared = HashMap::new();
        for pattern in raw.patterns {
            let origin = Origin {
                pack: name,
                text,
                id: pattern.name,
            };
            let index = self.patterns.len();
            if shared.insert(origin.id.get_ref().clone(), index).is_some() {
                return Err(origin.refuse(RuleProblem::Duplicate));
            }
            let name = format!("{}/{}", raw.pack.id, origin.id.get_ref());
            self.add(Pattern::new(name, pattern.expression), (origin, 0));
        }
        for rule in raw.rules {
            let origin = Origin {
                pack: name,
                text,
                id: rule.id.clone(),
            };
            self.take_rule(rule, &shared, origin.clone())
                .map_err(|problem| origin.refuse(problem))?;
        }
        self.parts.packs.push(raw.pack);
        Ok(())
    }

    fn take_rule(
        &mut self,
        raw: RawRule,
        shared: &HashMap<String, usize>,
        origin: Origin<'a>,
    ) -> Result<(), RuleProblem> {
        if let Some(problem) = raw.problem() {
            return Err(problem);
        }
        let id = raw.id.into_inner();
        if !self.ids.insert(id.clone()) {
            return Err(RuleProblem::Duplicate);
        }
        let near = raw.near.map(|near| Near {
            requires: near.requires,
            within: near.within,
        });
        let required = near.iter().flat_map(|near| &near.requires).map(|name| {
            let index = shared.get(name).copied();
            index.ok_or_else(|| RuleProblem::Unknown(name.clone()))
        });
        let required = required.collect::<Result<Vec<usize>, _>>()?;
        let first = self.patterns.len();
        self.parts.bounds.push(Bound { first, required });
        for (number, expression) in raw.patterns.iter().enumerate() {
            let pattern = Pattern {
                check: raw.validate,
                ..Pattern::new(format!("{id}[{number}]"), expression)
            };
            self.add(pattern, (origin.clone(), number));
        }
        self.parts.rules.push(Rule {
            id: id.into(),
            family: raw.family.into(),
            severity: raw.severity,
            confidence: raw.confidence,
            message: raw.message.into(),
            remediation: raw.remediation.into(),
            directions: raw.directions,
            patterns: raw.patterns,
            validate: raw.validate,
            near,
            references: raw.references,
        });
        self.examples.push(raw.examples);
        self.origins.push(origin);
        Ok(())
    }

    fn add(&mut self, pattern: Pattern, owner: (Origin<'a>, usize)) {
        self.patterns.push(pattern);
        self.owners.push(owner);
    }

    fn refuse_pattern(&self, pattern: usize, error: PatternError) -> PackError {
        let (origin, index) = &self.owners[pattern];
        origin.refuse(RuleProblem::Pattern {
            index: *index,
            error,
        })
    }
}

fn try_pattern(rules: &Rules, pattern: usize) -> Result<(), PatternError> {
    rules.facts().build(pattern)?;
    if rules.facts().reach(pattern) > MAX_MATCH_BYTES {
        let limit = MAX_MATCH_BYTES;
        return Err(PatternError::TooLong { limit });
    }
    Ok(())
}

fn try_examples(rules: &Rules, rule: usize, examples: &RawExamples) -> Result<(), RuleProblem> {
    let missed = |example: &String| !rules.rule_matches(rule, example);
    if let Some(index) = examples.must.iter().position(missed) {
        return Err(RuleProblem::Missed(index));
    }
    let matched = |example: &String| rules.rule_matches(rule, example);
    match examples.must_not.iter().position(matched) {
        Some(index) => Err(RuleProblem::Matched(index)),
        None => Ok(()),
    }
}

/// The first 16 digits are enough to tell versions apart.
fn digest(packs: &[(&str, &str)]) -> String {
    let mut hasher = Sha256::new();
    for (name, text) in packs {
        for part in [name, text] {
            hasher.update((part.len() as u64).to_le_bytes());
            hasher.update(part.as_bytes());
        }
    }
    let mut hex = crate::digest::hex(&hasher.finalize());
    hex.truncate(16);
    hex
}
