//! `[guard]`: what is scanned, and the policies that decide.

use std::path::{Path, PathBuf};

use tidegate_engine::{
    Builtin, CandidateModel, ClassifierTerms, Direction, Mode, OwnThresholds, Policy, SecondConfig,
    StageSource,
};

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
    let second_terms = second_terms(scalars, report);
    let second = is_own(scalars).then(|| second_terms.clone());
    let candidate_model = candidate_model(scalars, &second_terms);
    let classifier = match &second {
        // Its thresholds say nothing about another model.
        Some(_) => None,
        None => classifier(scalars, report),
    };
    let mode: Mode = scalars.word("guard.mode").parse().unwrap_or_default();
    Guard {
        enabled: scalars.flag("guard.enabled"),
        mode,
        classifier,
        second,
        second_terms,
        policy,
        is_chosen: scalars.found(POLICY).origin != Origin::Default,
        policies: policies.listed.clone(),
        rollout: Rollout {
            policy: candidate,
            share: scalars.share("guard.rollout.share"),
            decides: scalars.flag("guard.rollout.decides"),
            model: candidate_model,
        },
        team_packs: folder(scalars, "guard.team_packs"),
        custom_packs: folder(scalars, "guard.custom_packs"),
    }
}

/// The word for the classifier of this build.
const BUILTIN: &str = "builtin";
/// The word for no classifier.
const NONE: &str = "none";
const MODEL: &str = "guard.model";
/// The word for the classifier that is asked elsewhere.
const SAME: &str = "same";
const CANDIDATE_MODEL: &str = "guard.rollout.model";

/// The paths of the flag and the block threshold of a direction.
fn paths(direction: Direction) -> [String; 2] {
    ["flag", "block"].map(|what| format!("guard.{what}_threshold.{direction}"))
}

/// How the word of the classifier of this build counts. A direction whose thresholds
/// are in the wrong order is reported.
fn classifier(scalars: &Scalars, report: &mut Report) -> Option<ClassifierTerms> {
    let mut terms = ClassifierTerms::measured();
    terms.cancel_confidence = scalars.share("guard.cancel_confidence");
    for direction in Direction::ALL {
        let limits = terms.limits_mut(*direction);
        let own = own_thresholds(scalars, *direction);
        limits.flag = own.flag.unwrap_or(limits.flag);
        limits.block = own.block.unwrap_or(limits.block);
        check_order(scalars, *direction, [limits.flag, limits.block], report);
    }
    (scalars.word(MODEL) == BUILTIN).then_some(terms)
}

fn check_order(scalars: &Scalars, direction: Direction, limits: [f64; 2], report: &mut Report) {
    let ([low, high], [flag, block]) = ([limits[1], limits[0]], paths(direction));
    if high > low {
        let fault = Fault::new(format!("{low:.3} is below the flag threshold of {high:.3}"));
        let help = format!("raise it, or lower {flag}");
        report.add(&scalars.found(&block).origin, block, fault.help(help));
    }
}

/// What is written in the place of the thresholds of a model.
fn own_thresholds(scalars: &Scalars, direction: Direction) -> OwnThresholds {
    let [flag, block] = paths(direction).map(|path| match scalars.threshold(&path) {
        Threshold::Measured => None,
        Threshold::Never => Some(ClassifierTerms::NEVER),
        Threshold::At(score) => Some(score),
    });
    OwnThresholds { flag, block }
}

/// A model of one's own. Its files are read when the engine is assembled; thresholds
/// that it says itself are not known before.
fn second_terms(scalars: &Scalars, report: &mut Report) -> SecondConfig {
    let folder = beside_file(scalars, MODEL);
    let mut config = SecondConfig::new(StageSource::Folder(folder));
    for direction in Direction::ALL {
        let own = own_thresholds(scalars, *direction);
        let given = &scalars.found(&paths(*direction)[1]).origin;
        let is_compared = is_own(scalars) && *given != Origin::Default;
        if let (Some(flag), Some(block), true) = (own.flag, own.block, is_compared) {
            check_order(scalars, *direction, [flag, block], report);
        }
        config.thresholds[*direction as usize] = own;
    }
    config.cancel_confidence = scalars.share("guard.cancel_confidence");
    config.below_confidence = scalars.share("guard.l2_below_confidence");
    config.from_score = scalars.share("guard.l2_from_score");
    config.sample = scalars.share("guard.l2_sample");
    config.timeout = scalars.millis("guard.l2_timeout_ms");
    config
}

/// Whether the model is a folder.
fn is_own(scalars: &Scalars) -> bool {
    ![BUILTIN, NONE].contains(&scalars.word(MODEL))
}

/// A path that the configuration file names begins in the folder of that file.
fn beside_file(scalars: &Scalars, key: &str) -> PathBuf {
    let path = scalars.word(key);
    match &scalars.found(key).origin {
        Origin::File { name, .. } => {
            let folder = Path::new(name).parent();
            folder.unwrap_or_else(|| Path::new("")).join(path)
        }
        Origin::Default | Origin::Env(_) | Origin::Flag(_) => path.into(),
    }
}

/// The classifier that is rolled out. When it is asked is said as for any other model;
/// thresholds that were chosen for another one are not.
fn candidate_model(scalars: &Scalars, terms: &SecondConfig) -> Option<CandidateModel> {
    match scalars.word(CANDIDATE_MODEL) {
        SAME => None,
        NONE => Some(CandidateModel::default()),
        BUILTIN => {
            let mut classifier = ClassifierTerms::builtin();
            classifier.cancel_confidence = terms.cancel_confidence;
            Some(CandidateModel {
                classifier: Some(classifier),
                second: None,
            })
        }
        _ => Some(CandidateModel {
            classifier: None,
            second: Some(SecondConfig {
                stage: StageSource::Folder(beside_file(scalars, CANDIDATE_MODEL)),
                thresholds: Default::default(),
                ..terms.clone()
            }),
        }),
    }
}
