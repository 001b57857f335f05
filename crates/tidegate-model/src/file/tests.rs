use proptest::prelude::*;

use super::*;

fn model() -> Model {
    let slot = |at: u8| Slot {
        mark: at.wrapping_mul(37),
        weight: at.wrapping_mul(91).cast_signed(),
    };
    Model {
        name: "small".to_owned(),
        version: "1.0-test".to_owned(),
        settings: Settings {
            seed: 11,
            bits: 4,
            grams: 3,
            window: 30,
            stride: 20,
        },
        scale: 0.02,
        bias: -1.5,
        calibration: Calibration {
            slope: 1.1,
            offset: -0.2,
        },
        thresholds: [Thresholds {
            flag: 0.4,
            block: 0.9,
        }; 5],
        slots: (0..16).map(slot).collect(),
    }
}

/// The bytes of a content with the digest that belongs to it.
fn sealed(content: &[u8]) -> Vec<u8> {
    let mut bytes = content.to_vec();
    bytes.extend_from_slice(blake3::hash(content).as_bytes());
    bytes
}

#[test]
fn what_was_written_is_read() {
    let model = model();
    assert_eq!(Model::from_bytes(&model.to_bytes()), Ok(model));
}

#[test]
fn a_file_with_one_bit_turned_is_refused_wherever_it_is() {
    let whole = model().to_bytes();
    for at in 0..whole.len() {
        for bit in 0..8 {
            let mut bytes = whole.clone();
            bytes[at] ^= 1 << bit;
            assert!(Model::from_bytes(&bytes).is_err(), "byte {at}, bit {bit}");
        }
    }
}

#[test]
fn a_weight_that_was_changed_is_told_by_the_digest() {
    let mut bytes = model().to_bytes();
    let at = bytes.len() - DIGEST_BYTES - 1;
    bytes[at] ^= 1;
    assert_eq!(Model::from_bytes(&bytes), Err(ModelError::Digest));
}

#[test]
fn a_file_that_was_cut_is_refused_wherever_it_was() {
    let whole = model().to_bytes();
    for length in 0..whole.len() {
        assert!(
            Model::from_bytes(&whole[..length]).is_err(),
            "{length} bytes"
        );
    }
}

#[test]
fn a_file_that_says_another_length_than_it_has_is_refused_though_its_digest_is_right() {
    let whole = model().to_bytes();
    let content = &whole[..whole.len() - DIGEST_BYTES];
    let short = sealed(&content[..content.len() - 1]);
    let mut longer = content.to_vec();
    longer.push(0);
    for bytes in [short, sealed(&longer)] {
        let length = ModelError::Length { bytes: bytes.len() };
        assert_eq!(Model::from_bytes(&bytes), Err(length));
    }
}

#[test]
fn other_files_are_refused_with_what_is_wrong() {
    let oversized = vec![0; MAX_BYTES + 1];
    let bytes = oversized.len();
    assert_eq!(
        Model::from_bytes(&oversized),
        Err(ModelError::TooLarge { bytes })
    );
    assert_eq!(
        Model::from_bytes(b"PK\x03\x04 a picture"),
        Err(ModelError::NotAModel)
    );
    assert_eq!(Model::from_bytes(b""), Err(ModelError::NotAModel));
    assert_eq!(
        Model::from_bytes(MAGIC),
        Err(ModelError::Length { bytes: 8 })
    );
    let mut later = model().to_bytes();
    later[8] = 9;
    assert_eq!(
        Model::from_bytes(&later),
        Err(ModelError::Format { found: 9 })
    );
}

#[test]
fn absurd_numbers_are_refused_though_the_digest_is_right() {
    type Change = fn(&mut Model);
    let absurd: [(&str, Change); 14] = [
        ("name", |m| m.name.clear()),
        ("name", |m| m.name = "a b".to_owned()),
        ("version", |m| m.version = "1".repeat(65)),
        ("length of n-grams", |m| m.settings.grams = 0),
        ("length of n-grams", |m| m.settings.grams = 4),
        ("window", |m| m.settings.window = 0),
        ("window", |m| m.settings.window = u32::MAX),
        ("stride", |m| m.settings.stride = 0),
        ("stride", |m| m.settings.stride = 30),
        ("scale", |m| m.scale = f64::NAN),
        ("bias", |m| m.bias = f64::INFINITY),
        ("calibration", |m| m.calibration.slope = -1.0),
        ("threshold", |m| m.thresholds[3].flag = 0.95),
        ("threshold", |m| m.thresholds[4].block = f64::NAN),
    ];
    for (what, change) in absurd {
        let mut model = model();
        change(&mut model);
        let bytes = model.to_bytes();
        assert_eq!(
            Model::from_bytes(&bytes),
            Err(ModelError::OutOfBounds { what })
        );
    }
}

#[test]
fn a_number_of_slots_that_does_not_fit_is_refused() {
    let mut model = model();
    model.settings.bits = 5;
    let bytes = model.to_bytes();
    let length = ModelError::Length { bytes: bytes.len() };
    assert_eq!(Model::from_bytes(&bytes), Err(length.clone()));
    assert_eq!(model.check(), Err(out_of_bounds("number of slots")));
    model.settings.bits = 63;
    assert_eq!(Model::from_bytes(&model.to_bytes()), Err(length));
}

proptest! {
    #[test]
    fn arbitrary_bytes_are_refused_and_nothing_panics(
        bytes in prop::collection::vec(any::<u8>(), 0..400),
    ) {
        prop_assert!(Model::from_bytes(&bytes).is_err());
    }

    /// Content that somebody sealed: it may be a model or not, but nothing panics.
    #[test]
    fn sealed_content_of_any_kind_is_read_or_refused(
        change in prop::collection::vec((8_usize..180, any::<u8>()), 1..4),
    ) {
        let whole = model().to_bytes();
        let mut content = whole[..whole.len() - DIGEST_BYTES].to_vec();
        for (at, byte) in change {
            let at = at % content.len();
            content[at] = byte;
        }
        if let Ok(model) = Model::from_bytes(&sealed(&content)) {
            prop_assert_eq!(model.check(), Ok(()));
        }
    }
}
