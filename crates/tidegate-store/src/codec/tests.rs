use proptest::prelude::*;

use super::*;

const PLACE: &[u8] = b"tidegate:cache:one";

fn envelope(value: impl Into<Bytes>) -> Envelope {
    Envelope {
        made_ms: 1_000,
        expires_ms: 61_000,
        notes: b"notes".to_vec(),
        value: value.into(),
    }
}

fn sealed(envelope: &Envelope) -> Vec<u8> {
    seal(PLACE, envelope).expect("it fits")
}

/// An envelope whose checksum holds, whatever it claims.
fn forged(flags: u8, claimed: usize, body: &[u8]) -> Bytes {
    let mut bytes = sealed(&envelope(Bytes::copy_from_slice(&[])));
    bytes[1] = flags;
    bytes[26..30].copy_from_slice(&u32::try_from(claimed).unwrap().to_le_bytes());
    bytes.extend(body);
    let checksum = checksum(PLACE, &bytes);
    bytes[2..10].copy_from_slice(&checksum);
    bytes.into()
}

fn text(bytes: usize) -> Vec<u8> {
    let words = b"the tide comes in and the gate opens, 0123456789; ";
    let mut random = fastrand::Rng::with_seed(7);
    (0..bytes)
        .map(|_| words[random.usize(..words.len())])
        .collect()
}

#[test]
fn what_goes_in_comes_out_and_long_text_takes_less_room() {
    for size in [0, 1, 1_024, 1_025, 50_000] {
        let one = envelope(text(size));
        let bytes = sealed(&one);
        assert_eq!(bytes[1] == ZSTD, size > COMPRESSED_FROM, "{size}");
        assert!(size <= COMPRESSED_FROM || bytes.len() < size, "{size}");
        assert_eq!(open(PLACE, &bytes.into()), Ok(one));
    }
}

#[test]
fn what_compression_would_lengthen_or_make_a_bomb_of_is_kept_as_it_is() {
    let mut random = fastrand::Rng::with_seed(7);
    let noise: Vec<u8> = (0..5_000).map(|_| random.u8(..)).collect();
    for value in [noise, vec![0; MOST_VALUE_BYTES]] {
        let one = envelope(value);
        let bytes = sealed(&one);
        assert_eq!(bytes[1], 0);
        assert_eq!(open(PLACE, &bytes.into()), Ok(one));
    }
}

#[test]
fn a_value_above_the_bound_is_not_written() {
    assert_eq!(seal(PLACE, &envelope(vec![0; MOST_VALUE_BYTES + 1])), None);
}

#[test]
fn an_envelope_cannot_be_read_at_another_place() {
    let bytes = Bytes::from(sealed(&envelope("mine")));
    assert_eq!(
        open(b"tidegate:cache:two", &bytes),
        Err(Unreadable::Damaged)
    );
}

#[test]
fn another_version_or_an_unknown_flag_is_not_guessed_at() {
    let mut bytes = sealed(&envelope("v"));
    bytes[0] = VERSION + 1;
    assert_eq!(open(PLACE, &bytes.into()), Err(Unreadable::Version));
    let flagged = forged(2, 1, b"v");
    assert_eq!(open(PLACE, &flagged), Err(Unreadable::Version));
}

#[test]
fn a_bomb_is_refused_before_it_is_unpacked_and_while_it_streams() {
    let bomb = zstd::bulk::compress(&vec![0; 64 << 20], 3).expect("zeros compress");
    assert!(bomb.len() < 20_000);
    // What it claims is more than its bytes can be worth.
    let claims = forged(ZSTD, MOST_VALUE_BYTES, &bomb[..100]);
    assert_eq!(open(PLACE, &claims), Err(Unreadable::Size));
    // It claims little and goes on and on.
    let lies = forged(ZSTD, 1_000, &bomb);
    assert_eq!(open(PLACE, &lies), Err(Unreadable::Size));
    // More than anything may be.
    let above = forged(ZSTD, MOST_VALUE_BYTES + 1, &bomb);
    assert_eq!(open(PLACE, &above), Err(Unreadable::Size));
}

#[test]
fn notes_that_claim_more_than_is_there_are_refused() {
    let mut bytes = sealed(&envelope("v"));
    bytes[30..34].copy_from_slice(&u32::MAX.to_le_bytes());
    let sum = checksum(PLACE, &bytes);
    bytes[2..10].copy_from_slice(&sum);
    assert_eq!(open(PLACE, &bytes.into()), Err(Unreadable::Size));
}

#[derive(Debug, Clone)]
enum Damage {
    Flip(prop::sample::Index, u8),
    Cut(prop::sample::Index),
    Remove(prop::sample::Index, usize),
    Insert(prop::sample::Index, Vec<u8>),
    Splice(prop::sample::Index, prop::sample::Index),
}

fn damage() -> impl Strategy<Value = Damage> {
    let at = any::<prop::sample::Index>;
    prop_oneof![
        (at(), 0..8u8).prop_map(|(at, bit)| Damage::Flip(at, bit)),
        at().prop_map(Damage::Cut),
        (at(), 1..64usize).prop_map(|(at, count)| Damage::Remove(at, count)),
        (at(), prop::collection::vec(any::<u8>(), 1..64))
            .prop_map(|(at, new)| Damage::Insert(at, new)),
        (at(), at()).prop_map(|(at, from)| Damage::Splice(at, from)),
    ]
}

fn damaged(bytes: &[u8], other: &[u8], damage: &Damage) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let place = |at: &prop::sample::Index| at.index(bytes.len() + 1);
    match damage {
        Damage::Flip(at, bit) => {
            let at = place(at);
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << bit;
            }
        }
        Damage::Cut(at) => bytes.truncate(place(at)),
        Damage::Remove(at, count) => {
            let at = place(at);
            bytes.drain(at..(at + count).min(bytes.len()));
        }
        Damage::Insert(at, new) => {
            let at = place(at);
            bytes.splice(at..at, new.iter().copied());
        }
        Damage::Splice(at, from) => {
            bytes.truncate(place(at));
            bytes.extend(&other[from.index(other.len())..]);
        }
    }
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    #[test]
    fn damaged_bytes_are_refused_and_never_another_value(
        seed in 0..64u64,
        damage in prop::collection::vec(damage(), 1..4),
    ) {
        let sizes = [0, 1, 40, 900, 2_000, 6_000];
        let size = sizes[usize::try_from(seed).unwrap() % sizes.len()];
        let one = sealed(&envelope(text(size)));
        let other = sealed(&envelope(text(1_500)));
        let mut bytes = one.clone();
        for damage in &damage {
            bytes = damaged(&bytes, &other, damage);
        }
        // Damage can undo itself, and a splice can make the other one whole.
        prop_assume!(bytes != one && bytes != other);
        prop_assert!(open(PLACE, &bytes.into()).is_err());
    }

    #[test]
    fn noise_is_refused(noise in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut versioned = noise.clone();
        if let Some(first) = versioned.first_mut() {
            *first = VERSION;
        }
        prop_assert!(open(PLACE, &noise.into()).is_err());
        prop_assert!(open(PLACE, &versioned.into()).is_err());
    }
}
