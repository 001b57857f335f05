//! What the second layer said, as it is kept with a verdict.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use tidegate_guard::{L2, Reason, Span};

use super::{put_text, take_text};

pub(super) fn put_l2(out: &mut BytesMut, l2: &L2) {
    put_text(out, l2.outcome.as_str());
    put_text(out, l2.model.as_deref().unwrap_or_default());
    let (score, window) = (l2.score, l2.window);
    match score.zip(window) {
        None => out.put_u8(0),
        Some((score, window)) => {
            out.put_u8(1);
            out.put_f64_le(score);
            put_span(out, window);
        }
    }
    out.put_u32_le(u32::try_from(l2.reasons.len()).unwrap_or(u32::MAX));
    for reason in &l2.reasons {
        put_span(out, reason.span);
        out.put_f64_le(reason.weight);
    }
}

pub(super) fn take_l2(rest: &mut Bytes) -> Option<L2> {
    let outcome = take_text(rest)?.parse().ok()?;
    let model = Some(take_text(rest)?).filter(|model| !model.is_empty());
    let mut l2 = L2::unanswered(outcome, model.map(Into::into));
    if rest.try_get_u8().ok()? == 1 {
        l2.score = Some(rest.try_get_f64_le().ok()?);
        l2.window = Some(take_span(rest)?);
    }
    for _ in 0..rest.try_get_u32_le().ok()? {
        let span = take_span(rest)?;
        let weight = rest.try_get_f64_le().ok()?;
        l2.reasons.push(Reason { span, weight });
    }
    Some(l2)
}

pub(super) fn put_span(out: &mut BytesMut, span: Span) {
    for number in [span.start, span.end] {
        out.put_u64_le(number as u64);
    }
}

pub(super) fn take_span(rest: &mut Bytes) -> Option<Span> {
    let (start, end) = (take_number(rest)?, take_number(rest)?);
    Some(Span { start, end })
}

pub(super) fn take_number(rest: &mut Bytes) -> Option<usize> {
    usize::try_from(rest.try_get_u64_le().ok()?).ok()
}
