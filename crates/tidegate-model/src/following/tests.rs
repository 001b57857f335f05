use std::cell::Cell;
use std::sync::Arc;

use proptest::prelude::*;

use crate::calibration::Calibration;
use crate::model::{Model, Settings, Slot, Thresholds};

use super::*;

/// Every mark fits for one n-gram of 256 only; so all marks are tried for the
/// words that a test needs.
fn classifier(words: &[(&str, i8)]) -> Classifier {
    let settings = Settings {
        seed: 3,
        bits: 12,
        grams: 2,
        window: 30,
        stride: 20,
    };
    let mut slots = vec![Slot::default(); 1 << 12];
    for (word, weight) in words {
        let mut reader = Reader::new(settings.seed, 1);
        let mut each = |gram: Gram| {
            let (at, mark) = settings.slot(gram.hash);
            slots[at] = Slot {
                mark,
                weight: *weight,
            };
        };
        reader.read(word, &mut each);
        reader.end(&mut each);
    }
    let model = Model {
        name: "test".to_owned(),
        version: "1".to_owned(),
        settings,
        scale: 0.1,
        bias: -2.0,
        calibration: Calibration {
            slope: 1.0,
            offset: 0.0,
        },
        thresholds: [Thresholds {
            flag: 0.5,
            block: 0.9,
        }; 5],
        slots,
    };
    Classifier::new(model).unwrap()
}

fn whole(classifier: &Classifier, text: &str) -> Score {
    classifier.score(text, &|| false).unwrap()
}

#[test]
fn the_worst_window_is_the_score_and_says_where_it_is() {
    let classifier = classifier(&[("obey", 100), ("tide", -50)]);
    // Windows of 30 every 20: the word stands from 52 to 56.
    let text = format!("{}obey {}", "tide ".repeat(10) + "  ", "tide ".repeat(10));
    let score = whole(&classifier, &text);
    assert_eq!(score.window, 40..70);
    assert_eq!(score.windows, 5);
    let alone = whole(&classifier, &text[40..70]);
    // Two windows stand before it.
    let logit = alone.logit - lateness(2);
    assert_eq!((logit, alone.window), (score.logit, 0..30));
}

#[test]
fn every_place_of_a_text_is_in_a_window() {
    let classifier = classifier(&[("obey", 127)]);
    let calm = whole(&classifier, &"x ".repeat(60)).logit;
    for at in 0..110 {
        let mut text: Vec<char> = "x ".repeat(60).chars().collect();
        for (offset, c) in " obey ".chars().enumerate() {
            text[at + offset] = c;
        }
        let text: String = text.into_iter().collect();
        assert!(whole(&classifier, &text).logit > calm, "{at}");
    }
}

#[test]
fn a_text_that_ends_with_a_window_has_no_empty_one_behind_it() {
    let classifier = classifier(&[]);
    for (length, windows) in [(0, 1), (1, 1), (30, 1), (31, 2), (50, 2), (51, 3), (70, 3)] {
        let score = whole(&classifier, &"a".repeat(length));
        assert_eq!(score.windows, windows, "{length}");
    }
}

#[test]
fn a_window_is_counted_in_code_points() {
    let classifier = classifier(&[("слушай", 100)]);
    let text = "волна ".repeat(10) + "слушай";
    assert_eq!(whole(&classifier, &text).window, 40..66);
}

#[test]
fn a_stop_ends_the_work_before_the_next_window() {
    let classifier = classifier(&[]);
    let text = "word ".repeat(200);
    let asked = Cell::new(0);
    let stop = || {
        asked.set(asked.get() + 1);
        asked.get() > 3
    };
    assert_eq!(classifier.score(&text, &stop), None);
    assert_eq!(asked.get(), 4);
    asked.set(i32::MIN);
    assert!(classifier.score(&text, &stop).is_some());
    // A thousand characters: asked for each window, not for each character.
    assert!(
        (49..=110).contains(&(asked.get() - i32::MIN)),
        "{}",
        asked.get() - i32::MIN
    );
}

#[test]
fn a_score_on_the_way_is_the_score_of_what_has_arrived() {
    let classifier = classifier(&[("obey", 100), ("me", 40)]);
    let text = "the tide turns at six, obey me now and then the boats go out again at nine";
    let mut following = classifier.follow();
    for (at, c) in text.char_indices() {
        let end = at + c.len_utf8();
        following.push(&text[at..end]);
        assert_eq!(following.score(), whole(&classifier, &text[..end]), "{end}");
    }
}

/// What the window borders are defined to be, without any state.
fn by_definition(classifier: &Classifier, text: &str) -> f64 {
    let chars: Vec<char> = text.chars().collect();
    let mut worst = f64::MIN;
    let mut start = 0;
    for number in 0.. {
        let end = chars.len().min(start + 30);
        let window: String = chars[start..end].iter().collect();
        let mut reader = classifier.reader();
        let mut sum = 0;
        let mut each = |gram: Gram| sum += i64::from(classifier.weight(gram.hash));
        reader.read(&window, &mut each);
        reader.end(&mut each);
        worst = worst.max(classifier.logit(sum, reader.count()) - lateness(number));
        if start + 30 >= chars.len() {
            break;
        }
        start += 20;
    }
    worst
}

proptest! {
    #[test]
    fn pieces_cut_anywhere_give_the_score_of_the_whole(
        words in prop::collection::vec("obey|me|now|tide|[a-c]{1,9}|忘|й|[.?! \\n]", 0..60),
        cuts in prop::collection::vec(0_usize..300, 0..6),
    ) {
        let classifier = classifier(&[("obey", 90), ("me", 30), ("tide", -60), ("忘", 50)]);
        let text = words.join(" ");
        let score = whole(&classifier, &text);
        prop_assert_eq!(score.logit, by_definition(&classifier, &text));
        let mut borders: Vec<usize> = text.char_indices().map(|(at, _)| at).collect();
        borders.push(text.len());
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| borders[cut % borders.len()]).collect();
        cuts.push(text.len());
        cuts.sort_unstable();
        let mut following = classifier.follow();
        let mut from = 0;
        for cut in cuts {
            following.push(&text[from..cut]);
            from = cut;
        }
        prop_assert_eq!(following.score(), score);
    }
}

proptest! {
    /// What has been settled in the middle of a text is part of what its end says.
    #[test]
    fn what_is_settled_is_never_taken_back(
        text in "(obey|tide|calm|ö| ){0,60}",
        cut in any::<prop::sample::Index>(),
    ) {
        let classifier = classifier(&[("obey", 100), ("tide", -50)]);
        let cut = text.floor_char_boundary(cut.index(text.len() + 1));
        let mut following = Following::new(Arc::new(classifier.clone()));
        following.push(&text[..cut]);
        let settled = following.settled();
        following.push(&text[cut..]);
        let end = following.score();
        prop_assert_eq!(&end, &whole(&classifier, &text));
        if let Some(settled) = settled {
            prop_assert!(settled.logit <= end.logit, "{settled:?} {end:?}");
            prop_assert!(settled.window.end <= text[..cut].chars().count());
        }
    }

    /// The windows of a text are told one by one, and the worst is the score.
    #[test]
    fn the_score_is_that_of_the_worst_window(text in "(obey|tide|calm|ö| ){0,60}") {
        let classifier = classifier(&[("obey", 100), ("tide", -50)]);
        let score = whole(&classifier, &text);
        let all = classifier.windows_from(&text, 0.0);
        prop_assert_eq!(all.len(), score.windows);
        let worst = classifier.windows_from(&text, score.probability);
        prop_assert_eq!(worst.first(), Some(&score.window));
        let above = score.probability + f64::EPSILON;
        prop_assert!(classifier.windows_from(&text, above).is_empty());
    }
}
