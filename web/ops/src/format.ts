// Figures as people read them.

export function milliseconds(ms: number): string {
  if (ms < 10) return `${ms.toFixed(1)} ms`;
  return `${Math.round(ms)} ms`;
}

export function share(part: number): string {
  if (part === 0) return '0 %';
  const percent = part * 100;
  return `${percent < 10 ? percent.toFixed(percent < 0.1 ? 2 : 1) : Math.round(percent)} %`;
}

export function rate(mbps: number): string {
  if (mbps >= 1_000) return `${(mbps / 1_000).toFixed(1)} Gbit/s`;
  if (mbps >= 10) return `${Math.round(mbps)} Mbit/s`;
  if (mbps >= 0.1) return `${mbps.toFixed(1)} Mbit/s`;
  return `${Math.round(mbps * 1_000)} kbit/s`;
}

export function time(ms: number): string {
  return new Date(ms).toISOString().slice(11, 19);
}

export function plural(count: number, one: string): string {
  return `${count.toLocaleString('en')} ${one}${count === 1 ? '' : 's'}`;
}
