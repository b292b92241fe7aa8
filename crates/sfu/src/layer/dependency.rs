//! The dependency descriptor (the AV1 RTP specification, appendix A): which frames a frame needs,
//! and for which decode targets it is needed.

use super::Layer;
use super::bits::Bits;

/// The most decode targets, templates, chains, and references of one frame.
const TARGETS_MAX: usize = 32;
const TEMPLATES_MAX: usize = 64;
const REFERENCES_MAX: usize = 8;

/// What a frame is to a decode target (appendix A.3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Indication {
    /// It is not part of it.
    NotPresent,
    /// No other frame of it depends on it.
    Discardable,
    /// All later frames of it depend on this one or later ones alone.
    Switch,
    /// It is needed.
    Required,
}

/// The indications of one frame for all decode targets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Indications(u64);

impl Indications {
    /// The frame's part in a decode target.
    #[must_use]
    pub const fn of(self, target: u8) -> Indication {
        match self.0 >> (target as u32 % TARGETS_MAX as u32 * 2) & 3 {
            0 => Indication::NotPresent,
            1 => Indication::Discardable,
            2 => Indication::Switch,
            _ => Indication::Required,
        }
    }

    const fn set(&mut self, target: usize, bits: u32) {
        self.0 |= (bits as u64) << (target * 2);
    }
}

/// How far back a frame's references lie, in frame numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct References {
    distances: [u16; REFERENCES_MAX],
    count: u8,
}

impl References {
    fn push(&mut self, distance: u32) -> Option<()> {
        *self.distances.get_mut(usize::from(self.count))? = distance as u16;
        self.count += 1;
        Some(())
    }

    /// The distances, each at least 1.
    pub fn iter(&self) -> impl Iterator<Item = u16> + '_ {
        self.distances[..usize::from(self.count)].iter().copied()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Template {
    layer: Layer,
    indications: Indications,
    references: References,
}

/// The templates and decode targets of a coded video sequence; they come with its key frames, and
/// every later descriptor refers to them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Structure {
    id_offset: u8,
    templates: Vec<Template>,
    targets: Vec<Layer>,
    resolutions: Vec<(u16, u16)>,
}

impl Structure {
    /// The layers that decode targets reach up to; a target's number is its place.
    #[must_use]
    pub fn targets(&self) -> &[Layer] {
        &self.targets
    }

    /// The decode target with the highest layers that are not above `wish` in either direction, of
    /// those that have their bit in `active`.
    #[must_use]
    pub fn target_for(&self, wish: Layer, active: u32) -> Option<u8> {
        (0u8..)
            .zip(&self.targets)
            .filter(|(number, reached)| {
                active >> number & 1 == 1
                    && reached.spatial <= wish.spatial
                    && reached.temporal <= wish.temporal
            })
            .max_by_key(|&(number, reached)| (*reached, std::cmp::Reverse(number)))
            .map(|(number, _)| number)
    }

    /// Width and height of each spatial layer, the lowest first, when they were told.
    #[must_use]
    pub fn resolutions(&self) -> &[(u16, u16)] {
        &self.resolutions
    }

    /// How many spatial layers there are.
    #[must_use]
    pub fn spatial_layers(&self) -> u8 {
        let highest = self.templates.iter().map(|t| t.layer.spatial).max();
        highest.unwrap_or(0) + 1
    }

    fn read(bits: &mut Bits<'_>) -> Option<Self> {
        let id_offset = bits.take(6)? as u8;
        let target_count = bits.take(5)? as usize + 1;
        let mut templates = read_layers(bits)?;
        for template in &mut templates {
            for target in 0..target_count {
                template.indications.set(target, bits.take(2)?);
            }
        }
        for template in &mut templates {
            while bits.flag()? {
                template.references.push(bits.take(4)? + 1)?;
            }
        }
        let chains = bits.below(target_count as u32 + 1)?;
        if chains > 0 {
            for _ in 0..target_count {
                bits.below(chains)?;
            }
            for _ in 0..templates.len() as u32 * chains {
                bits.take(4)?;
            }
        }
        let targets = (0..target_count)
            .map(|target| {
                let mut reached = Layer::default();
                for template in &templates {
                    if template.indications.of(target as u8) != Indication::NotPresent {
                        reached.spatial = reached.spatial.max(template.layer.spatial);
                        reached.temporal = reached.temporal.max(template.layer.temporal);
                    }
                }
                reached
            })
            .collect();
        let mut resolutions = Vec::new();
        if bits.flag()? {
            let highest = templates.iter().map(|t| t.layer.spatial).max()?;
            for _ in 0..=highest {
                let side = |bits: &mut Bits<'_>| Some((bits.take(16)? as u16).saturating_add(1));
                resolutions.push((side(bits)?, side(bits)?));
            }
        }
        Some(Self {
            id_offset,
            templates,
            targets,
            resolutions,
        })
    }
}

fn read_layers(bits: &mut Bits<'_>) -> Option<Vec<Template>> {
    let mut templates = Vec::new();
    let mut layer = Layer::default();
    loop {
        if templates.len() == TEMPLATES_MAX {
            return None;
        }
        templates.push(Template {
            layer,
            ..Template::default()
        });
        match bits.take(2)? {
            0 => {}
            1 => layer.temporal += 1,
            2 => {
                layer.temporal = 0;
                layer.spatial += 1;
            }
            _ => return Some(templates),
        }
    }
}

/// What a descriptor says of one packet's frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Descriptor {
    /// It is the first packet of the frame.
    pub begins: bool,
    /// It is the last packet of the frame.
    pub ends: bool,
    /// The frame's number, which stands in bytes 1 and 2 of the descriptor.
    pub frame: u16,
    /// The frame's layer.
    pub layer: Layer,
    /// What the frame is to each decode target.
    pub indications: Indications,
    /// What the frame refers to.
    pub references: References,
    /// The decode targets that are still sent, a bit each; `None` when it says nothing new.
    pub active_targets: Option<u32>,
}

/// Whether a descriptor has more than its three mandatory bytes, as one must that brings a structure or
/// tells which decode targets are still sent.
#[must_use]
pub const fn is_extended(bytes: &[u8]) -> bool {
    bytes.len() > 3
}

/// Reads a descriptor, and the structure that it brings, if it does. Without one, `known` is the
/// structure it refers to. `None` when it is malformed, or refers to a structure that never came.
#[must_use]
pub fn read(bytes: &[u8], known: Option<&Structure>) -> Option<(Descriptor, Option<Structure>)> {
    let mut bits = Bits::new(bytes);
    let begins = bits.flag()?;
    let ends = bits.flag()?;
    let template = bits.take(6)? as u8;
    let frame = bits.take(16)? as u16;
    let mut flags = [false; 5];
    if is_extended(bytes) {
        for flag in &mut flags {
            *flag = bits.flag()?;
        }
    }
    // The chains' distances, which the last flag announces, stand at the end and are not needed.
    let [
        brings_structure,
        tells_targets,
        own_indications,
        own_references,
        _,
    ] = flags;
    let brought = if brings_structure {
        Some(Structure::read(&mut bits)?)
    } else {
        None
    };
    let structure = brought.as_ref().or(known)?;
    let count = structure.targets.len();
    let mut active_targets = brings_structure.then(|| all(count));
    if tells_targets {
        active_targets = Some(bits.take(count)?);
    }
    let place = usize::from((template + 64 - structure.id_offset) % 64);
    let Template {
        layer,
        mut indications,
        mut references,
    } = *structure.templates.get(place)?;
    if own_indications {
        indications = Indications::default();
        for target in 0..count {
            indications.set(target, bits.take(2)?);
        }
    }
    if own_references {
        references = References::default();
        loop {
            let size = bits.take(2)? as usize;
            if size == 0 {
                break;
            }
            references.push(bits.take(size * 4)? + 1)?;
        }
    }
    let descriptor = Descriptor {
        begins,
        ends,
        frame,
        layer,
        indications,
        references,
        active_targets,
    };
    Some((descriptor, brought))
}

const fn all(targets: usize) -> u32 {
    if targets >= 32 {
        u32::MAX
    } else {
        (1 << targets) - 1
    }
}
