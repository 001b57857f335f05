//! The file of a model.
//!
//! All numbers are little-endian: magic, format, name, version, settings, scale,
//! bias, calibration, thresholds, marks, weights, and the BLAKE3 digest of all
//! that stands before. Nothing of a file is believed before its digest is right,
//! and nothing of a right file before its numbers make sense.

use crate::calibration::Calibration;
use crate::model::{Direction, Model, Settings, Slot, Thresholds};

const MAGIC: &[u8; 8] = b"TIDEGCLS";
const FORMAT: u16 = 1;
const DIGEST_BYTES: usize = 32;
/// No file is larger: 2^20 slots, and room for what stands before them.
const MAX_BYTES: usize = (2 << 20) + 1024;
const BITS: std::ops::RangeInclusive<u8> = 4..=20;
const MAX_NAME_BYTES: usize = 64;
const MAX_WINDOW: u32 = 100_000;

/// Why a model cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ModelError {
    /// More bytes than any model has.
    #[error("a model of {bytes} bytes is larger than the limit of {MAX_BYTES}")]
    TooLarge {
        /// How many there are.
        bytes: usize,
    },
    /// It does not begin as a model does.
    #[error("this is no model of tidegate: the file does not begin with TIDEGCLS")]
    NotAModel,
    /// It was written by another version of the program.
    #[error("the model has format {found}; this program reads format {FORMAT}")]
    Format {
        /// Its format.
        found: u16,
    },
    /// The file ends early, or goes on behind its end.
    #[error("the model file is {bytes} bytes long, which is not what it says it holds")]
    Length {
        /// How long it is.
        bytes: usize,
    },
    /// It is not the file that was written.
    #[error("the model file is damaged: its digest does not fit; fetch or build it again")]
    Digest,
    /// A number in it makes no sense.
    #[error("the model's {what} is out of bounds")]
    OutOfBounds {
        /// Which.
        what: &'static str,
    },
}

fn out_of_bounds(what: &'static str) -> ModelError {
    ModelError::OutOfBounds { what }
}

/// The digest that the bytes of a whole file end with.
pub(crate) fn digest(file: &[u8]) -> [u8; DIGEST_BYTES] {
    *file.last_chunk().expect("a model's file has a digest")
}

impl Model {
    /// The bytes of the file.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(1024 + 2 * self.slots.len());
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&FORMAT.to_le_bytes());
        for text in [&self.name, &self.version] {
            // The names of a model that passes the checks are short.
            bytes.push(text.len() as u8);
            bytes.extend_from_slice(text.as_bytes());
        }
        let settings = self.settings;
        bytes.extend_from_slice(&settings.seed.to_le_bytes());
        bytes.extend_from_slice(&[settings.bits, settings.grams]);
        bytes.extend_from_slice(&settings.window.to_le_bytes());
        bytes.extend_from_slice(&settings.stride.to_le_bytes());
        let calibration = [self.calibration.slope, self.calibration.offset];
        let thresholds = self.thresholds.iter().flat_map(|t| [t.flag, t.block]);
        for number in [self.scale, self.bias]
            .into_iter()
            .chain(calibration)
            .chain(thresholds)
        {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        bytes.extend(self.slots.iter().map(|slot| slot.mark));
        bytes.extend(self.slots.iter().map(|slot| slot.weight.cast_unsigned()));
        let digest = blake3::hash(&bytes);
        bytes.extend_from_slice(digest.as_bytes());
        bytes
    }

    /// Reads the bytes of a file.
    ///
    /// # Errors
    ///
    /// When they are not the bytes of a whole model that makes sense.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ModelError> {
        if bytes.len() > MAX_BYTES {
            return Err(ModelError::TooLarge { bytes: bytes.len() });
        }
        if !bytes.starts_with(MAGIC) {
            return Err(ModelError::NotAModel);
        }
        let short = ModelError::Length { bytes: bytes.len() };
        let end = bytes.len().checked_sub(DIGEST_BYTES).ok_or(short.clone())?;
        let (content, digest) = bytes.split_at(end);
        let mut rest = Rest(content.get(MAGIC.len()..).ok_or(short.clone())?);
        let found = u16::from_le_bytes(rest.array().ok_or(short.clone())?);
        if found != FORMAT {
            return Err(ModelError::Format { found });
        }
        if blake3::hash(content).as_bytes() != digest {
            return Err(ModelError::Digest);
        }
        let model = rest.model().ok_or(short)?;
        model.check()?;
        Ok(model)
    }

    /// Whether its numbers make sense.
    pub(crate) fn check(&self) -> Result<(), ModelError> {
        for (what, name) in [("name", &self.name), ("version", &self.version)] {
            let fits = |byte: u8| {
                byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte)
            };
            if name.is_empty() || name.len() > MAX_NAME_BYTES || !name.bytes().all(fits) {
                return Err(out_of_bounds(what));
            }
        }
        self.settings.check()?;
        let is_weight = |number: f64| number.is_finite() && number.abs() < 1e6;
        if !is_weight(self.scale) || self.scale <= 0.0 {
            return Err(out_of_bounds("scale"));
        }
        if !is_weight(self.bias) {
            return Err(out_of_bounds("bias"));
        }
        let Calibration { slope, offset } = self.calibration;
        if !is_weight(slope) || slope <= 0.0 || !is_weight(offset) {
            return Err(out_of_bounds("calibration"));
        }
        let in_order = |t: &Thresholds| 0.0 <= t.flag && t.flag <= t.block && t.block <= 1.0;
        if !self.thresholds.iter().all(in_order) {
            return Err(out_of_bounds("threshold"));
        }
        if self.slots.len() != 1 << self.settings.bits {
            return Err(out_of_bounds("number of slots"));
        }
        Ok(())
    }
}

impl Settings {
    fn check(&self) -> Result<(), ModelError> {
        if !BITS.contains(&self.bits) {
            return Err(out_of_bounds("number of slots"));
        }
        if !(1..=3).contains(&self.grams) {
            return Err(out_of_bounds("length of n-grams"));
        }
        if !(1..=MAX_WINDOW).contains(&self.window) {
            return Err(out_of_bounds("window"));
        }
        // Windows overlap, and at most two are open at a place.
        if self.stride >= self.window || self.stride.saturating_mul(2) <= self.window {
            return Err(out_of_bounds("stride"));
        }
        Ok(())
    }
}

/// What is left to read. Every part is `None` where the bytes end.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn number(&mut self) -> Option<f64> {
        self.array().map(f64::from_le_bytes)
    }

    fn text(&mut self) -> Option<String> {
        let [length] = self.array()?;
        let bytes = self.take(usize::from(length))?;
        std::str::from_utf8(bytes).ok().map(str::to_owned)
    }

    /// A model that fills all that is left.
    fn model(&mut self) -> Option<Model> {
        let (name, version) = (self.text()?, self.text()?);
        let seed = u64::from_le_bytes(self.array()?);
        let [bits, grams] = self.array()?;
        let window = u32::from_le_bytes(self.array()?);
        let stride = u32::from_le_bytes(self.array()?);
        let settings = Settings {
            seed,
            bits,
            grams,
            window,
            stride,
        };
        let (scale, bias) = (self.number()?, self.number()?);
        let (slope, offset) = (self.number()?, self.number()?);
        let mut thresholds = [Thresholds {
            flag: 1.0,
            block: 1.0,
        }; Direction::ALL.len()];
        for pair in &mut thresholds {
            (pair.flag, pair.block) = (self.number()?, self.number()?);
        }
        let count = BITS.contains(&bits).then(|| 1_usize << bits)?;
        let (marks, weights) = (self.take(count)?, self.take(count)?);
        let slot = |(&mark, &weight): (&u8, &u8)| Slot {
            mark,
            weight: weight.cast_signed(),
        };
        self.0.is_empty().then(|| Model {
            name,
            version,
            settings,
            scale,
            bias,
            calibration: Calibration { slope, offset },
            thresholds,
            slots: marks.iter().zip(weights).map(slot).collect(),
        })
    }
}

#[cfg(test)]
mod tests;
