import { Aborted, CoordinatorUnreachable, RequestRefused, type FieldError } from './errors.ts';
import { delay, type Platform } from './platform.ts';
import type { Admission, Role, Waiting, WaitingParticipant } from './protocol.ts';

/** The proof with which a client asks to be let in; the coordinator takes one of them. */
export interface Credentials {
  /** The secret of the join link, `iv_…`. */
  invite?: string;
  /** The secret of the meeting's creator, `hk_…`. */
  hostKey?: string;
  /** An API token of the tenant, most often a user token. */
  token?: string;
}

/** Whom the coordinator is asked to let in, and where. */
export interface JoinTarget extends Credentials {
  /** The coordinator's base URL. */
  coordinator: string;
  /** The meeting's id, `mtg_…`. */
  meeting: string;
  /** The name that others see, 1 to 80 characters. */
  name?: string;
  /** The role to join in, at most what the credentials allow. */
  role?: Role;
  /** Round trips that the client measured, in milliseconds, by region. */
  roundTripsMs?: Record<string, number>;
  /** Be placed as if coming from this address; only a development mesh allows it. */
  clientAddress?: string;
}

/** What may happen while a join is under way. */
export interface JoinProgress {
  /** A host has to admit the client; called once. */
  onWaiting?: (participantId: string) => void;
  /** Gives up. */
  signal?: AbortSignal;
}

/** Asks the coordinator. */
export class Coordinator {
  readonly #platform: Platform;
  readonly #target: JoinTarget;
  #waitedAs: string | undefined;

  constructor(platform: Platform, target: JoinTarget) {
    this.#platform = platform;
    this.#target = target;
  }

  /**
   * Asks to be let in, and asks again for as long as the client is in the waiting room.
   *
   * @throws RequestRefused, CoordinatorUnreachable, Aborted
   */
  async join(progress: JoinProgress = {}): Promise<Admission> {
    for (;;) {
      const answer = await this.#ask(progress.signal);
      if (!('status' in answer)) return answer;
      if (this.#waitedAs !== answer.participant_id) {
        this.#waitedAs = answer.participant_id;
        progress.onWaiting?.(answer.participant_id);
      }
      await delay(this.#platform, answer.retry_after_ms);
    }
  }

  /** Those in the waiting room. Needs the host key. */
  async waiting(): Promise<WaitingParticipant[]> {
    return (await this.#request('GET', '/waiting')) as WaitingParticipant[];
  }

  /** Lets somebody in from the waiting room. Needs the host key. */
  async admit(participantId: string): Promise<void> {
    await this.#request('POST', `/waiting/${encodeURIComponent(participantId)}/admit`);
  }

  /** Turns somebody in the waiting room away. Needs the host key. */
  async deny(participantId: string): Promise<void> {
    await this.#request('POST', `/waiting/${encodeURIComponent(participantId)}/deny`);
  }

  async #ask(signal: AbortSignal | undefined): Promise<Admission | Waiting> {
    const { name, role, invite, hostKey, roundTripsMs, clientAddress } = this.#target;
    const body = {
      ...(name !== undefined && { name }),
      ...(role !== undefined && { role }),
      ...(invite !== undefined && { invite }),
      ...(hostKey !== undefined && { host_key: hostKey }),
      ...(roundTripsMs !== undefined && { round_trips_ms: roundTripsMs }),
      ...(this.#waitedAs !== undefined && { participant_id: this.#waitedAs }),
    };
    const query = clientAddress === undefined ? '' : `?as=${encodeURIComponent(clientAddress)}`;
    return (await this.#request('POST', `/join${query}`, body, signal)) as Admission | Waiting;
  }

  async #request(
    method: string,
    path: string,
    body?: object,
    signal?: AbortSignal,
  ): Promise<unknown> {
    const { coordinator, meeting, token, hostKey } = this.#target;
    const url = `${coordinator.replace(/\/$/, '')}/v1/meetings/${encodeURIComponent(meeting)}${path}`;
    if (signal?.aborted) throw new Aborted('the join was given up');
    let response: Response;
    try {
      response = await this.#platform.fetch(url, {
        method,
        headers: {
          ...(body !== undefined && { 'content-type': 'application/json' }),
          ...(token !== undefined && { authorization: `Bearer ${token}` }),
          // A join says it in its body.
          ...(hostKey !== undefined && body === undefined && { 'x-sluice-host-key': hostKey }),
        },
        ...(body !== undefined && { body: JSON.stringify(body) }),
        ...(signal && { signal }),
      });
    } catch (cause) {
      if (signal?.aborted) throw new Aborted('the join was given up', { cause });
      throw new CoordinatorUnreachable(`the coordinator at ${coordinator} cannot be reached`, {
        cause,
      });
    }
    if (!response.ok) throw await refusal(response);
    return response.status === 204 ? undefined : await response.json();
  }
}

async function refusal(response: Response): Promise<RequestRefused> {
  let problem: Partial<{ type: string; title: string; detail: string; errors: FieldError[] }> = {};
  try {
    problem = await response.json();
  } catch {
    // A proxy in between answers with HTML; the status says enough.
  }
  return new RequestRefused(response.status, {
    type: problem.type ?? 'about:blank',
    title: problem.title ?? response.statusText,
    detail: problem.detail ?? '',
    errors: problem.errors ?? [],
  });
}
