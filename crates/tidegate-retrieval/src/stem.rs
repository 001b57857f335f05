//! A light English stemmer: plurals, `-ing`, `-ed` and a final `e`.
//!
//! Plurals follow the S-stemmer of Harman, "How effective is suffixing?", JASIS
//! 42(1), 1991. The endings follow step 1b of Porter, "An algorithm for suffix
//! stripping", Program 14(3), 1980, shortened. A stem only has to be equal for
//! related words; it need not be a word. Stronger stemmers conflate more, and
//! more of it wrongly, which shows at once in short quotes.

/// Shortest stem that is left behind, in letters.
const MIN_STEM: usize = 3;

/// The stem of `word`, which is in lower case.
pub(crate) fn stem(word: String) -> String {
    // The endings are English, and stripping ASCII cannot split a code point.
    if !word.is_ascii() || word.len() <= MIN_STEM {
        return word;
    }
    let mut stem = strip_participle(singular(word));
    if stem.len() > MIN_STEM && stem.ends_with('e') && !stem.ends_with("ee") {
        stem.pop();
    }
    stem
}

fn singular(mut word: String) -> String {
    let ends = |endings: &[&str]| endings.iter().any(|ending| word.ends_with(ending));
    if ends(&["ies"]) && !ends(&["eies", "aies"]) {
        word.truncate(word.len() - 3);
        word.push('y');
    } else if ends(&["s"]) && !ends(&["us", "ss", "is"]) {
        word.pop();
    }
    word
}

fn strip_participle(mut word: String) -> String {
    let Some(kept) = ["ing", "ed"]
        .iter()
        .find_map(|ending| word.strip_suffix(ending))
    else {
        return word;
    };
    let kept_len = kept.len();
    if kept_len < MIN_STEM || kept.ends_with('e') || !kept.contains(['a', 'e', 'i', 'o', 'u', 'y'])
    {
        return word;
    }
    word.truncate(kept_len);
    undouble(&mut word);
    if word.ends_with('i') {
        word.pop();
        word.push('y');
    }
    word
}

/// "stopp" is "stop", while "fall", "miss" and "buzz" keep both letters.
fn undouble(word: &mut String) {
    let mut last = word.bytes().rev();
    let (one, two) = (last.next(), last.next());
    if one == two && !matches!(one, Some(b'l' | b's' | b'z' | b'e' | b'0'..=b'9')) {
        word.pop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check_same(words: &[&str]) {
        let stems: Vec<String> = words.iter().map(|word| stem((*word).to_owned())).collect();
        assert!(stems.windows(2).all(|pair| pair[0] == pair[1]), "{stems:?}");
    }

    #[test]
    fn forms_of_a_word_share_a_stem() {
        check_same(&["limit", "limits", "limited", "limiting"]);
        check_same(&["cache", "caches", "cached", "caching"]);
        check_same(&["retry", "retries", "retried", "retrying"]);
        check_same(&["stop", "stops", "stopped", "stopping"]);
        check_same(&["settle", "settles", "settled", "settling"]);
        check_same(&["process", "processes", "processed"]);
        check_same(&["fall", "falls", "falling"]);
        check_same(&["tree", "trees"]);
        check_same(&["embedded", "embedding", "embeddings"]);
    }

    #[test]
    fn short_and_look_alike_words_stay() {
        for word in [
            "bus",
            "class",
            "status",
            "string",
            "speed",
            "red",
            "is",
            "überging",
            "429",
        ] {
            assert_eq!(stem(word.to_owned()), word);
        }
    }

    proptest! {
        #[test]
        fn a_stem_is_never_empty(word in "\\PC{1,12}") {
            prop_assert!(!stem(word).is_empty());
        }
    }
}
