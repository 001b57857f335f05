//! The cases: bodies whose end can be read in two ways.

use crate::heads;
use crate::parts::{Case, Maker, Then, chunked};

use Then::{MayFollow, MustClose};

/// All cases.
pub(crate) fn all() -> Vec<Case> {
    let mut maker = Maker::default();
    both_lengths(&mut maker);
    codings(&mut maker);
    names_like_it(&mut maker);
    two_lengths(&mut maker);
    odd_lengths(&mut maker);
    chunk_sizes(&mut maker);
    trailers(&mut maker);
    unread_bodies(&mut maker);
    heads::add_to(&mut maker);
    maker.cases
}

/// A length and a coding: the coding wins, and the connection ends.
fn both_lengths(maker: &mut Maker) {
    let te = "transfer-encoding: chunked\r\n";
    maker.framed("CL.TE", "length first", MustClose, |inside| {
        let body = format!("0\r\n\r\n{inside}");
        (format!("content-length: {}\r\n{te}", body.len()), body)
    });
    maker.framed("CL.TE", "length of nothing", MustClose, |inside| {
        (format!("content-length: 0\r\n{te}"), chunked(inside))
    });
    maker.framed("TE.CL", "length of the size line", MustClose, |inside| {
        (format!("{te}content-length: 4\r\n"), chunked(inside))
    });
    maker.framed("TE.CL", "length last", MustClose, |inside| {
        let body = format!("0\r\n\r\n{inside}");
        (format!("{te}content-length: {}\r\n", body.len()), body)
    });
    maker.framed("TE.CL", "length that is none", MustClose, |inside| {
        (format!("{te}content-length: many\r\n"), chunked(inside))
    });
}

/// Ways to say `chunked` that one program takes and another does not.
const CODINGS: &[&str] = &[
    "transfer-encoding: CHUNKED\r\n",
    "Transfer-Encoding:chunked\r\n",
    "transfer-encoding:\tchunked\r\n",
    "transfer-encoding:   chunked   \r\n",
    "transfer-encoding : chunked\r\n",
    "transfer-encoding\t: chunked\r\n",
    " transfer-encoding: chunked\r\n",
    "x-a: b\r\n transfer-encoding: chunked\r\n",
    "transfer-encoding:\r\n chunked\r\n",
    "transfer-encoding: \u{b}chunked\r\n",
    "transfer-encoding: \u{c}chunked\r\n",
    "transfer-encoding: \u{0}chunked\r\n",
    "transfer-encoding: chunked\u{0}\r\n",
    "transfer-encoding: \u{a0}chunked\r\n",
    "\u{b}transfer-encoding: chunked\r\n",
    "transfer-encoding: identity\r\n",
    "transfer-encoding: chunked, identity\r\n",
    "transfer-encoding: identity, chunked\r\n",
    "transfer-encoding: gzip, chunked\r\n",
    "transfer-encoding: chunked, chunked\r\n",
    "transfer-encoding: ,chunked\r\n",
    "transfer-encoding: chunked,\r\n",
    "transfer-encoding: \"chunked\"\r\n",
    "transfer-encoding: 'chunked'\r\n",
    "transfer-encoding: xchunked\r\n",
    "transfer-encoding: chunkedx\r\n",
    "transfer-encoding: chunked;q=1\r\n",
    "transfer-encoding: chunk\r\n",
    "transfer-encoding:\r\n",
    "transfer-encoding: cow\r\n",
    "transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n",
    "transfer-encoding: chunked\r\ntransfer-encoding: cow\r\n",
    "transfer-encoding: cow\r\ntransfer-encoding: chunked\r\n",
    "transfer-encoding: identity\r\ntransfer-encoding: chunked\r\n",
    "transfer-encoding: chunked\r\nTransfer-Encoding: identity\r\n",
    "x-a: b\ntransfer-encoding: chunked\r\n",
    "x-a: b\rtransfer-encoding: chunked\r\n",
    "transfer-encoding: chunked\n\r\n",
];

fn codings(maker: &mut Maker) {
    for coding in CODINGS {
        maker.framed("TE.TE", coding, MustClose, |inside| {
            let body = format!("0\r\n\r\n{inside}");
            (format!("content-length: {}\r\n{coding}", body.len()), body)
        });
        maker.framed("TE.TE without length", coding, MustClose, |inside| {
            ((*coding).to_owned(), chunked(inside))
        });
    }
    for version in ["HTTP/1.0", "HTTP/1.0 with keep-alive"] {
        for length in ["", "content-length: 4\r\n"] {
            let name = format!("{version} {length:?}");
            maker.add("HTTP/1.0 and TE", &name, MustClose, |inside, own| {
                let keep = if version.ends_with("alive") {
                    "connection: keep-alive\r\n"
                } else {
                    ""
                };
                let body = chunked(inside);
                format!(
                    "POST /nowhere HTTP/1.0\r\nhost: localhost\r\n{own}{keep}{length}transfer-encoding: chunked\r\n\r\n{body}"
                )
                .into_bytes()
            });
        }
    }
}

/// Headers that are no coding, however much they look like it.
fn names_like_it(maker: &mut Maker) {
    for name in [
        "transfer_encoding",
        "transfer-encodin",
        "x-transfer-encoding",
        "transfer.encoding",
        "te",
        "content-encoding",
        "transferencoding",
    ] {
        maker.framed("names like TE", name, MayFollow, |inside| {
            let body = format!("0\r\n\r\n{inside}");
            let length = body.len();
            (
                format!("{name}: chunked\r\ncontent-length: {length}\r\n"),
                body,
            )
        });
    }
}

fn two_lengths(maker: &mut Maker) {
    let family = "two lengths";
    maker.framed(family, "equal", MayFollow, |inside| {
        let line = format!("content-length: {}\r\n", inside.len());
        (line.repeat(2), inside.to_owned())
    });
    maker.framed(family, "equal, in a list", MayFollow, |inside| {
        let length = inside.len();
        let line = format!("content-length: {length}, {length}\r\n");
        (line, inside.to_owned())
    });
    for (name, form) in [
        ("short first", "content-length: 0\r\ncontent-length: N\r\n"),
        ("long first", "content-length: N\r\ncontent-length: 0\r\n"),
        ("short first, in a list", "content-length: 0, N\r\n"),
        ("long first, in a list", "content-length: N, 0\r\n"),
        (
            "three",
            "content-length: N\r\ncontent-length: N\r\ncontent-length: 0\r\n",
        ),
        (
            "written differently",
            "content-length: 0\r\nContent-Length: 0N\r\n",
        ),
    ] {
        maker.framed(family, name, MustClose, |inside| {
            let headers = form.replace('N', &inside.len().to_string());
            (headers, inside.to_owned())
        });
    }
}

/// Lengths that no digit string of RFC 9110 is; `N` is the true one.
const ODD_LENGTHS: &[&str] = &[
    "+N",
    "-N",
    "-0",
    "N N",
    "N,",
    ",N",
    "0xN",
    "N_0",
    "Ne0",
    "N.0",
    "N;",
    "'N'",
    "\"N\"",
    "",
    "N\u{b}",
    "\u{0}N",
    "18446744073709551616",
    "18446744073709551615",
    "9223372036854775808",
    "99999999999999999999999999",
    "\u{661}",
];

fn odd_lengths(maker: &mut Maker) {
    for form in ODD_LENGTHS {
        maker.framed("odd lengths", form, MustClose, |inside| {
            let value = form.replace('N', &inside.len().to_string());
            (format!("content-length: {value}\r\n"), inside.to_owned())
        });
    }
    for form in ["000N", "\tN\t", "   N"] {
        maker.framed("odd but valid lengths", form, MayFollow, |inside| {
            let value = form.replace('N', &inside.len().to_string());
            (format!("content-length: {value}\r\n"), inside.to_owned())
        });
    }
    maker.framed("odd lengths", "space before colon", MustClose, |inside| {
        let length = inside.len();
        (format!("content-length : {length}\r\n"), inside.to_owned())
    });
}

/// Forms of a chunk of `N` (in hexadecimal) bytes, `DATA`.
const CHUNKS: &[&str] = &[
    "-N\r\nDATA\r\n0\r\n\r\n",
    "+N\r\nDATA\r\n0\r\n\r\n",
    "0xN\r\nDATA\r\n0\r\n\r\n",
    "N_\r\nDATA\r\n0\r\n\r\n",
    "N h\r\nDATA\r\n0\r\n\r\n",
    "g\r\nDATA\r\n0\r\n\r\n",
    "\r\nN\r\nDATA\r\n0\r\n\r\n",
    " N\r\nDATA\r\n0\r\n\r\n",
    "1000000000000000N\r\nDATA\r\n0\r\n\r\n",
    "fffffffffffffffff\r\nDATA\r\n0\r\n\r\n",
    "ffffffffffffffff\r\nDATA\r\n0\r\n\r\n",
    "N\nDATA\r\n0\r\n\r\n",
    "N\rDATA\r\n0\r\n\r\n",
    "N\r\nDATA0\r\n\r\n",
    "N\r\nDATA\n0\r\n\r\n",
    "N\r\nDATA\r0\r\n\r\n",
    "N\r\nDATAjunk\r\n0\r\n\r\n",
    "N;a=\"\r\n\"\r\nDATA\r\n0\r\n\r\n",
    "N;a\nb\r\nDATA\r\n0\r\n\r\n",
    "N;\u{0}\r\nDATA\r\n0\r\n\r\n",
    "0\r\nDATA",
    "0\n\nDATA",
    "0;\r\n\r\nDATA",
    "00000000000000000000\r\n\r\nDATA",
    "1\r\nxDATA",
    "0\r\n\nDATA",
    "0\r\n\rDATA",
];

fn chunk_sizes(maker: &mut Maker) {
    let te = "transfer-encoding: chunked\r\n";
    for form in CHUNKS {
        maker.framed("chunk sizes", form, MustClose, |inside| {
            let size = format!("{:x}", inside.len());
            let body = form.replace('N', &size).replace("DATA", inside);
            (te.to_owned(), body)
        });
    }
    for kib in [1, 15, 17, 64] {
        let name = format!("{kib} KiB of extension");
        maker.framed("chunk extensions", &name, MustClose, |inside| {
            let (size, extension) = (inside.len(), "x".repeat(kib << 10));
            let body = format!("{size:x};{extension}\r\n{inside}\r\n0\r\n\r\n");
            (te.to_owned(), body)
        });
    }
}

fn trailers(maker: &mut Maker) {
    for trailer in [
        "host: evil.example",
        "authorization: Bearer stolen",
        "content-length: 5",
        "transfer-encoding: chunked",
        "x-request-id: inside-",
        "content-type: application/json",
        "no colon",
        ": no name",
        " folded: x",
        "x-a: b\u{0}",
    ] {
        maker.framed("trailers", trailer, MustClose, |inside| {
            let body = format!("{:x}\r\n{inside}\r\n0\r\n{trailer}\r\n\r\n", inside.len());
            (
                "trailer: host\r\ntransfer-encoding: chunked\r\n".to_owned(),
                body,
            )
        });
    }
    maker.framed("trailers", "64 KiB", MustClose, |inside| {
        let trailer = "x".repeat(64 << 10);
        let size = inside.len();
        let body = format!("{size:x}\r\n{inside}\r\n0\r\nx-a: {trailer}\r\n\r\n");
        ("transfer-encoding: chunked\r\n".to_owned(), body)
    });
}

/// Bodies that nobody wants, whole and cut off.
fn unread_bodies(maker: &mut Maker) {
    for kib in [0, 1, 63, 64, 65, 300] {
        let name = format!("{kib} KiB behind it");
        maker.framed("unread bodies", &name, MayFollow, |inside| {
            let body = format!("{inside}{}", inside_again(inside, kib << 10));
            (format!("content-length: {}\r\n", body.len()), body)
        });
    }
    for missing in [1_000, 100_000, 20_000_000] {
        let name = format!("{missing} bytes missing");
        maker.framed("cut bodies", &name, MustClose, |inside| {
            let length = inside.len() + missing;
            (format!("content-length: {length}\r\n"), inside.to_owned())
        });
    }
    maker.framed("expectations", "100-continue", MayFollow, |inside| {
        let length = inside.len();
        let headers = format!("expect: 100-continue\r\ncontent-length: {length}\r\n");
        (headers, inside.to_owned())
    });
    maker.framed("expectations", "another", MayFollow, |inside| {
        let length = inside.len();
        let headers = format!("expect: a miracle\r\ncontent-length: {length}\r\n");
        (headers, inside.to_owned())
    });
}

/// The same request over and over: wherever reading stops, one begins.
fn inside_again(inside: &str, bytes: usize) -> String {
    inside.repeat(bytes / inside.len() + usize::from(bytes > 0))
}
