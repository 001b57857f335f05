//! What a user sees in the first minute: questions about tidegate, answered from
//! the documents that are shipped with it.

use tidegate_retrieval::{Document, Extract, Hit, Index, extract};
use tidegate_text::Chunker;

macro_rules! document {
    ($id:literal) => {
        (
            $id,
            include_str!(concat!("../../../packs/documents/", $id, ".md")),
        )
    };
}

const DOCUMENTS: [(&str, &str); 8] = [
    document!("chains-and-fallback"),
    document!("configuration"),
    document!("endpoints"),
    document!("getting-started"),
    document!("glossary"),
    document!("limits"),
    document!("operating"),
    document!("streaming-and-errors"),
];

fn answer(question: &str) -> (Vec<Hit>, Vec<Extract>) {
    let documents = DOCUMENTS.map(|(id, text)| Document {
        id: id.to_owned(),
        title: text
            .lines()
            .next()
            .unwrap_or_default()
            .trim_start_matches("# ")
            .to_owned(),
        source: format!("{id}.md"),
        text: text.to_owned(),
    });
    let hits = Index::build(documents.into(), &Chunker::default()).search(question, 8);
    let extracts = extract(question, &hits, 3);
    (hits, extracts)
}

/// The best quote holds `fact` and is where its citation says.
#[track_caller]
fn check(question: &str, fact: &str) {
    let (hits, extracts) = answer(question);
    let best = extracts.first().expect("the documents answer this");
    assert!(best.sentence.contains(fact), "{question} {extracts:#?}");
    let cited = DOCUMENTS
        .iter()
        .find(|(id, _)| *id == hits[best.hit].document);
    let (_, text) = cited.expect("hits come from the documents");
    let (start, end) = best.span;
    let quoted: String = text.chars().skip(start).take(end - start).collect();
    assert_eq!(
        quoted.split_whitespace().collect::<Vec<_>>().join(" "),
        best.sentence
    );
}

#[test]
fn natural_questions_get_the_fact_in_the_first_quote() {
    check("When does the breaker open?", "5 consecutive failures");
    check("When does the breaker close again?", "2 successful probes");
    check("How long is the cooldown?", "60 seconds times");
    check("What is the body limit?", "10 MiB");
    check("What is the default deadline of a request?", "60 seconds");
    check("How long does the drain last?", "30 seconds");
    check("What is the retry budget?", "20 %");
    check("How long is the backoff before a retry?", "2 seconds");
    check(
        "What are the default limits of a chain entry?",
        "30 requests per minute",
    );
    check("How are tokens estimated?", "4 characters");
    check("Which port does tidegate listen on by default?", "8080");
    check(
        "What happens if a stream dies in the middle?",
        "error event",
    );
    check("What is a chain?", "list of upstream models");
    check("How do I check my configuration?", "tidegate config check");
    check(
        "Which header says which model answered?",
        "x-tidegate-model",
    );
    check("What is tidegate?", "gateway");
    check("Does it cache chat answers?", "only when asked for");
    check(
        "What does single-flight mean?",
        "identical requests in flight",
    );
    check("How do I use tidegate with the OpenAI client?", "base URL");
    check("Why do I get a 429?", "429");
    check(
        "How does tidegate honour Retry-After from a provider?",
        "Retry-After",
    );
    check(
        "How many requests per minute are allowed?",
        "30 requests per minute",
    );
    check("How large may a request body be?", "10 MiB");
    check("How do I stop the server gracefully?", "SIGTERM");
    check(
        "What is the answer when every breaker of the chain is open?",
        "503",
    );
    check("How do I connect Ollama?", "OPENAI_BASE_URL");
    check("Does tidegate log prompts?", "never hold the content");
}

#[test]
fn questions_about_something_else_get_no_answer() {
    for question in [
        "What is the capital of France?",
        "Who won the world cup in 1998?",
        "How do I bake bread in an open oven?",
        "Write a poem about autumn leaves",
        "Hello!",
        "2+2?",
        "Summarize this text: the cat sat on the mat",
        "你好，今天天气怎么样？",
    ] {
        assert_eq!(answer(question).1, [], "{question}");
    }
}
