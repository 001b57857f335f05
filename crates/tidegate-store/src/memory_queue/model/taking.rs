//! Who is next.

use super::{
    Begun, Duration, EntryName, Lane, Model, OLDEST_EVERY, Shelf, Take, Taken, When, begin,
};

impl Model {
    pub(in crate::memory_queue) fn take(&mut self, take: &Take<'_>) -> Taken {
        self.let_go();
        self.let_in();
        let mut entries = Vec::new();
        while entries.len() < take.most {
            let Some(name) = self.next(take) else { break };
            let begun = if entries.len() < take.begin {
                Begun::Yes
            } else {
                Begun::No
            };
            entries.push(name.clone());
            self.give(&name, begun, take.hold);
        }
        let entries = entries.iter().filter_map(|name| self.get(name));
        Taken {
            entries: entries.collect(),
            next: self.next_in(),
        }
    }

    /// Takes back what its holder has been silent about for too long.
    pub(super) fn let_go(&mut self) {
        let now_ms = self.now_ms;
        let over = self.held.iter().take_while(|(until, _)| *until <= now_ms);
        for name in over
            .map(|(_, name)| name.clone())
            .collect::<Vec<EntryName>>()
        {
            let version = self.next_version();
            self.alter(&name, |row| {
                row.made = None;
                let head = &mut row.entry.head;
                head.version = version;
                head.shelf = Shelf::Again;
                head.tries.lost += u32::from(row.begun == Begun::Yes);
                head.stamps.due_ms = now_ms;
            });
        }
    }

    /// Makes ready what has become due.
    fn let_in(&mut self) {
        let due = self.later.iter().take_while(|(due, _)| *due <= self.now_ms);
        for name in due
            .map(|(_, name)| name.clone())
            .collect::<Vec<EntryName>>()
        {
            self.unshelve_later(&name);
            self.shelve(&name);
        }
    }

    fn unshelve_later(&mut self, name: &EntryName) {
        let due_ms = self.entries[name].entry.head.stamps.due_ms;
        self.later.remove(&(due_ms, name.clone()));
    }

    fn next(&mut self, take: &Take<'_>) -> Option<EntryName> {
        if let Some((_, name)) = self.broken.first() {
            return Some(name.clone());
        }
        let is_oldest = (self.last.taken + 1).is_multiple_of(OLDEST_EVERY);
        let open = take.lanes.iter().filter(|lane| self.has_room(lane));
        let ready = open.filter_map(|lane| self.ready.get(lane.name)).flatten();
        let first = if is_oldest {
            ready.min_by_key(|(_, order, _)| *order)
        } else {
            ready.min()
        };
        first.map(|(_, _, name)| name.clone())
    }

    fn has_room(&self, lane: &Lane<'_>) -> bool {
        let held = self
            .held
            .iter()
            .filter(|(_, name)| self.entries[name].entry.head.lane == lane.name);
        lane.most_held
            .is_none_or(|most| held.count() < most as usize)
    }

    fn give(&mut self, name: &EntryName, begun: Begun, hold: Duration) {
        let version = self.next_version();
        let (now_ms, until_ms) = (self.now_ms, self.at(When::In(hold)));
        self.last.taken += 1;
        self.alter(name, |row| {
            row.made = None;
            row.until_ms = until_ms;
            row.begun = begun;
            row.entry.head.version = version;
            row.entry.head.shelf = Shelf::Held;
            if begun == Begun::Yes {
                begin(row, now_ms);
            }
        });
    }

    fn next_in(&self) -> Option<Duration> {
        let later = self.later.first().map(|(due, _)| *due);
        let silent = self.held.first().map(|(until, _)| *until);
        let next = later.into_iter().chain(silent).min()?;
        Some(Duration::from_millis(next.saturating_sub(self.now_ms)))
    }
}
