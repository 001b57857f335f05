#![doc = include_str!("../README.md")]

mod admission;
mod answer;
mod answers_cache;
mod assemble;
mod cache_desk;
mod cached_chat;
mod caller;
mod chain;
mod chat;
mod config;
mod context;
mod documents;
mod embed;
mod entry;
mod error;
mod extractive;
mod feedback;
mod generate;
mod guard;
mod health;
mod held;
mod line;
mod policies;
mod prompts;
mod redact;
mod reserve;
mod scan;
mod scan_many;
mod scans_cache;
mod second;
mod send;
mod sessions;
mod standing;
mod store_key;
mod stream;
mod stream_cache;
mod tasks;
mod toon;
mod tries;
mod verdicts;

pub use answer::{Answer, AnswerBody, AnswerHead, CacheUse, Cached};
pub use assemble::{AssembleError, Engine, ProviderProblem};
pub use cache_desk::{WarmError, Warmed};
pub use caller::Caller;
pub use config::{
    Adaptivity, AttemptConfig, CacheAnswers, CacheConfig, ChainConfig, EngineConfig, EntryConfig,
    ProviderConfig, ProviderKind, ResilienceConfig, SessionsConfig,
};
pub use context::{Attempt, Context, Spent, Trail};
pub use error::EngineError;
pub use feedback::{Feedback, FeedbackError, Label};
pub use guard::{GuardConfig, Guarded, Scanned, Scanning};
pub use health::{BreakerHealth, Counts, EngineHealth, EntryHealth};
pub use policies::{Agreement, CandidateModel, Chosen, PolicySource, Rollout};
pub use prompts::openings;
pub use reserve::{Held, Success};
pub use scan::scan_here;
pub use scans_cache::ScanTerms;
pub use second::{OwnThresholds, SecondConfig, SecondStage, StageSource, check_model};
pub use sessions::{
    Change, NewMessage, Session, SessionError, SessionMessage, SessionPage, SessionPatch,
};
pub use stream::AnswerStream;
pub use tasks::{InForce, Runs, Tasks, TasksConfig, Webhooks};
pub use tidegate_guard::{
    Builtin, ClassifierTerms, Detection, Direction, L2, L2Outcome, Layer, Mode, Outcome, PackError,
    PackFolder, PackLayer, Policy, PolicyError, ScanRequest, Scanner, Severity, Span, Suppression,
    Thresholds, UnknownWord, Verdict, parse_rfc3339,
};
#[cfg(feature = "bedrock")]
pub use tidegate_provider::BedrockConfig;
pub use tidegate_provider::{
    AnthropicConfig, ChatRequest, Chunk, ContentCounts, Dialect, EmbedRequest, ErrorBody,
    MaxTokensField, Message, OpenAiConfig, Opening, PostClient, Provider, ProviderError, RawObject,
    RequestError, Unavailability, Usage, mock,
};
pub use tidegate_resilience::{Backoff, BreakerConfig, Health, RateTrip};
pub use tidegate_store::{
    CacheHealth, CacheStats, Level, MOST_NAME_BYTES, OnUnreachable, OpenError, Quota, Reach,
    Remark, STORE_HINT, Selector, Store, StoreConfig, StoreError, StoreState, StoreUrl, Topology,
    UnknownReservation, Weight,
};
pub use tidegate_tasks::{
    AtEnd, BadPriority, BadSchedule, BadState, BadTask, CancelOutcome, Isolation, KindLimits,
    KindStats, ListTasks, Missed, NewTask, OnFailed, Priority, Progress, Rate, Retries, RetryError,
    Schedule, Settings as TaskSettings, Stats as TaskStats, SubmitError, Submitted, Task, TaskEnd,
    TaskPage, TaskState, Ticks, Times as TaskTimes, WorkerConfig,
};
pub use tidegate_text::template::{
    Block, Framework, Library, Parameter, ParameterKind, Prompt, PromptFolders, PromptLayer,
    PromptPackError, RenderError, RenderWish, Rendered, Variant,
};
pub use tidegate_text::tokens::Encoding;
pub use tidegate_text::toon::compact::{Abbreviations, TableError};
pub use tidegate_text::toon::{
    DecodeOptions, Delimiter, Dialect as ToonForm, EncodeOptions, IndentSize, Savings, Strictness,
    Style,
};
pub use tidegate_work::{CancelToken, Deadline};
pub use toon::{ToonError, ToonText, ToonWish};
pub use verdicts::GuardCounts;
