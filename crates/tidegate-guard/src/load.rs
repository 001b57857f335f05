//! From packs to rules: everything is checked, or nothing is loaded.

use std::collections::HashMap;

use sha2::{Digest, Sha256};

use crate::facts::{Facts, Pattern, PatternError};
use crate::pack::layers::{self, Place};
use crate::pack::{
    self, Examples, Layer, MAX_EXPRESSION_BYTES, MAX_RULES, Pack, PackError, PackFolder, RawPack,
    RawRule, RuleProblem, Source,
};
use crate::rule::{Near, Origin, Rule};
use crate::rules::{BUILTIN, Bound, MAX_MATCH_BYTES, Parts, Rules};

/// What has been read so far.
#[derive(Default)]
struct Draft<'a> {
    parts: Parts,
    places: Vec<Place<'a>>,
    patterns: Vec<Pattern>,
    /// For each pattern who brought it, and its number there.
    owners: Vec<(Place<'a>, usize)>,
    errors: Vec<PackError>,
}

impl Rules {
    /// The same as [`Self::layered`] for packs of the last layer, given as names
    /// and TOML texts.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn load(packs: &[(&str, &str)]) -> Result<Self, PackError> {
        let source = |(name, text)| Source {
            layer: Layer::Custom,
            name,
            text,
        };
        let sources: Vec<Source<'_>> = packs.iter().copied().map(source).collect();
        Self::layered(&sources)
    }

    /// Reads packs, compiles all their patterns together, and tries every pattern
    /// and every example of the layers after the first: the packs that are part
    /// of the program are tried by its tests.
    ///
    /// # Errors
    ///
    /// Everything that is wrong, with its place: first in the packs as they are
    /// written, and when that is right, in what their patterns find. Nothing is
    /// loaded then.
    pub fn layered(sources: &[Source<'_>]) -> Result<Self, PackError> {
        let mut sources = sources.to_vec();
        sources.sort_by_key(|source| source.layer);
        let mut draft = Draft::default();
        draft.take_all(&sources);
        PackError::all(std::mem::take(&mut draft.errors))?;
        let facts = Facts::draft(&draft.patterns)
            .map_err(|(pattern, error)| draft.refuse_pattern(pattern, error))?;
        let parts = std::mem::take(&mut draft.parts);
        let mut rules = Self::assemble(parts, facts, digest(&sources));
        draft.try_patterns(&mut rules)?;
        draft.try_examples(&mut rules)?;
        Ok(rules)
    }

    /// The rules that are part of the program, and those of `folders`.
    ///
    /// # Errors
    ///
    /// As for [`Self::layered`], and when a folder or a file cannot be read.
    pub fn with_folders(folders: &[PackFolder]) -> Result<Self, PackError> {
        let mut files = Vec::new();
        for folder in folders {
            files.extend(folder.read()?);
        }
        let core = BUILTIN.iter().map(|(name, text)| Source {
            layer: Layer::Core,
            name,
            text,
        });
        let sources: Vec<Source<'_>> = core.chain(files.iter().map(|file| file.source())).collect();
        Self::layered(&sources)
    }
}

impl<'a> Draft<'a> {
    fn take_all(&mut self, sources: &[Source<'a>]) {
        let mut packs = Vec::new();
        for source in sources {
            match pack::parse(source.name, source.text) {
                Ok(raw) => packs.push((*source, raw)),
                Err(error) => self.errors.push(error),
            }
        }
        let dropped = layers::resolve(&packs, &mut self.errors);
        for (number, (source, raw)) in packs.into_iter().enumerate() {
            self.take(source, raw, |rule| !dropped.contains(&(number, rule)));
        }
        if self.parts.rules.len() > MAX_RULES {
            self.errors.push(PackError::Pack {
                pack: sources.last().map_or("", |source| source.name).to_owned(),
                reason: format!(
                    "with it there are {} rules; {MAX_RULES} are possible",
                    self.parts.rules.len()
                ),
            });
        }
    }

    fn take(&mut self, source: Source<'a>, raw: RawPack, holds: impl Fn(usize) -> bool) {
        let mut shared = HashMap::new();
        for pattern in raw.patterns {
            let place = Place {
                source,
                id: pattern.name,
            };
            let (index, bytes) = (self.patterns.len(), pattern.expression.len());
            if bytes > MAX_EXPRESSION_BYTES {
                let limit = MAX_EXPRESSION_BYTES;
                let long = RuleProblem::Long {
                    index: 0,
                    bytes,
                    limit,
                };
                self.errors.push(place.refuse(long));
                continue;
            }
            if shared.insert(place.id.get_ref().clone(), index).is_some() {
                self.errors.push(place.refuse(RuleProblem::Duplicate));
            }
            let name = format!("{}/{}", raw.pack.id, place.id.get_ref());
            self.add(Pattern::new(name, pattern.expression), (place, 0));
        }
        let pack = Pack {
            layer: source.layer,
            id: raw.pack.id,
            version: raw.pack.version,
            name: raw.pack.name,
        };
        for (_, rule) in (0..).zip(raw.rules).filter(|(number, _)| holds(*number)) {
            let place = Place {
                source,
                id: rule.id.clone(),
            };
            if let Err(problem) = self.take_rule(rule, &shared, &pack, place.clone()) {
                self.errors.push(place.refuse(problem));
            }
        }
        self.parts.packs.push(pack);
    }

    fn take_rule(
        &mut self,
        raw: RawRule,
        shared: &HashMap<String, usize>,
        pack: &Pack,
        place: Place<'a>,
    ) -> Result<(), RuleProblem> {
        if let Some(problem) = raw.problem() {
            return Err(problem);
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
        let id = raw.id.into_inner();
        for (number, expression) in raw.patterns.iter().enumerate() {
            let pattern = Pattern {
                check: raw.validate,
                ..Pattern::new(format!("{id}[{number}]"), expression)
            };
            self.add(pattern, (place.clone(), number));
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
            origin: Origin {
                layer: pack.layer,
                pack: pack.id.as_str().into(),
                examples: raw.examples,
            },
        });
        self.places.push(place);
        Ok(())
    }

    fn add(&mut self, pattern: Pattern, owner: (Place<'a>, usize)) {
        self.patterns.push(pattern);
        self.owners.push(owner);
    }

    fn refuse_pattern(&self, pattern: usize, error: PatternError) -> PackError {
        let (place, index) = &self.owners[pattern];
        let index = *index;
        place.refuse(RuleProblem::Pattern { index, error })
    }

    /// Builds one automaton after the other: all together would take tens of
    /// megabytes.
    fn try_patterns(&self, rules: &mut Rules) -> Result<(), PackError> {
        let mut errors = Vec::new();
        for (pattern, (place, _)) in self.owners.iter().enumerate() {
            if place.source.layer > Layer::Core {
                if let Err(error) = try_pattern(rules, pattern) {
                    errors.push(self.refuse_pattern(pattern, error));
                }
                rules.forget_automata();
            }
        }
        PackError::all(errors)
    }

    fn try_examples(&self, rules: &mut Rules) -> Result<(), PackError> {
        let mut errors = Vec::new();
        for (rule, place) in self.places.iter().enumerate() {
            if place.source.layer > Layer::Core {
                if let Err(problem) = try_examples(rules, rule) {
                    errors.push(place.refuse(problem));
                }
                rules.forget_automata();
            }
        }
        PackError::all(errors)
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

fn try_examples(rules: &Rules, rule: usize) -> Result<(), RuleProblem> {
    let Examples { must, must_not } = rules.examples_of(rule);
    if let Some(index) = must.iter().position(|text| !rules.rule_matches(rule, text)) {
        return Err(RuleProblem::Missed(index));
    }
    match must_not
        .iter()
        .position(|text| rules.rule_matches(rule, text))
    {
        Some(index) => Err(RuleProblem::Matched(index)),
        None => Ok(()),
    }
}

/// The first 16 digits are enough to tell versions apart. Where a pack lies does
/// not matter, what it says and in which layer does.
fn digest(sources: &[Source<'_>]) -> String {
    let mut hasher = Sha256::new();
    for source in sources {
        for part in [source.layer.as_str(), source.text] {
            hasher.update((part.len() as u64).to_le_bytes());
            hasher.update(part.as_bytes());
        }
    }
    let mut hex = crate::digest::hex(&hasher.finalize());
    hex.truncate(16);
    hex
}
