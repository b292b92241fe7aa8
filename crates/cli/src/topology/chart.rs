//! The mesh as a map in the terminal.

use std::io::{self, Write};

use sluice_types::topology::{Region, Topology};

use super::atlas::{Frame, Point, course, land};
use super::canvas::{Canvas, Ink};
use super::screen::Screen;

pub(super) fn draw(out: &mut dyn Write, screen: Screen, topology: &Topology) -> io::Result<()> {
    let frame = Frame::around(topology);
    // A dot is as wide as it is high: a character is two dots by four.
    let rows = (screen.width as f64 / 2.0 / frame.aspect())
        .ceil()
        .clamp(8.0, 60.0);
    let mut canvas = Canvas::new(screen.width, rows as usize);
    draw_land(&mut canvas, &frame);
    for link in topology.links() {
        for piece in course(topology, link) {
            let dots: Vec<_> = piece
                .iter()
                .map(|&place| on_canvas(&canvas, &frame, place))
                .collect();
            for pair in dots.windows(2) {
                canvas.line(pair[0], pair[1], Ink::Link);
            }
        }
    }
    for region in topology.regions() {
        if let Some((column, row)) = cell(&canvas, &frame, region) {
            canvas.text(column, row, "●", Ink::Node);
        }
    }
    for region in topology.regions() {
        label(&mut canvas, &frame, region);
    }
    canvas
        .lines(screen)
        .iter()
        .try_for_each(|line| writeln!(out, "{line}"))
}

fn on_canvas(canvas: &Canvas, frame: &Frame, place: Point) -> Point {
    frame.project(place, canvas.width(), canvas.height())
}

fn cell(canvas: &Canvas, frame: &Frame, region: &Region) -> Option<(usize, usize)> {
    canvas.cell_of(on_canvas(canvas, frame, region.position().into()))
}

/// Land as one dot in each character, faint enough for links to stand out.
fn draw_land(canvas: &mut Canvas, frame: &Frame) {
    let outlines: Vec<Vec<Point>> = land()
        .map(|outline| {
            outline
                .iter()
                .map(|&place| on_canvas(canvas, frame, place))
                .collect()
        })
        .collect();
    for row in 0..canvas.rows() {
        let y = row as f64 * 4.0 + 1.5;
        let shores = outlines.iter().flat_map(|outline| crossings(outline, y));
        let mut shores: Vec<f64> = shores.collect();
        shores.sort_by(f64::total_cmp);
        let in_frame = |land: &&[f64]| land[1] >= 0.0 && land[0] <= canvas.width();
        let inland: Vec<&[f64]> = shores.chunks_exact(2).filter(in_frame).collect();
        for land in inland {
            let first = (land[0].max(0.0) / 2.0).ceil() as usize;
            let last = (land[1].min(canvas.width()) / 2.0).floor().max(0.0) as usize;
            for column in first..=last {
                canvas.dot(
                    Point {
                        x: (column * 2) as f64,
                        y,
                    },
                    Ink::Land,
                );
            }
        }
    }
}

/// Where the outline crosses this height.
fn crossings(outline: &[Point], y: f64) -> Vec<f64> {
    let ends = outline.iter().skip(1).chain(outline.first());
    let sides = outline
        .iter()
        .zip(ends)
        .filter(|(a, b)| (a.y <= y) != (b.y <= y));
    sides
        .map(|(a, b)| a.x + (y - a.y) / (b.y - a.y) * (b.x - a.x))
        .collect()
}

/// Writes the region's name beside its node, where it hides the fewest links. Without any room
/// the node stays without a name; the tables have it.
fn label(canvas: &mut Canvas, frame: &Frame, region: &Region) {
    let Some((column, row)) = cell(canvas, frame, region) else {
        return;
    };
    let (column, row) = (column as isize, row as isize);
    let name = region.name().as_str();
    let length = name.len() as isize;
    let places = [
        (column + 2, row),
        (column - length - 1, row),
        (column + 1, row + 1),
        (column + 1, row - 1),
        (column - length, row - 1),
        (column - length, row + 1),
        (column - length / 2, row + 1),
        (column - length / 2, row - 1),
        (column - length / 2, row + 2),
        (column - length / 2, row - 2),
    ];
    let room = places.into_iter().filter_map(|(column, row)| {
        // A name needs a blank or a dot, not another name, before and after it.
        let around = canvas.hidden_by((column - 1).max(0), row, name.len() + 1);
        let hidden = canvas.hidden_by(column, row, name.len())?;
        Some((hidden + usize::from(around.is_none()) * 4, column, row))
    });
    let best = room.min_by_key(|&(hidden, ..)| hidden);
    if let Some((_, column, row)) = best {
        canvas.text(column as usize, row as usize, name, Ink::Label);
    }
}
