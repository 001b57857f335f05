//! The seam to the runtime: windows of tokens in, tensors out.
//!
//! Whatever the runtime does with a file that it did not expect, a panic included,
//! becomes an error here. Its operators are those of encoders of texts; loops,
//! branches, random numbers and pictures are not among them.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use rten::{
    DataType, Dimension, Model, ModelOptions, NodeId, OpRegistry, RunOptions, ThreadPool,
    ValueOrView, ValueType, ValueView, op_registry,
};

use rten_tensor::prelude::*;

use super::error::{OnnxError, quote};
use super::wire::Survey;

const INPUTS: &str = "export the model with input_ids, attention_mask and token_type_ids only";
const OUTPUTS: &str = "export the model with one output, or with one of this name";

/// A loaded model.
pub(crate) struct Session {
    model: Model,
    inputs: Vec<(NodeId, Input)>,
    output: (NodeId, String),
    length: Option<usize>,
    threads: Arc<ThreadPool>,
}

/// What a model asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Input {
    Ids,
    Mask,
    Kinds,
}

/// One window, as a model reads it: three lists of one length.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sequence {
    /// The numbers of the tokens.
    pub(crate) ids: Vec<i32>,
    /// 1 for a token, 0 for what only fills up.
    pub(crate) mask: Vec<i32>,
    /// The types of the tokens.
    pub(crate) kinds: Vec<i32>,
}

/// What a model answers: `shape`, row by row.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Output {
    pub(crate) shape: Vec<usize>,
    pub(crate) data: Vec<f32>,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session")
            .field("inputs", &self.inputs.len())
            .field("output", &self.output.1)
            .field("length", &self.length)
            .finish_non_exhaustive()
    }
}

impl Session {
    /// Loads a model from the bytes of its file. What it answers is its output
    /// `wanted`, or its only one.
    pub(crate) fn load(bytes: Vec<u8>, path: &Path, wanted: &str) -> Result<Self, OnnxError> {
        Survey::of(&bytes, path)?;
        let load = || ModelOptions::with_ops(operators()).load(bytes);
        let model =
            caught(load)?.map_err(|error| OnnxError::malformed(path, "cannot be loaded", error))?;
        let (mut inputs, mut length) = (Vec::new(), None);
        for id in model.input_ids() {
            let (input, fixed) =
                input(&model, *id).map_err(|what| OnnxError::unsupported(path, what, INPUTS))?;
            length = length.or(fixed);
            inputs.push((*id, input));
        }
        if !inputs.iter().any(|(_, input)| *input == Input::Ids) {
            return Err(OnnxError::unsupported(path, "no input_ids", INPUTS));
        }
        let output =
            output(&model, wanted).map_err(|what| OnnxError::unsupported(path, what, OUTPUTS))?;
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        Ok(Self {
            model,
            inputs,
            output,
            length,
            threads: Arc::new(ThreadPool::with_num_threads(threads)),
        })
    }

    /// The only length of a window that the model reads, where it is not free.
    pub(crate) fn length(&self) -> Option<usize> {
        self.length
    }

    /// The name of its output.
    pub(crate) fn output(&self) -> &str {
        &self.output.1
    }

    /// Runs the model over one window.
    pub(crate) fn run(&self, sequence: &Sequence) -> Result<Output, OnnxError> {
        let failed = |reason: &dyn ToString| OnnxError::Run {
            reason: quote(&reason.to_string()),
        };
        let shape = [1, sequence.ids.len()];
        let mut inputs: Vec<(NodeId, ValueOrView)> = Vec::with_capacity(self.inputs.len());
        for (id, input) in &self.inputs {
            let data = match input {
                Input::Ids => &sequence.ids,
                Input::Mask => &sequence.mask,
                Input::Kinds => &sequence.kinds,
            };
            let view = ValueView::from_shape(shape, data).map_err(|error| failed(&error))?;
            inputs.push((*id, view.into()));
        }
        let options = RunOptions::default().with_thread_pool(Some(self.threads.clone()));
        let run = || self.model.run(inputs, &[self.output.0], Some(options));
        let mut values = caught(run)?.map_err(|error| failed(&error))?;
        let tensor = values.pop().and_then(|value| value.into_tensor::<f32>());
        let tensor = tensor.ok_or_else(|| failed(&"its output is not of 32-bit floats"))?;
        Ok(Output {
            shape: tensor.shape().to_vec(),
            data: tensor.to_vec(),
        })
    }
}

/// The input behind a node, and the length that it fixes.
fn input(model: &Model, id: NodeId) -> Result<(Input, Option<usize>), String> {
    let info = model.node_info(id);
    let name = info
        .as_ref()
        .and_then(|info| info.name())
        .unwrap_or_default();
    let input = match name {
        "input_ids" => Input::Ids,
        "attention_mask" => Input::Mask,
        "token_type_ids" => Input::Kinds,
        _ => return Err(format!("the input {name:?}")),
    };
    let kind = info.as_ref().and_then(|info| info.dtype());
    if kind.is_some_and(|kind| kind != ValueType::Tensor(DataType::Int32)) {
        return Err(format!(
            "the input {name:?} with another type than whole numbers"
        ));
    }
    let dims = info.and_then(|info| info.shape());
    match dims.as_deref() {
        None | Some([_, Dimension::Symbolic(_)]) => Ok((input, None)),
        Some(
            [
                Dimension::Fixed(1) | Dimension::Symbolic(_),
                Dimension::Fixed(length),
            ],
        ) => Ok((input, Some(*length))),
        Some(_) => Err(format!(
            "the input {name:?} with another shape than [1, length]"
        )),
    }
}

/// The output with a name, or the only one.
fn output(model: &Model, wanted: &str) -> Result<(NodeId, String), String> {
    let name = |id: NodeId| {
        let info = model.node_info(id);
        info.and_then(|info| info.name())
            .unwrap_or_default()
            .to_owned()
    };
    let outputs = model.output_ids();
    let named = outputs.iter().find(|id| name(**id) == wanted);
    match (named, outputs) {
        (Some(id), _) | (None, [id]) => Ok((*id, name(*id))),
        (None, _) => {
            let names: Vec<String> = outputs.iter().map(|id| name(*id)).collect();
            Err(format!(
                "a choice between the outputs {names:?}, none of them {wanted:?}"
            ))
        }
    }
}

/// What a computation gives, or the last words of its panic.
pub(super) fn caught<T>(run: impl FnOnce() -> T) -> Result<T, OnnxError> {
    // A model is not changed by a run, and a half-loaded one is dropped.
    catch_unwind(AssertUnwindSafe(run)).map_err(|panic| OnnxError::Panicked {
        reason: last_words(panic.as_ref()),
    })
}

fn last_words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    quote(text.unwrap_or("no reason given"))
}

/// The operators of encoders of texts.
#[rustfmt::skip]
fn operators() -> OpRegistry {
    op_registry!(
        Abs, Add, And, Cast, CastLike, Ceil, Clip, Concat, ConstantOfShape, Conv, Cos, CumSum,
        DequantizeLinear, Div, DynamicQuantizeLinear, Einsum, Equal, Erf, Exp, Expand, Flatten,
        Floor, Gather, GatherElements, GatherND, Gelu, Gemm, Greater, GreaterOrEqual, Identity,
        IsNaN, LayerNormalization, LeakyRelu, Less, LessOrEqual, Log, LogSoftmax, MatMul,
        MatMulInteger, Max, Mean, Min, Mod, Mul, Neg, NonZero, Not, OneHot, Or, Pad, Pow,
        QuantizeLinear, Range, Reciprocal, ReduceL2, ReduceMax, ReduceMean, ReduceMin, ReduceSum,
        Relu, Reshape, RotaryEmbedding, Round, ScatterND, Shape, Sigmoid, Sign, Sin, Size, Slice,
        Softmax, Softplus, Split, Sqrt, Squeeze, Sub, Sum, Tanh, Tile, Transpose, Trilu,
        Unsqueeze, Where
    )
}
