//! Which findings of a run are new, and what of them is written down.

use std::path::{Path, PathBuf};

use clap::Args;
use tidegate_guard::{Detection, Rules, ScanRequest, Verdict};

use super::baseline::{Findings, Key, Reach, plain};
use super::input::Unread;
use super::marks::{Mark, marks};
use super::row::Row;
use super::text::shown;

/// Stale findings are named up to this number.
const NAMED: usize = 5;

/// What is said of known findings.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct BaselineArgs {
    /// Findings that are known: only others are told and decide the exit code
    #[arg(long, value_name = "FILE")]
    pub(super) baseline: Option<PathBuf>,
    /// Write what is found as known, and let it decide nothing
    #[arg(long, value_name = "FILE")]
    pub(super) write_baseline: Option<PathBuf>,
}

/// One run's account of findings.
#[derive(Debug)]
pub(super) struct Ledger<'a> {
    args: &'a BaselineArgs,
    known: Option<Findings>,
    found: Findings,
    reach: Reach,
}

/// A verdict over what is new, and what is known.
pub(super) struct Sorted {
    pub(super) verdict: Verdict,
    pub(super) known: Option<Vec<Detection>>,
}

impl<'a> Ledger<'a> {
    pub(super) fn open(args: &'a BaselineArgs, paths: &[PathBuf]) -> Result<Self, String> {
        let known = args.baseline.as_deref().map(Findings::read).transpose()?;
        Ok(Self {
            args,
            known,
            found: Findings::default(),
            reach: Reach::new(paths),
        })
    }

    /// True for the files of the baseline itself, which tell of findings and
    /// hold none.
    pub(super) fn is_own(&self, path: &Path) -> bool {
        let own = [&self.args.baseline, &self.args.write_baseline];
        let same = |own: &PathBuf| match (own.canonicalize(), path.canonicalize()) {
            (Ok(own), Ok(path)) => own == path,
            (Err(_), _) | (_, Err(_)) => false,
        };
        own.into_iter().flatten().any(same)
    }

    /// Takes what is known out of a verdict. What is left of a rule is told at
    /// the first place that is new.
    pub(super) fn sort(
        &mut self,
        (name, text): (&str, &str),
        verdict: Verdict,
        (rules, request): (&Rules, &ScanRequest),
    ) -> Sorted {
        if self.known.is_none() && self.args.write_baseline.is_none() {
            let known = None;
            return Sorted { verdict, known };
        }
        let path = plain(Path::new(name)).to_string_lossy().into_owned();
        let marks = marks((&path, text), &verdict, |line| rules.scan(line, request));
        let (mut fresh, mut known) = (Vec::new(), Vec::new());
        for (found, marks) in verdict.detections.iter().zip(marks) {
            if !found.counts() {
                fresh.push(found.clone());
                continue;
            }
            match self.compare(&path, found, marks) {
                Some(found) => fresh.push(found),
                None => known.push(found.clone()),
            }
        }
        let fresh = Verdict {
            detections: fresh,
            ..verdict
        };
        Sorted {
            verdict: fresh.under(request),
            known: self.known.is_some().then_some(known),
        }
    }

    /// The part of a finding that is not known.
    fn compare(&mut self, path: &str, found: &Detection, marks: Vec<Mark>) -> Option<Detection> {
        let mut fresh: Option<Detection> = None;
        for mark in marks {
            let key = Key {
                path: path.to_owned(),
                rule: found.rule.to_string(),
                digest: mark.digest,
            };
            self.found.add(key.clone(), mark.times);
            let Some(known) = &mut self.known else {
                fresh = Some(found.clone());
                continue;
            };
            let times = usize::try_from(known.take(&key, mark.times)).unwrap_or(usize::MAX);
            if times > 0 {
                let fresh = fresh.get_or_insert_with(|| Detection {
                    span: mark.span,
                    matches: 0,
                    ..found.clone()
                });
                fresh.matches = fresh.matches.saturating_add(times);
            }
        }
        fresh
    }

    /// Notes what a run looked at.
    pub(super) fn note(&mut self, row: &Row) {
        let name = plain(Path::new(&row.name()));
        let name = name.to_string_lossy();
        match &row.result {
            Ok(_) => self.reach.scanned(&name),
            Err(Unread::Skipped(_) | Unread::Failed(_)) => self.reach.unread(&name),
        }
    }

    /// Says which known findings are no longer there.
    pub(super) fn tell_stale(&self) {
        let (Some(known), Some(file)) = (&self.known, &self.args.baseline) else {
            return;
        };
        let left = known.left(&self.reach);
        if left.is_empty() {
            return;
        }
        let file = shown(file.to_string_lossy());
        eprintln!(
            "warning: {file}: {} known findings are no longer there; \
             --write-baseline {file} writes it without them",
            left.len()
        );
        for key in left.iter().take(NAMED) {
            eprintln!("  {} in {}", shown(&key.rule), shown(&key.path));
        }
        if left.len() > NAMED {
            eprintln!("  and {} more", left.len() - NAMED);
        }
    }

    /// Where findings are to be written.
    pub(super) fn target(&self) -> Option<&Path> {
        self.args.write_baseline.as_deref()
    }

    /// Writes them with what is known of files that were not looked at, and
    /// says how many there are.
    pub(super) fn write(&self, to: &Path) -> Result<u64, String> {
        let mut found = self.found.clone();
        if let Some(known) = &self.known {
            found.keep(known, &self.reach);
        }
        let written = found.write(to);
        written.map_err(|error| {
            let name = shown(to.to_string_lossy());
            format!("--write-baseline {name} cannot be written: {error}")
        })?;
        Ok(found.count())
    }
}
