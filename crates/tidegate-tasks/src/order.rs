//! Tasks of one submission in an order in which each stands after what it
//! depends on.

use std::collections::HashMap;

use crate::error::SubmitError;

/// A task's id, and what it depends on.
pub(crate) type Link<'a> = (&'a str, &'a [String]);

/// Places of the tasks, those that others depend on first, and otherwise in the
/// order of submission. What is not among them is left to the queue.
///
/// # Errors
/// [`SubmitError::Twice`] and [`SubmitError::Cycle`].
pub(crate) fn order(tasks: &[Link<'_>]) -> Result<Vec<usize>, SubmitError> {
    let mut places = HashMap::new();
    for (place, (id, _)) in tasks.iter().enumerate() {
        if places.insert(*id, place).is_some() {
            return Err(SubmitError::Twice((*id).to_owned()));
        }
    }
    let mut walk = Walk {
        tasks,
        places,
        marks: vec![Mark::New; tasks.len()],
        ordered: Vec::with_capacity(tasks.len()),
    };
    for place in 0..tasks.len() {
        walk.visit(place)?;
    }
    Ok(walk.ordered)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mark {
    New,
    Open,
    Done,
}

struct Walk<'a> {
    tasks: &'a [Link<'a>],
    places: HashMap<&'a str, usize>,
    marks: Vec<Mark>,
    ordered: Vec<usize>,
}

impl Walk<'_> {
    /// Depth first, without recursion: a chain may be as long as a submission.
    fn visit(&mut self, first: usize) -> Result<(), SubmitError> {
        let mut path = vec![(first, 0)];
        while let Some((place, next)) = path.last().copied() {
            if self.marks[place] == Mark::Done {
                path.pop();
                continue;
            }
            self.marks[place] = Mark::Open;
            let Some(after) = self.tasks[place].1.get(next) else {
                self.marks[place] = Mark::Done;
                self.ordered.push(place);
                path.pop();
                continue;
            };
            if let Some(last) = path.last_mut() {
                last.1 += 1;
            }
            let Some(after) = self.places.get(after.as_str()).copied() else {
                continue;
            };
            match self.marks[after] {
                Mark::Done => {}
                Mark::New => path.push((after, 0)),
                Mark::Open => return Err(self.cycle(&path, after)),
            }
        }
        Ok(())
    }

    fn cycle(&self, path: &[(usize, usize)], back: usize) -> SubmitError {
        let round = path.iter().skip_while(|(place, _)| *place != back);
        let mut ids: Vec<String> = round
            .map(|(place, _)| self.tasks[*place].0.to_owned())
            .collect();
        ids.push(self.tasks[back].0.to_owned());
        SubmitError::Cycle(ids)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(tasks: &[(&str, &[&str])]) -> Result<Vec<usize>, SubmitError> {
        let owned: Vec<(String, Vec<String>)> = tasks
            .iter()
            .map(|(id, after)| {
                (
                    (*id).to_owned(),
                    after.iter().map(|id| (*id).to_owned()).collect(),
                )
            })
            .collect();
        let links: Vec<Link<'_>> = owned.iter().map(|(id, after)| (&**id, &**after)).collect();
        order(&links)
    }

    #[test]
    fn what_others_depend_on_comes_first() {
        assert_eq!(
            of(&[("c", &["b"]), ("b", &["a", "elsewhere"]), ("a", &[])]),
            Ok(vec![2, 1, 0])
        );
        assert_eq!(of(&[("a", &[]), ("b", &[])]), Ok(vec![0, 1]));
    }

    #[test]
    fn a_circle_is_named() {
        let names = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect();
        let circle = of(&[("x", &["a"]), ("a", &["b"]), ("b", &["c"]), ("c", &["a"])]);
        assert_eq!(
            circle,
            Err(SubmitError::Cycle(names(&["a", "b", "c", "a"])))
        );
        assert_eq!(
            of(&[("a", &["a"])]),
            Err(SubmitError::Cycle(names(&["a", "a"])))
        );
        assert_eq!(
            of(&[("a", &[]), ("a", &[])]),
            Err(SubmitError::Twice("a".to_owned()))
        );
    }

    #[test]
    fn a_chain_as_long_as_a_submission_is_no_trouble() {
        let owned: Vec<(String, Vec<String>)> = (0..10_000)
            .map(|i| (i.to_string(), vec![(i + 1).to_string()]))
            .collect();
        let links: Vec<Link<'_>> = owned.iter().map(|(id, after)| (&**id, &**after)).collect();
        assert_eq!(order(&links).unwrap()[0], 9_999);
    }

    proptest! {
        /// Edges that lead to lower numbers cannot make a circle; the order
        /// holds for whatever order they are submitted in.
        #[test]
        fn every_task_stands_after_what_it_depends_on(
            edges in proptest::collection::vec((0_usize..24, 0_usize..24), 0..60),
            shuffle in Just((0_usize..24).collect::<Vec<_>>()).prop_shuffle(),
        ) {
            let after = |task: usize| -> Vec<String> {
                let edges = edges.iter().map(|(a, b)| (a.max(b), a.min(b)));
                edges.filter(|edge| *edge.0 == task && edge.0 != edge.1).map(|(_, b)| b.to_string()).collect()
            };
            let owned: Vec<(String, Vec<String>)> =
                shuffle.iter().map(|task| (task.to_string(), after(*task))).collect();
            let links: Vec<Link<'_>> = owned.iter().map(|(id, after)| (&**id, &**after)).collect();
            let ordered = order(&links).unwrap();
            prop_assert_eq!(ordered.len(), 24);
            let ids: Vec<&str> = ordered.iter().map(|place| links[*place].0).collect();
            for (place, id) in ids.iter().enumerate() {
                let (_, after) = links.iter().find(|(other, _)| other == id).unwrap();
                for before in *after {
                    let stands = ids.iter().position(|other| other == before).unwrap();
                    prop_assert!(stands < place);
                }
            }
        }
    }
}
