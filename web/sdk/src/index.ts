/**
 * Sluice in a browser.
 *
 * ```ts
 * const room = await SluiceClient.join({
 *   coordinator: 'https://meet.example',
 *   meeting: 'mtg_…',
 *   invite: 'iv_…',
 *   name: 'Ada',
 *   media: { microphone: true, camera: true },
 * });
 * room.on('trackSubscribed', ({ track, mediaStreamTrack }) => { … });
 * ```
 */

export { SluiceClient, type JoinOptions } from './client.ts';
export type { ConnectionState } from './connection.ts';
export type { Credentials, JoinProgress, JoinTarget } from './coordinator.ts';
export type { DataMessage, SendOptions } from './data.ts';
export type { E2eeOptions } from './e2ee/encryption.ts';
export { generateE2eeKey, type E2eeKey } from './e2ee/keys.ts';
export type { Unsubscribe } from './emitter.ts';
export type { PublishOptions, VideoCodec } from './encodings.ts';
export * from './errors.ts';
export { CAMERA_CONSTRAINTS, mediaError, type DeviceChoice, type MediaOptions } from './local-media.ts';
export type { Participant, RemoteTrack } from './participant.ts';
export type {
  Admission,
  EdgeCandidate,
  ErrorCode,
  LeaveReason,
  MediaKind,
  Presence,
  Priority,
  Role,
  TrackSource,
  WaitingParticipant,
} from './protocol.ts';
export type { Room, RoomEvents } from './room.ts';
export {
  quality,
  type CandidateStats,
  type Quality,
  type RoomStats,
  type TrackStats,
  type TransportStats,
} from './stats.ts';
export type { DirectionSums, StatsSums } from './stats-sums.ts';
export type { TrackWish } from './subscriptions.ts';
