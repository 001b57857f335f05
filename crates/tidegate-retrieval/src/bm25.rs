//! The BM25 formula.
//!
//! Robertson and Zaragoza, "The Probabilistic Relevance Framework: BM25 and
//! Beyond", Foundations and Trends in Information Retrieval 3(4), 2009.

/// How soon repeating a term stops helping.
const K1: f32 = 1.2;
/// How much a long passage is discounted.
const B: f32 = 0.75;

/// How rare a term is that occurs in `containing` of `total` passages.
///
/// The 1 inside the logarithm keeps it positive for terms that occur in more
/// than half of the passages; the original formula is negative there.
pub(crate) fn idf(containing: usize, total: usize) -> f32 {
    let (containing, total) = (containing as f32, total as f32);
    (1.0 + (total - containing + 0.5) / (containing + 0.5)).ln()
}

/// What a term adds to a passage's score, before its rarity is considered.
///
/// `count` is how often the passage contains it; `relative_length` is the length
/// of the passage divided by the average. At most `K1 + 1`.
pub(crate) fn saturation(count: u32, relative_length: f32) -> f32 {
    let count = count as f32;
    count * (K1 + 1.0) / (count + K1 * (1.0 - B + B * relative_length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rare_term_weighs_more_and_none_weighs_less_than_nothing() {
        assert!(idf(1, 100) > idf(50, 100));
        assert!(idf(100, 100) > 0.0);
    }

    #[test]
    fn repeating_helps_less_and_less_and_length_is_discounted() {
        assert!((saturation(1, 1.0) - 1.0).abs() < 1e-6);
        assert!(saturation(2, 1.0) > saturation(1, 1.0));
        assert!(saturation(1_000_000, 1.0) <= K1 + 1.0);
        assert!(saturation(1, 2.0) < saturation(1, 1.0));
    }
}
