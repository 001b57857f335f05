//! From a logit to a probability, the same on every machine.

/// e to the power of `x`, with plain arithmetic only: libraries for this differ
/// in the last digit from machine to machine. Exact to about 1e-15 of the result.
pub fn exp(x: f64) -> f64 {
    let x = x.clamp(-700.0, 700.0);
    // e^x = 2^k * e^r with |r| <= ln 2 / 2.
    let k = (x * std::f64::consts::LOG2_E + 0.5).floor();
    let r = x - k * std::f64::consts::LN_2;
    let mut term = 1.0;
    let mut sum = 1.0;
    for n in 1..16 {
        term *= r / f64::from(n);
        sum += term;
    }
    // `k` is between -1010 and 1010: the exponent of a normal number.
    sum * f64::from_bits(((1023 + k as i64) as u64) << 52)
}

/// The logistic function, from 0 to 1.
pub fn logistic(x: f64) -> f64 {
    1.0 / (1.0 + exp(-x))
}

/// What is taken off the logit of a window that so many others stand before: the
/// natural logarithm of its number, counted from 1.
///
/// Each window of an ordinary text is one more chance for a false alarm. With this
/// the odds of the tenth window are a tenth of what they would be for the first; a
/// text has as many as it likes and its chance grows with the logarithm of their
/// number only. What was said of the windows so far still holds when more follow.
pub fn lateness(windows_before: usize) -> f64 {
    let number = windows_before as f64 + 1.0;
    // Newton's method on e^y = number, from a power of two below it: plain
    // arithmetic, the same on every machine.
    let start = f64::from(number.to_bits().wrapping_shr(52) as u32 & 0x7ff) - 1023.0;
    let mut y = start * std::f64::consts::LN_2;
    for _ in 0..6 {
        y += number * exp(-y) - 1.0;
    }
    y
}

/// How logits become probabilities (Platt): `logistic(slope * logit + offset)`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Calibration {
    /// How fast a larger logit is more certain; above 0.
    pub slope: f64,
    /// What is added.
    pub offset: f64,
}

impl Calibration {
    /// The probability that belongs to a logit.
    pub fn probability(&self, logit: f64) -> f64 {
        logistic(self.slope * logit + self.offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exponential_is_that_of_the_library() {
        for step in -6000..6000 {
            let x = f64::from(step) / 100.0;
            let error = (exp(x) / x.exp() - 1.0).abs();
            assert!(error < 1e-13, "{x}: {error}");
        }
    }

    #[test]
    fn later_windows_lose_the_logarithm_of_their_number() {
        for before in (0..2_000).chain([1 << 20, 1 << 40]) {
            let error = lateness(before) - (before as f64 + 1.0).ln();
            assert!(error.abs() < 1e-12, "{before}: {error}");
        }
    }

    #[test]
    fn numbers_without_measure_stay_within_bounds() {
        assert_eq!(logistic(f64::INFINITY), 1.0);
        assert!(logistic(f64::NEG_INFINITY) < 1e-300);
        assert!(exp(f64::MAX).is_finite());
    }
}
