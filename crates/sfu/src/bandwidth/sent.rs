use sluice_types::sequence::Unroller;
use sluice_types::units::Time;

use super::ProbeId;

/// How many packets are remembered: 2 s at 5 Mbit/s. Feedback about older ones is of no use.
const REMEMBERED: usize = 1_024;

/// A packet that went out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SentPacket {
    pub(super) bytes: u32,
    pub(super) sent: Time,
    pub(super) probe: Option<ProbeId>,
}

/// The same in 12 bytes, of which each receiver has a thousand.
#[derive(Debug, Clone, Copy)]
struct Slot {
    /// The lower half of when it went out, in microseconds: an hour's worth.
    sent: u32,
    /// How often all slots were used before it; of that the lower bits, as no slot is left out so often.
    turn: u16,
    bytes: u16,
    /// See [`ProbeId::mark`]; 0 for none.
    probe: u16,
    told: Told,
}

/// What feedback said of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    Nothing,
    /// It may still be told to have come late.
    Lost,
    Arrived,
}

/// What went out lately, by transport-wide sequence number.
#[derive(Debug, Clone, Default)]
pub(super) struct SentPackets {
    unroller: Unroller,
    slots: Vec<Slot>,
    latest: Time,
}

impl SentPackets {
    pub(super) fn note(&mut self, now: Time, sequence: u16, bytes: usize, probe: Option<ProbeId>) {
        let number = self.unroller.unroll(sequence);
        self.latest = now;
        let slot = Slot {
            // Lower parts, as said above.
            sent: now.as_micros() as u32,
            turn: turn(number),
            // A datagram is no longer.
            bytes: bytes.min(usize::from(u16::MAX)) as u16,
            probe: probe.map_or(0, ProbeId::mark),
            told: Told::Nothing,
        };
        // Most participants of a large room are not sent so much that all of it is needed.
        if self.slots.is_empty() {
            let forgotten = Slot {
                told: Told::Arrived,
                ..slot
            };
            self.slots.resize(REMEMBERED, forgotten);
        }
        self.slots[(number % REMEMBERED as u64) as usize] = slot;
    }

    /// The packet that feedback speaks of; `None` when it spoke of it before in the same way, or it
    /// is forgotten.
    pub(super) fn take(&mut self, sequence: u16, arrived: bool) -> Option<SentPacket> {
        let highest = self.unroller.highest()?;
        let distance = sequence.wrapping_sub(highest as u16) as i16;
        let number = highest.checked_add_signed(i64::from(distance))?;
        let slot = self.slots.get_mut((number % REMEMBERED as u64) as usize)?;
        let news = match slot.told {
            Told::Nothing => true,
            Told::Lost => arrived,
            Told::Arrived => false,
        };
        if !news || slot.turn != turn(number) {
            return None;
        }
        slot.told = if arrived { Told::Arrived } else { Told::Lost };
        let latest = self.latest.as_micros();
        let ago = (latest as u32).wrapping_sub(slot.sent);
        Some(SentPacket {
            bytes: u32::from(slot.bytes),
            sent: Time::from_micros(latest.saturating_sub(u64::from(ago))),
            probe: ProbeId::from_mark(slot.probe),
        })
    }
}

const fn turn(number: u64) -> u16 {
    (number / REMEMBERED as u64) as u16
}
