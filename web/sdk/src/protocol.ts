/**
 * The messages between a client and its edge, and the coordinator's answers to a join, as they
 * travel in JSON. Names are the wire's own (`snake_case`).
 */

/** A participant's part in a meeting. */
export type Role = 'host' | 'speaker' | 'attendee' | 'viewer';

/** What a track carries. */
export type MediaKind = 'audio' | 'video';

/** Where a track comes from at its publisher. */
export type TrackSource = 'microphone' | 'camera' | 'screen' | 'screen_audio';

/** Why a participant is no longer in the room. */
export type LeaveReason =
  'left' | 'timed_out' | 'removed' | 'replaced' | 'meeting_ended' | 'edge_lost';

/** What a participant shows of itself. */
export interface Presence {
  audio_muted: boolean;
  video_muted: boolean;
  hand_raised: boolean;
  screen_sharing: boolean;
}

/** A published track. */
export interface TrackInfo {
  track_id: string;
  kind: MediaKind;
  source: TrackSource;
}

/** What the client says an m-line of its offer is. */
export interface PublishedMid {
  mid: string;
  source: TrackSource;
  /** The height of the largest picture that it will send, in pixels. */
  height?: number;
}

/** How much a track matters to one receiver. */
export type Priority = 'low' | 'normal' | 'high';

/** What a client wants of one track; what is absent has its default. */
export interface Wish {
  subscribed?: boolean;
  visible?: boolean;
  /** Physical pixels. */
  height?: number;
  frame_rate?: number;
  priority?: Priority;
}

/** How a client wants one track; the edge chooses when there is no wish. */
export interface Subscription {
  track_id: string;
  wish?: Wish;
}

/** The most tracks that one `subscription.update` may name. */
export const SUBSCRIPTIONS_MAX = 256;

/** Whether a video is being sent to the receiver. */
export type TrackState = 'active' | 'paused_by_bandwidth';

/** One encoding of a simulcast track, and whether anybody wants it. */
export interface EncodingState {
  /** The encoding's name (RFC 8851). */
  rid: string;
  active: boolean;
}

/** Somebody who speaks. */
export interface SpeakerLevel {
  participant_id: string;
  /** Decibels below the loudest possible: 0 to 127, lower is louder (RFC 6464). */
  level: number;
}

/** A track of the client's own and the m-line that carries it. */
export interface PublishedTrack extends TrackInfo {
  mid: string;
}

/** A track of another participant and the m-line that carries it. */
export interface ReceivedTrack extends TrackInfo {
  mid: string;
  participant_id: string;
}

/** A participant as others see it. */
export interface ParticipantView {
  participant_id: string;
  name: string;
  role: Role;
  region: string;
  edge: string;
  /** Milliseconds since 1970. */
  joined_at_ms: number;
  presence: Presence;
  tracks: TrackInfo[];
  /** The regions from its edge to the receiver's, both included. */
  path: string[];
}

/** When each step of a join was done, in milliseconds since the client set out. */
export interface JoinTimes {
  admitted_ms?: number;
  signalling_ms?: number;
  answered_ms?: number;
  connected_ms?: number;
  first_media_ms?: number;
}

/** What the client's candidate is (RFC 8839, section 5.1). */
export type CandidateKind = 'host' | 'srflx' | 'prflx' | 'relay';

/** The way between a client and its edge. */
export interface NetworkPath {
  kind: CandidateKind;
  protocol: 'udp' | 'tcp';
}

/** One track over an interval. */
export interface TrackQuality {
  direction: 'in' | 'out';
  track_id?: string;
  participant_id?: string;
  kind: MediaKind;
  source?: TrackSource;
  layer?: string;
  bitrate_bps: number;
  /** Of a million packets. */
  loss_ppm: number;
  jitter_ms?: number;
  /** In the jitter buffer. */
  playout_ms?: number;
  frame_rate?: number;
  height?: number;
  freezes?: number;
  freeze_ms?: number;
  paused?: boolean;
}

/** What a client measured of its call over an interval. */
export interface QualityReport {
  interval_ms: number;
  round_trip_ms?: number;
  available_bps?: number;
  network?: NetworkPath;
  join?: JoinTimes;
  tracks: TrackQuality[];
}

/** What a client says to its edge. */
export type ClientMessage =
  | {
      type: 'participant.hello';
      sdp_offer: string;
      tracks: PublishedMid[];
      presence: Presence;
    }
  | { type: 'participant.offer'; sdp_offer: string; tracks: PublishedMid[] }
  | { type: 'participant.answer'; sdp_answer: string; revision: number }
  | { type: 'participant.resume'; last_seq: number }
  | { type: 'participant.leave' }
  | ({ type: 'presence.update' } & Partial<Presence>)
  | { type: 'subscription.update'; tracks: Subscription[] }
  | ({ type: 'quality.report' } & QualityReport)
  | { type: 'participant.remove'; participant_id: string }
  | { type: 'ping' };

/** What went wrong at the edge. */
export type ErrorCode =
  | 'bad_message'
  | 'out_of_order'
  | 'bad_sdp'
  | 'stale_revision'
  | 'glare'
  | 'forbidden'
  | 'resume_expired'
  | 'too_much'
  | 'edge_full'
  | 'draining'
  | 'internal';

/** Everything about the room, for the newcomer. */
export interface Snapshot {
  type: 'room.snapshot';
  meeting_id: string;
  you: ParticipantView;
  participants: ParticipantView[];
  resume_token: string;
  resume_window_ms: number;
  edge: string;
}

/** The edge's own offer: tracks to receive came or went. */
export interface EdgeOffer {
  type: 'sfu.offer';
  sdp_offer: string;
  revision: number;
  tracks: ReceivedTrack[];
}

/** What an edge says to a client. */
export type ServerEvent =
  | { type: 'sfu.answer'; sdp_answer: string; tracks: PublishedTrack[] }
  | EdgeOffer
  | Snapshot
  | { type: 'room.participant_joined'; participant: ParticipantView }
  | { type: 'room.participant_left'; participant_id: string; reason: LeaveReason }
  | ({ type: 'room.presence_changed'; participant_id: string } & Presence)
  | { type: 'room.track_published'; participant_id: string; track: TrackInfo }
  | { type: 'room.track_unpublished'; participant_id: string; track_id: string }
  | { type: 'room.path_changed'; participant_id: string; path: string[] }
  | { type: 'room.speakers'; speakers: SpeakerLevel[] }
  | { type: 'track.state'; track_id: string; state: TrackState }
  | { type: 'publish.encodings'; mid: string; encodings: EncodingState[] }
  | { type: 'room.ended'; reason: LeaveReason }
  | { type: 'ice.candidate'; candidate: string; sdpMid?: string; sdpMLineIndex?: number }
  | { type: 'session.resumed'; last_seq: number }
  | { type: 'session.moved'; candidates: string[] }
  | { type: 'error'; code: ErrorCode; message: string; fatal: boolean }
  | { type: 'pong' };

/** An event, numbered when it can be replayed. */
export type ServerMessage = ServerEvent & { seq?: number };

/** An edge that a client may go to. */
export interface EdgeCandidate {
  edge: string;
  region: string;
  sfu_endpoint: string;
  signal_endpoint: string;
}

/** Everything a client needs to enter. */
export interface Admission {
  participant_id: string;
  join_token: string;
  /** Seconds since 1970. */
  expires_at: number;
  role: Role;
  sfu_endpoint: string;
  signal_endpoint: string;
  ice_servers: RTCIceServer[];
  region: string;
  edge: string;
  candidates: EdgeCandidate[];
}

/** A place in the waiting room. */
export interface Waiting {
  status: 'waiting';
  participant_id: string;
  retry_after_ms: number;
}

/** One who waits, as the host sees it. */
export interface WaitingParticipant {
  participant_id: string;
  name: string;
  /** RFC 3339. */
  since: string;
}

/** The WebSocket subprotocol that every client offers. */
export const SUBPROTOCOL = 'sluice.v1';

/** The subprotocols that carry a join token, since a browser cannot set a header. */
export function joinProtocols(token: string): string[] {
  return [SUBPROTOCOL, `sluice.token.${token}`];
}

/** The subprotocols that carry a resume token. */
export function resumeProtocols(token: string): string[] {
  return [SUBPROTOCOL, `sluice.resume.${token}`];
}

const EVENT_TYPES: ReadonlySet<string> = new Set<ServerEvent['type']>([
  'sfu.answer',
  'sfu.offer',
  'room.snapshot',
  'room.participant_joined',
  'room.participant_left',
  'room.presence_changed',
  'room.track_published',
  'room.track_unpublished',
  'room.path_changed',
  'room.speakers',
  'track.state',
  'publish.encodings',
  'room.ended',
  'ice.candidate',
  'session.resumed',
  'session.moved',
  'error',
  'pong',
]);

/**
 * Reads one message of the edge. `undefined` for a type that this version does not know, which a
 * newer edge may send.
 *
 * @throws SyntaxError when the text is not a JSON object with a `type`.
 */
export function parseServerMessage(text: string): ServerMessage | undefined {
  const value: unknown = JSON.parse(text);
  if (typeof value !== 'object' || value === null || !('type' in value)) {
    throw new SyntaxError('a signalling message must be a JSON object with a `type`');
  }
  if (typeof value.type !== 'string' || !EVENT_TYPES.has(value.type)) return undefined;
  return value as ServerMessage;
}
