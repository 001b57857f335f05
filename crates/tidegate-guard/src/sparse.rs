//! Things that few of many numbers have.

/// So few are looked for one by one.
const FEW: usize = 8;

/// A thing for each number that got one. Most rules find nothing in most texts, so
/// a scan makes room only for those that do.
#[derive(Clone, Debug)]
pub(crate) struct Sparse<T> {
    numbers: Vec<u32>,
    /// One for each of the numbers.
    things: Vec<T>,
    /// Where there are more than a few: for each number the place of its thing, and
    /// one; 0 where it has none.
    slots: Vec<u32>,
}

impl<T> Default for Sparse<T> {
    fn default() -> Self {
        Self {
            numbers: Vec::new(),
            things: Vec::new(),
            slots: Vec::new(),
        }
    }
}

impl<T> Sparse<T> {
    fn place(&self, number: usize) -> Option<usize> {
        if self.slots.is_empty() {
            let mut numbers = self.numbers.iter();
            return numbers.position(|known| *known as usize == number);
        }
        (*self.slots.get(number)? as usize).checked_sub(1)
    }

    /// The thing of number `number`.
    pub(crate) fn get(&self, number: usize) -> Option<&T> {
        self.place(number).map(|place| &self.things[place])
    }

    pub(crate) fn get_mut(&mut self, number: usize) -> Option<&mut T> {
        self.place(number).map(|place| &mut self.things[place])
    }

    /// The same, made by `new` where there is none yet.
    pub(crate) fn get_or(&mut self, number: usize, new: impl FnOnce() -> T) -> &mut T {
        let place = match self.place(number) {
            Some(place) => place,
            None => self.push(number, new()),
        };
        &mut self.things[place]
    }

    #[cold]
    fn push(&mut self, number: usize, thing: T) -> usize {
        self.numbers.push(number as u32);
        self.things.push(thing);
        let place = self.things.len() - 1;
        if place == FEW {
            let numbers = self.numbers.clone();
            for (place, number) in numbers.into_iter().enumerate() {
                self.note(number as usize, place);
            }
        } else if place > FEW {
            self.note(number, place);
        }
        place
    }

    fn note(&mut self, number: usize, place: usize) {
        const LEAST: usize = 512;
        if self.slots.len() <= number {
            let room = (number + 1).next_multiple_of(LEAST);
            self.slots.resize(room, 0);
        }
        self.slots[number] = place as u32 + 1;
    }

    /// The numbers that have a thing, the smallest first.
    pub(crate) fn numbers(&self) -> Vec<usize> {
        let mut numbers: Vec<usize> = self.iter().map(|(number, _)| number).collect();
        numbers.sort_unstable();
        numbers
    }

    /// All things, in the order in which they came.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (usize, &T)> {
        let numbers = self.numbers.iter().map(|number| *number as usize);
        numbers.zip(&self.things)
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (usize, &mut T)> {
        let numbers = self.numbers.iter().map(|number| *number as usize);
        numbers.zip(&mut self.things)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_has_its_thing_and_no_other() {
        for count in [0, 1, FEW, FEW + 1, 3 * FEW] {
            let mut sparse = Sparse::default();
            let has: Vec<usize> = (0..count).map(|n| (n * 7_919) % 5_003).collect();
            for number in &has {
                assert_eq!(*sparse.get_or(*number, || *number), *number);
            }
            for number in &has {
                *sparse.get_or(*number, || unreachable!("it has one")) += 1;
            }
            for number in 0..6_000 {
                let thing = has.contains(&number).then_some(number + 1);
                assert_eq!(sparse.get(number).copied(), thing);
                assert_eq!(sparse.get_mut(number).copied(), thing);
            }
            let mut sorted = has.clone();
            sorted.sort_unstable();
            assert_eq!(sparse.numbers(), sorted);
            assert!(sparse.iter().all(|(number, thing)| number + 1 == *thing));
        }
    }
}
