//! The cases: heads that can be read in two ways.

use crate::parts::{Maker, Then};

use Then::{MayFollow, MustClose};

pub(crate) fn add_to(maker: &mut Maker) {
    early_upgrades(maker);
    bare_returns(maker);
    bare_line_feeds(maker);
    folded_lines(maker);
    control_bytes(maker);
    spaced_names(maker);
    targets(maker);
    hosts(maker);
    methods_and_versions(maker);
    lengthy(maker);
}

/// A request with this head and a body of a known length, which holds another.
fn with_body(inside: &str, own: &str, head: &str) -> Vec<u8> {
    let length = inside.len();
    format!("{head}\r\n{own}content-length: {length}\r\n\r\n{inside}").into_bytes()
}

fn early_upgrades(maker: &mut Maker) {
    for (name, headers) in [
        (
            "h2c",
            "connection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAAQAAP__\r\n",
        ),
        (
            "h2c without settings",
            "connection: upgrade\r\nupgrade: h2c\r\n",
        ),
        ("h2c unconnected", "upgrade: h2c\r\n"),
        (
            "websocket",
            "connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
        ),
        (
            "websocket of a wrong version",
            "connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 777\r\n",
        ),
        ("TLS", "connection: upgrade\r\nupgrade: TLS/1.2\r\n"),
        ("HTTP/2.0", "connection: upgrade\r\nupgrade: HTTP/2.0\r\n"),
    ] {
        maker.framed("early upgrades", name, MustClose, |inside| {
            let length = inside.len();
            (
                format!("{headers}content-length: {length}\r\n"),
                inside.to_owned(),
            )
        });
        // What follows is for whoever speaks the other protocol.
        maker.framed("early upgrades", name, MustClose, |inside| {
            (headers.to_owned(), inside.to_owned())
        });
    }
}

fn bare_returns(maker: &mut Maker) {
    for (name, head) in [
        (
            "after the request line",
            "POST /nowhere HTTP/1.1\rhost: localhost",
        ),
        (
            "in a value",
            "POST /nowhere HTTP/1.1\r\nhost: localhost\r\nx-a: b\rc",
        ),
        (
            "before a header",
            "POST /nowhere HTTP/1.1\r\nhost: localhost\r\nx-a: b\r\rx-c: d",
        ),
        (
            "in a name",
            "POST /nowhere HTTP/1.1\r\nhost: localhost\r\nx\r-a: b",
        ),
        (
            "in the target",
            "POST /now\rhere HTTP/1.1\r\nhost: localhost",
        ),
        (
            "doubled",
            "POST /nowhere HTTP/1.1\r\nhost: localhost\r\nx-a: b\r",
        ),
        (
            "an end inside",
            "POST /nowhere HTTP/1.1\r\nhost: localhost\r\nx-a: b\r\n\r",
        ),
    ] {
        // A line feed of its own would end the line; only a return may not.
        maker.add("bare CR", name, MustClose, |inside, own| {
            with_body(inside, own, head)
        });
    }
}

fn bare_line_feeds(maker: &mut Maker) {
    for (name, head) in [
        ("request line", "POST /nowhere HTTP/1.1\nhost: localhost"),
        (
            "a header",
            "POST /nowhere HTTP/1.1\r\nhost: localhost\nx-a: b",
        ),
        (
            "all lines",
            "POST /nowhere HTTP/1.1\nhost: localhost\nx-a: b\nx-c: d",
        ),
    ] {
        // RFC 9112 lets a recipient take it for the end of a line.
        maker.add("bare LF", name, MayFollow, |inside, own| {
            with_body(inside, own, head)
        });
    }
    for (name, lines) in [
        ("a length that hides", "x-a: b\ncontent-length: 0"),
        ("a length in a target", "x-a: /\ncontent-length: 1"),
    ] {
        maker.add("bare LF", name, MustClose, |inside, own| {
            let head = format!("POST /nowhere HTTP/1.1\r\nhost: localhost\r\n{lines}");
            with_body(inside, own, &head)
        });
    }
}

fn folded_lines(maker: &mut Maker) {
    for (name, lines) in [
        ("by a space", "x-a: b\r\n c"),
        ("by a tab", "x-a: b\r\n\tc"),
        ("a host", "x-a: b\r\n host: evil.example"),
        ("a length", "x-a: b\r\n content-length: 0"),
        ("right away", " x-a: b"),
        ("an empty line", "x-a: b\r\n \r\nx-c: d"),
    ] {
        maker.framed("folded lines", name, MustClose, |inside| {
            let length = inside.len();
            (
                format!("{lines}\r\ncontent-length: {length}\r\n"),
                inside.to_owned(),
            )
        });
    }
}

fn control_bytes(maker: &mut Maker) {
    for byte in [0, 1, 7, 8, 0xb, 0xc, 0xe, 0x1b, 0x1f, 0x7f_u8] {
        let byte = char::from(byte);
        for (place, line) in [
            (
                "a name",
                format!("POST /nowhere HTTP/1.1\r\nhost: localhost\r\nx{byte}a: b"),
            ),
            (
                "a value",
                format!("POST /nowhere HTTP/1.1\r\nhost: localhost\r\nx-a: b{byte}c"),
            ),
            (
                "a target",
                format!("POST /now{byte}here HTTP/1.1\r\nhost: localhost"),
            ),
            (
                "a method",
                format!("PO{byte}ST /nowhere HTTP/1.1\r\nhost: localhost"),
            ),
        ] {
            let name = format!("{byte:?} in {place}");
            maker.add("control bytes", &name, MustClose, |inside, own| {
                with_body(inside, own, &line)
            });
        }
    }
}

fn spaced_names(maker: &mut Maker) {
    for line in [
        "host : localhost",
        "host\t: localhost",
        "x-a : b",
        "x a: b",
        "x-a",
        ": b",
        "x-a\u{e9}: b",
        "x(a): b",
        "\"x\": b",
        "x-a; b",
    ] {
        maker.framed("names with spaces", line, MustClose, |inside| {
            let length = inside.len();
            (
                format!("{line}\r\ncontent-length: {length}\r\n"),
                inside.to_owned(),
            )
        });
    }
}

fn targets(maker: &mut Maker) {
    for (target, then) in [
        ("http://localhost/health/live", MayFollow),
        ("HTTP://LOCALHOST/health/live", MayFollow),
        ("http://evil.example/health/live", MayFollow),
        ("http://localhost@evil.example/health/live", MayFollow),
        ("https://localhost/health/live", MayFollow),
        ("http://localhost", MayFollow),
        ("*", MayFollow),
        ("//evil.example/health/live", MayFollow),
        ("/health/live?a=b%0d%0ahost:%20evil", MayFollow),
        ("/%00", MayFollow),
        ("/../../health/live", MayFollow),
        ("localhost:80", MayFollow),
        ("health/live", MustClose),
        ("http://", MustClose),
        ("/health/live /canary", MustClose),
        ("/health\tlive", MustClose),
        ("", MustClose),
    ] {
        for method in ["GET", "POST"] {
            let name = format!("{method} {target:?}");
            maker.add("targets", &name, then, |inside, own| {
                let head = format!("{method} {target} HTTP/1.1\r\nhost: localhost");
                with_body(inside, own, &head)
            });
        }
    }
}

fn hosts(maker: &mut Maker) {
    for lines in [
        "host:\r\n",
        "",
        "host: localhost\r\nhost: localhost\r\n",
        "host: localhost\r\nhost: evil.example\r\n",
        "host: evil.example\r\nHOST: localhost\r\n",
        "host: localhost, evil.example\r\n",
        "host: localhost/canary\r\n",
        "host: localhost@evil.example\r\n",
        "host: evil.example\r\n",
        "host: localhost:x\r\n",
        "host: [::1\r\n",
        "host: localhost evil.example\r\n",
    ] {
        for line in ["GET /health/live", "POST /v1/chat/completions"] {
            let name = format!("{line} {lines:?}");
            maker.add("hosts", &name, MayFollow, |inside, own| {
                let length = inside.len();
                format!("{line} HTTP/1.1\r\n{lines}{own}content-length: {length}\r\n\r\n{inside}")
                    .into_bytes()
            });
        }
    }
}

fn methods_and_versions(maker: &mut Maker) {
    for (line, then) in [
        ("TRACE / HTTP/1.1", MayFollow),
        ("OPTIONS * HTTP/1.1", MayFollow),
        ("get /health/live HTTP/1.1", MayFollow),
        ("M-SEARCH * HTTP/1.1", MayFollow),
        ("CONNECT localhost:80 HTTP/1.1", MustClose),
        ("CONNECT evil.example:443 HTTP/1.1", MustClose),
        ("CONNECT / HTTP/1.1", MustClose),
        ("GE(T /health/live HTTP/1.1", MustClose),
        ("GET /health/live HTTP/1.2", MustClose),
        ("GET /health/live HTTP/2.0", MustClose),
        ("GET /health/live HTTP/0.9", MustClose),
        ("GET /health/live HTTP/11", MustClose),
        ("GET /health/live http/1.1", MustClose),
        ("GET /health/live HTTP/1.1 ", MustClose),
        ("GET /health/live HTTP/1.1 HTTP/1.1", MustClose),
        ("GET  /health/live HTTP/1.1", MustClose),
        (" GET /health/live HTTP/1.1", MustClose),
        ("GET\t/health/live\tHTTP/1.1", MustClose),
        ("GET /health/live", MustClose),
        ("\u{0}GET /health/live HTTP/1.1", MustClose),
    ] {
        maker.add(
            "methods and versions",
            &format!("{line:?}"),
            then,
            |inside, own| with_body(inside, own, &format!("{line}\r\nhost: localhost")),
        );
        maker.add(
            "methods and versions",
            &format!("{line:?}, no length"),
            MustClose,
            |inside, own| {
                // A body without a length is none: where a request may follow, it
                // is the honest one.
                let inside = if then == MayFollow { "" } else { inside };
                let close = if then == MayFollow {
                    "connection: close\r\n"
                } else {
                    ""
                };
                format!("{line}\r\nhost: localhost\r\n{own}{close}\r\n{inside}").into_bytes()
            },
        );
    }
}

fn lengthy(maker: &mut Maker) {
    // A little above the limit the head is still read, and only then refused.
    for (kib, then) in [(66, MayFollow), (200, MustClose), (1_000, MustClose)] {
        for place in ["target", "query", "method", "value", "name"] {
            let long = "x".repeat(kib << 10);
            let head = match place {
                "target" => format!("POST /{long} HTTP/1.1\r\nhost: localhost"),
                "query" => format!("POST /?{long} HTTP/1.1\r\nhost: localhost"),
                "method" => format!("{long} / HTTP/1.1\r\nhost: localhost"),
                "value" => format!("POST / HTTP/1.1\r\nhost: localhost\r\nx-a: {long}"),
                _ => format!("POST / HTTP/1.1\r\nhost: localhost\r\n{long}: b"),
            };
            let name = format!("{kib} KiB of {place}");
            maker.add("huge heads", &name, then, |inside, own| {
                with_body(inside, own, &head)
            });
        }
    }
    for count in [101, 5_000] {
        let lines = "x-a: b\r\n".repeat(count);
        maker.framed(
            "huge heads",
            &format!("{count} headers"),
            MustClose,
            |inside| {
                let length = inside.len();
                (
                    format!("{lines}content-length: {length}\r\n"),
                    inside.to_owned(),
                )
            },
        );
    }
}
