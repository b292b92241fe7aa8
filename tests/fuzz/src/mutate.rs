//! Mutations of a corpus that are the same on every machine.

use sluice_streams::random::Random;

/// The longest input.
const BYTES_MAX: usize = 8_192;

/// Values at which lengths and counts go wrong.
const EDGES: [u8; 10] = [0, 1, 2, 0x0f, 0x10, 0x7f, 0x80, 0xbe, 0xfe, 0xff];

/// Changes `input` in one to eight places; `others` are inputs to take pieces from.
pub fn mutate(random: &mut Random, input: &mut Vec<u8>, others: &[Vec<u8>]) {
    for _ in 0..1 << random.below(4) {
        let at = random.below(input.len());
        match random.below(9) {
            0 if !input.is_empty() => input[at] ^= 1 << random.below(8),
            1 if !input.is_empty() => input[at] = EDGES[random.below(EDGES.len())],
            2 if !input.is_empty() => input[at] = random.number() as u8,
            3 => input.truncate(at),
            4 => input.insert(at, random.number() as u8),
            5 => {
                let end = (at + random.below(16)).min(input.len());
                input.drain(at..end);
            }
            6 => {
                let end = (at + random.below(64)).min(input.len());
                let piece = input[at..end].to_vec();
                let to = random.below(input.len());
                input.splice(to..to, piece);
            }
            7 => {
                if let Some(other) = others.get(random.below(others.len())) {
                    let from = random.below(other.len());
                    input.truncate(at);
                    input.extend_from_slice(&other[from..]);
                }
            }
            _ => {
                if let [first, second, ..] = &mut input[at..] {
                    let number = u16::from_be_bytes([*first, *second]);
                    let step = random.below(35) as u16;
                    [*first, *second] = number.wrapping_add(step).wrapping_sub(17).to_be_bytes();
                }
            }
        }
        input.truncate(BYTES_MAX);
    }
}
