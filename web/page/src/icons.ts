/** Outlines on a 24 × 24 grid, drawn with the current colour. */
const PATHS = {
  mic: 'M12 3a3 3 0 0 0-3 3v5a3 3 0 0 0 6 0V6a3 3 0 0 0-3-3ZM5.5 11a6.5 6.5 0 0 0 13 0M12 17.5V21',
  micOff:
    'M9 9.5V11a3 3 0 0 0 4.6 2.5M15 10.5V6a3 3 0 0 0-5.8-1M5.5 11a6.5 6.5 0 0 0 10 5.4M18.5 11a6.4 6.4 0 0 1-.6 2.7M12 17.5V21M3.5 3.5l17 17',
  camera:
    'M4.5 6.5h9a2 2 0 0 1 2 2v7a2 2 0 0 1-2 2h-9a2 2 0 0 1-2-2v-7a2 2 0 0 1 2-2ZM15.5 11l6-3.5v9l-6-3.5',
  cameraOff:
    'M9.5 6.5h4a2 2 0 0 1 2 2V11l6-3.5v9l-3.5-2M15.5 15.5a2 2 0 0 1-2 2h-9a2 2 0 0 1-2-2v-7a2 2 0 0 1 1.6-2M3.5 3.5l17 17',
  screen:
    'M4.5 4.5h15a2 2 0 0 1 2 2v8a2 2 0 0 1-2 2h-15a2 2 0 0 1-2-2v-8a2 2 0 0 1 2-2ZM8.5 20.5h7M12 13.5V8M9.5 10 12 7.5l2.5 2.5',
  hand: 'M8 12.5V6a1.5 1.5 0 0 1 3 0v5M11 10.5V4.5a1.5 1.5 0 0 1 3 0v6M14 11V6a1.5 1.5 0 0 1 3 0v8.5a6.5 6.5 0 0 1-6.5 6.5c-2.6 0-4-1.2-5.3-3.300l-2.4-4a1.6 1.6 0 0 1 2.7-1.700L8 15',
  leave:
    'M3.2 14.800c-.8-1-.9-2.5 0-3.4 4.7-4.5 12.9-4.5 17.6 0 .9.9.8 2.4 0 3.400l-.9 1.100c-.5.6-1.3.7-2 .4l-2.3-1.100c-.6-.3-1-.9-1-1.600v-1.700c-1.7-.6-3.5-.6-5.2 0v1.700c0 .7-.4 1.3-1 1.600l-2.3 1.100c-.7.3-1.5.2-2-.4Z',
  people:
    'M9 11.500a3.5 3.5 0 1 0 0-7 3.5 3.5 0 0 0 0 7ZM2.5 19.500c0-3 2.9-5 6.5-5s6.5 2 6.5 5M16 4.800a3.5 3.5 0 0 1 0 6.400M18 14.900c2.1.7 3.5 2.4 3.5 4.6',
  chat: 'M5.5 4.5h13a2 2 0 0 1 2 2v8a2 2 0 0 1-2 2H12l-4.500 4v-4h-2a2 2 0 0 1-2-2v-8a2 2 0 0 1 2-2ZM8 9h8M8 12.500h5',
  lock: 'M7 10.500h10a1.5 1.5 0 0 1 1.500 1.500v6.500a1.5 1.5 0 0 1-1.500 1.500H7a1.5 1.5 0 0 1-1.500-1.500V12A1.5 1.5 0 0 1 7 10.500ZM8.500 10.500V8a3.5 3.5 0 0 1 7 0v2.500',
  send: 'M4 12 20 4.500 15.500 20l-3.500-6.500L4 12ZM12 13.500l8-9',
  stats: 'M4 20V11M10 20V4M16 20v-6M21 20H3',
  devices:
    'M4 7h9M17 7h3M4 17h3M11 17h9M15 9.500a2.5 2.5 0 1 0 0-5 2.5 2.5 0 0 0 0 5ZM9 19.500a2.5 2.5 0 1 0 0-5 2.5 2.5 0 0 0 0 5Z',
  close: 'M6 6l12 12M18 6 6 18',
  link: 'M10 14a4 4 0 0 0 6 .4l3-3a4 4 0 0 0-5.7-5.700l-1 1M14 10a4 4 0 0 0-6-.4l-3 3a4 4 0 0 0 5.7 5.700l1-1',
  sound: 'M4 9.500v5h3.500L12 18.500v-13L7.5 9.500ZM15.5 9a4 4 0 0 1 0 6M18 6.500a8 8 0 0 1 0 11',
} as const;

/** The name of an icon. */
export type IconName = keyof typeof PATHS;

const SVG = 'http://www.w3.org/2000/svg';

/** Makes an icon. It says nothing to assistive technology: its button or label does. */
export function icon(name: IconName): SVGSVGElement {
  const svg = document.createElementNS(SVG, 'svg');
  svg.setAttribute('viewBox', '0 0 24 24');
  svg.setAttribute('class', 'icon');
  svg.setAttribute('aria-hidden', 'true');
  const path = document.createElementNS(SVG, 'path');
  path.setAttribute('d', PATHS[name]);
  svg.append(path);
  return svg;
}

/** A line through `values`, scaled to fit; for the statistics. */
export function sparkline(values: readonly number[]): SVGSVGElement {
  const svg = document.createElementNS(SVG, 'svg');
  svg.setAttribute('viewBox', '0 0 100 24');
  svg.setAttribute('preserveAspectRatio', 'none');
  svg.setAttribute('class', 'sparkline');
  svg.setAttribute('aria-hidden', 'true');
  const top = Math.max(...values, 1e-9);
  const step = 100 / Math.max(1, values.length - 1);
  const points = values.map(
    (value, i) => `${(i * step).toFixed(1)},${(22 - (value / top) * 20).toFixed(1)}`,
  );
  const line = document.createElementNS(SVG, 'polyline');
  line.setAttribute('points', points.join(' '));
  svg.append(line);
  return svg;
}
