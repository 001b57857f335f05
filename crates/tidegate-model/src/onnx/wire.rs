//! What an ONNX file holds, looked over before the runtime sees it.
//!
//! The runtime reads subgraphs within subgraphs as deep as a file writes them, and
//! a process whose stack has run out cannot be saved. So a file is walked here
//! first, without recursion into what it nests: subgraphs (branches and loops) are
//! refused, and so are weights in other files, and tensors that do not hold as
//! many bytes as they say.

use std::path::Path;

use super::error::OnnxError;

/// No encoder of texts has more.
const MAX_NODES: usize = 100_000;
const EXPORT: &str = "export the model as one file without branches and loops";

/// Fields of the messages in onnx.proto.
mod field {
    pub(super) const MODEL_GRAPH: u64 = 7;
    pub(super) const MODEL_FUNCTIONS: u64 = 25;
    pub(super) const GRAPH_NODE: u64 = 1;
    pub(super) const GRAPH_INITIALIZER: u64 = 5;
    pub(super) const GRAPH_SPARSE: u64 = 15;
    pub(super) const NODE_ATTRIBUTE: u64 = 5;
    pub(super) const NODE_NAME: u64 = 3;
    pub(super) const ATTRIBUTE_TENSOR: u64 = 5;
    pub(super) const ATTRIBUTE_GRAPH: u64 = 6;
    pub(super) const ATTRIBUTE_TENSORS: u64 = 10;
    pub(super) const ATTRIBUTE_GRAPHS: u64 = 11;
    pub(super) const TENSOR_DIMS: u64 = 1;
    pub(super) const TENSOR_TYPE: u64 = 2;
    pub(super) const TENSOR_NAME: u64 = 8;
    pub(super) const TENSOR_RAW: u64 = 9;
    pub(super) const TENSOR_EXTERNAL: u64 = 13;
    pub(super) const TENSOR_LOCATION: u64 = 14;
}

/// One field of a message.
#[derive(Clone, Copy)]
enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    /// Four or eight bytes, which nothing here asks for.
    Fixed,
}

/// The fields of a message that are left; `None` where the bytes make no field.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn varint(&mut self) -> Option<u64> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.0.split_first()?;
            self.0 = rest;
            number |= u64::from(byte & 0x7F) << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    fn skip(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn field(&mut self) -> Option<(u64, Value<'a>)> {
        let tag = self.varint()?;
        let value = match tag & 7 {
            0 => Value::Number(self.varint()?),
            1 => self.skip(8).map(|_| Value::Fixed)?,
            2 => {
                let length = usize::try_from(self.varint()?).ok()?;
                Value::Bytes(self.skip(length)?)
            }
            5 => self.skip(4).map(|_| Value::Fixed)?,
            _ => return None,
        };
        Some((tag >> 3, value))
    }
}

/// Looks a file over.
pub(crate) struct Survey<'a> {
    path: &'a Path,
    nodes: usize,
}

impl<'a> Survey<'a> {
    /// Refuses a file that the runtime must not see.
    pub(crate) fn of(bytes: &[u8], path: &'a Path) -> Result<(), OnnxError> {
        let mut survey = Self { path, nodes: 0 };
        let mut graphs = 0;
        survey.each(bytes, "the model", |survey, number, value| {
            match (number, value) {
                (field::MODEL_GRAPH, Value::Bytes(graph)) => {
                    graphs += 1;
                    survey.graph(graph)
                }
                (field::MODEL_FUNCTIONS, _) => Err(survey.unsupported("functions of its own")),
                _ => Ok(()),
            }
        })?;
        if graphs == 1 && survey.nodes > 0 {
            return Ok(());
        }
        Err(survey.malformed("is no ONNX model", "there is no graph with nodes"))
    }

    fn malformed(&self, problem: &str, place: impl ToString) -> OnnxError {
        OnnxError::malformed(self.path, problem, place)
    }

    fn unsupported(&self, what: impl ToString) -> OnnxError {
        OnnxError::unsupported(self.path, what, EXPORT)
    }

    /// Hands over each field of a message.
    fn each<'b>(
        &mut self,
        bytes: &'b [u8],
        place: &str,
        mut step: impl FnMut(&mut Self, u64, Value<'b>) -> Result<(), OnnxError>,
    ) -> Result<(), OnnxError> {
        let mut fields = Fields(bytes);
        while !fields.0.is_empty() {
            let (number, value) = fields
                .field()
                .ok_or_else(|| self.malformed("is cut off or damaged", place))?;
            step(self, number, value)?;
        }
        Ok(())
    }

    fn graph(&mut self, bytes: &[u8]) -> Result<(), OnnxError> {
        self.each(bytes, "the graph", |survey, number, value| {
            match (number, value) {
                (field::GRAPH_NODE, Value::Bytes(node)) => survey.node(node),
                (field::GRAPH_INITIALIZER, Value::Bytes(tensor)) => survey.tensor(tensor),
                (field::GRAPH_SPARSE, _) => Err(survey.unsupported("sparse weights")),
                _ => Ok(()),
            }
        })
    }

    fn node(&mut self, bytes: &[u8]) -> Result<(), OnnxError> {
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            return Err(self.unsupported(format!("more than {MAX_NODES} nodes")));
        }
        let mut name = String::new();
        self.each(bytes, "a node", |survey, number, value| {
            match (number, value) {
                (field::NODE_NAME, Value::Bytes(text)) => {
                    name = String::from_utf8_lossy(text).into_owned();
                    Ok(())
                }
                (field::NODE_ATTRIBUTE, Value::Bytes(attribute)) => {
                    survey.attribute(attribute, &name)
                }
                _ => Ok(()),
            }
        })
    }

    fn attribute(&mut self, bytes: &[u8], node: &str) -> Result<(), OnnxError> {
        self.each(bytes, "an attribute", |survey, number, value| {
            match (number, value) {
                (field::ATTRIBUTE_TENSOR | field::ATTRIBUTE_TENSORS, Value::Bytes(tensor)) => {
                    survey.tensor(tensor)
                }
                (field::ATTRIBUTE_GRAPH | field::ATTRIBUTE_GRAPHS, _) => {
                    Err(survey.unsupported(format!("a subgraph in the node {node:?}")))
                }
                _ => Ok(()),
            }
        })
    }

    fn tensor(&mut self, bytes: &[u8]) -> Result<(), OnnxError> {
        let (mut size, mut kind, mut raw) = (Some(1_u64), 0, None);
        let mut name = String::from("without a name");
        let multiply = |size: &mut Option<u64>, dim: u64| {
            *size = size.and_then(|size| size.checked_mul(dim));
        };
        self.each(bytes, "a tensor", |survey, number, value| {
            match (number, value) {
                (field::TENSOR_DIMS, Value::Number(dim)) => multiply(&mut size, dim),
                (field::TENSOR_DIMS, Value::Bytes(packed)) => {
                    let mut dims = Fields(packed);
                    while !dims.0.is_empty() {
                        let dim = dims.varint().ok_or_else(|| {
                            survey.malformed("is cut off or damaged", "the shape of a tensor")
                        })?;
                        multiply(&mut size, dim);
                    }
                }
                (field::TENSOR_TYPE, Value::Number(number)) => kind = number,
                (field::TENSOR_NAME, Value::Bytes(text)) => {
                    name = String::from_utf8_lossy(text).into_owned();
                }
                (field::TENSOR_RAW, Value::Bytes(bytes)) => raw = Some(bytes.len() as u64),
                (field::TENSOR_EXTERNAL, _) | (field::TENSOR_LOCATION, Value::Number(1..)) => {
                    return Err(survey.unsupported("weights in another file"));
                }
                _ => {}
            }
            Ok(())
        })?;
        let Some(size) = size else {
            return Err(self.malformed("has a tensor of impossible size", name));
        };
        let wanted = bytes_of(kind).and_then(|bytes| size.checked_mul(bytes));
        match (raw, wanted) {
            (Some(found), Some(wanted)) if found != wanted => {
                let place = format!("tensor {name:?}: {found} bytes instead of {wanted}");
                Err(self.malformed("is cut off or damaged", place))
            }
            _ => Ok(()),
        }
    }
}

/// The bytes of one element, for the types whose size is fixed.
fn bytes_of(kind: u64) -> Option<u64> {
    match kind {
        2 | 3 | 9 => Some(1),
        4 | 5 | 10 | 16 => Some(2),
        1 | 6 | 12 => Some(4),
        7 | 11 | 13 => Some(8),
        _ => None,
    }
}
