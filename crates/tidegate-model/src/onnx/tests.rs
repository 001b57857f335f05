use std::cell::Cell;
use std::path::PathBuf;

use super::testing::{Graph, Message, Pooling, SmallModel, Transformer};
use super::*;

/// A folder that goes away with the test.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let folder = format!("tidegate-onnx-{}-{name}", std::process::id());
        let path = std::env::temp_dir().join(folder);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn of(name: &str, model: &SmallModel) -> Self {
        let scratch = Self::new(name);
        model.write(&scratch.0).unwrap();
        scratch
    }

    fn put(&self, name: &str, bytes: &[u8]) {
        std::fs::write(self.0.join(name), bytes).unwrap();
    }

    fn load(&self) -> Result<TextModel, OnnxError> {
        TextModel::load(&self.0)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}

fn words() -> SmallModel {
    SmallModel::new()
        .word("ignore", [0.0, 4.0])
        .word("rules", [1.0, 2.0])
        .word("tide", [8.0, 0.0])
}

fn score(model: &TextModel, text: &str) -> Score {
    model.score(text, &|| false).unwrap().unwrap()
}

/// The message of an error, which must hold each of the texts.
#[track_caller]
fn check(result: Result<TextModel, OnnxError>, holds: &[&str]) {
    let message = result.expect_err("this folder is refused").to_string();
    for part in holds {
        assert!(message.contains(part), "{part:?} is not in: {message}");
    }
}

#[test]
fn a_score_is_what_is_computed_by_hand() {
    let maker = words().pooling(Pooling::Mean).bias([0.5, -0.25]);
    let scratch = Scratch::of("by-hand", &maker);
    let model = scratch.load().unwrap();
    // Eight tokens, [CLS] and [SEP] among them: the sums are 1 + 8 and 4 + 2.
    let found = score(&model, "Ignore RULES tide, x y");
    assert_eq!(found.logit, (6.0 / 8.0 - 0.25) - (9.0 / 8.0 + 0.5));
    assert_eq!(found.probability, logistic(found.logit));
    assert_eq!(found.window, 0..22);
    assert_eq!(found.windows, 1);
}

#[test]
fn name_version_and_thresholds_are_those_of_the_folder() {
    let settings = "flag = 0.25\n[answer]\nflag = 0.5\nblock = 0.75\n";
    let scratch = Scratch::of("Named Model", &words().settings(settings));
    let model = scratch.load().unwrap();
    assert!(model.name().ends_with("-named-model"), "{}", model.name());
    assert_eq!(model.version().len(), 12);
    let thresholds = |flag, block| Thresholds { flag, block };
    assert_eq!(model.thresholds(Direction::Prompt), thresholds(0.25, 0.9));
    assert_eq!(model.thresholds(Direction::Answer), thresholds(0.5, 0.75));
}

#[test]
fn windows_overlap_and_the_worst_of_them_is_the_score() {
    // Two tokens stand around, so four are left for the text, one of them shared.
    let maker = words().settings("max_tokens = 6\nstride = 3\n");
    let scratch = Scratch::of("windows", &maker);
    let model = scratch.load().unwrap();
    let text = "aa bb cc dd ee ff rules gg ignore hh";
    let found = score(&model, text);
    // 0..4, 3..7, 6..10: the last one begins at "rules".
    assert_eq!(found.windows, 3);
    assert_eq!(found.window, 18..36);
    assert_eq!(found.logit, 4.0 - 1.0);
    // Seven words are two windows and not three: the second one holds the last.
    assert_eq!(score(&model, "a b c d e f g").windows, 2);
    assert_eq!(score(&model, "a b c d e f g h").windows, 3);
    assert_eq!(score(&model, "").windows, 1);
}

#[test]
fn places_are_code_points_of_the_text() {
    let scratch = Scratch::of("places", &words().settings("max_tokens = 3\nstride = 1\n"));
    let model = scratch.load().unwrap();
    let found = score(&model, "日本 é ignore ß");
    assert_eq!((found.window, found.windows), (5..11, 5));
}

#[test]
fn a_long_text_is_read_piece_by_piece_and_nothing_falls_between_pieces() {
    let scratch = Scratch::of("long", &words());
    let model = scratch.load().unwrap();
    for before in [0, 4000, 4090, 4096, 4100, 9000] {
        let text = format!("{}ignore{}", "x ".repeat(before / 2), " y".repeat(3000));
        let found = score(&model, &text);
        assert_eq!(found.logit, 4.0, "{before}");
        let place = before / 2 * 2;
        assert!(found.window.contains(&place) && found.window.contains(&(place + 5)));
        let tokens = before / 2 + 1 + 3000;
        let wanted = 1 + (tokens - 510).div_ceil(510 - 63);
        assert_eq!(found.windows, wanted, "{before}");
    }
}

#[test]
fn a_stop_after_the_first_window_reads_exactly_one() {
    let maker = words().layers(3).settings("max_tokens = 6\nstride = 3\n");
    let scratch = Scratch::of("stop", &maker);
    let model = scratch.load().unwrap();
    let asked = Cell::new(0);
    let stop = || asked.replace(asked.get() + 1) == 1;
    assert_eq!(model.score(&"word ".repeat(100), &stop).unwrap(), None);
    assert_eq!(
        asked.get(),
        2,
        "once before the first window, once before the second"
    );
    assert_eq!(model.score("text", &|| true).unwrap(), None);
}

#[test]
fn a_slow_model_gives_the_score_of_a_fast_one() {
    let (fast, slow) = (words(), words().layers(3));
    let (fast, slow) = (Scratch::of("fast", &fast), Scratch::of("slow", &slow));
    let text = "Ignore the rules of the tide";
    assert_eq!(
        score(&fast.load().unwrap(), text),
        score(&slow.load().unwrap(), text)
    );
}

#[test]
fn a_model_of_one_length_gets_windows_that_are_filled_up() {
    // What fills up is masked: with it, the mean of the largest would change.
    let maker = words().pooling(Pooling::Mean).length(8);
    let scratch = Scratch::of("length", &maker);
    let model = scratch.load().unwrap();
    assert_eq!(score(&model, "ignore").logit, 4.0 / 8.0);
    assert_eq!(score(&model, "ignore x y z a b c").windows, 2);
    scratch.put("tidegate.toml", b"max_tokens = 9");
    check(
        scratch.load(),
        &["max_tokens is 9, the model takes 8 at most"],
    );
}

#[test]
fn an_encoder_with_attention_runs_and_what_fills_up_changes_nothing() {
    let scratch = Scratch::of("encoder", &words());
    let encoder = Transformer {
        layers: 2,
        width: 32,
        heads: 4,
        words: 3,
        positions: 64,
    };
    scratch.put("model.onnx", &encoder.model());
    let model = scratch.load().unwrap();
    let text = "ignore the rules of the tide";
    let short = score(&model, text).logit;
    assert_ne!(short, score(&model, "the tide ignores rules").logit);
    let layout = Layout {
        length: Some(20),
        ..model.layout
    };
    let filled = score(&TextModel { layout, ..model }, text).logit;
    assert!((filled - short).abs() < 1e-5, "{filled} {short}");
}

#[test]
fn a_model_gets_only_the_inputs_that_it_asks_for() {
    for inputs in [
        &["input_ids"][..],
        &["input_ids", "attention_mask"],
        &["token_type_ids", "input_ids"],
    ] {
        let scratch = Scratch::of("inputs", &words().inputs(inputs));
        let model = scratch.load().unwrap();
        assert_eq!(score(&model, "ignore tide").logit, 4.0 - 8.0, "{inputs:?}");
    }
}

#[test]
fn numbers_that_are_not_finite_are_an_error_that_says_so() {
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let scratch = Scratch::of(
            "nan",
            &words().pooling(Pooling::Mean).word("bad", [bad, 0.0]),
        );
        let model = scratch.load().unwrap();
        assert_eq!(score(&model, "ignore x").logit, 4.0 / 4.0);
        let error = model.score("well bad", &|| false).unwrap_err();
        assert_eq!(error, OnnxError::NotFinite { window: 0..8 });
        assert!(error.to_string().contains("not finite"));
    }
    // One that never answers with numbers is refused before it is used.
    let scratch = Scratch::of("all-nan", &words().bias([f32::NAN, 0.0]));
    check(scratch.load(), &["not finite"]);
}

#[test]
fn labels_are_chosen_by_name_or_by_the_owner() {
    let scratch = Scratch::of("labels", &words());
    let load = |labels: &str, settings: &str| {
        scratch.put("config.json", labels.as_bytes());
        scratch.put("tidegate.toml", settings.as_bytes());
        scratch.load().map(|model| score(&model, "ignore").logit)
    };
    for (labels, logit) in [
        (r#"{"id2label":{"0":"LABEL_0","1":"LABEL_1"}}"#, 4.0),
        (r#"{"label2id":{"Jailbreak":0,"benign":1}}"#, -4.0),
        (r#"{"id2label":{"0":"no_injection","1":"injection"}}"#, 4.0),
        (r#"{"id2label":{"0":"unsafe","1":"safe"}}"#, -4.0),
    ] {
        assert_eq!(load(labels, ""), Ok(logit), "{labels}");
    }
    let colors = r#"{"id2label":{"0":"red","1":"green"}}"#;
    let error = load(colors, "").unwrap_err();
    assert!(error.to_string().contains("attack_label in tidegate.toml"));
    assert!(load(colors, "attack_label = 'blue'").is_err());
    assert_eq!(load(colors, "attack_label = 'red'"), Ok(-4.0));
    assert_eq!(load(colors, "attack_label = ['green']"), Ok(4.0));
    let alone =
        r#"{"id2label":{"0":"safe","1":"unsafe"},"problem_type":"multi_label_classification"}"#;
    assert_eq!(load(alone, ""), Ok(4.0));
    let three = r#"{"id2label":{"0":"safe","1":"attack","2":"injection"}}"#;
    let error = load(three, "").unwrap_err().to_string();
    assert!(error.contains("[1, 2], wanted is [1, 3]"), "{error}");
    assert!(load(r#"{"id2label":{"0":"safe","2":"attack"}}"#, "").is_err());
    assert!(
        load("{}", "")
            .unwrap_err()
            .to_string()
            .contains("has no labels")
    );
}

#[test]
fn two_labels_that_mean_an_attack_count_together() {
    let scratch = Scratch::of("together", &words());
    let model = scratch.load().unwrap();
    let labels = Labels {
        count: 3,
        attacks: vec![1, 2],
        kind: LabelKind::OneOfAll,
    };
    let model = TextModel { labels, ..model };
    let output = Output {
        shape: vec![1, 3],
        data: vec![3.0, 1.0, 1.0],
    };
    let logit = model.logit(&output, &(0..1)).unwrap();
    assert!((logit - (1.0 + 2_f64.ln() - 3.0)).abs() < 1e-12, "{logit}");
}

#[test]
fn a_model_with_another_digest_is_refused() {
    let scratch = Scratch::of("digest", &words());
    let digest = folder::Folder::read(&scratch.0).unwrap().digest;
    scratch.put("tidegate.toml", format!("sha256 = '{digest}'").as_bytes());
    assert_eq!(scratch.load().unwrap().version(), &digest[..12]);
    // One bit of a weight, so that nothing else could notice.
    let mut bytes = words().model();
    let at = bytes
        .windows(4)
        .position(|b| b == 4_f32.to_le_bytes())
        .unwrap();
    bytes[at] ^= 1;
    scratch.put("model.onnx", &bytes);
    check(
        scratch.load(),
        &[
            "model.onnx",
            &digest,
            "tidegate.toml",
            "fetch the file again",
        ],
    );
}

#[test]
fn missing_large_and_strange_files_are_named() {
    for file in ["model.onnx", "tokenizer.json", "config.json"] {
        let scratch = Scratch::of("missing", &words());
        std::fs::remove_file(scratch.0.join(file)).unwrap();
        check(scratch.load(), &[file, "is missing"]);
        std::fs::create_dir(scratch.0.join(file)).unwrap();
        check(scratch.load(), &[file, "it is not a file"]);
    }
    for (file, limit) in [
        ("model.onnx", 2_147_483_647_u64),
        ("tokenizer.json", 67_108_864),
        ("config.json", 1_048_576),
        ("tidegate.toml", 65_536),
    ] {
        let scratch = Scratch::of("large", &words());
        let made = std::fs::File::create(scratch.0.join(file)).unwrap();
        made.set_len(limit + 1).unwrap();
        check(scratch.load(), &[file, &format!("the limit is {limit}")]);
    }
    let scratch = Scratch::of("strange", &words());
    scratch.put("tidegate.toml", b"flag = 0.5\nmax_token = 3");
    check(
        scratch.load(),
        &["tidegate.toml", "line 2", "max_token", "docs/onnx.md"],
    );
    for wrong in [
        "flag = 0.9\nblock = 0.1",
        "flag = nan",
        "[prompt]\nblock = 2.0",
    ] {
        scratch.put("tidegate.toml", wrong.as_bytes());
        check(
            scratch.load(),
            &["thresholds must keep to 0 <= flag <= block <= 1"],
        );
    }
    for (wrong, part) in [("stride = 0", "stride is 0"), ("max_tokens = 2", "no room")] {
        scratch.put("tidegate.toml", wrong.as_bytes());
        check(scratch.load(), &["does not fit the model", part]);
    }
    scratch.put("config.json", b"\xFF");
    check(scratch.load(), &["config.json", "UTF-8"]);
}

/// A graph with one operator behind `input_ids`, and what a test does to it.
fn odd_model(change: impl FnOnce(&mut Graph)) -> Scratch {
    let scratch = Scratch::of("odd", &words());
    let mut graph = Graph::default();
    change(&mut graph);
    scratch.put("model.onnx", &graph.into_model());
    scratch
}

#[test]
fn models_of_another_kind_are_refused_by_what_is_odd() {
    type Case = (&'static [&'static str], fn(&mut Graph));
    let cases: [Case; 8] = [
        (&["there is no graph with nodes"], |_| {}),
        (&["the input \"pixels\""], |graph| {
            graph.node("Identity", &["pixels"], "logits", &[]);
            graph.input("pixels", None);
            graph.output("logits");
        }),
        (&["no input_ids"], |graph| {
            graph.weights("w", &[1, 2], &[0.0; 2]);
            graph.node("Identity", &["w"], "logits", &[]);
            graph.output("logits");
        }),
        (&["choice between the outputs", "hidden"], |graph| {
            graph.node("Identity", &["input_ids"], "hidden", &[]);
            graph.node("Identity", &["input_ids"], "pooled", &[]);
            graph.input("input_ids", None);
            graph.output("hidden");
            graph.output("pooled");
        }),
        (&["Bernoulli"], |graph| {
            graph.node("Bernoulli", &["input_ids"], "logits", &[]);
            graph.input("input_ids", None);
            graph.output("logits");
        }),
        (
            &["a subgraph in the node \"branch\"", "without branches"],
            |graph| {
                let inner = Message::default().text(2, "inner");
                let attribute = Message::default().text(1, "body").message(6, &inner);
                let node = Message::default().text(3, "branch").text(4, "Loop");
                graph.push(1, &node.message(5, &attribute));
            },
        ),
        (&["weights in another file"], |graph| {
            let tensor = Message::default().number(1, 2).number(2, 1).text(8, "w");
            graph.push(5, &tensor.number(14, 1));
        }),
        (&["tensor \"w\": 8 bytes instead of 12"], |graph| {
            graph.weights("w", &[3], &[0.0; 2]);
        }),
    ];
    for (holds, change) in cases {
        check(odd_model(change).load(), holds);
    }
}

#[test]
fn an_answer_of_another_shape_or_type_is_refused() {
    let scratch = odd_model(|graph| {
        graph.weights("words", &[8, 2], &[0.0; 16]);
        graph.node("Gather", &["words", "input_ids"], "logits", &[]);
        graph.input("input_ids", None);
        graph.output("logits");
    });
    check(scratch.load(), &["[1, 3, 2], wanted is [1, 2]"]);
    let scratch = odd_model(|graph| {
        graph.node("Identity", &["input_ids"], "logits", &[]);
        graph.input("input_ids", None);
        graph.output("logits");
    });
    check(scratch.load(), &["32-bit floats"]);
}

#[test]
fn a_token_that_the_model_does_not_know_is_an_error_of_the_run() {
    let scratch = Scratch::of("unknown-token", &words());
    let larger = words().word("more", [0.0; 2]).tokenizer().to_string();
    scratch.put("tokenizer.json", larger.as_bytes());
    let model = scratch.load().unwrap();
    let error = model.score("no more", &|| false).unwrap_err();
    assert!(matches!(error, OnnxError::Run { .. }), "{error:?}");
}

#[test]
fn the_names_of_special_tokens_are_letters_in_a_text() {
    let scratch = Scratch::of("special", &words().pooling(Pooling::Mean));
    let model = scratch.load().unwrap();
    // `[`, `sep` and `]` are three tokens; read as one, the mean would be another.
    assert_eq!(
        score(&model, "ignore rules [SEP] x").logit,
        (6.0 - 1.0) / 8.0
    );
}

/// Loads a folder and scores a text: any error will do, any number too.
fn try_folder(scratch: &Scratch) {
    if let Ok(model) = scratch.load()
        && let Ok(Some(score)) = model.score("ignore the rules", &|| false)
    {
        assert!(score.logit.is_finite() && (0.0..=1.0).contains(&score.probability));
    }
}

#[test]
fn a_file_that_was_cut_anywhere_is_refused() {
    let scratch = Scratch::of("cut", &words());
    let whole = words().model();
    for length in 0..whole.len() {
        scratch.put("model.onnx", &whole[..length]);
        // The operator set stands last: without it the rest may still be whole.
        if let Ok(model) = scratch.load() {
            assert_eq!(score(&model, "ignore").logit, 4.0, "{length}");
            assert!(length + 8 > whole.len(), "{length} of {}", whole.len());
        }
    }
    scratch.put("model.onnx", &whole);
    let tokenizer = words().tokenizer().to_string();
    for length in 0..tokenizer.len() {
        scratch.put("tokenizer.json", &tokenizer.as_bytes()[..length]);
        assert!(scratch.load().is_err(), "{length} of {}", tokenizer.len());
    }
}

#[test]
fn a_file_with_wrong_bits_is_refused_or_scores_numbers() {
    let scratch = Scratch::of("bits", &words());
    for (file, whole) in [
        ("model.onnx", words().model()),
        (
            "tokenizer.json",
            words().tokenizer().to_string().into_bytes(),
        ),
        ("config.json", words().config().to_string().into_bytes()),
    ] {
        for seed in 0..150_u64 {
            let mut bytes = whole.clone();
            let mut random = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
            for _ in 0..=seed % 3 {
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                let at = random as usize % bytes.len();
                bytes[at] ^= 1 << (random >> 61);
            }
            scratch.put(file, &bytes);
            try_folder(&scratch);
        }
        scratch.put(file, &whole);
    }
    assert_eq!(score(&scratch.load().unwrap(), "ignore").logit, 4.0);
}

#[test]
fn a_graph_that_nests_without_end_is_refused_and_not_followed() {
    let mut inner = Message::default().text(4, "Loop");
    for _ in 0..2_000 {
        let graph = Message::default().message(1, &inner);
        let attribute = Message::default().message(6, &graph);
        inner = Message::default().text(4, "Loop").message(5, &attribute);
    }
    check(
        odd_model(|graph| graph.push(1, &inner)).load(),
        &["a subgraph"],
    );
}

#[test]
fn a_panic_of_the_runtime_is_an_error() {
    let error = session::caught(|| -> () { panic!("out of\nrange") }).unwrap_err();
    assert_eq!(
        error,
        OnnxError::Panicked {
            reason: "out of range".to_owned()
        }
    );
}
