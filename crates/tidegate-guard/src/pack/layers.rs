//! Which rules of all packs hold: a later layer replaces and disables rules of
//! the ones before it.

use std::collections::{HashMap, HashSet};

use toml::Spanned;

use super::{Layer, PackError, RawPack, RuleProblem, Source, place};

/// Where something of a pack was read: what errors need to name it.
#[derive(Clone, Debug)]
pub(crate) struct Place<'a> {
    pub(crate) source: Source<'a>,
    pub(crate) id: Spanned<String>,
}

impl Place<'_> {
    pub(crate) fn refuse(&self, problem: RuleProblem) -> PackError {
        let (line, column) = place(self.source.text, self.id.span().start);
        PackError::Rule {
            pack: self.source.name.to_owned(),
            line,
            column,
            rule: self.id.get_ref().clone(),
            problem,
        }
    }
}

/// A rule that holds so far: its layer, and its pack and place there.
#[derive(Clone, Copy)]
struct Holder {
    layer: Layer,
    pack: usize,
    rule: usize,
}

/// The rules that do not hold, as the numbers of pack and rule.
pub(crate) type Dropped = HashSet<(usize, usize)>;

/// Decides which rules hold. `packs` are in the order of their layers.
pub(crate) fn resolve(packs: &[(Source<'_>, RawPack)], errors: &mut Vec<PackError>) -> Dropped {
    let mut holders: HashMap<String, Holder> = HashMap::new();
    let mut dropped = Dropped::new();
    for (number, (source, raw)) in packs.iter().enumerate() {
        let mut refuse = |id: &Spanned<String>, problem| {
            let id = id.clone();
            errors.push(
                Place {
                    source: *source,
                    id,
                }
                .refuse(problem),
            );
        };
        for (word, names) in [
            ("replaces", &raw.pack.replaces),
            ("disable", &raw.pack.disable),
        ] {
            for id in names {
                let before = holders.get(id.get_ref());
                match before.filter(|holder| holder.layer < source.layer) {
                    Some(holder) => {
                        dropped.insert((holder.pack, holder.rule));
                    }
                    None => refuse(id, RuleProblem::Absent(word)),
                }
            }
        }
        for id in &raw.pack.replaces {
            if !raw
                .rules
                .iter()
                .any(|rule| rule.id.get_ref() == id.get_ref())
            {
                refuse(id, RuleProblem::NotReplaced);
            }
        }
        for (rule, raw) in raw.rules.iter().enumerate() {
            let holder = Holder {
                layer: source.layer,
                pack: number,
                rule,
            };
            let before = holders.insert(raw.id.get_ref().clone(), holder);
            match before.filter(|before| !dropped.contains(&(before.pack, before.rule))) {
                None => {}
                Some(before) if before.layer < source.layer => {
                    refuse(&raw.id, RuleProblem::Taken(before.layer));
                }
                Some(_) => refuse(&raw.id, RuleProblem::Duplicate),
            }
        }
    }
    dropped
}

#[cfg(test)]
mod tests {
    use crate::pack::{Layer, PackError, Source};
    use crate::rules::Rules;

    fn pack(head: &str, id: &str, pattern: &str) -> String {
        format!(
            "[pack]\nid = 'probe'\nversion = '1'\nname = 'Probe'\n{head}\n[[rules]]\nid = 'probe.{id}'\n\
             family = 'probe'\nseverity = 'low'\nconfidence = 0.5\nmessage = 'm'\nremediation = 'r'\n\
             patterns = ['{pattern}']\nexamples.must = ['{pattern}']\nexamples.must_not = ['-']\n"
        )
    }

    fn load(packs: &[(Layer, &str)]) -> Result<Vec<String>, PackError> {
        let names = ["a.toml", "b.toml", "c.toml"];
        let sources = packs.iter().zip(names).map(|((layer, text), name)| Source {
            layer: *layer,
            name,
            text,
        });
        let rules = Rules::layered(&sources.collect::<Vec<_>>())?;
        let shown = |rule: &crate::Rule| format!("{} {}", rule.origin.layer, rule.patterns[0]);
        Ok(rules.iter().map(shown).collect())
    }

    #[test]
    fn a_later_layer_replaces_a_rule_that_its_head_names() {
        let (core, team) = (
            pack("", "gate", "gate"),
            pack("replaces = ['probe.gate']", "gate", "door"),
        );
        let rules = load(&[(Layer::Team, &team), (Layer::Core, &core)]);
        assert_eq!(rules.unwrap(), ["team door"]);
    }

    #[test]
    fn the_last_of_three_layers_wins() {
        let core = pack("", "gate", "gate");
        let team = pack("replaces = ['probe.gate']", "gate", "door");
        let custom = pack("replaces = ['probe.gate']", "gate", "hatch");
        let packs = [
            (Layer::Core, &*core),
            (Layer::Team, &*team),
            (Layer::Custom, &*custom),
        ];
        assert_eq!(load(&packs).unwrap(), ["custom hatch"]);
    }

    #[test]
    fn an_id_that_is_taken_by_chance_does_not_replace() {
        let (core, team) = (pack("", "gate", "gate"), pack("", "gate", "door"));
        let error = load(&[(Layer::Core, &core), (Layer::Team, &team)]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "pack b.toml, line 7, column 6: rule probe.gate: the id is taken in layer core; to \
             take its place, name it in `replaces` of the pack's head"
        );
    }

    #[test]
    fn a_later_layer_disables_a_rule_and_a_later_one_may_write_it_anew() {
        let core = pack("", "gate", "gate");
        let team = pack("disable = ['probe.gate']", "bar", "bar");
        let packs = [(Layer::Core, &*core), (Layer::Team, &*team)];
        assert_eq!(load(&packs).unwrap(), ["team bar"]);
        let custom = pack("", "gate", "hatch");
        let packs = [packs[0], packs[1], (Layer::Custom, &*custom)];
        assert_eq!(load(&packs).unwrap(), ["team bar", "custom hatch"]);
    }

    #[test]
    fn what_no_earlier_layer_has_cannot_be_replaced_or_disabled() {
        for word in ["replaces", "disable"] {
            let text = pack(&format!("{word} = ['probe.gate']"), "gate", "gate");
            for other in [Layer::Team, Layer::Custom] {
                let core = pack("", "gate", "gate");
                let error = load(&[(other, &core), (Layer::Team, &text)]).unwrap_err();
                assert!(
                    error.to_string().contains(&format!(
                        "line 5, column {}: rule probe.gate: is named in `{word}`, and no pack \
                         of an earlier layer has it",
                        word.len() + 5
                    )),
                    "{error}"
                );
            }
        }
    }

    #[test]
    fn a_pack_that_replaces_without_a_rule_is_refused() {
        let core = pack("", "gate", "gate");
        let team = pack("replaces = ['probe.gate']", "bar", "bar");
        let error = load(&[(Layer::Core, &core), (Layer::Team, &team)]).unwrap_err();
        assert!(
            error.to_string().contains("and the pack has no such rule"),
            "{error}"
        );
    }

    #[test]
    fn everything_that_is_broken_is_reported_with_its_place() {
        let broken = pack("", "gate", "gate(").replace("0.5", "7.0");
        let missed = pack("", "bar", "bar").replace("must = ['bar']", "must = ['tap']");
        let packs = [
            (Layer::Team, &*broken),
            (Layer::Team, "[pack]\nid = "),
            (Layer::Custom, &*missed),
        ];
        let error = load(&packs).unwrap_err();
        assert_eq!(error.each().len(), 2, "{error}");
        let text = error.to_string();
        assert!(text.contains("pack b.toml, line 2"), "{text}");
        assert!(
            text.contains("pack a.toml, line 7, column 6: rule probe.gate: confidence 7"),
            "{text}"
        );
        let error = load(&packs[2..]).unwrap_err();
        assert!(
            error
                .to_string()
                .ends_with("example must[0] does not match"),
            "{error}"
        );
    }
}
