//! Both layers together: rules, and the classifier beside them.

use std::sync::Arc;

use sha2::{Digest, Sha256};
use tidegate_model::{Classifier, Score, Thresholds};

use crate::aside::Aside;
use crate::classifiers::Classifiers;
use crate::digest::hex;
use crate::follow::Follow;
use crate::l2::{L2, L2Outcome, Reason};
use crate::listening::Listening;
use crate::parts::{Part, PartScan};
use crate::redact::{Redacted, without};
use crate::rules::Rules;
use crate::span::Span;
use crate::verdict::{Direction, Mode, Outcome, ScanRequest, Severity, Verdict};

/// So many places are named as reasons at most.
const MOST_REASONS: usize = 5;

/// Balanced scans do not ask the classifier where a rule found something critical
/// with this confidence.
const CANCEL_CONFIDENCE: f64 = 0.7;

/// How the word of a classifier counts.
#[derive(Clone, Debug, PartialEq)]
pub struct ClassifierTerms {
    /// In the order of [`Direction::ALL`].
    limits: [Thresholds; 5],
    /// Where a rule found something critical with at least this confidence, a
    /// balanced scan does not ask the classifier.
    pub cancel_confidence: f64,
}

impl ClassifierTerms {
    /// The threshold that no score reaches.
    pub const NEVER: f64 = f64::INFINITY;

    /// The flag thresholds that the classifiers were measured with. Nothing is critical
    /// by their word alone: ordinary text is of more kinds than they were measured on,
    /// and what is said over and over adds up.
    pub fn of(classifiers: &Classifiers) -> Self {
        let mut terms = Self::as_measured(classifiers);
        for direction in Direction::ALL {
            terms.limits_mut(*direction).block = Self::NEVER;
        }
        terms
    }

    /// Those of the classifiers of this build.
    pub fn builtin() -> Self {
        Self::of(&Classifiers::builtin())
    }

    /// The same with the thresholds of every direction as they were measured.
    pub fn measured() -> Self {
        Self::as_measured(&Classifiers::builtin())
    }

    fn as_measured(classifiers: &Classifiers) -> Self {
        // Both rooms have the same directions in the same order.
        let measured = |same: tidegate_model::Direction| {
            let direction = Direction::ALL[same as usize];
            classifiers.of(direction).thresholds(same)
        };
        Self {
            limits: tidegate_model::Direction::ALL.map(measured),
            cancel_confidence: CANCEL_CONFIDENCE,
        }
    }

    /// All that makes them differ from others.
    pub(crate) fn numbers(&self) -> impl Iterator<Item = f64> {
        let limits = self.limits.iter().flat_map(|one| [one.flag, one.block]);
        limits.chain([self.cancel_confidence])
    }

    /// From where on something is said about a text of this direction.
    pub fn limits(&self, direction: Direction) -> Thresholds {
        self.limits[direction as usize]
    }

    /// The same, to be changed.
    pub fn limits_mut(&mut self, direction: Direction) -> &mut Thresholds {
        &mut self.limits[direction as usize]
    }
}

/// A classifier, and how its word counts. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Second {
    classifier: Arc<Classifier>,
    model: Arc<str>,
    terms: Arc<ClassifierTerms>,
}

/// One for what is said, and one for what is read.
#[derive(Debug)]
struct Seconds {
    said: Second,
    read: Second,
}

impl Seconds {
    fn of(&self, direction: Direction) -> &Second {
        match direction.is_read() {
            true => &self.read,
            false => &self.said,
        }
    }
}

/// What scans texts: rules, and classifiers where there are some.
#[derive(Debug)]
pub struct Scanner {
    rules: Arc<Rules>,
    seconds: Option<Seconds>,
    aside: Option<Aside>,
    version: String,
}

/// A part of the work on one text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ScanJob {
    /// The rules, over a part of the text.
    Rules(Part),
    /// The classifier, over all of it.
    Classifier,
}

/// What a part of the work came to.
#[derive(Debug)]
pub enum ScanDone {
    /// What the rules found.
    Rules(PartScan),
    /// What the classifier says.
    Classifier(L2),
}

impl Scanner {
    /// Scans with rules only.
    pub fn of_rules(rules: Arc<Rules>) -> Self {
        Self {
            version: rules.version().to_owned(),
            rules,
            seconds: None,
            aside: None,
        }
    }

    pub(crate) fn with_aside(self, aside: Aside, version: String) -> Self {
        Self {
            aside: Some(aside),
            version,
            ..self
        }
    }

    /// The classifier that whoever scans asks himself, where there is one.
    pub fn aside(&self) -> Option<&Aside> {
        self.aside.as_ref()
    }

    /// Scans with rules and classifiers.
    pub fn new(
        rules: Arc<Rules>,
        classifiers: impl Into<Classifiers>,
        terms: ClassifierTerms,
    ) -> Self {
        let classifiers = classifiers.into();
        let version = format!("{}+{}", rules.version(), digest(&classifiers, &terms));
        let terms = Arc::new(terms);
        let second = |classifier: Arc<Classifier>| Second {
            model: format!("{} {}", classifier.name(), classifier.version()).into(),
            classifier,
            terms: Arc::clone(&terms),
        };
        Self {
            rules,
            seconds: Some(Seconds {
                said: second(classifiers.said),
                read: second(classifiers.read),
            }),
            aside: None,
            version,
        }
    }

    /// Scans with rules and the classifiers of this build.
    pub fn with_builtin(rules: Arc<Rules>, terms: ClassifierTerms) -> Self {
        Self::new(rules, Classifiers::builtin(), terms)
    }

    /// The rules.
    pub fn rules(&self) -> &Arc<Rules> {
        &self.rules
    }

    /// The name and version of the classifier that reads prompts, where there is one.
    pub fn model(&self) -> Option<&Arc<str>> {
        let own = self.seconds.as_ref().map(|seconds| &seconds.said.model);
        own.or(self.aside.as_ref().map(Aside::model))
    }

    /// From where on the classifier has something to say about a direction.
    pub fn limits(&self, direction: Direction) -> Option<Thresholds> {
        let own = self.seconds.as_ref();
        let own = own.map(|seconds| seconds.of(direction).terms.limits(direction));
        own.or(self.aside.as_ref().map(|aside| aside.limits(direction)))
    }

    /// A short digest of rules, classifier and thresholds: the same version, the
    /// same verdicts.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The classifier, where the mode of a scan wants one.
    fn second(&self, request: &ScanRequest) -> Option<&Second> {
        match request.mode {
            Mode::Fast => None,
            Mode::Balanced | Mode::Thorough => {
                let seconds = self.seconds.as_ref();
                seconds.map(|seconds| seconds.of(request.direction))
            }
        }
    }

    /// Scans a whole text.
    pub fn scan(&self, text: &str, request: &ScanRequest) -> Verdict {
        self.classify(text, self.rules.scan(text, request), request)
    }

    /// Adds what the classifier says to the verdict of the rules on the same text.
    pub fn classify(&self, text: &str, rules: Verdict, request: &ScanRequest) -> Verdict {
        match self.second(request) {
            None => rules,
            Some(second) => second.join(rules, request, || second.says(text, request.direction)),
        }
    }

    /// Begins to scan a text that arrives in pieces.
    pub fn follow(&self, request: ScanRequest) -> Follow {
        let listening = self.second(&request).cloned().map(Listening::new);
        self.rules.follow(request).beside(listening)
    }

    /// What is to be done about a text, in parts that may be done in any order and
    /// beside each other: at most `count` of the text itself, and two more.
    pub fn jobs(&self, text: &str, count: usize, request: &ScanRequest) -> Vec<ScanJob> {
        let parts = self.rules.parts(text, count).into_iter();
        let classifier = self.second(request).map(|_| ScanJob::Classifier);
        parts.map(ScanJob::Rules).chain(classifier).collect()
    }

    /// Does a part of the work on `text`.
    pub fn run(&self, text: &str, job: &ScanJob, request: &ScanRequest) -> ScanDone {
        match job {
            ScanJob::Rules(part) => ScanDone::Rules(self.rules.scan_part(text, part, request)),
            ScanJob::Classifier => {
                let says = |second: &Second| second.says(text, request.direction);
                let l2 = self.second(request).map_or_else(L2::disabled, says);
                ScanDone::Classifier(l2)
            }
        }
    }

    /// The verdict of [`Self::scan`] from all parts, in the order of
    /// [`Self::jobs`]. Where the rules turn out to be sure, what the classifier said
    /// beside them is left out: a verdict does not depend on how a text was cut.
    pub fn merge(&self, text: &str, done: Vec<ScanDone>, request: &ScanRequest) -> Verdict {
        let (mut parts, mut said) = (Vec::new(), None);
        for done in done {
            match done {
                ScanDone::Rules(part) => parts.push(part),
                ScanDone::Classifier(l2) => said = Some(l2),
            }
        }
        let rules = self.rules.merge(text, parts, request);
        match (self.second(request), said) {
            (Some(second), Some(l2)) => second.join(rules, request, || l2),
            (Some(_) | None, _) => rules,
        }
    }

    /// The text with `[redacted:RULE]` in the place of everything whose action is
    /// redact, and nothing where there is none. Of what the classifier finds, all
    /// windows from the flag threshold on are replaced.
    pub fn redact(&self, text: &str, request: &ScanRequest) -> Option<String> {
        let Redacted { rules, mut places } = self.rules.redacted(text, request);
        let verdict = self.classify(text, rules, request);
        let mut found = verdict.detections.iter();
        let is_l2 = found.any(|found| &*found.rule == L2::RULE && found.action == Outcome::Redact);
        if let Some(second) = self.second(request).filter(|_| is_l2) {
            let flag = second.terms.limits(request.direction).flag;
            let windows = second.classifier.windows_from(text, flag);
            let place = |window: std::ops::Range<usize>| (span(&window), L2::RULE.into());
            places.extend(windows.into_iter().map(place));
        }
        without(text, places)
    }
}

impl Second {
    pub(crate) fn classifier(&self) -> &Arc<Classifier> {
        &self.classifier
    }

    /// Whether a score says something about a text of this direction.
    pub(crate) fn is_suspicious(&self, score: &Score, direction: Direction) -> bool {
        score.probability >= self.terms.limits(direction).flag
    }

    /// The verdict of the rules with what `says` says, which is asked where the
    /// mode wants it.
    pub(crate) fn join(
        &self,
        rules: Verdict,
        request: &ScanRequest,
        says: impl FnOnce() -> L2,
    ) -> Verdict {
        let l2 = if self.is_spared(&rules, request) {
            self.unanswered(L2Outcome::Skipped)
        } else {
            says()
        };
        rules.with_l2(l2, self.terms.limits(request.direction), request)
    }

    fn is_spared(&self, rules: &Verdict, request: &ScanRequest) -> bool {
        request.mode == Mode::Balanced && are_sure(rules, self.terms.cancel_confidence)
    }

    /// What it says of a whole text.
    fn says(&self, text: &str, direction: Direction) -> L2 {
        let Some(score) = self.classifier.score(text, &|| false) else {
            return self.unanswered(L2Outcome::Cancelled);
        };
        let reasons = if self.is_suspicious(&score, direction) {
            self.reasons(text, &score.window, 0)
        } else {
            Vec::new()
        };
        self.scored(&score, reasons)
    }

    pub(crate) fn unanswered(&self, outcome: L2Outcome) -> L2 {
        L2::unanswered(outcome, Some(Arc::clone(&self.model)))
    }

    pub(crate) fn scored(&self, score: &Score, reasons: Vec<Reason>) -> L2 {
        L2 {
            score: Some(score.probability),
            window: Some(span(&score.window)),
            reasons,
            ..self.unanswered(L2Outcome::Completed)
        }
    }

    /// Why a window of a text is suspicious. `text` begins at the code point `at` of
    /// the whole.
    pub(crate) fn reasons(
        &self,
        text: &str,
        window: &std::ops::Range<usize>,
        at: usize,
    ) -> Vec<Reason> {
        let window = window.start - at..window.end - at;
        let reasons = self.classifier.explain(text, window, MOST_REASONS);
        let told = reasons.into_iter().map(|reason| Reason {
            span: span(&(reason.words.start + at..reason.words.end + at)),
            weight: reason.weight,
        });
        told.collect()
    }
}

/// Whether the rules are sure enough by themselves. What is suppressed or allowed is
/// not sure of anything, and what is redacted leaves a rest that may be an attack as
/// well.
pub(crate) fn are_sure(rules: &Verdict, least: f64) -> bool {
    rules.detections.iter().any(|found| {
        matches!(found.action, Outcome::Flag | Outcome::Block)
            && found.severity == Severity::Critical
            && found.confidence >= least
    })
}

fn span(range: &std::ops::Range<usize>) -> Span {
    Span {
        start: range.start,
        end: range.end,
    }
}

/// The first 16 digits are enough to tell classifiers and thresholds apart.
fn digest(classifiers: &Classifiers, terms: &ClassifierTerms) -> String {
    let mut hasher = Sha256::new();
    for classifier in [&classifiers.said, &classifiers.read] {
        hasher.update(classifier.digest());
    }
    for number in terms.numbers() {
        hasher.update(number.to_le_bytes());
    }
    let mut hex = hex(&hasher.finalize());
    hex.truncate(16);
    hex
}

#[cfg(test)]
mod tests;
