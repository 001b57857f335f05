//! What cases are put together from.

/// Word in the id of the request that nobody should find.
pub(crate) const INSIDE: &str = "inside";
/// Word in the id of the honest request that follows.
pub(crate) const AFTER: &str = "after";

/// One case.
#[derive(Debug)]
pub(crate) struct Case {
    pub(crate) number: usize,
    pub(crate) family: &'static str,
    pub(crate) name: String,
    /// The case and the request that follows it.
    pub(crate) raw: Vec<u8>,
    pub(crate) then: Then,
}

/// What the strictest reading says of the request that follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Then {
    /// It is a request, if the first one was not refused with a close.
    MayFollow,
    /// There is no knowing where it begins, or the connection has to end.
    MustClose,
}

impl Case {
    /// The id of one of its requests.
    pub(crate) fn id(&self, word: &str) -> String {
        id(word, self.number)
    }
}

fn id(word: &str, number: usize) -> String {
    format!("{word}-{number}.")
}

/// The beginning of a request: where it goes decides who reads its body.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Start {
    pub(crate) name: &'static str,
    pub(crate) line: &'static str,
    pub(crate) headers: &'static str,
}

const JSON: &str = "content-type: application/json\r\n";

/// A body that is read, and four that are not, for different reasons.
pub(crate) const STARTS: [Start; 5] = [
    Start {
        name: "read",
        line: "POST /v1/chat/completions",
        headers: JSON,
    },
    Start {
        name: "no such path",
        line: "POST /nowhere",
        headers: JSON,
    },
    Start {
        name: "a body to a get",
        line: "GET /health/live",
        headers: "",
    },
    Start {
        name: "no such method",
        line: "PUT /v1/embeddings",
        headers: JSON,
    },
    Start {
        name: "no json",
        line: "POST /v1/chat/completions",
        headers: "content-type: text/plain\r\n",
    },
];

/// Makes cases and numbers them.
#[derive(Default)]
pub(crate) struct Maker {
    pub(crate) cases: Vec<Case>,
}

impl Maker {
    /// Adds a case. `make` gets the request that nobody should find and the
    /// header with the first request's id.
    pub(crate) fn add(
        &mut self,
        family: &'static str,
        name: &str,
        then: Then,
        make: impl FnOnce(&str, &str) -> Vec<u8>,
    ) {
        let number = self.cases.len();
        let own = format!("x-request-id: {}\r\n", id("case", number));
        let mut raw = make(&inside(number), &own);
        let after = id(AFTER, number);
        raw.extend_from_slice(
            format!(
                "GET /canary/{after} HTTP/1.1\r\nhost: localhost\r\nx-request-id: {after}\r\n\r\n"
            )
            .as_bytes(),
        );
        self.cases.push(Case {
            number,
            family,
            name: name.to_owned(),
            raw,
            then,
        });
    }

    /// A case of each start, with headers and a body.
    pub(crate) fn framed(
        &mut self,
        family: &'static str,
        name: &str,
        then: Then,
        make: impl Fn(&str) -> (String, String),
    ) {
        for start in STARTS {
            let name = format!("{name:?}, {}", start.name);
            self.add(family, &name, then, |inside, own| {
                let (headers, body) = make(inside);
                let Start {
                    line,
                    headers: more,
                    ..
                } = start;
                format!("{line} HTTP/1.1\r\nhost: localhost\r\n{own}{more}{headers}\r\n{body}")
                    .into_bytes()
            });
        }
    }
}

/// A request that shows wherever it is answered, by turns one that the gate
/// answers itself and one that reaches the upstream.
fn inside(number: usize) -> String {
    let id = id(INSIDE, number);
    if number.is_multiple_of(2) {
        return format!(
            "GET /canary/{id} HTTP/1.1\r\nhost: localhost\r\nx-request-id: {id}\r\n\r\n"
        );
    }
    let body = format!(r#"{{"model":"m","messages":[{{"role":"user","content":"{id}"}}]}}"#);
    let length = body.len();
    format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\nx-request-id: {id}\r\n{JSON}content-length: {length}\r\n\r\n{body}"
    )
}

/// One chunk and the end.
pub(crate) fn chunked(data: &str) -> String {
    format!("{:x}\r\n{data}\r\n0\r\n\r\n", data.len())
}
