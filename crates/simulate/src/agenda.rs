//! What is to happen, in the order in which it does.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use sluice_types::units::Time;

/// Events by their time; those of one time in the order in which they were added.
pub(crate) struct Agenda<E> {
    entries: BinaryHeap<Reverse<Entry<E>>>,
    added: u64,
}

struct Entry<E> {
    at: Time,
    number: u64,
    event: E,
}

impl<E> Agenda<E> {
    pub(crate) const fn new() -> Self {
        Self {
            entries: BinaryHeap::new(),
            added: 0,
        }
    }

    pub(crate) fn add(&mut self, at: Time, event: E) {
        self.added += 1;
        let number = self.added;
        self.entries.push(Reverse(Entry { at, number, event }));
    }

    pub(crate) fn next(&mut self) -> Option<(Time, E)> {
        let Reverse(entry) = self.entries.pop()?;
        Some((entry.at, entry.event))
    }
}

impl<E> PartialEq for Entry<E> {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.number) == (other.at, other.number)
    }
}

impl<E> Eq for Entry<E> {}

impl<E> PartialOrd for Entry<E> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<E> Ord for Entry<E> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_first_is_first_and_equals_keep_their_order() {
        let mut agenda = Agenda::new();
        for (at, event) in [(3, 'd'), (1, 'a'), (2, 'b'), (2, 'c')] {
            agenda.add(Time::from_millis(at), event);
        }
        let order: Vec<_> = std::iter::from_fn(|| agenda.next()).collect();
        let events: String = order.iter().map(|(_, event)| event).collect();
        assert_eq!(events, "abcd");
        assert_eq!(order[3].0, Time::from_millis(3));
    }
}
