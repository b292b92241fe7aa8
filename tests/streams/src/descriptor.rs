//! Dependency descriptors (the AV1 RTP specification, appendix A) of streams of one or three temporal
//! layers, as libwebrtc writes them.

/// The frames before a decode target says `Switch`, `Discardable` and so on.
const NOT_PRESENT: u32 = 0;
const DISCARDABLE: u32 = 1;
const SWITCH: u32 = 2;

struct Template {
    temporal: u8,
    indications: &'static [u32],
    references: &'static [u32],
    chain: u32,
}

const SINGLE: [Template; 2] = [
    Template {
        temporal: 0,
        indications: &[SWITCH],
        references: &[],
        chain: 0,
    },
    Template {
        temporal: 0,
        indications: &[SWITCH],
        references: &[1],
        chain: 1,
    },
];

const THREE: [Template; 5] = [
    Template {
        temporal: 0,
        indications: &[SWITCH, SWITCH, SWITCH],
        references: &[],
        chain: 0,
    },
    Template {
        temporal: 0,
        indications: &[SWITCH, SWITCH, SWITCH],
        references: &[4],
        chain: 4,
    },
    Template {
        temporal: 1,
        indications: &[NOT_PRESENT, DISCARDABLE, SWITCH],
        references: &[2],
        chain: 2,
    },
    Template {
        temporal: 2,
        indications: &[NOT_PRESENT, NOT_PRESENT, DISCARDABLE],
        references: &[1],
        chain: 1,
    },
    Template {
        temporal: 2,
        indications: &[NOT_PRESENT, NOT_PRESENT, DISCARDABLE],
        references: &[2, 1],
        chain: 3,
    },
];

/// Writes bits, the highest first.
#[derive(Default)]
struct Bits {
    bytes: Vec<u8>,
    used: usize,
}

impl Bits {
    fn put(&mut self, value: u32, count: usize) {
        for bit in (0..count).rev() {
            if self.used.is_multiple_of(8) {
                self.bytes.push(0);
            }
            if let Some(last) = self.bytes.last_mut() {
                *last |= ((value >> bit & 1) as u8) << (7 - self.used % 8);
            }
            self.used += 1;
        }
    }

    /// `ns(n)` of the AV1 specification, section 4.10.7.
    fn below(&mut self, value: u32, count: u32) {
        let width = u32::BITS - count.leading_zeros();
        let short = (1 << width) - count;
        if value < short {
            self.put(value, width as usize - 1);
        } else {
            self.put(value + short, width as usize);
        }
    }
}

/// A stream's layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Structure {
    /// L1T1.
    Single,
    /// L1T3, in the order 0 2 1 2.
    Three,
}

/// One packet's place.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    /// The first packet of its frame.
    pub begins: bool,
    /// The last packet of its frame.
    pub ends: bool,
    /// The frame's number.
    pub frame: u16,
    /// Frames since the latest key frame, 0 for itself.
    pub since_key: usize,
    /// Width and height of the picture.
    pub size: (u16, u16),
}

impl Structure {
    const fn templates(self) -> &'static [Template] {
        match self {
            Self::Single => &SINGLE,
            Self::Three => &THREE,
        }
    }

    /// The descriptor of a packet; the first of a key frame brings the structure.
    #[must_use]
    pub fn write(self, place: &Place) -> Vec<u8> {
        let template = match (self, place.since_key) {
            (_, 0) => 0,
            (Self::Single, _) => 1,
            (Self::Three, since) => [1, 3, 2, 4][since % 4],
        };
        let mut bits = Bits::default();
        bits.put(u32::from(place.begins), 1);
        bits.put(u32::from(place.ends), 1);
        bits.put(template, 6);
        bits.put(u32::from(place.frame), 16);
        if place.begins && place.since_key == 0 {
            // The structure, and nothing that differs from the template.
            bits.put(0b10000, 5);
            self.write_templates(&mut bits);
            bits.put(1, 1);
            bits.put(u32::from(place.size.0) - 1, 16);
            bits.put(u32::from(place.size.1) - 1, 16);
        }
        bits.bytes
    }

    fn write_templates(self, bits: &mut Bits) {
        let templates = self.templates();
        let targets = templates[0].indications.len() as u32;
        bits.put(0, 6);
        bits.put(targets - 1, 5);
        for (n, template) in templates.iter().enumerate() {
            bits.put(
                templates
                    .get(n + 1)
                    .map_or(3, |next| u32::from(next.temporal - template.temporal)),
                2,
            );
        }
        for &indication in templates.iter().flat_map(|template| template.indications) {
            bits.put(indication, 2);
        }
        for template in templates {
            for &distance in template.references {
                bits.put(1, 1);
                bits.put(distance - 1, 4);
            }
            bits.put(0, 1);
        }
        // One chain, which protects every target.
        bits.below(1, targets + 1);
        for _ in 0..targets {
            bits.below(0, 1);
        }
        for template in templates {
            bits.put(template.chain, 4);
        }
    }
}

#[cfg(test)]
mod tests {
    use sluice_sfu::layer::dependency::{Indication, read};

    use super::*;

    #[test]
    fn the_edge_reads_what_is_written() {
        let place = |since_key| Place {
            begins: true,
            ends: false,
            frame: 700,
            since_key,
            size: (320, 180),
        };
        let (_, structure) = read(&Structure::Three.write(&place(0)), None).expect("readable");
        let structure = structure.expect("it brings one");
        assert_eq!(structure.resolutions(), [(320, 180)]);
        let layers: Vec<_> = structure.targets().iter().map(|t| t.temporal).collect();
        assert_eq!(layers, [0, 1, 2]);
        let (second, _) =
            read(&Structure::Three.write(&place(2)), Some(&structure)).expect("readable");
        assert_eq!((second.frame, second.layer.temporal), (700, 1));
        assert_eq!(second.indications.of(0), Indication::NotPresent);
        assert_eq!(second.references.iter().collect::<Vec<_>>(), [2]);
        let (_, single) = read(&Structure::Single.write(&place(0)), None).expect("readable");
        assert_eq!(single.expect("it brings one").targets().len(), 1);
    }
}
