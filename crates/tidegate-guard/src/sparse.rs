//! Things that few of many numbers have.

/// A thing for each number that got one. Most rules find nothing in most texts, so
/// a scan makes room only for those that do.
#[derive(Clone, Debug)]
pub(crate) struct Sparse<T> {
    /// For each number the place of its thing, and one; 0 where it has none. Empty
    /// until the first thing comes.
    slots: Vec<u32>,
    things: Vec<(usize, T)>,
}

impl<T> Default for Sparse<T> {
    fn default() -> Self {
        Self {
            slots: Vec::new(),
            things: Vec::new(),
        }
    }
}

impl<T> Sparse<T> {
    /// The thing of number `number`.
    pub(crate) fn get(&self, number: usize) -> Option<&T> {
        let slot = *self.slots.get(number)? as usize;
        let (_, thing) = self.things.get(slot.checked_sub(1)?)?;
        Some(thing)
    }

    pub(crate) fn get_mut(&mut self, number: usize) -> Option<&mut T> {
        let slot = *self.slots.get(number)? as usize;
        let (_, thing) = self.things.get_mut(slot.checked_sub(1)?)?;
        Some(thing)
    }

    /// The same, made by `new` where there is none yet.
    pub(crate) fn get_or(&mut self, number: usize, new: impl FnOnce() -> T) -> &mut T {
        if self.slots.len() <= number {
            self.make_room(number);
        }
        let slot = &mut self.slots[number];
        if *slot == 0 {
            self.things.push((number, new()));
            *slot = self.things.len() as u32;
        }
        &mut self.things[*slot as usize - 1].1
    }

    #[cold]
    fn make_room(&mut self, number: usize) {
        const LEAST: usize = 1_024;
        self.slots.resize((number + 1).next_multiple_of(LEAST), 0);
    }

    /// The numbers that have a thing, the smallest first.
    pub(crate) fn numbers(&self) -> Vec<usize> {
        let mut numbers: Vec<usize> = self.iter().map(|(number, _)| number).collect();
        numbers.sort_unstable();
        numbers
    }

    /// All things, in the order in which they came.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (usize, &T)> {
        self.things.iter().map(|(number, thing)| (*number, thing))
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (usize, &mut T)> {
        let things = self.things.iter_mut();
        things.map(|(number, thing)| (*number, thing))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_has_its_thing_and_no_other() {
        let mut sparse = Sparse::default();
        assert!(sparse.get(7).is_none());
        for number in [5_000, 7, 0] {
            assert_eq!(*sparse.get_or(number, || number), number);
        }
        *sparse.get_or(7, || unreachable!("it has one")) += 1;
        assert_eq!(sparse.numbers(), [0, 7, 5_000]);
        let found = [0, 1, 7, 5_000, 50_000].map(|number| sparse.get(number).copied());
        assert_eq!(found, [Some(0), None, Some(8), Some(5_000), None]);
        assert!(sparse.get_mut(1).is_none());
    }
}
