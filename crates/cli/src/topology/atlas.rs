//! The part of the world to draw: its frame, its land, and the courses of links over it.

use sluice_types::topology::{Link, Position, Topology};

/// A point in degrees (x east, y north), or on a drawing (x right, y down).
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Point {
    pub(super) x: f64,
    pub(super) y: f64,
}

impl From<Position> for Point {
    fn from(position: Position) -> Self {
        Self {
            x: position.longitude(),
            y: position.latitude(),
        }
    }
}

/// What a drawing shows, in degrees.
#[derive(Debug, Clone, Copy)]
pub(super) struct Frame {
    west: f64,
    east: f64,
    south: f64,
    north: f64,
}

impl Frame {
    /// All regions and links with some room around them; the whole girth of the earth when a link
    /// crosses the date line.
    pub(super) fn around(topology: &Topology) -> Self {
        let courses: Vec<_> = topology
            .links()
            .iter()
            .map(|link| course(topology, link))
            .collect();
        let around_the_world = courses.iter().any(|pieces| pieces.len() > 1);
        let places = topology
            .regions()
            .iter()
            .map(|region| Point::from(region.position()));
        let points: Vec<Point> = courses
            .into_iter()
            .flatten()
            .flatten()
            .chain(places)
            .collect();
        let (west, east) = span(points.iter().map(|point| point.x), MARGIN_X, 180.0);
        let (south, north) = span(points.iter().map(|point| point.y), MARGIN_Y, 85.0);
        if around_the_world {
            return Self {
                west: -180.0,
                east: 180.0,
                south,
                north,
            };
        }
        // A tall and narrow map would not fit a screen.
        let wider = ((north - south) * ASPECT_MIN - (east - west)).max(0.0) / 2.0;
        Self {
            west: (west - wider).max(-180.0),
            east: (east + wider).min(180.0),
            south,
            north,
        }
    }

    /// Width over height of what is shown.
    pub(super) fn aspect(&self) -> f64 {
        (self.east - self.west) / (self.north - self.south)
    }

    /// Where a place is on a drawing of this size (equirectangular).
    pub(super) fn project(&self, place: Point, width: f64, height: f64) -> Point {
        Point {
            x: (place.x - self.west) / (self.east - self.west) * width,
            y: (self.north - place.y) / (self.north - self.south) * height,
        }
    }

    /// The multiples of `step` degrees within, first the meridians, then the parallels.
    pub(super) fn graticule(&self, step: f64) -> (Vec<f64>, Vec<f64>) {
        let multiples = |from: f64, to: f64| {
            let first = (from / step).ceil() as i32;
            let last = (to / step).floor() as i32;
            (first..=last).map(|n| f64::from(n) * step).collect()
        };
        (
            multiples(self.west, self.east),
            multiples(self.south, self.north),
        )
    }
}

/// The least and the greatest with a margin, within `±limit`, and not too close together.
fn span(values: impl Iterator<Item = f64>, margin: f64, limit: f64) -> (f64, f64) {
    let (least, most) = values.fold((limit, -limit), |(least, most), value| {
        (value.min(least), value.max(most))
    });
    let missing = ((SPAN_MIN - (most - least + 2.0 * margin)) / 2.0).max(0.0);
    let margin = margin + missing;
    ((least - margin).max(-limit), (most + margin).min(limit))
}

/// The great circle between a link's ends, in two pieces when it crosses the date line.
pub(super) fn course(topology: &Topology, link: &Link) -> Vec<Vec<Point>> {
    let [a, b] = link.ends();
    let Some((a, b)) = topology.region(a).zip(topology.region(b)) else {
        return Vec::new();
    };
    great_circle(a.position(), b.position())
}

fn great_circle(from: Position, to: Position) -> Vec<Vec<Point>> {
    let (a, b) = (unit_vector(from), unit_vector(to));
    let dot: f64 = a.iter().zip(&b).map(|(a, b)| a * b).sum();
    let angle = dot.clamp(-1.0, 1.0).acos();
    // Between antipodes there is no one great circle, within a place there is none at all.
    if angle.sin() < 1e-6 {
        return vec![vec![from.into(), to.into()]];
    }
    let steps = (angle.to_degrees() / STEP_DEGREES).ceil().max(1.0) as u32;
    let mut pieces = vec![vec![Point::from(from)]];
    let mut last = Point::from(from);
    for step in 1..=steps {
        let share = f64::from(step) / f64::from(steps);
        let (left, right) = (((1.0 - share) * angle).sin(), (share * angle).sin());
        let mix = |axis: usize| (left * a[axis] + right * b[axis]) / angle.sin();
        let (x, y, z) = (mix(0), mix(1), mix(2));
        let point = if step == steps {
            Point::from(to)
        } else {
            Point {
                x: y.atan2(x).to_degrees(),
                y: z.clamp(-1.0, 1.0).asin().to_degrees(),
            }
        };
        if (point.x - last.x).abs() > 180.0 {
            let edge = 180f64.copysign(last.x);
            let ahead = point.x + 2.0 * edge;
            let y = last.y + (point.y - last.y) * (edge - last.x) / (ahead - last.x);
            if let Some(piece) = pieces.last_mut() {
                piece.push(Point { x: edge, y });
            }
            pieces.push(vec![Point { x: -edge, y }]);
        }
        if let Some(piece) = pieces.last_mut() {
            piece.push(point);
        }
        last = point;
    }
    pieces
}

fn unit_vector(position: Position) -> [f64; 3] {
    let (lat, lon) = (
        position.latitude().to_radians(),
        position.longitude().to_radians(),
    );
    [lat.cos() * lon.cos(), lat.cos() * lon.sin(), lat.sin()]
}

/// The outlines of the land.
pub(super) fn land() -> impl Iterator<Item = Vec<Point>> {
    include_str!("land.txt")
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| {
            let point = |pair: &str| {
                let (x, y) = pair.split_once(',')?;
                Some(Point {
                    x: x.parse().ok()?,
                    y: y.parse().ok()?,
                })
            };
            line.split(' ').filter_map(point).collect()
        })
}

/// Degrees of room west and east of the outermost places.
const MARGIN_X: f64 = 14.0;
/// Degrees of room north and south of the outermost places.
const MARGIN_Y: f64 = 9.0;
/// The least width over height of a drawing.
const ASPECT_MIN: f64 = 1.8;
/// The fewest degrees from south to north, so that neighbouring cities show on recognisable land.
const SPAN_MIN: f64 = 24.0;
/// Degrees between the points of a course.
const STEP_DEGREES: f64 = 2.0;
