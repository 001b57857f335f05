//! How far the search of one pattern has come, and where it is to go on.

use std::borrow::Cow;
use std::ops::{Range, RangeInclusive};

use super::Compiled;
use super::seek::{Ending, LOOK_AHEAD, Piece};

/// To begin a search takes about as long as to look at so many bytes.
const START_BYTES: usize = 30;

/// How far one pattern has come.
#[derive(Clone, Debug)]
pub(super) struct Lane {
    /// No match that starts before this byte is looked for any more.
    pub(super) resume: usize,
    /// Matches are only looked for where a window begins.
    begins: bool,
    /// Where a match may be: apart from each other and in order, unless they only
    /// say where one may begin.
    pub(super) windows: Vec<Range<usize>>,
    /// Where something stands that every match has besides, if there is such a thing.
    pub(super) others: Option<Others>,
}

/// Where second literals begin: from the first to the last of some that stand close
/// to each other. What lies between two of them is as good as one.
#[derive(Clone, Debug, Default)]
pub(super) struct Others(Vec<RangeInclusive<usize>>);

impl Others {
    pub(super) fn add(&mut self, at: usize) {
        const CLOSE_BYTES: usize = 16;
        let last = self.0.last_mut();
        let last = last.filter(|last| at <= *last.end() + CLOSE_BYTES);
        match last {
            Some(last) => *last = at.min(*last.start())..=at.max(*last.end()),
            None => self.0.push(at..=at),
        }
    }

    /// Drops what stands before byte `from`.
    fn forget(&mut self, from: usize) {
        self.0.retain(|others| *others.end() >= from);
    }

    /// Those of `windows` in which one may stand.
    fn among(&self, windows: &[Range<usize>]) -> Vec<Range<usize>> {
        let mut next = 0;
        let is_among = |window: &&Range<usize>| {
            let before = self.0[next..].iter();
            next += before.take_while(|o| *o.end() < window.start).count();
            let first = self.0.get(next);
            first.is_some_and(|others| *others.start() < window.end)
        };
        windows.iter().filter(is_among).cloned().collect()
    }
}

impl Lane {
    pub(super) fn new(compiled: &Compiled, resume: usize) -> Self {
        Self {
            resume,
            begins: compiled.begins,
            windows: Vec::new(),
            others: compiled.needs_other.then(Others::default),
        }
    }

    /// Where to look, and how.
    pub(super) fn arrange(
        &mut self,
        pattern: &Compiled,
        piece: &Piece<'_>,
    ) -> (Cow<'_, [Range<usize>]>, Look) {
        if self.begins {
            self.windows.sort_unstable_by_key(|window| window.start);
            self.windows.dedup_by_key(|window| window.start);
        }
        let windows = match &self.others {
            Some(others) => Cow::Owned(others.among(&self.windows)),
            None => Cow::Borrowed(self.windows.as_slice()),
        };
        if !self.begins {
            return (windows, Look::Throughout);
        }
        let bytes = |windows: &[Range<usize>]| -> usize {
            let lengths = windows.iter();
            lengths
                .map(|w| w.end.min(piece.end()).saturating_sub(w.start))
                .sum()
        };
        let one_by_one = START_BYTES * windows.len() + bytes(&windows);
        let merged = merged(&windows);
        if one_by_one > pattern.anywhere * bytes(&merged) {
            (Cow::Owned(merged), Look::Throughout)
        } else {
            (windows, Look::AtStarts)
        }
    }

    /// Keeps what later text may still change.
    pub(super) fn leave(&mut self, piece: &Piece<'_>, reach: usize) {
        let unsettled = piece
            .end()
            .saturating_sub(reach.saturating_add(LOOK_AHEAD - 1));
        self.resume = self.resume.max(unsettled);
        let (resume, ending) = (self.resume, piece.ending);
        self.windows
            .retain(|window| ending == Ending::Open && window.end > resume);
        if let Some(others) = &mut self.others {
            others.forget(resume);
        }
    }

    /// Forgets what is too far back for a match that begins in later text.
    pub(super) fn forget_others(&mut self, piece: &Piece<'_>, reach: usize) {
        if let Some(others) = &mut self.others {
            others.forget(piece.end().saturating_sub(reach));
        }
    }

    pub(super) fn add(&mut self, mut window: Range<usize>) {
        if self.begins {
            self.windows.push(window);
            return;
        }
        while let Some(last) = self.windows.last()
            && window.start <= last.end
        {
            window = window.start.min(last.start)..window.end.max(last.end);
            self.windows.pop();
        }
        self.windows.push(window);
    }
}

/// How one pattern is looked for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    /// Anywhere in the windows.
    Throughout,
    /// Where the windows begin.
    AtStarts,
}

/// Windows in order, those that touch as one.
fn merged(windows: &[Range<usize>]) -> Vec<Range<usize>> {
    let mut merged: Vec<Range<usize>> = Vec::new();
    for window in windows {
        match merged.last_mut() {
            Some(last) if window.start <= last.end => last.end = last.end.max(window.end),
            Some(_) | None => merged.push(window.clone()),
        }
    }
    merged
}
