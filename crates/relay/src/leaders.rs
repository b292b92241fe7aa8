//! Which coordinator an edge follows, of several that it has lines to.
//!
//! Coordinators agree among themselves on one that plans, and count its terms. One that was paused,
//! or cut off from the others, may not know yet that another took over: the edge knows as soon as
//! it has heard the other, and follows the highest term from then on.

use std::collections::{BTreeMap, BTreeSet};

use sluice_types::ids::Term;

/// What the coordinators at the other ends of an edge's lines said of their terms.
#[derive(Debug, Clone, Default)]
pub struct Leaders {
    said: BTreeMap<usize, Term>,
    /// Lines to coordinators of a version that knows of no terms. Such a one shares nothing with
    /// others: it is alone.
    without_terms: BTreeSet<usize>,
    highest: Term,
}

impl Leaders {
    /// The coordinator on a line leads, in this term.
    pub fn lead(&mut self, line: usize, term: Term) {
        self.said.insert(line, term);
        self.highest = self.highest.max(term);
    }

    /// A line was made anew, or is lost: nothing was said on it yet.
    pub fn forget(&mut self, line: usize) {
        self.said.remove(&line);
        self.without_terms.remove(&line);
    }

    /// The coordinator on a line will never say a term.
    pub fn lead_without_terms(&mut self, line: usize) {
        self.without_terms.insert(line);
    }

    /// Whether plans count that come on this line.
    #[must_use]
    pub fn follows(&self, line: usize) -> bool {
        let said = self.said.get(&line).copied().unwrap_or_default();
        said >= self.highest || self.without_terms.contains(&line)
    }

    /// The highest term that was ever said.
    #[must_use]
    pub const fn highest(&self) -> Term {
        self.highest
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn who_lost_the_lead_is_not_followed_even_when_the_new_leaders_line_is_lost() {
        let mut leaders = Leaders::default();
        assert!(leaders.follows(0), "nobody has said a term");
        leaders.lead(0, Term(5));
        assert!(leaders.follows(0));
        assert!(!leaders.follows(1));
        leaders.lead(1, Term(7));
        assert!(!leaders.follows(0));
        leaders.forget(1);
        assert!(!leaders.follows(0), "its term is over all the same");
        leaders.lead(0, Term(5));
        assert!(!leaders.follows(0), "saying it again helps nothing");
        leaders.lead(0, Term(9));
        assert!(leaders.follows(0));
        leaders.forget(0);
        assert!(!leaders.follows(0), "a new line has to say it first");
    }

    #[test]
    fn a_coordinator_of_an_older_version_is_followed_when_the_mesh_goes_back_to_it() {
        let mut leaders = Leaders::default();
        leaders.lead(0, Term(5));
        leaders.forget(0);
        leaders.lead_without_terms(0);
        assert!(leaders.follows(0));
        leaders.forget(0);
        assert!(!leaders.follows(0));
    }

    proptest! {
        #[test]
        fn the_followed_term_never_falls(
            steps in proptest::collection::vec((0usize..4, proptest::option::of(0u64..20)), 0..200),
        ) {
            let mut leaders = Leaders::default();
            let mut said = BTreeMap::new();
            let mut highest = 0;
            for (line, term) in steps {
                match term {
                    Some(term) => {
                        leaders.lead(line, Term(term));
                        said.insert(line, term);
                        highest = highest.max(term);
                    }
                    None => {
                        leaders.forget(line);
                        said.remove(&line);
                    }
                }
                prop_assert_eq!(leaders.highest(), Term(highest));
                for line in 0..4 {
                    let term = said.get(&line).copied().unwrap_or_default();
                    prop_assert_eq!(leaders.follows(line), term == highest);
                }
            }
        }
    }
}
