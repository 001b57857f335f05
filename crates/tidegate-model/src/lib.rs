#![doc = include_str!("../README.md")]

mod calibration;
mod classifier;
mod file;
mod following;
mod model;
#[cfg(feature = "onnx")]
pub mod onnx;
mod words;

pub use calibration::{Calibration, exp, lateness, logistic};
pub use classifier::{Classifier, Reason, Score};
pub use file::ModelError;
pub use following::Following;
pub use model::{Direction, Model, Settings, Slot, Thresholds, share};
pub use words::{Gram, Reader};
