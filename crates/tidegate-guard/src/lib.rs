#![doc = include_str!("../README.md")]

mod checksum;
mod digest;
mod facts;
mod follow;
mod load;
mod pack;
mod rule;
mod rules;
mod span;
mod tally;
mod verdict;
mod word;

pub use checksum::Check;
pub use digest::text_sha256;
pub use facts::{Fact, Facts, Pattern, PatternError};
pub use follow::Follow;
pub use pack::{
    Examples, Layer, Pack, PackError, PackFile, PackFolder, Remark, RemarkKind, RuleProblem, Source,
};
pub use rule::{Near, Origin, Rule};
pub use rules::{BUILTIN, Rules};
pub use span::Span;
pub use verdict::{Detection, Direction, Outcome, Policy, ScanRequest, Severity, Verdict};
pub use word::UnknownWord;
