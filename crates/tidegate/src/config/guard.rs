//! `[guard]`: what is scanned, and the policies that decide.

use tidegate_engine::{Builtin, ClassifierTerms, Direction, Mode, Policy};

use super::Sources;
use super::build::folder;
use super::layers::{Layers, Scalars};
use super::node::Origin;
use super::problems::{Fault, Report, closest};
use super::rows::Row;
use super::typed::{Guard, Rollout};
use super::value::{Item, Threshold, Value};

const POLICY: &str = "guard.policy";
const POLICIES: &str = "guard.policies";
const CANDIDATE: &str = "guard.rollout.policy";
/// A file may be large, and a mistake may name another one.
const MOST_POLICIES: usize = 1_000;

/// Everything that may be meant by a policy's name.
pub(super) struct Policies {
    listed: Vec<Policy>,
}

/// Whether this is the path of a file: names hold none of these.
pub(super) fn is_path(text: &str) -> bool {
    text.contains(['/', '\\', '.'])
}

/// Reads the files of `guard.policies`; those with a problem are reported and
/// left out.
pub(super) fn policies(scalars: &Scalars, sources: &Sources<'_>, report: &mut Report) -> Policies {
    let mut listed: Vec<Policy> = Vec::new();
    let files = files(scalars);
    if files.len() > MOST_POLICIES {
        let fault = Fault::new(format!("more than {MOST_POLICIES} policies"));
        report.add(&scalars.found(POLICIES).origin, POLICIES, fault);
        return Policies { listed };
    }
    for file in files {
        let policy = read(&file.text, sources).and_then(|policy| {
            match listed.iter().find(|known| known.id() == policy.id()) {
                Some(_) => Err(Fault::new(format!(
                    "{}: another file has a policy {:?} as well",
                    file.text,
                    policy.id()
                ))),
                None => Ok(policy),
            }
        });
        match policy {
            Ok(policy) => listed.push(policy),
            Err(fault) => report.add(&file.origin, POLICIES, fault),
        }
    }
    Policies { listed }
}

fn files(scalars: &Scalars) -> &[Item] {
    match &scalars.found(POLICIES).value {
        Value::Files(files) => files,
        other => unreachable!("{POLICIES} is not of the kind of {other:?}"),
    }
}

fn read(path: &str, sources: &Sources<'_>) -> Result<Policy, Fault> {
    let text = (sources.read_file)(path)
        .map_err(|reason| Fault::new(format!("cannot read the policy {path}: {reason}")))?;
    // Says the file, the line and the column.
    Policy::load(path, &text).map_err(|error| Fault::new(error.to_string()))
}

impl Policies {
    /// The built-in policy or the listed one of this name.
    fn named(&self, name: &str) -> Result<Policy, Fault> {
        if let Ok(builtin) = name.parse::<Builtin>() {
            return Ok(builtin.into());
        }
        let known = self.listed.iter().find(|policy| policy.id() == name);
        known.cloned().ok_or_else(|| {
            let words = Builtin::ALL.iter().map(|builtin| builtin.as_str());
            let names = words.chain(self.listed.iter().map(Policy::id));
            let help = "write monitor, default, strict, or the id of a policy of guard.policies";
            let meant = closest(name, names);
            let fault = Fault::new(format!("no policy has the name {name:?}"));
            match meant {
                Some(_) => fault.did_you_mean(meant),
                None => fault.help(help),
            }
        })
    }

    /// The same, or the policy of a file.
    fn found(&self, text: &str, sources: &Sources<'_>) -> Result<Policy, Fault> {
        if is_path(text) {
            read(text, sources)
        } else {
            self.named(text)
        }
    }

    /// What a `[[keys]]` row demands.
    pub(super) fn of_key(&self, row: &Row, report: &mut Report) -> Option<Policy> {
        match self.named(row.text("policy")?) {
            Ok(policy) => Some(policy),
            Err(fault) => {
                row.blame("policy", fault, report);
                None
            }
        }
    }
}

/// `[guard]`. What has a problem is reported, and something stands for it.
pub(super) fn build(
    layers: &Layers,
    policies: &Policies,
    sources: &Sources<'_>,
    report: &mut Report,
) -> Guard {
    let scalars = &layers.scalars;
    let mut of = |path: &'static str| {
        let found = policies.found(scalars.word(path), sources);
        found.unwrap_or_else(|fault| {
            report.add(&scalars.found(path).origin, path, fault);
            Policy::default()
        })
    };
    let (policy, candidate) = (of(POLICY), of(CANDIDATE));
    let mode: Mode = scalars.word("guard.mode").parse().unwrap_or_default();
    Guard {
        enabled: scalars.flag("guard.enabled"),
        mode,
        classifier: classifier(scalars, report),
        policy,
        is_chosen: scalars.found(POLICY).origin != Origin::Default,
        policies: policies.listed.clone(),
        rollout: Rollout {
            policy: candidate,
            share: scalars.share("guard.rollout.share"),
            decides: scalars.flag("guard.rollout.decides"),
        },
        team_packs: folder(scalars, "guard.team_packs"),
        custom_packs: folder(scalars, "guard.custom_packs"),
    }
}

/// How the classifier's word counts. A direction whose thresholds are in the wrong
/// order is reported.
fn classifier(scalars: &Scalars, report: &mut Report) -> Option<ClassifierTerms> {
    let mut terms = ClassifierTerms::measured();
    terms.cancel_confidence = scalars.share("guard.cancel_confidence");
    for direction in Direction::ALL {
        let [flag, block] =
            ["flag", "block"].map(|what| format!("guard.{what}_threshold.{direction}"));
        let limits = terms.limits_mut(*direction);
        let at = |path: &str, measured| match scalars.threshold(path) {
            Threshold::Measured => measured,
            Threshold::Never => ClassifierTerms::NEVER,
            Threshold::At(score) => score,
        };
        limits.flag = at(&flag, limits.flag);
        limits.block = at(&block, limits.block);
        let given = &scalars.found(&block).origin;
        if limits.flag > limits.block && *given == Origin::Default {
            // Whoever asks for less by one threshold asks for no more by the other.
            limits.block = limits.flag;
        } else if limits.flag > limits.block {
            let (low, high) = (limits.block, limits.flag);
            let fault = Fault::new(format!("{low:.3} is below the flag threshold of {high:.3}"));
            let help = format!("raise it, or lower {flag}");
            report.add(given, block, fault.help(help));
        }
    }
    (scalars.word("guard.model") != "none").then_some(terms)
}
