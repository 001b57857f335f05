//! Problems: what is wrong, where it stands, and what to do about it.

use std::fmt;

use super::node::Origin;

/// One thing that is wrong with the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The file's display name, `env NAME`, `flag --path` or `default`.
    pub origin: String,
    /// Line in the file, from 1.
    pub line: Option<usize>,
    /// Column in characters, from 1.
    pub column: Option<usize>,
    /// The key, such as `server.bind`; empty when the file is not TOML.
    pub path: String,
    /// What is wrong; never repeats a secret.
    pub message: String,
    /// What to do about it.
    pub suggestion: Option<String>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.origin)?;
        for number in [self.line, self.column].into_iter().flatten() {
            write!(f, ":{number}")?;
        }
        if !self.path.is_empty() {
            write!(f, ": {}", self.path)?;
        }
        write!(f, ": {}", self.message)?;
        match &self.suggestion {
            Some(suggestion) => write!(f, "\n  help: {suggestion}"),
            None => Ok(()),
        }
    }
}

/// Everything that is wrong with the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problems(pub Vec<Problem>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            problem.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

/// What is wrong with one value, before anyone has said which key it belongs to.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) message: String,
    pub(super) help: Option<String>,
}

impl Fault {
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            help: None,
        }
    }

    pub(super) fn help(self, help: impl Into<String>) -> Self {
        Self {
            help: Some(help.into()),
            ..self
        }
    }

    /// Adds a "did you mean" when `guess` is one.
    pub(super) fn did_you_mean(self, guess: Option<&str>) -> Self {
        match guess {
            Some(guess) => self.help(format!("did you mean `{guess}`?")),
            None => self,
        }
    }
}

/// Collects problems while the configuration is read.
#[derive(Default)]
pub(super) struct Report {
    problems: Vec<(Rank, Problem)>,
}

/// Order in which problems are listed: by source, then by place in the file.
type Rank = (u8, usize, usize);

impl Report {
    /// Notes that the value at `path`, written at `origin`, has `fault`.
    pub(super) fn add(&mut self, origin: &Origin, path: impl Into<String>, fault: Fault) {
        let (source, line, column) = match origin {
            Origin::File { name, line, column } => (name.clone(), Some(*line), Some(*column)),
            Origin::Default | Origin::Env(_) | Origin::Flag(_) => (origin.to_string(), None, None),
        };
        let rank = (origin.layer(), line.unwrap_or(0), column.unwrap_or(0));
        let path = path.into();
        let (message, suggestion) = (fault.message, fault.help);
        let problem = Problem {
            origin: source,
            line,
            column,
            path,
            message,
            suggestion,
        };
        self.problems.push((rank, problem));
    }

    /// True when `path`, or something inside it, already has a problem, so that
    /// what follows from it need not be reported as well.
    pub(super) fn concerns(&self, path: &str) -> bool {
        self.problems
            .iter()
            .any(|(_, problem)| match problem.path.strip_prefix(path) {
                Some(rest) => rest.is_empty() || rest.starts_with(['.', '[']),
                None => false,
            })
    }

    /// Fails when anything was reported.
    pub(super) fn into_result(mut self) -> Result<(), Problems> {
        self.problems.sort_by_key(|(rank, _)| *rank);
        if self.problems.is_empty() {
            return Ok(());
        }
        Err(Problems(
            self.problems
                .into_iter()
                .map(|(_, problem)| problem)
                .collect(),
        ))
    }
}

/// The candidate closest to `given`, if any is close enough to be meant.
pub(super) fn closest<'c>(
    given: &str,
    candidates: impl IntoIterator<Item = &'c str>,
) -> Option<&'c str> {
    // A third of the letters: enough for `deadline` to find `deadline_ms`, too
    // little for `port` to find `bind`.
    let near = |candidate: &'c str| {
        let distance = strsim::damerau_levenshtein(given, candidate);
        let letters = given.chars().count().max(candidate.chars().count());
        (distance <= letters / 3).then_some((distance, candidate))
    };
    candidates
        .into_iter()
        .filter_map(near)
        .min()
        .map(|(_, candidate)| candidate)
}
