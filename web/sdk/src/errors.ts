import type { ErrorCode, LeaveReason } from './protocol.ts';

/** The base of every error that the SDK throws or emits. */
export abstract class SluiceError extends Error {
  /** What went wrong, for programs. */
  abstract readonly kind: string;

  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = new.target.name;
  }
}

/** One faulty field of a request to the coordinator. */
export interface FieldError {
  field: string;
  value: string;
  allowed: string;
}

/** The coordinator refused a request: its problem document (RFC 9457). */
export class RequestRefused extends SluiceError {
  readonly kind = 'request_refused';

  constructor(
    readonly status: number,
    readonly problem: { type: string; title: string; detail: string; errors: FieldError[] },
  ) {
    super(problem.detail || problem.title || `the coordinator answered ${status}`);
  }

  /** Whether asking again cannot help: the invite, key or meeting itself is at fault. */
  get final(): boolean {
    return this.status >= 400 && this.status < 500 && this.status !== 408 && this.status !== 429;
  }
}

/** The coordinator cannot be reached. */
export class CoordinatorUnreachable extends SluiceError {
  readonly kind = 'coordinator_unreachable';
}

/** No edge of the admission took the client in. */
export class EdgeUnreachable extends SluiceError {
  readonly kind = 'edge_unreachable';
}

/** Signalling works, but media finds no way to the edge: a firewall, most often. */
export class MediaUnreachable extends SluiceError {
  readonly kind = 'media_unreachable';
}

/** An error that the edge reported. */
export class EdgeError extends SluiceError {
  readonly kind = 'edge_error';

  constructor(
    readonly code: ErrorCode,
    message: string,
    readonly fatal: boolean,
  ) {
    super(message);
  }
}

/** A session description could not be made or applied. */
export class NegotiationFailed extends SluiceError {
  readonly kind = 'negotiation_failed';
}

/** Why a microphone, camera or screen cannot be had. */
export type MediaProblem = 'denied' | 'missing' | 'busy' | 'insecure' | 'failed';

/** A microphone, camera or screen cannot be had. */
export class MediaError extends SluiceError {
  readonly kind = 'media';

  constructor(
    readonly problem: MediaProblem,
    readonly device: 'microphone' | 'camera' | 'screen',
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}

/** The role does not allow it. */
export class NotAllowed extends SluiceError {
  readonly kind = 'not_allowed';
}

/** Why a message was not sent. */
export type DataProblem = 'too_large' | 'too_much' | 'unencrypted';

/** A message to the others was not sent. */
export class DataError extends SluiceError {
  readonly kind = 'data';

  constructor(
    readonly problem: DataProblem,
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}

/** Why something cannot be encrypted end to end. */
export type EncryptionProblem = 'unsupported' | 'unsupported_codec' | 'bad_key';

/** Something cannot be encrypted end to end. */
export class EncryptionError extends SluiceError {
  readonly kind = 'encryption';

  constructor(
    readonly problem: EncryptionProblem,
    message: string,
  ) {
    super(message);
  }
}

/** The room is over for this client. */
export class RoomEnded extends SluiceError {
  readonly kind = 'room_ended';

  constructor(readonly reason: LeaveReason) {
    super(`the room is over: ${reason}`);
  }
}

/** The caller gave up waiting. */
export class Aborted extends SluiceError {
  readonly kind = 'aborted';
}

/** `cause` as an error of the SDK; what is none becomes a `NegotiationFailed`. */
export function asSluiceError(cause: unknown): SluiceError {
  if (cause instanceof SluiceError) return cause;
  return new NegotiationFailed(cause instanceof Error ? cause.message : String(cause), { cause });
}
