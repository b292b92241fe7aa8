//! The network between hosts: delays, losses, cuts, and the connections across it.
//!
//! A connection behaves like QUIC's: what is sent on its stream arrives in order, late when packets
//! were lost, and not at all once it is over; each end notices by itself that the other is gone.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use sluice_placement::world::Dice;
use sluice_types::units::Time;

/// How often each end looks whether the other is still there.
pub(super) const KEEP_ALIVE: Duration = Duration::from_millis(500);

/// A host: an edge, or the coordinator.
pub(super) type HostIx = usize;

/// A connection's number, never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ConnId(pub(super) u64);

/// An end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct End {
    pub(super) conn: ConnId,
    /// 0 is who dialled.
    pub(super) side: usize,
}

impl End {
    pub(super) const fn other(self) -> Self {
        Self {
            conn: self.conn,
            side: 1 - self.side,
        }
    }
}

struct Host {
    alive: bool,
    /// Counts its starts.
    run: u32,
}

#[derive(Clone, Copy, Default)]
struct Path {
    delay: Duration,
    jitter: Duration,
    loss_permille: u64,
    /// How many faults cut it now.
    cuts: u32,
}

struct Connection<M> {
    hosts: [HostIx; 2],
    runs: [u32; 2],
    open: [bool; 2],
    heard: [Time; 2],
    idle: Duration,
    /// By the side that receives.
    last_arrival: [Time; 2],
    held: [VecDeque<M>; 2],
}

/// See the module.
pub(super) struct Network<M> {
    hosts: Vec<Host>,
    paths: Vec<Path>,
    conns: BTreeMap<ConnId, Connection<M>>,
    next: u64,
    pub(super) lost: u64,
    pub(super) reordered: u64,
}

/// What an end finds when it looks after its connection.
pub(super) enum Health {
    /// It is up, or may yet be.
    Fine,
    /// It is over.
    Over,
    /// The end itself is no more.
    Gone,
}

impl<M> Network<M> {
    pub(super) fn new(hosts: usize) -> Self {
        Self {
            hosts: (0..hosts)
                .map(|_| Host {
                    alive: true,
                    run: 0,
                })
                .collect(),
            paths: vec![Path::default(); hosts * hosts],
            conns: BTreeMap::new(),
            next: 0,
            lost: 0,
            reordered: 0,
        }
    }

    pub(super) fn set_path(&mut self, a: HostIx, b: HostIx, delay: Duration, dice: &mut Dice) {
        let path = Path {
            delay,
            jitter: delay.mul_f64(dice.below(30) as f64 / 100.0),
            // Every third path loses nothing.
            loss_permille: if dice.below(3) == 0 {
                0
            } else {
                dice.below(40)
            },
            cuts: 0,
        };
        let count = self.hosts.len();
        self.paths[a * count + b] = path;
        self.paths[b * count + a] = path;
    }

    /// One fault more, or one less, cuts two hosts off from each other.
    pub(super) fn cut(&mut self, a: HostIx, b: HostIx, cut: bool) {
        let count = self.hosts.len();
        for at in [a * count + b, b * count + a] {
            let cuts = &mut self.paths[at].cuts;
            *cuts = if cut {
                *cuts + 1
            } else {
                cuts.saturating_sub(1)
            };
        }
    }

    fn path(&self, from: HostIx, to: HostIx) -> &Path {
        &self.paths[from * self.hosts.len() + to]
    }

    pub(super) fn delay(&self, from: HostIx, to: HostIx) -> Duration {
        self.path(from, to).delay
    }

    /// Whether packets get from one host to another, if it is alive.
    pub(super) fn reaches(&self, from: HostIx, to: HostIx) -> bool {
        self.path(from, to).cuts == 0
    }

    pub(super) fn is_alive(&self, host: HostIx) -> bool {
        self.hosts[host].alive
    }

    pub(super) fn run_of(&self, host: HostIx) -> u32 {
        self.hosts[host].run
    }

    pub(super) fn stop(&mut self, host: HostIx) {
        self.hosts[host].alive = false;
    }

    pub(super) fn start(&mut self, host: HostIx) {
        self.hosts[host].alive = true;
        self.hosts[host].run += 1;
    }

    /// A connection whose handshake is done; who is silent for `idle` counts as gone.
    pub(super) fn open(&mut self, now: Time, hosts: [HostIx; 2], idle: Duration) -> ConnId {
        self.next += 1;
        let conn = ConnId(self.next);
        self.conns.insert(
            conn,
            Connection {
                hosts,
                runs: hosts.map(|host| self.hosts[host].run),
                open: [true; 2],
                heard: [now; 2],
                idle,
                last_arrival: [now; 2],
                held: [VecDeque::new(), VecDeque::new()],
            },
        );
        conn
    }

    /// The host at an end, while the connection is known.
    pub(super) fn host(&self, end: End) -> Option<HostIx> {
        Some(self.conns.get(&end.conn)?.hosts[end.side])
    }

    /// Whether an end is there and has not closed.
    pub(super) fn is_open(&self, end: End) -> bool {
        self.conns.get(&end.conn).is_some_and(|conn| {
            let host = &self.hosts[conn.hosts[end.side]];
            conn.open[end.side] && host.alive && host.run == conn.runs[end.side]
        })
    }

    /// Closes an end; gives when the other end hears of it, if it does.
    pub(super) fn close(&mut self, now: Time, end: End) -> Option<Time> {
        if !self.is_open(end) {
            return None;
        }
        let conn = self.conns.get_mut(&end.conn)?;
        conn.open[end.side] = false;
        let [from, to] = [conn.hosts[end.side], conn.hosts[1 - end.side]];
        (self.reaches(from, to)).then(|| now + self.delay(from, to))
    }

    /// Sends a message on the stream; gives when it arrives, or keeps it while there is no way.
    pub(super) fn send(
        &mut self,
        now: Time,
        dice: &mut Dice,
        from: End,
        message: M,
    ) -> Option<(Time, M)> {
        if !self.is_open(from) {
            return None;
        }
        let to = from.other().side;
        let hosts = self.conns.get(&from.conn)?.hosts;
        let path = *self.path(hosts[from.side], hosts[to]);
        let conn = self.conns.get_mut(&from.conn)?;
        if path.cuts > 0 || !conn.held[to].is_empty() {
            conn.held[to].push_back(message);
            return None;
        }
        let mut taken = path.delay + jitter(&path, dice);
        while dice.below(1_000) < path.loss_permille {
            // It is sent again when an acknowledgement is overdue.
            taken += path.delay * 2 + Duration::from_millis(25);
        }
        let at = (now + taken).max(conn.last_arrival[to]);
        conn.last_arrival[to] = at;
        Some((at, message))
    }

    /// What waited at the ends of connections between two hosts that reach each other again, and the
    /// ends that it leaves from.
    pub(super) fn release(&mut self, a: HostIx, b: HostIx) -> Vec<(End, Vec<M>)> {
        let mut released = Vec::new();
        if !self.reaches(a, b) {
            return released;
        }
        for (&id, conn) in &mut self.conns {
            if conn.hosts != [a, b] && conn.hosts != [b, a] {
                continue;
            }
            for side in 0..2 {
                let waiting = std::mem::take(&mut conn.held[1 - side]);
                if !waiting.is_empty() {
                    released.push((End { conn: id, side }, waiting.into()));
                }
            }
        }
        released
    }

    /// When a datagram arrives, if it does.
    pub(super) fn datagram(&mut self, now: Time, dice: &mut Dice, from: End) -> Option<Time> {
        if !self.is_open(from) {
            return None;
        }
        let hosts = self.conns.get(&from.conn)?.hosts;
        let path = *self.path(hosts[from.side], hosts[1 - from.side]);
        if path.cuts > 0 || dice.below(1_000) < path.loss_permille {
            self.lost += 1;
            return None;
        }
        let mut at = now + path.delay + jitter(&path, dice);
        if dice.below(100) == 0 {
            at = at + Duration::from_micros(1 + dice.below(20_000));
            self.reordered += 1;
        }
        Some(at)
    }

    /// An end looks after its connection.
    pub(super) fn look_after(&mut self, now: Time, end: End) -> Health {
        if !self.is_open(end) {
            self.forget(end.conn);
            return Health::Gone;
        }
        let other_open = self.is_open(end.other());
        let Some(conn) = self.conns.get(&end.conn) else {
            return Health::Gone;
        };
        let [here, there] = [conn.hosts[end.side], conn.hosts[1 - end.side]];
        let (reaches, answers) = (self.reaches(here, there), self.hosts[there].alive);
        let Some(conn) = self.conns.get_mut(&end.conn) else {
            return Health::Gone;
        };
        if reaches && other_open {
            conn.heard[end.side] = now;
            return Health::Fine;
        }
        // Who lives and does not know the connection says so; who is silent is waited for.
        let reset = reaches && answers && !other_open;
        if reset || now.since(conn.heard[end.side]) >= conn.idle {
            conn.open[end.side] = false;
            return Health::Over;
        }
        Health::Fine
    }

    fn forget(&mut self, conn: ConnId) {
        let over = (0..2).all(|side| !self.is_open(End { conn, side }));
        if over {
            self.conns.remove(&conn);
        }
    }
}

fn jitter(path: &Path, dice: &mut Dice) -> Duration {
    path.jitter.mul_f64(dice.below(1_000) as f64 / 1_000.0)
}
