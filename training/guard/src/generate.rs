//! Rows of our own: attacks in many languages with ordinary text beside them.

use std::collections::BTreeSet;

use crate::carriers::insert;
use crate::grammar::{Section, sections};
use crate::order::Order;
use crate::rows::Row;

const ATTACKS: &str = include_str!("../data/attacks.txt");
const BENIGN: &str = include_str!("../data/benign.txt");
const CARRIERS: &str = include_str!("../data/carriers.txt");
const PASSAGES: &str = include_str!("../data/passages.txt");
const LANGUAGES: &str = include_str!("../data/languages.txt");

/// The files of the grammars, by name.
pub(crate) const GRAMMARS: [(&str, &str); 5] = [
    ("attacks.txt", ATTACKS),
    ("benign.txt", BENIGN),
    ("carriers.txt", CARRIERS),
    ("languages.txt", LANGUAGES),
    ("passages.txt", PASSAGES),
];

/// How many different rows are drawn of each part.
const ATTACKS_EACH: usize = 450;
const BENIGN_EACH: usize = 900;
const CARRIERS_EACH: usize = 350;
const PASSAGES_EACH: usize = 1_200;
const LANGUAGE_ATTACKS: usize = 90;
const LANGUAGE_BENIGN: usize = 200;
const PLANTED: usize = 2400;

/// The rows that need nothing but the grammars.
pub(crate) fn rows(seed: u64) -> Vec<Row> {
    let mut order = Order::new(seed);
    let attacks = sections(ATTACKS);
    let mut rows = Vec::new();
    for section in &attacks {
        let source = format!("generated/{}", section.name);
        let draw = |order: &mut Order| section.draw("attack", order);
        push_different(&mut rows, (&source, 1), ATTACKS_EACH, draw, &mut order);
    }
    for section in &sections(BENIGN) {
        let source = format!("generated/{}", section.name);
        let draw = |order: &mut Order| section.draw("benign", order);
        push_different(&mut rows, (&source, 0), BENIGN_EACH, draw, &mut order);
    }
    for section in &sections(CARRIERS) {
        let source = format!("generated/carrier-{}", section.name);
        let draw = |order: &mut Order| {
            let attack = planted(&attacks, order);
            section.fill("carrier", ("HERE", &attack), order)
        };
        push_different(&mut rows, (&source, 1), CARRIERS_EACH, draw, &mut order);
        let draw = |order: &mut Order| {
            let ordinary = section.draw("ORDINARY", order);
            section.fill("carrier", ("HERE", &ordinary), order)
        };
        push_different(&mut rows, (&source, 0), CARRIERS_EACH, draw, &mut order);
    }
    for section in &sections(LANGUAGES) {
        let source = format!("generated/{}", section.name);
        let draw = |order: &mut Order| foreign_attack(section, order);
        push_different(&mut rows, (&source, 1), LANGUAGE_ATTACKS, draw, &mut order);
        let draw = |order: &mut Order| foreign_benign(section, order);
        push_different(&mut rows, (&source, 0), LANGUAGE_BENIGN, draw, &mut order);
    }
    rows
}

/// Ordinary documents, for the model that reads passages.
pub(crate) fn passages(seed: u64) -> Vec<Row> {
    let mut order = Order::new(seed);
    let mut rows = Vec::new();
    for section in &sections(PASSAGES) {
        let source = format!("generated/{}", section.name);
        let draw = |order: &mut Order| section.draw("benign", order);
        push_different(&mut rows, (&source, 0), PASSAGES_EACH, draw, &mut order);
    }
    rows
}

/// Attacks, of the grammars and of `attacks`, at places of longer ordinary rows.
pub(crate) fn plant(carriers: &[&Row], attacks: &[&Row], seed: u64) -> Vec<Row> {
    if carriers.is_empty() {
        return Vec::new();
    }
    let mut order = Order::new(seed);
    let grammar = sections(ATTACKS);
    let mut found = Vec::new();
    for at in 0..PLANTED {
        let carrier = order.pick(carriers);
        let (attack, source) = if at % 2 == 0 || attacks.is_empty() {
            let attack = planted(&grammar, &mut order);
            (attack, "generated/planted")
        } else {
            let row = order.pick(attacks);
            (row.text.clone(), row.source.as_str())
        };
        let text = insert(&carrier.text, &attack, &mut order);
        let mut row = Row::new(text, 1, source);
        row.carrier = Some(carrier.source.clone());
        found.push(row);
    }
    found
}

/// An attack that stands in a text of somebody else.
fn planted(attacks: &[Section], order: &mut Order) -> String {
    // Notes to a model are what is planted most.
    let section = match order.below(5) {
        0..=2 => attacks.iter().find(|section| section.name == "notes"),
        _ => None,
    };
    let section = match section {
        Some(section) => section,
        None => order.pick(attacks),
    };
    section.draw("attack", order)
}

fn foreign_attack(section: &Section, order: &mut Order) -> String {
    let mut part = |name: &str| section.draw(name, order);
    let (drop, rules) = (part("V"), part("R"));
    let then = part("T");
    let (persona, theft, note) = (part("P"), part("S"), part("N"));
    let before = [part("Q"), part("O")];
    let question = order.pick(&before);
    let space = if section.is_unspaced() { "" } else { " " };
    // Languages that end with the verb.
    let (first, second) = match section.name.as_str() {
        "ja" | "ko" | "tr" | "hi" | "bn" | "fa" => (rules, drop),
        _ => (drop, rules),
    };
    match order.below(9) {
        0 => format!("{first}{space}{second}."),
        1 | 2 => format!("{first}{space}{second}{space}{then}."),
        3 => format!("{question} {first}{space}{second}{space}{then}."),
        4 => format!("{first}{space}{second}. {persona}"),
        5 => persona,
        6 => theft,
        7 => format!("{question} {theft}"),
        _ => note,
    }
}

fn foreign_benign(section: &Section, order: &mut Order) -> String {
    let mut part = |name: &str| section.draw(name, order);
    let (question, hard) = (part("Q"), part("H"));
    let (first, second) = (part("O"), part("O"));
    match order.below(8) {
        0 | 1 => question,
        2 => format!("{question} {hard}"),
        3 => hard,
        4 => first,
        5 => format!("{first} {second}"),
        6 => format!("{hard} {first}"),
        _ => format!("{first} {question} {second}"),
    }
}

/// Draws up to `count` different texts; a small grammar has fewer.
fn push_different(
    rows: &mut Vec<Row>,
    (source, label): (&str, u8),
    count: usize,
    draw: impl Fn(&mut Order) -> String,
    order: &mut Order,
) {
    let mut seen = BTreeSet::new();
    for _ in 0..count * 3 {
        let text = draw(order);
        if seen.len() < count && seen.insert(text.clone()) {
            rows.push(Row::new(text, label, source));
        }
    }
}
