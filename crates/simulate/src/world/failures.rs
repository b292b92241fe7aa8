//! Edges and links that fail and come back.

use super::Simulation;

impl Simulation {
    /// An edge or a link fails, or comes back.
    pub(super) fn fail_something(&mut self) {
        let edge = self.dice.below(self.edges.len() as u64) as usize;
        let link = self.dice.below(self.links.len() as u64) as usize;
        let down: Vec<_> = (0..self.edges.len())
            .filter(|&edge| !self.edges[edge].up)
            .collect();
        match self.dice.below(4) {
            0 => self.edge_down(edge),
            1 if !down.is_empty() => {
                let which = self.dice.below(down.len() as u64) as usize;
                self.edge_up(down[which]);
            }
            2 => self.set_link(link, false),
            _ => {
                if let Some(&link) = self.down_links.first() {
                    self.set_link(link, true);
                }
            }
        }
    }

    fn edge_down(&mut self, edge: usize) {
        if !std::mem::take(&mut self.edges[edge].up) {
            return;
        }
        self.report.outcome.faults.edge_crashes += 1;
        let changed = self.planner.edge_down(&self.edges[edge].id);
        self.report.planned += changed.len() as u64;
        self.take(changed);
        // Its participants notice, leave it, and ask for another.
        let there: Vec<_> = (0..self.people.len())
            .filter(|&person| self.people[person].edge == Some(edge as u16))
            .collect();
        for person in there {
            self.leave(person);
            self.enter(person);
            self.report.outcome.events += 2;
        }
    }

    fn edge_up(&mut self, edge: usize) {
        self.report.outcome.faults.edge_restarts += 1;
        self.edges[edge].up = true;
        let (id, region) = (self.edges[edge].id.clone(), self.edges[edge].region.clone());
        let changed = self.planner.edge_up(id, region);
        self.take(changed);
    }

    fn set_link(&mut self, link: usize, up: bool) {
        let is_news = match up {
            true => self.down_links.remove(&link),
            false => self.down_links.insert(link),
        };
        if is_news && !up {
            self.report.outcome.faults.links_cut += 1;
        }
        let (a, b) = &self.links[link];
        let changed = self.planner.set_link_up(a, b, up);
        self.report.planned += changed.len() as u64;
        self.take(changed);
    }

    /// Everything is up again, and every plan was looked at since.
    pub(super) fn mend_everything(&mut self) {
        for link in std::mem::take(&mut self.down_links) {
            let (a, b) = self.links[link].clone();
            let changed = self.planner.set_link_up(&a, &b, true);
            self.take(changed);
        }
        for edge in 0..self.edges.len() {
            if !self.edges[edge].up {
                self.edge_up(edge);
            }
        }
        while self.planner.stale() > 0 {
            self.refresh(10_000);
        }
        if let Some((invariant, what)) = self.unsettled() {
            self.breaks(invariant, what);
        }
    }
}
