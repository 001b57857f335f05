//! The score of a text that arrives in pieces.

use std::ops::{Deref, Range};

use crate::calibration::lateness;
use crate::classifier::{Classifier, Score};
use crate::words::{Gram, Reader};

/// Follows a growing text. Each window is read once, wherever the pieces are
/// cut, and nothing is kept of the text: at most two windows are open, each of
/// which is a sum of whole numbers. `C` is how the classifier is held: borrowed,
/// or shared.
#[derive(Clone, Debug)]
pub struct Following<C> {
    classifier: C,
    /// The window that ends next, and the one after it where it has begun.
    open: Open,
    next: Option<Open>,
    /// Code points that have arrived.
    at: usize,
    worst: Option<(f64, Range<usize>)>,
    /// Windows that have ended.
    ended: usize,
}

/// A window that has begun.
#[derive(Clone, Debug)]
struct Open {
    start: usize,
    reader: Reader,
    sum: i64,
}

impl Open {
    fn at(start: usize, classifier: &Classifier) -> Self {
        Self {
            start,
            reader: classifier.reader(),
            sum: 0,
        }
    }

    fn read(&mut self, piece: &str, classifier: &Classifier) {
        // On the stack, so that the loop may keep it in registers.
        let (mut reader, mut sum) = (self.reader.clone(), self.sum);
        reader.read(piece, &mut |gram: Gram| {
            sum += i64::from(classifier.weight(gram.hash))
        });
        (self.reader, self.sum) = (reader, sum);
    }

    /// The logit if the text ended here.
    fn logit(&self, classifier: &Classifier) -> f64 {
        let (mut reader, mut sum) = (self.reader.clone(), self.sum);
        reader.end(&mut |gram: Gram| sum += i64::from(classifier.weight(gram.hash)));
        classifier.logit(sum, reader.count())
    }
}

impl<C: Deref<Target = Classifier>> Following<C> {
    /// Nothing of the text has arrived.
    pub fn new(classifier: C) -> Self {
        Self {
            open: Open::at(0, &classifier),
            next: None,
            at: 0,
            worst: None,
            ended: 0,
            classifier,
        }
    }

    /// Takes the next piece.
    pub fn push(&mut self, piece: &str) {
        self.push_until(piece, &|| false);
    }

    /// Takes the next piece, unless `stop` says yes, which is asked before each
    /// window. False when it was stopped: then there is no score of this text.
    pub fn push_until(&mut self, piece: &str, stop: &impl Fn() -> bool) -> bool {
        let mut rest = piece;
        while !rest.is_empty() {
            if stop() {
                return false;
            }
            self.turn();
            let (now, later) = split_at_chars(rest, self.border() - self.at);
            self.at += now.1;
            self.open.read(now.0, &self.classifier);
            if let Some(next) = &mut self.next {
                next.read(now.0, &self.classifier);
            }
            rest = later;
        }
        true
    }

    /// The score of all that has arrived, as if the text ended here.
    pub fn score(&self) -> Score {
        let mut worst = self.worst.clone();
        let logit = self.open.logit(&self.classifier) - lateness(self.ended);
        consider(&mut worst, logit, self.open.start..self.at);
        let (logit, window) = worst.unwrap_or((f64::MIN, 0..0));
        self.scored(logit, window, self.ended + 1)
    }

    /// The score of the windows that have ended, where there are any. The score of
    /// the whole text is never below it, whatever follows; the end of a text that
    /// goes on may still become harmless.
    pub fn settled(&self) -> Option<Score> {
        let (logit, window) = self.worst.clone()?;
        Some(self.scored(logit, window, self.ended))
    }

    /// Where the first window begins that has not ended, in code points: what
    /// stands before it has been judged.
    pub fn open_from(&self) -> usize {
        self.open.start
    }

    fn scored(&self, logit: f64, window: Range<usize>, windows: usize) -> Score {
        Score {
            probability: self.classifier.probability(logit),
            logit,
            window,
            windows,
        }
    }

    /// The next place where a window begins or ends.
    fn border(&self) -> usize {
        let settings = self.classifier.settings();
        let end = self.open.start + settings.window as usize;
        match self.next {
            Some(_) => end,
            None => end.min(self.open.start + settings.stride as usize),
        }
    }

    /// Ends and begins windows at this place. That is done when more of the text
    /// is there: a window that nothing follows is the last one.
    fn turn(&mut self) {
        let settings = self.classifier.settings();
        let following = self.open.start + settings.stride as usize;
        if self.next.is_none() && self.at == following {
            self.next = Some(Open::at(following, &self.classifier));
        }
        if self.at == self.open.start + settings.window as usize {
            let logit = self.open.logit(&self.classifier) - lateness(self.ended);
            consider(&mut self.worst, logit, self.open.start..self.at);
            self.ended += 1;
            if let Some(next) = self.next.take() {
                self.open = next;
            }
        }
    }
}

impl Classifier {
    /// All windows of a text whose probability is at least `least`, in order and
    /// in code points. The score of the text is the worst of them.
    pub fn windows_from(&self, text: &str, least: f64) -> Vec<Range<usize>> {
        let settings = self.settings();
        let (mut found, mut start, mut number, mut rest) = (Vec::new(), 0, 0, text);
        loop {
            let ((piece, length), later) = split_at_chars(rest, settings.window as usize);
            let mut open = Open::at(start, self);
            open.read(piece, self);
            if self.probability(open.logit(self) - lateness(number)) >= least {
                found.push(start..start + length);
            }
            if later.is_empty() {
                return found;
            }
            (_, rest) = split_at_chars(rest, settings.stride as usize);
            start += settings.stride as usize;
            number += 1;
        }
    }
}

/// Keeps the worse of two windows, the first where they are equal.
fn consider(worst: &mut Option<(f64, Range<usize>)>, logit: f64, window: Range<usize>) {
    if worst.as_ref().is_none_or(|(known, _)| logit > *known) {
        *worst = Some((logit, window));
    }
}

/// The first `count` code points with their number, and what follows them.
fn split_at_chars(text: &str, count: usize) -> ((&str, usize), &str) {
    // As many bytes hold at least a quarter and at most all of the code points.
    if text.len() <= count && text.is_ascii() {
        return ((text, text.len()), "");
    }
    match text.char_indices().nth(count) {
        Some((at, _)) => ((&text[..at], count), &text[at..]),
        None => ((text, text.chars().count()), ""),
    }
}

#[cfg(test)]
mod tests;
