//! An encoder with attention, as large as one likes, with weights of chance.
//!
//! It is made of the operators that exporters write for BERT, so that what the
//! runtime can do and how fast it is can be tried without a model of somebody
//! else. Its scores mean nothing, but they are the same each time.

use super::{Graph, RESERVED, number, numbers};

/// Its measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transformer {
    /// Blocks of attention and feed-forward.
    pub layers: usize,
    /// The numbers of a token; a multiple of `heads`.
    pub width: usize,
    /// Parts of the attention.
    pub heads: usize,
    /// The number of known words.
    pub words: usize,
    /// The longest window.
    pub positions: usize,
}

/// All bits: -1 as a number of the format.
const LAST: u64 = u64::MAX;

impl Transformer {
    /// The bytes of model.onnx, for two labels.
    pub fn model(&self) -> Vec<u8> {
        let mut maker = Maker {
            graph: Graph::default(),
            random: 42,
            width: self.width,
        };
        let rows = RESERVED + self.words;
        maker.embed(rows, self.positions);
        maker.attend_to_what_is_there();
        let heads = self.heads as i64;
        let part = (self.width / self.heads) as i64;
        maker.graph.numbers("split", &[0, 0, heads, part]);
        maker.graph.numbers("join", &[0, 0, heads * part]);
        maker
            .graph
            .weights("scale", &[1], &[1.0 / (part as f32).sqrt()]);
        maker
            .graph
            .weights("root", &[1], &[std::f32::consts::SQRT_2]);
        maker.graph.weights("one", &[1], &[1.0]);
        maker.graph.weights("half", &[1], &[0.5]);
        let mut last = "embedded".to_owned();
        for layer in 0..self.layers {
            last = maker.layer(&format!("l{layer}"), &last);
        }
        maker.classify(&last);
        for input in ["input_ids", "attention_mask", "token_type_ids"] {
            maker.graph.input(input, None);
        }
        maker.graph.output("logits");
        maker.graph.into_model()
    }
}

struct Maker {
    graph: Graph,
    random: u64,
    width: usize,
}

impl Maker {
    /// Weights between -0.1 and 0.1.
    fn weights(&mut self, name: &str, shape: &[usize]) {
        let count = shape.iter().product();
        let mut values = Vec::with_capacity(count);
        for _ in 0..count {
            self.random ^= self.random << 13;
            self.random ^= self.random >> 7;
            self.random ^= self.random << 17;
            values.push(((self.random >> 40) as f32 / (1 << 23) as f32 - 1.0) * 0.1);
        }
        self.graph.weights(name, shape, &values);
    }

    /// `from` times a matrix, plus a row; its name is `name`.
    fn dense(&mut self, name: &str, from: &str, shape: [usize; 2]) {
        let (matrix, row, product) = (
            format!("{name}.w"),
            format!("{name}.b"),
            format!("{name}.p"),
        );
        self.weights(&matrix, &shape);
        self.weights(&row, &[shape[1]]);
        self.graph.node("MatMul", &[from, &matrix], &product, &[]);
        self.graph.node("Add", &[&product, &row], name, &[]);
    }

    /// The sum of two values, normalized.
    fn add_and_normalize(&mut self, name: &str, first: &str, second: &str) {
        let (sum, scale, row) = (
            format!("{name}.s"),
            format!("{name}.g"),
            format!("{name}.b"),
        );
        self.graph
            .weights(&scale, &[self.width], &vec![1.0; self.width]);
        self.weights(&row, &[self.width]);
        self.graph.node("Add", &[first, second], &sum, &[]);
        let axis = [number("axis", LAST)];
        self.graph
            .node("LayerNormalization", &[&sum, &scale, &row], name, &axis);
    }

    /// Words, kinds and positions, added and normalized.
    fn embed(&mut self, rows: usize, positions: usize) {
        self.weights("words", &[rows, self.width]);
        self.weights("kinds", &[2, self.width]);
        self.weights("positions", &[positions, self.width]);
        let graph = &mut self.graph;
        graph.numbers("first", &[0]);
        graph.numbers("second", &[1]);
        graph.numbers("third", &[2]);
        graph.node("Gather", &["words", "input_ids"], "word", &[]);
        graph.node("Gather", &["kinds", "token_type_ids"], "kind", &[]);
        graph.node("Shape", &["input_ids"], "shape", &[]);
        graph.node("Slice", &["shape", "second", "third"], "length", &[]);
        let cut = ["positions", "first", "length", "first"];
        graph.node("Slice", &cut, "place", &[]);
        graph.node("Add", &["word", "kind"], "known", &[]);
        self.add_and_normalize("embedded", "known", "place");
    }

    /// A large negative number where the mask is 0.
    fn attend_to_what_is_there(&mut self) {
        let graph = &mut self.graph;
        graph.numbers("inner", &[1, 2]);
        graph.weights("full", &[1], &[1.0]);
        graph.weights("least", &[1], &[-10_000.0]);
        graph.node("Cast", &["attention_mask"], "present", &[number("to", 1)]);
        graph.node("Unsqueeze", &["present", "inner"], "wide", &[]);
        graph.node("Sub", &["full", "wide"], "absent", &[]);
        graph.node("Mul", &["absent", "least"], "hidden", &[]);
    }

    fn layer(&mut self, name: &str, from: &str) -> String {
        let width = self.width;
        let at = |part: &str| format!("{name}.{part}");
        for (part, order) in [
            ("q", [0, 2, 1, 3]),
            ("k", [0, 2, 3, 1]),
            ("v", [0, 2, 1, 3]),
        ] {
            let (dense, split, turned) =
                (at(part), at(&format!("{part}s")), at(&format!("{part}t")));
            self.dense(&dense, from, [width, width]);
            self.graph.node("Reshape", &[&dense, "split"], &split, &[]);
            let order = [numbers("perm", &order)];
            self.graph.node("Transpose", &[&split], &turned, &order);
        }
        let graph = &mut self.graph;
        graph.node("MatMul", &[&at("qt"), &at("kt")], &at("raw"), &[]);
        graph.node("Mul", &[&at("raw"), "scale"], &at("scaled"), &[]);
        graph.node("Add", &[&at("scaled"), "hidden"], &at("seen"), &[]);
        let axis = [number("axis", LAST)];
        graph.node("Softmax", &[&at("seen")], &at("shares"), &axis);
        graph.node("MatMul", &[&at("shares"), &at("vt")], &at("taken"), &[]);
        let order = [numbers("perm", &[0, 2, 1, 3])];
        graph.node("Transpose", &[&at("taken")], &at("back"), &order);
        graph.node("Reshape", &[&at("back"), "join"], &at("joined"), &[]);
        self.dense(&at("mixed"), &at("joined"), [width, width]);
        self.add_and_normalize(&at("attended"), &at("mixed"), from);
        self.dense(&at("up"), &at("attended"), [width, 4 * width]);
        let graph = &mut self.graph;
        graph.node("Div", &[&at("up"), "root"], &at("part"), &[]);
        graph.node("Erf", &[&at("part")], &at("erf"), &[]);
        graph.node("Add", &[&at("erf"), "one"], &at("raised"), &[]);
        graph.node("Mul", &[&at("up"), &at("raised")], &at("twice"), &[]);
        graph.node("Mul", &[&at("twice"), "half"], &at("gelu"), &[]);
        self.dense(&at("down"), &at("gelu"), [4 * width, width]);
        self.add_and_normalize(&at("end"), &at("down"), &at("attended"));
        at("end")
    }

    /// Two labels from the first token.
    fn classify(&mut self, last: &str) {
        let (width, axis) = (self.width, [number("axis", 1)]);
        self.graph.node("Gather", &[last, "first"], "begin", &axis);
        self.graph.node("Squeeze", &["begin", "second"], "row", &[]);
        self.dense("pooled", "row", [width, width]);
        self.graph.node("Tanh", &["pooled"], "bounded", &[]);
        self.dense("logits", "bounded", [width, 2]);
    }
}
