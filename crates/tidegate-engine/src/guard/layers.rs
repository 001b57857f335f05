//! Rules, and a classifier beside them.

use std::sync::Arc;

use tidegate_guard::{ClassifierTerms, Mode, Rules, ScanRequest, Scanner};
use tidegate_model::onnx::OnnxError;

use crate::second::{Second, SecondConfig};

/// What scans a text.
#[derive(Debug)]
pub(crate) struct Layers {
    pub(crate) scanner: Arc<Scanner>,
    second: Option<Second>,
}

impl Layers {
    /// With the classifier of this build or one of one's own, which is loaded; the
    /// threads of the one `before` it go on working.
    ///
    /// # Errors
    /// What is wrong with a model.
    pub(super) fn new(
        rules: Arc<Rules>,
        (classifier, second): (Option<&ClassifierTerms>, Option<&SecondConfig>),
        before: Option<&Self>,
    ) -> Result<Self, OnnxError> {
        let before = before.and_then(|layers| layers.second.as_ref());
        let second = second.map(|second| Second::new(second, before));
        let second = second.transpose()?;
        let scanner = match (&second, classifier) {
            (Some(second), _) => Scanner::beside(rules, second.aside().clone()),
            (None, Some(terms)) => Scanner::with_builtin(rules, terms.clone()),
            (None, None) => Scanner::of_rules(rules),
        };
        Ok(Self {
            scanner: Arc::new(scanner),
            second,
        })
    }

    /// The classifier of one's own, where the mode of a scan wants one.
    pub(crate) fn second(&self, request: &ScanRequest) -> Option<&Second> {
        match request.mode {
            Mode::Fast => None,
            Mode::Balanced | Mode::Thorough => self.second.as_ref(),
        }
    }

    /// Whether there is one.
    pub(crate) fn is_slow(&self) -> bool {
        self.second.is_some()
    }
}
