//! Which classifier reads which texts.

use std::sync::{Arc, LazyLock};

use tidegate_model::Classifier;

use crate::verdict::Direction;

/// The classifiers of this build, read once for the process.
static BUILTIN: LazyLock<Classifiers> = LazyLock::new(|| {
    let read = |classifier: Result<Classifier, _>| {
        Arc::new(classifier.expect("the tests read the embedded models"))
    };
    Classifiers {
        said: read(Classifier::builtin()),
        read: read(Classifier::passages()),
    }
});

/// One classifier for what is said, and one for what is read. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Classifiers {
    /// For prompts, answers and calls of tools.
    pub said: Arc<Classifier>,
    /// For passages and results of tools.
    pub read: Arc<Classifier>,
}

impl Classifiers {
    /// Those of this build.
    pub fn builtin() -> Self {
        BUILTIN.clone()
    }

    /// The one for texts of a direction.
    pub fn of(&self, direction: Direction) -> &Arc<Classifier> {
        match direction.is_read() {
            true => &self.read,
            false => &self.said,
        }
    }
}

impl From<Arc<Classifier>> for Classifiers {
    /// One for everything.
    fn from(classifier: Arc<Classifier>) -> Self {
        Self {
            said: Arc::clone(&classifier),
            read: classifier,
        }
    }
}
