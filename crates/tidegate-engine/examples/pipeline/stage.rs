//! Models that count what they do.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tidegate_engine::{
    CacheUse, Caller, Direction, Engine, EngineConfig, GuardConfig, Mode, PolicySource,
    ScanRequest, ScanTerms, Scanned, SecondConfig, SecondStage, StageSource, Thresholds,
};
use tidegate_model::Score;
use tidegate_model::onnx::testing::SmallModel;
use tidegate_model::onnx::{OnnxError, TextModel};

/// A model in the format of ONNX that takes milliseconds for a window, whatever it
/// reads, and finds nothing.
#[derive(Debug)]
pub(crate) struct Slow {
    model: TextModel,
    runs: AtomicUsize,
    windows: AtomicUsize,
}

impl Slow {
    /// Of layers that multiply matrices of 134 million operations a window each.
    pub(crate) fn new() -> Arc<Self> {
        let folder = std::env::temp_dir().join(format!("tidegate-pipeline-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder for a model");
        let made = SmallModel::new().bias([3.0, 0.0]).layers(4);
        made.write(&folder).expect("the files of a model");
        let model = TextModel::load(&folder).expect("a valid model");
        std::fs::remove_dir_all(&folder).expect("the folder was made here");
        Arc::new(Self {
            model,
            runs: AtomicUsize::new(0),
            windows: AtomicUsize::new(0),
        })
    }

    /// How many texts were read since the last time.
    pub(crate) fn runs(&self) -> usize {
        self.runs.swap(0, Ordering::SeqCst)
    }

    /// How many windows were read since the last time.
    pub(crate) fn windows(&self) -> usize {
        self.windows.swap(0, Ordering::SeqCst)
    }
}

impl SecondStage for Slow {
    fn name(&self) -> &str {
        "slow"
    }

    fn version(&self) -> &str {
        "1"
    }

    fn thresholds(&self, _: Direction) -> Thresholds {
        Thresholds {
            flag: 0.5,
            block: f64::INFINITY,
        }
    }

    fn score(&self, text: &str, stop: &dyn Fn() -> bool) -> Result<Option<Score>, OnnxError> {
        let counting = || {
            let is_over = stop();
            self.windows
                .fetch_add(usize::from(!is_over), Ordering::SeqCst);
            is_over
        };
        self.runs.fetch_add(1, Ordering::SeqCst);
        let score = self.model.score(text, &counting)?;
        // It is asked once more when no window is left.
        self.windows
            .fetch_sub(usize::from(score.is_some()), Ordering::SeqCst);
        Ok(score)
    }
}

/// An engine with a model, which it asks in a balanced scan from this score on.
pub(crate) fn engine(stage: Arc<dyn SecondStage>, from_score: f64) -> Engine {
    let second = SecondConfig {
        timeout: Duration::from_secs(60),
        from_score,
        ..SecondConfig::new(StageSource::Loaded(stage))
    };
    let config = EngineConfig {
        guard: GuardConfig {
            second: Some(second),
            ..GuardConfig::default()
        },
        ..EngineConfig::default()
    };
    Engine::assemble(config).expect("a valid configuration")
}

pub(crate) async fn scan(engine: &Engine, text: &str, mode: Mode, cache: CacheUse) -> Scanned {
    let caller = Caller::default();
    let terms = ScanTerms {
        caller: &caller,
        cache,
        source: PolicySource::Default,
    };
    let request = ScanRequest {
        mode,
        ..ScanRequest::default()
    };
    let scanned = engine.scan_or_recall(text.to_owned(), request, terms).await;
    scanned.expect("the pool is not full")
}
