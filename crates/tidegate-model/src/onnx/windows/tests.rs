use std::path::Path;

use proptest::prelude::*;

use super::*;
use crate::onnx::testing::SmallModel;

fn tokenizer() -> Tokenizer {
    let maker = SmallModel::new()
        .word("tide", [0.0; 2])
        .word("##s", [0.0; 2]);
    let form = maker.tokenizer().to_string();
    Tokenizer::from_json(&form, Path::new("tokenizer.json")).unwrap()
}

fn layout(content: usize, stride: usize) -> Layout {
    Layout {
        content,
        stride,
        length: None,
    }
}

#[test]
fn a_piece_ends_before_a_single_space_and_never_within_a_letter() {
    let long = "word ".repeat(2000);
    let (first, count) = piece(&long);
    assert!(first.ends_with("word") && long[first.len()..].starts_with(" word"));
    assert_eq!(count as usize, first.len());
    // Where words are parted otherwise, before white space; else after as many letters.
    let lines = "word\n".repeat(2000);
    let (first, _) = piece(&lines);
    assert!(first.ends_with("word"));
    let letters = "é".repeat(5000);
    let (first, count) = piece(&letters);
    assert_eq!((first.chars().count(), count as usize), (PIECE, PIECE));
}

#[test]
fn what_fills_up_is_masked() {
    let tokenizer = tokenizer();
    let layout = Layout {
        content: 4,
        stride: 4,
        length: Some(6),
    };
    let window = Windows::new(&tokenizer, layout, "tides").next().unwrap();
    assert_eq!(window.sequence.ids, [2, 4, 5, 3, 0, 0]);
    assert_eq!(window.sequence.mask, [1, 1, 1, 1, 0, 0]);
    assert_eq!(window.sequence.kinds, [0; 6]);
}

proptest! {
    /// Together the windows hold every token, each shares what it must with the
    /// next, and together they cover the text.
    #[test]
    fn windows_cover_a_text_and_overlap(
        text in "(tides?|x|[ .]|潮){0,80}",
        content in 1_usize..12,
        stride in 1_usize..12,
    ) {
        let stride = stride.min(content);
        let tokenizer = tokenizer();
        let ids = tokenizer.read(&text, 0).iter().map(|t| t.id.cast_signed()).collect::<Vec<_>>();
        let mut at = 0;
        let mut covered = 0;
        let windows: Vec<Window> = Windows::new(&tokenizer, layout(content, stride), &text).collect();
        for (number, window) in windows.iter().enumerate() {
            let inner = &window.sequence.ids[1..window.sequence.ids.len() - 1];
            let end = (at + content).min(ids.len());
            prop_assert_eq!(inner, &ids[at..end]);
            prop_assert_eq!(end == ids.len(), number + 1 == windows.len());
            prop_assert!(stride == content || window.place.start <= covered);
            covered = window.place.end;
            at += stride;
        }
        prop_assert_eq!(windows[0].place.start, 0);
        prop_assert_eq!(covered, text.chars().count());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    /// Where a long text is cut into pieces makes no difference to its tokens.
    #[test]
    fn pieces_read_as_the_whole_does(words in prop::collection::vec("tides?|[a-z]{1,9}|é\\.|\n|  ", 900..1200)) {
        let text = words.join(" ");
        let tokenizer = tokenizer();
        let whole = tokenizer.read(&text, 0);
        let windows = Windows::new(&tokenizer, layout(8000, 8000), &text);
        let pieces: Vec<i32> = windows
            .flat_map(|window| window.sequence.ids[1..window.sequence.ids.len() - 1].to_vec())
            .collect();
        let whole: Vec<i32> = whole.iter().map(|token| token.id.cast_signed()).collect();
        prop_assert_eq!(pieces, whole);
    }
}
