/** How tiles fill an area. */
export interface Fit {
  columns: number;
  /** Pixels. */
  width: number;
  /** Pixels. */
  height: number;
}

/** The flattest shape of a tile, width over height: a camera's own. */
const ASPECT_MAX = 16 / 9;

/** The tallest shape; an upright phone has more height to give away. */
const ASPECT_MIN = { wide: 5 / 4, upright: 4 / 5 };

/** Narrower tiles show nothing worth seeing; the area scrolls instead. Pixels. */
const WIDTH_MIN = 104;

/**
 * The number of columns with which `count` tiles cover most of an area, and the size of one.
 *
 * Lengths are in pixels; `gap` is the room between tiles.
 */
export function bestFit(width: number, height: number, count: number, gap: number): Fit {
  const aspectMin = width < height ? ASPECT_MIN.upright : ASPECT_MIN.wide;
  let best: Fit = { columns: 1, width: 0, height: 0 };
  for (let columns = 1; columns <= Math.max(1, count); columns += 1) {
    const rows = Math.ceil(count / columns);
    const cellWidth = (width - gap * (columns - 1)) / columns;
    const cellHeight = (height - gap * (rows - 1)) / rows;
    const tileWidth = Math.min(cellWidth, cellHeight * ASPECT_MAX);
    const tileHeight = Math.min(cellHeight, tileWidth / aspectMin);
    // Of equal areas, fuller rows look calmer.
    if (tileWidth * tileHeight > best.width * best.height * 1.001) {
      best = { columns, width: tileWidth, height: tileHeight };
    }
  }
  if (best.width >= WIDTH_MIN || count === 0) return floor(best);
  const columns = Math.max(1, Math.floor((width + gap) / (WIDTH_MIN + gap)));
  const tileWidth = (width - gap * (columns - 1)) / columns;
  return floor({ columns, width: tileWidth, height: tileWidth / (4 / 3) });
}

function floor(fit: Fit): Fit {
  return {
    columns: fit.columns,
    width: Math.max(0, Math.floor(fit.width)),
    height: Math.max(0, Math.floor(fit.height)),
  };
}
