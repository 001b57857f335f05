//! Small models for tests and benches, made from a few words.
//!
//! A model knows some words, each with two numbers; the numbers of a window are
//! pooled, and what comes out are the logits of `SAFE` and `INJECTION`. All
//! arithmetic of a model with small whole numbers is exact, so its score can be
//! computed by hand.

mod transformer;

use std::path::Path;

use serde_json::{Value, json};

pub use transformer::Transformer;

/// Tokens before the words: `[PAD]`, `[UNK]`, `[CLS]`, `[SEP]`.
pub const RESERVED: usize = 4;
/// The width of the matrices of a slow model, and their number of rows.
const WIDTH: usize = 512;
const ROWS: usize = 256;
const FLOAT: u64 = 1;
const INT64: u64 = 7;

/// How the numbers of the words of a window become two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pooling {
    /// Their mean, over all tokens.
    Mean,
    /// The largest.
    Max,
}

/// A model to be written.
#[derive(Clone, Debug)]
pub struct SmallModel {
    words: Vec<(String, [f32; 2])>,
    bias: [f32; 2],
    pooling: Pooling,
    inputs: Vec<&'static str>,
    length: Option<usize>,
    layers: usize,
    settings: String,
}

impl Default for SmallModel {
    fn default() -> Self {
        Self::new()
    }
}

impl SmallModel {
    /// A model that knows no word.
    pub fn new() -> Self {
        Self {
            words: Vec::new(),
            bias: [0.0; 2],
            pooling: Pooling::Max,
            inputs: vec!["input_ids", "attention_mask", "token_type_ids"],
            length: None,
            layers: 0,
            settings: String::new(),
        }
    }

    /// Knows a word in lower case: what it says for `SAFE` and for `INJECTION`.
    /// Other words say nothing.
    pub fn word(mut self, word: &str, numbers: [f32; 2]) -> Self {
        self.words.push((word.to_owned(), numbers));
        self
    }

    /// What is added to the logits.
    pub fn bias(mut self, bias: [f32; 2]) -> Self {
        self.bias = bias;
        self
    }

    /// How the numbers of a window are pooled.
    pub fn pooling(mut self, pooling: Pooling) -> Self {
        self.pooling = pooling;
        self
    }

    /// Which inputs the model asks for. Without `attention_mask`, what fills up
    /// counts as tokens.
    pub fn inputs(mut self, inputs: &[&'static str]) -> Self {
        self.inputs = inputs.to_vec();
        self
    }

    /// Reads windows of one length only.
    pub fn length(mut self, length: usize) -> Self {
        self.length = Some(length);
        self
    }

    /// Multiplies matrices for nothing: each layer is 134 million operations for
    /// each window, whatever its length, and changes no score. Four of them took
    /// two cores of 2026 at least 7 ms.
    pub fn layers(mut self, layers: usize) -> Self {
        self.layers = layers;
        self
    }

    /// The text of tidegate.toml.
    pub fn settings(mut self, settings: &str) -> Self {
        self.settings = settings.to_owned();
        self
    }

    /// Writes the files of the model into a folder.
    ///
    /// # Errors
    ///
    /// When a file cannot be written.
    pub fn write(&self, folder: &Path) -> std::io::Result<()> {
        std::fs::write(folder.join("model.onnx"), self.model())?;
        std::fs::write(folder.join("tokenizer.json"), self.tokenizer().to_string())?;
        std::fs::write(folder.join("config.json"), self.config().to_string())?;
        if self.settings.is_empty() {
            return Ok(());
        }
        std::fs::write(folder.join("tidegate.toml"), &self.settings)
    }

    /// The content of config.json.
    pub fn config(&self) -> Value {
        json!({
            "model_type": "bert",
            "max_position_embeddings": 512,
            "id2label": { "0": "SAFE", "1": "INJECTION" },
        })
    }

    /// The content of tokenizer.json.
    pub fn tokenizer(&self) -> Value {
        let mut vocab = json!({ "[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3 });
        for (at, (word, _)) in self.words.iter().enumerate() {
            vocab[word] = json!(RESERVED + at);
        }
        let special =
            |id: u32, content: &str| json!({ "id": id, "content": content, "special": true });
        let part = |id: &str| json!({ "SpecialToken": { "id": id, "type_id": 0 } });
        let token = |id: u32, text: &str| json!({ "id": text, "ids": [id], "tokens": [text] });
        json!({
            "version": "1.0",
            "added_tokens": [special(2, "[CLS]"), special(3, "[SEP]")],
            "normalizer": {
                "type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true,
                "strip_accents": null, "lowercase": true,
            },
            "pre_tokenizer": { "type": "BertPreTokenizer" },
            "post_processor": {
                "type": "TemplateProcessing",
                "single": [
                    part("[CLS]"),
                    { "Sequence": { "id": "A", "type_id": 0 } },
                    part("[SEP]"),
                ],
                "pair": [],
                "special_tokens": { "[CLS]": token(2, "[CLS]"), "[SEP]": token(3, "[SEP]") },
            },
            "model": {
                "type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
                "max_input_chars_per_word": 100, "vocab": vocab,
            },
        })
    }

    /// The bytes of model.onnx.
    pub fn model(&self) -> Vec<u8> {
        let mut graph = Graph::default();
        let reserved = std::iter::repeat_n([0.0; 2], RESERVED);
        let rows = reserved.chain(self.words.iter().map(|(_, numbers)| *numbers));
        let table: Vec<f32> = rows.flatten().collect();
        graph.weights("words", &[table.len() / 2, 2], &table);
        graph.node("Gather", &["words", "input_ids"], "letters", &[]);
        let mut last = "letters";
        if self.inputs.contains(&"token_type_ids") {
            graph.weights("kinds", &[2, 2], &[0.0; 4]);
            graph.node("Gather", &["kinds", "token_type_ids"], "typed", &[]);
            graph.node("Add", &[last, "typed"], "embedded", &[]);
            last = "embedded";
        }
        if self.inputs.contains(&"attention_mask") {
            graph.numbers("last_axis", &[2]);
            graph.node("Cast", &["attention_mask"], "mask", &[number("to", FLOAT)]);
            graph.node("Unsqueeze", &["mask", "last_axis"], "column", &[]);
            graph.node("Mul", &[last, "column"], "masked", &[]);
            last = "masked";
        }
        let pool = match self.pooling {
            Pooling::Mean => "ReduceMean",
            Pooling::Max => "ReduceMax",
        };
        graph.node(
            pool,
            &[last],
            "pooled",
            &[numbers("axes", &[1]), number("keepdims", 0)],
        );
        graph.weights("mix", &[2, 2], &[1.0, 0.0, 0.0, 1.0]);
        graph.weights("bias", &[2], &self.bias);
        graph.node("MatMul", &["pooled", "mix"], "mixed", &[]);
        let end = if self.layers == 0 { "logits" } else { "fast" };
        graph.node("Add", &["mixed", "bias"], end, &[]);
        self.add_layers(&mut graph);
        for input in &self.inputs {
            graph.input(input, self.length);
        }
        graph.output("logits");
        graph.into_model()
    }

    /// A long way round that adds nothing.
    fn add_layers(&self, graph: &mut Graph) {
        if self.layers == 0 {
            return;
        }
        let identity = (0..WIDTH * WIDTH).map(|at| f32::from(at % (WIDTH + 1) == 0));
        graph.weights("identity", &[WIDTH, WIDTH], &identity.collect::<Vec<_>>());
        graph.weights("widen", &[2, WIDTH], &[1.0; 2 * WIDTH]);
        graph.weights("rows", &[ROWS, 1], &[1.0; ROWS]);
        graph.weights("nothing", &[WIDTH, 2], &[0.0; 2 * WIDTH]);
        graph.node("MatMul", &["fast", "widen"], "wide", &[]);
        graph.node("MatMul", &["rows", "wide"], "layer0", &[]);
        for layer in 0..self.layers {
            let (from, to) = (format!("layer{layer}"), format!("layer{}", layer + 1));
            graph.node("MatMul", &[&from, "identity"], &to, &[]);
        }
        let last = format!("layer{}", self.layers);
        graph.node(
            "ReduceMean",
            &[&last],
            "row",
            &[numbers("axes", &[0]), number("keepdims", 1)],
        );
        graph.node("MatMul", &["row", "nothing"], "zero", &[]);
        graph.node("Add", &["fast", "zero"], "logits", &[]);
    }
}

/// A graph of ONNX while it is written.
#[derive(Clone, Debug, Default)]
pub struct Graph(Message);

/// An attribute of a node.
#[derive(Clone, Debug)]
pub struct Attribute(Message);

/// A whole number as an attribute.
pub fn number(name: &str, value: u64) -> Attribute {
    let message = Message::default().text(1, name).number(3, value);
    Attribute(message.number(20, 2))
}

/// Whole numbers as an attribute.
pub fn numbers(name: &str, values: &[u64]) -> Attribute {
    let message = Message::default().text(1, name);
    let message = values
        .iter()
        .fold(message, |message, value| message.number(8, *value));
    Attribute(message.number(20, 7))
}

impl Graph {
    /// Adds an operator.
    pub fn node(&mut self, operator: &str, inputs: &[&str], output: &str, with: &[Attribute]) {
        let node = Message::default();
        let node = inputs.iter().fold(node, |node, input| node.text(1, input));
        let node = node.text(2, output).text(3, output).text(4, operator);
        let node = with
            .iter()
            .fold(node, |node, attribute| node.message(5, &attribute.0));
        self.push(1, &node);
    }

    /// Adds weights.
    pub fn weights(&mut self, name: &str, shape: &[usize], values: &[f32]) {
        let raw: Vec<u8> = values
            .iter()
            .flat_map(|value| value.to_le_bytes())
            .collect();
        self.tensor(name, shape, FLOAT, &raw);
    }

    /// Adds whole numbers.
    pub fn numbers(&mut self, name: &str, values: &[i64]) {
        let raw: Vec<u8> = values
            .iter()
            .flat_map(|value| value.to_le_bytes())
            .collect();
        self.tensor(name, &[values.len()], INT64, &raw);
    }

    /// Names an input of whole numbers: `[1, length]`, or of any length.
    pub fn input(&mut self, name: &str, length: Option<usize>) {
        let free = |name: &str| Message::default().text(2, name);
        let last = match length {
            Some(length) => Message::default().number(1, length as u64),
            None => free("length"),
        };
        let shape = Message::default()
            .message(1, &free("batch"))
            .message(1, &last);
        self.value(11, name, INT64, &shape);
    }

    /// Names an output of floats.
    pub fn output(&mut self, name: &str) {
        let dim = |name: &str| Message::default().text(2, name);
        let shape = Message::default()
            .message(1, &dim("batch"))
            .message(1, &dim("labels"));
        self.value(12, name, FLOAT, &shape);
    }

    /// The bytes of a model with this graph.
    pub fn into_model(mut self) -> Vec<u8> {
        self.0 = self.0.text(2, "graph");
        let opset = Message::default().text(1, "").number(2, 17);
        let model = Message::default().number(1, 8).text(2, "tidegate");
        model.message(7, &self.0).message(8, &opset).0
    }

    /// Adds a field that ONNX does not know, or that a test wants to be there.
    pub fn push(&mut self, field: u64, message: &Message) {
        self.0 = std::mem::take(&mut self.0).message(field, message);
    }

    fn tensor(&mut self, name: &str, shape: &[usize], kind: u64, raw: &[u8]) {
        let tensor = Message::default();
        let tensor = shape
            .iter()
            .fold(tensor, |tensor, dim| tensor.number(1, *dim as u64));
        self.push(5, &tensor.number(2, kind).text(8, name).bytes(9, raw));
    }

    fn value(&mut self, field: u64, name: &str, kind: u64, shape: &Message) {
        let tensor = Message::default().number(1, kind).message(2, shape);
        let tensor = Message::default().message(1, &tensor);
        self.push(field, &Message::default().text(1, name).message(2, &tensor));
    }
}

/// A message of Protocol Buffers while it is written.
#[derive(Clone, Debug, Default)]
pub struct Message(Vec<u8>);

impl Message {
    /// With a number.
    pub fn number(mut self, field: u64, value: u64) -> Self {
        self.varint(field << 3);
        self.varint(value);
        self
    }

    /// With bytes.
    pub fn bytes(mut self, field: u64, value: &[u8]) -> Self {
        self.varint(field << 3 | 2);
        self.varint(value.len() as u64);
        self.0.extend_from_slice(value);
        self
    }

    /// With a text.
    pub fn text(self, field: u64, value: &str) -> Self {
        self.bytes(field, value.as_bytes())
    }

    /// With a message in it.
    pub fn message(self, field: u64, value: &Message) -> Self {
        self.bytes(field, &value.0)
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }
}
