use sluice_types::sequence::Unroller;
use sluice_types::units::Time;

use super::ProbeId;

/// How many packets are remembered: 2 s at 12 Mbit/s. Feedback about older ones is of no use.
const REMEMBERED: usize = 2_048;

/// A packet that went out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SentPacket {
    number: u64,
    pub(super) sent: Time,
    pub(super) bytes: u32,
    pub(super) probe: Option<ProbeId>,
    /// Feedback called it lost; it may still be told to have come late.
    lost: bool,
}

/// What went out lately, by transport-wide sequence number.
#[derive(Debug, Clone)]
pub(super) struct SentPackets {
    unroller: Unroller,
    slots: Vec<Option<SentPacket>>,
}

impl Default for SentPackets {
    fn default() -> Self {
        Self {
            unroller: Unroller::default(),
            slots: vec![None; REMEMBERED],
        }
    }
}

impl SentPackets {
    pub(super) fn note(&mut self, now: Time, sequence: u16, bytes: usize, probe: Option<ProbeId>) {
        let number = self.unroller.unroll(sequence);
        self.slots[(number % REMEMBERED as u64) as usize] = Some(SentPacket {
            number,
            sent: now,
            // A datagram is far below 4 GiB.
            bytes: bytes as u32,
            probe,
            lost: false,
        });
    }

    /// The packet that feedback speaks of; `None` when it spoke of it before in the same way, or it
    /// is forgotten.
    pub(super) fn take(&mut self, sequence: u16, arrived: bool) -> Option<SentPacket> {
        let highest = self.unroller.highest()?;
        let distance = sequence.wrapping_sub(highest as u16) as i16;
        let number = highest.checked_add_signed(i64::from(distance))?;
        let slot = &mut self.slots[(number % REMEMBERED as u64) as usize];
        let packet = slot.filter(|packet| packet.number == number)?;
        if arrived {
            *slot = None;
        } else if packet.lost {
            return None;
        } else if let Some(packet) = slot {
            packet.lost = true;
        }
        Some(packet)
    }
}
