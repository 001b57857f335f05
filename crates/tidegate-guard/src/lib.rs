#![doc = include_str!("../README.md")]

mod aside;
mod checksum;
mod classifiers;
mod digest;
mod facts;
mod follow;
mod hold;
mod l2;
mod listening;
mod load;
mod pack;
mod parts;
mod policy;
mod reading;
mod redact;
mod rule;
mod rules;
mod scanner;
mod span;
mod sparse;
mod tally;
mod verdict;
mod views;
mod watches;
mod word;

pub use aside::{Aside, AsideTerms};
pub use checksum::Check;
pub use classifiers::Classifiers;
pub use digest::text_sha256;
pub use facts::{Fact, Facts, Pattern, PatternError};
pub use follow::Follow;
pub use l2::{L2, L2Outcome, Reason};
pub use pack::{
    Examples, Layer as PackLayer, Pack, PackError, PackFile, PackFolder, Remark, RemarkKind,
    RuleProblem, Source,
};
pub use parts::{Part, PartScan};
pub use policy::{Builtin, Layer, Policy, PolicyError, PolicyProblem, Suppression, parse_rfc3339};
pub use rule::{Near, Origin, Rule};
pub use rules::{BUILTIN, Rules};
pub use scanner::{ClassifierTerms, ScanDone, ScanJob, Scanner};
pub use span::Span;
pub use tidegate_model::{Classifier, ModelError, Thresholds};
pub use verdict::{Detection, Direction, Mode, Outcome, ScanRequest, Severity, Verdict};
pub use word::UnknownWord;
