//! Server-sent events, decoded from bytes as they arrive.
//!
//! The whole grammar of the HTML standard §9.2.6 but two rarities that no
//! model server sends: a lone CR as line end, and the `retry` field. An event
//! larger than the cap is an error before it fills the memory.

use bytes::{Buf, Bytes, BytesMut};

/// Why an event stream cannot be read any further.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SseError {
    /// One event is larger than the cap.
    #[error("an event is larger than {limit_bytes} bytes")]
    TooLarge {
        /// The cap, in bytes.
        limit_bytes: usize,
    },
}

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SseEvent {
    /// The value of its `event` field, where it has one.
    pub(crate) name: Option<Bytes>,
    /// The values of its `data` fields.
    pub(crate) data: Bytes,
}

/// Turns bytes into the `data` of events.
#[derive(Debug)]
pub struct SseDecoder {
    buffer: BytesMut,
    /// Bytes of the buffer that are known to hold no line end.
    searched: usize,
    name: Option<BytesMut>,
    data: Option<BytesMut>,
    limit_bytes: usize,
}

impl SseDecoder {
    /// A decoder that refuses events beyond `limit_bytes`.
    pub fn new(limit_bytes: usize) -> Self {
        Self {
            buffer: BytesMut::new(),
            searched: 0,
            name: None,
            data: None,
            limit_bytes,
        }
    }

    /// Takes what arrived.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The `data` of the next complete event, or `None` until more arrives.
    ///
    /// # Errors
    /// [`SseError::TooLarge`]; the stream is of no use after it.
    pub fn next_event(&mut self) -> Result<Option<Bytes>, SseError> {
        Ok(self.next_named_event()?.map(|event| event.data))
    }

    /// The same with the event's name.
    pub(crate) fn next_named_event(&mut self) -> Result<Option<SseEvent>, SseError> {
        while let Some(line) = self.next_line() {
            if line.is_empty() {
                // A name without data is no event.
                let name = self.name.take().map(BytesMut::freeze);
                if let Some(data) = self.data.take() {
                    let data = data.freeze();
                    return Ok(Some(SseEvent { name, data }));
                }
                continue;
            }
            match field(line) {
                Some(Field::Name(name)) => self.name = Some(name),
                Some(Field::Data(value)) => self.push(value),
                None => {}
            }
            self.check_size()?;
        }
        self.check_size()?;
        Ok(None)
    }

    fn next_line(&mut self) -> Option<BytesMut> {
        let found = self.buffer[self.searched..]
            .iter()
            .position(|byte| *byte == b'\n');
        let Some(end) = found.map(|offset| self.searched + offset) else {
            self.searched = self.buffer.len();
            return None;
        };
        self.searched = 0;
        let mut line = self.buffer.split_to(end);
        self.buffer.advance(1);
        if line.last() == Some(&b'\r') {
            line.truncate(end - 1);
        }
        Some(line)
    }

    /// Lines of `data` in one event are joined by a line feed.
    fn push(&mut self, value: BytesMut) {
        match &mut self.data {
            None => self.data = Some(value),
            Some(data) => {
                data.extend_from_slice(b"\n");
                data.extend_from_slice(&value);
            }
        }
    }

    fn check_size(&self) -> Result<(), SseError> {
        let size = |field: &Option<BytesMut>| field.as_ref().map_or(0, BytesMut::len);
        let held = size(&self.name) + size(&self.data);
        // Several small events may wait in the buffer; only an unfinished line
        // counts against the cap.
        let unfinished = if self.searched == self.buffer.len() {
            self.searched
        } else {
            0
        };
        if held + unfinished > self.limit_bytes {
            return Err(SseError::TooLarge {
                limit_bytes: self.limit_bytes,
            });
        }
        Ok(())
    }
}

/// A line that says something to us.
enum Field {
    Name(BytesMut),
    Data(BytesMut),
}

/// What a line says; comments and other fields are nothing to us.
fn field(mut line: BytesMut) -> Option<Field> {
    let colon = line.iter().position(|byte| *byte == b':');
    let name = line.split_to(colon.unwrap_or(line.len()));
    // The colon, and one blank after it.
    let skipped = usize::from(colon.is_some()) + usize::from(line.get(1) == Some(&b' '));
    line.advance(skipped);
    match &*name {
        b"event" => Some(Field::Name(line)),
        b"data" => Some(Field::Data(line)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn events(parts: &[&[u8]]) -> Vec<String> {
        let mut decoder = SseDecoder::new(1_000);
        let mut events = Vec::new();
        for part in parts {
            decoder.feed(part);
            while let Some(data) = decoder.next_event().unwrap() {
                events.push(String::from_utf8_lossy(&data).into_owned());
            }
        }
        events
    }

    #[test]
    fn data_lines_are_events_and_comments_are_not() {
        let stream =
            b": ping\n\nevent: x\ndata: one\n\ndata:two\ndata: three\r\n\r\nid: 7\n\ndata: cut";
        assert_eq!(events(&[stream]), ["one", "two\nthree"]);
    }

    #[test]
    fn an_event_has_the_name_that_was_said_last_before_its_end() {
        let mut decoder = SseDecoder::new(1_000);
        decoder
            .feed(b"event: a\ndata: 1\n\nevent: lost\n\ndata: 2\n\nevent: x\ndata:3\nevent:b\n\n");
        let mut next = || {
            let event = decoder.next_named_event().unwrap().unwrap();
            (event.name, event.data)
        };
        let name = |name: &'static str| Some(Bytes::from_static(name.as_bytes()));
        assert_eq!(next(), (name("a"), Bytes::from_static(b"1")));
        assert_eq!(next(), (None, Bytes::from_static(b"2")));
        assert_eq!(next(), (name("b"), Bytes::from_static(b"3")));
    }

    #[test]
    fn an_endless_line_is_refused_before_it_fills_the_memory() {
        let mut decoder = SseDecoder::new(1_000);
        for _ in 0..10 {
            decoder.feed(&[b'x'; 100]);
            assert_eq!(decoder.next_event(), Ok(None));
        }
        decoder.feed(b"x");
        assert_eq!(
            decoder.next_event(),
            Err(SseError::TooLarge { limit_bytes: 1_000 })
        );
    }

    #[test]
    fn many_data_lines_of_one_event_count_together() {
        let mut decoder = SseDecoder::new(1_000);
        decoder.feed(b"data: 12345678\n".repeat(200).as_slice());
        assert!(decoder.next_event().is_err());
    }

    #[test]
    fn many_small_events_in_one_read_are_no_large_event() {
        let stream = b"data: 12345678\n\n".repeat(1_000);
        assert_eq!(events(&[&stream]).len(), 1_000);
    }

    proptest! {
        #[test]
        fn where_the_bytes_are_cut_does_not_matter(cuts in prop::collection::vec(0usize..80, 0..10)) {
            let stream: &[u8] = b"data: one\r\n\r\n: c\n\ndata: two\ndata: three\n\ndata: [DONE]\n\n";
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(stream.len())).collect();
            cuts.sort_unstable();
            let mut parts = Vec::new();
            let mut start = 0;
            for cut in cuts {
                parts.push(&stream[start..cut]);
                start = cut;
            }
            parts.push(&stream[start..]);
            prop_assert_eq!(events(&parts), vec!["one", "two\nthree", "[DONE]"]);
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..500)) {
            let mut decoder = SseDecoder::new(100);
            decoder.feed(&bytes);
            while let Ok(Some(_)) = decoder.next_event() {}
        }
    }
}
