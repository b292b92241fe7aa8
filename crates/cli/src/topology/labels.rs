//! Finds room for text on a drawing, so that no two words overlap.

use super::atlas::Point;

/// An upright rectangle.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Rect {
    pub(super) x: f64,
    pub(super) y: f64,
    pub(super) width: f64,
    pub(super) height: f64,
}

impl Rect {
    /// The rectangle around a middle.
    pub(super) fn around(middle: Point, width: f64, height: f64) -> Self {
        Self {
            x: middle.x - width / 2.0,
            y: middle.y - height / 2.0,
            width,
            height,
        }
    }

    pub(super) fn middle(&self) -> Point {
        Point {
            x: self.x + self.width / 2.0,
            y: self.y + self.height / 2.0,
        }
    }

    fn holds(&self, point: Point) -> bool {
        let (dx, dy) = (point.x - self.x, point.y - self.y);
        (0.0..=self.width).contains(&dx) && (0.0..=self.height).contains(&dy)
    }

    pub(super) fn overlap(&self, other: &Self) -> f64 {
        let reach = |a: f64, a_len: f64, b: f64, b_len: f64| (a + a_len).min(b + b_len) - a.max(b);
        let width = reach(self.x, self.width, other.x, other.width).max(0.0);
        width * reach(self.y, self.height, other.y, other.height).max(0.0)
    }
}

/// A place that text could take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Candidate {
    pub(super) rect: Rect,
    /// What it costs by itself, for being far from where the text belongs.
    pub(super) cost: f64,
    /// The point that the text is about. No line should run between it and the text.
    pub(super) about: Point,
}

/// What text must not, and what it should rather not, cover.
pub(super) struct Room {
    frame: Rect,
    taken: Vec<Rect>,
    /// Points on lines, and the line that each is on.
    lines: Vec<(usize, Point)>,
}

impl Room {
    pub(super) const fn new(frame: Rect) -> Self {
        Self {
            frame,
            taken: Vec::new(),
            lines: Vec::new(),
        }
    }

    /// Nothing else may be here.
    pub(super) fn take(&mut self, rect: Rect) {
        self.taken.push(rect);
    }

    /// A line runs here, which text can cover when it has to.
    pub(super) fn add_line(&mut self, line: usize, course: &[Point]) {
        for pair in course.windows(2) {
            let (dx, dy) = (pair[1].x - pair[0].x, pair[1].y - pair[0].y);
            let steps = (dx.hypot(dy) / LINE_STEP).ceil().max(1.0) as u32;
            self.lines.extend((0..steps).map(|step| {
                let share = f64::from(step) / f64::from(steps);
                (
                    line,
                    Point {
                        x: pair[0].x + dx * share,
                        y: pair[0].y + dy * share,
                    },
                )
            }));
        }
    }

    /// Takes the best of the places that are free. A line of the text's own may be covered.
    pub(super) fn place(
        &mut self,
        candidates: impl IntoIterator<Item = Candidate>,
        own_line: Option<usize>,
    ) -> Option<Rect> {
        let best = candidates
            .into_iter()
            .filter(|candidate| self.is_free(&candidate.rect))
            .map(|candidate| (self.cost(&candidate, own_line), candidate.rect))
            .min_by(|(a, _), (b, _)| a.total_cmp(b))
            .map(|(_, rect)| rect)?;
        self.take(best);
        Some(best)
    }

    fn is_free(&self, rect: &Rect) -> bool {
        let padded = Rect::around(rect.middle(), rect.width + PADDING, rect.height + PADDING);
        let inside = rect.overlap(&self.frame) >= rect.width * rect.height - 1e-6;
        inside && self.taken.iter().all(|taken| padded.overlap(taken) == 0.0)
    }

    fn cost(&self, candidate: &Candidate, own_line: Option<usize>) -> f64 {
        let rect = candidate.rect;
        let mut lines = 0.0;
        for (_, point) in self
            .lines
            .iter()
            .filter(|(line, _)| Some(*line) != own_line)
        {
            if rect.holds(*point) {
                lines += COST_COVERING;
            } else if off_segment(*point, candidate.about, rect.middle()) < LINE_STEP {
                lines += COST_BETWEEN;
            }
        }
        candidate.cost + lines
    }
}

/// How far a point is from the straight way between two others.
fn off_segment(point: Point, from: Point, to: Point) -> f64 {
    let (dx, dy) = (to.x - from.x, to.y - from.y);
    let squared = dx * dx + dy * dy;
    let along = (point.x - from.x) * dx + (point.y - from.y) * dy;
    let share = if squared > 0.0 {
        (along / squared).clamp(0.0, 1.0)
    } else {
        0.0
    };
    (point.x - from.x - dx * share).hypot(point.y - from.y - dy * share)
}

/// Places for a name beside a node of this radius, the best first.
pub(super) fn around_node(at: Point, radius: f64, width: f64, height: f64) -> Vec<Candidate> {
    let mut places = Vec::new();
    for (ring, gap) in [4.0, 12.0, 22.0, 34.0, 48.0, 64.0].into_iter().enumerate() {
        let (dx, dy) = (radius + gap + width / 2.0, radius + gap + height / 2.0);
        let sides = [
            (dx, 0.0),
            (-dx, 0.0),
            (0.0, dy),
            (0.0, -dy),
            (dx - gap, dy * 0.7),
            (dx - gap, -dy * 0.7),
            (gap - dx, dy * 0.7),
            (gap - dx, -dy * 0.7),
        ];
        for (rank, (dx, dy)) in sides.into_iter().enumerate() {
            let middle = Point {
                x: at.x + dx,
                y: at.y + dy,
            };
            let rect = Rect::around(middle, width, height);
            let cost = ring as f64 * 20.0 + rank as f64;
            // Lines meet at the node, so that one always runs between.
            places.push(Candidate {
                rect,
                cost,
                about: middle,
            });
        }
    }
    places
}

/// Places for a label on its link, those near the middle first, then places beside it.
pub(super) fn along_route(pieces: &[Vec<Point>], width: f64, height: f64) -> Vec<Candidate> {
    let total = length(pieces);
    let mut places = Vec::new();
    for step in 1..40 {
        let share = f64::from(step) / 40.0;
        let Some((at, normal)) = point_along(pieces, share * total) else {
            continue;
        };
        let off_middle = (share - 0.5).abs() * 40.0;
        for beside in [0.0f64, 18.0, -18.0, 26.0, -26.0, 36.0, -36.0, 48.0, -48.0] {
            let middle = Point {
                x: at.x + normal.x * beside,
                y: at.y + normal.y * beside,
            };
            let rect = Rect::around(middle, width, height);
            let cost = off_middle + beside.abs() * 2.0;
            places.push(Candidate {
                rect,
                cost,
                about: at,
            });
        }
    }
    places
}

/// The point at this length along the course, and the direction across it.
fn point_along(pieces: &[Vec<Point>], mut distance: f64) -> Option<(Point, Point)> {
    for pair in pieces.iter().flat_map(|piece| piece.windows(2)) {
        let (dx, dy) = (pair[1].x - pair[0].x, pair[1].y - pair[0].y);
        let step = dx.hypot(dy);
        if distance <= step && step > 0.0 {
            let share = distance / step;
            let at = Point {
                x: pair[0].x + dx * share,
                y: pair[0].y + dy * share,
            };
            return Some((
                at,
                Point {
                    x: dy / step,
                    y: -dx / step,
                },
            ));
        }
        distance -= step;
    }
    None
}

/// How long a course is, in all its pieces.
pub(super) fn length(pieces: &[Vec<Point>]) -> f64 {
    let pairs = pieces.iter().flat_map(|piece| piece.windows(2));
    pairs
        .map(|pair| (pair[1].x - pair[0].x).hypot(pair[1].y - pair[0].y))
        .sum()
}

/// Pixels between the points of a line.
const LINE_STEP: f64 = 3.0;
/// Pixels that text keeps from other text.
const PADDING: f64 = 5.0;
/// The cost of covering a point of a line.
const COST_COVERING: f64 = 4.0;
/// The cost of a point of a line between text and what it is about.
const COST_BETWEEN: f64 = 25.0;
