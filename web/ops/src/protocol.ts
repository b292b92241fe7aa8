// What `GET /v1/ops/live` tells, event by event.

export interface Region {
  region: string;
  display_name: string;
  latitude: number;
  longitude: number;
  edges: string[];
}

export interface Link {
  ends: [string, string];
  round_trip_ms: number;
  capacity_mbps: number;
}

/** The event `map`: what the topology declares. */
export interface MeshMap {
  mesh: string;
  regions: Region[];
  links: Link[];
}

export interface LinkReport {
  peer: string;
  round_trip_us: number;
  loss_ppm: number;
  /** Since the connection began. */
  sent_bytes: number;
  received_bytes: number;
}

export interface Edge {
  edge: string;
  region: string;
  participants: number;
  capacity: number;
  load_permille: number;
  rooms: number;
  draining: boolean;
  software: string;
  links: LinkReport[];
}

export interface RoomSummary {
  room: string;
  epoch: number;
  participants: number;
  trees: number;
}

export interface Branch {
  edge: string;
  parent: string;
  backup: string | null;
}

export interface Tree {
  root: string;
  branches: Branch[];
}

export interface RoomReport {
  edge: string;
  report: {
    participants: number;
    tracks: { track: string; kind: 'audio' | 'video'; name: string; packets: number }[];
    relays: { track: string; kind: 'audio' | 'video'; from: string; root: string; packets: number }[];
  };
}

/** The room that was chosen. */
export interface Room {
  room: string;
  epoch: number;
  participants: number;
  trees: Tree[];
  edges: RoomReport[];
}

/** The event `state`, once a second. */
export interface MeshState {
  participants: number;
  rooms_count: number;
  edges: Edge[];
  rooms: RoomSummary[];
  room: Room | null;
}

/** The event `happening`. */
export interface Happening {
  at_ms: number;
  kind: string;
  edge?: string;
  room?: string;
  text: string;
}
