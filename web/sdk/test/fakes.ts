/** The browser's side of the seam, under a test's control. */

import type { PeerLike, Platform, SocketLike, TransceiverLike } from '../src/platform.ts';
import type { Admission, ClientMessage, ParticipantView, ServerMessage } from '../src/protocol.ts';

/** Lets everything that is ready run. */
export async function settle(): Promise<void> {
  for (let i = 0; i < 40; i += 1) await Promise.resolve();
}

export class FakeSocket implements SocketLike {
  onopen: ((event: Event) => void) | null = null;
  onmessage: ((event: MessageEvent) => void) | null = null;
  onclose: ((event: CloseEvent) => void) | null = null;
  readonly sent: ClientMessage[] = [];
  closed = false;

  constructor(
    readonly url: string,
    readonly protocols: string[],
  ) {}

  send(data: string): void {
    this.sent.push(JSON.parse(data) as ClientMessage);
  }

  close(): void {
    this.closed = true;
  }

  async open(): Promise<void> {
    this.onopen?.(new Event('open'));
    await settle();
  }

  async say(message: ServerMessage | { type: 'from.the.future' }): Promise<void> {
    this.onmessage?.(new MessageEvent('message', { data: JSON.stringify(message) }));
    await settle();
  }

  /** The other side is gone. */
  async break(): Promise<void> {
    this.onclose?.(new Event('close') as CloseEvent);
    await settle();
  }

  types(): string[] {
    return this.sent.map((message) => message.type);
  }
}

export class FakePeer implements PeerLike {
  signalingState: RTCSignalingState = 'stable';
  connectionState: RTCPeerConnectionState = 'new';
  localDescription: RTCSessionDescription | null = null;
  onnegotiationneeded: ((event: Event) => void) | null = null;
  onconnectionstatechange: ((event: Event) => void) | null = null;
  readonly transceivers: TransceiverLike[] = [];
  /** What was called, in order. */
  readonly calls: string[] = [];
  closed = false;
  #offers = 0;

  addTransceiver(_kind: MediaStreamTrack | string, init?: RTCRtpTransceiverInit): TransceiverLike {
    return this.receive(String(this.transceivers.length), init?.direction ?? 'sendrecv');
  }

  /** An m-line, as the edge's offer makes them. */
  receive(mid: string, direction: RTCRtpTransceiverDirection = 'recvonly'): TransceiverLike {
    const transceiver: TransceiverLike = {
      mid,
      direction,
      sender: { track: null, replaceTrack: () => Promise.resolve() },
      receiver: {
        track: { id: `media-${mid}` } as MediaStreamTrack,
        getSynchronizationSources: () => [],
      },
    };
    this.transceivers.push(transceiver);
    return transceiver;
  }

  getTransceivers(): TransceiverLike[] {
    return this.transceivers;
  }

  setLocalDescription(description?: RTCLocalSessionDescriptionInit): Promise<void> {
    if (description?.type === 'rollback') {
      this.calls.push('rollback');
      this.signalingState = 'stable';
    } else if (this.signalingState === 'have-remote-offer') {
      this.calls.push('answer');
      this.localDescription = { type: 'answer', sdp: 'answer' } as RTCSessionDescription;
      this.signalingState = 'stable';
    } else {
      this.#offers += 1;
      const sdp = `offer-${this.#offers}`;
      this.calls.push(sdp);
      this.localDescription = { type: 'offer', sdp } as RTCSessionDescription;
      this.signalingState = 'have-local-offer';
    }
    return Promise.resolve();
  }

  setRemoteDescription(description: RTCSessionDescriptionInit): Promise<void> {
    if (description.sdp === 'broken') return Promise.reject(new Error('cannot be parsed'));
    this.calls.push(`remote-${description.type}`);
    this.signalingState = description.type === 'offer' ? 'have-remote-offer' : 'stable';
    return Promise.resolve();
  }

  restartIce(): void {
    this.calls.push('restart-ice');
  }

  getStats(): Promise<RTCStatsReport> {
    return Promise.resolve(new Map() as unknown as RTCStatsReport);
  }

  close(): void {
    this.closed = true;
  }

  async turn(state: RTCPeerConnectionState): Promise<void> {
    this.connectionState = state;
    this.onconnectionstatechange?.(new Event('connectionstatechange'));
    await settle();
  }
}

/** A platform with a clock that moves only when told to. */
export class FakePlatform implements Platform {
  readonly sockets: FakeSocket[] = [];
  readonly peers: FakePeer[] = [];
  /** Answers requests; a rejection is a network that does not work. */
  answer: (url: string, init: RequestInit) => Promise<Response> = () =>
    Promise.reject(new TypeError('no network'));
  readonly requests: string[] = [];
  #now = 0;
  #timers: { at: number; task: () => void }[] = [];
  readonly #networkListeners = new Set<() => void>();

  socket(url: string, protocols: string[]): FakeSocket {
    const socket = new FakeSocket(url, protocols);
    this.sockets.push(socket);
    return socket;
  }

  peer(): FakePeer {
    const peer = new FakePeer();
    this.peers.push(peer);
    return peer;
  }

  fetch(url: string, init: RequestInit): Promise<Response> {
    this.requests.push(url);
    return this.answer(url, init);
  }

  userMedia: (constraints: MediaStreamConstraints) => Promise<MediaStream> = () =>
    Promise.reject(new DOMException('no', 'NotAllowedError'));

  displayMedia: () => Promise<MediaStream> = () =>
    Promise.reject(new DOMException('no', 'NotAllowedError'));

  now(): number {
    return this.#now;
  }

  wallClock(): number {
    return this.#now;
  }

  random(): number {
    return 1 - Number.EPSILON;
  }

  after(ms: number, task: () => void): () => void {
    const timer = { at: this.#now + ms, task };
    this.#timers.push(timer);
    return () => {
      this.#timers = this.#timers.filter((one) => one !== timer);
    };
  }

  onNetworkChange(listener: () => void): () => void {
    this.#networkListeners.add(listener);
    return () => this.#networkListeners.delete(listener);
  }

  async changeNetwork(): Promise<void> {
    for (const listener of this.#networkListeners) listener();
    await settle();
  }

  /** Moves the clock, and runs what falls due on the way, each at its own time. */
  async advance(ms: number): Promise<void> {
    const until = this.#now + ms;
    for (;;) {
      const due = this.#timers.filter((timer) => timer.at <= until);
      const next = due.sort((a, b) => a.at - b.at)[0];
      if (!next) break;
      this.#timers = this.#timers.filter((timer) => timer !== next);
      this.#now = next.at;
      next.task();
      await settle();
    }
    this.#now = until;
  }

  get lastSocket(): FakeSocket {
    return required(this.sockets.at(-1));
  }

  get lastPeer(): FakePeer {
    return required(this.peers.at(-1));
  }
}

export function required<T>(value: T | undefined): T {
  if (value === undefined) throw new Error('nothing there yet');
  return value;
}

export function view(id: string, change: Partial<ParticipantView> = {}): ParticipantView {
  return {
    participant_id: id,
    name: id,
    role: 'speaker',
    region: 'paris',
    edge: 'paris-1',
    joined_at_ms: 0,
    presence: { audio_muted: true, video_muted: true, hand_raised: false, screen_sharing: false },
    tracks: [],
    path: ['paris'],
    ...change,
  };
}

export function snapshot(others: ParticipantView[] = [], seq = 1): ServerMessage {
  return {
    type: 'room.snapshot',
    seq,
    meeting_id: 'mtg_1',
    you: view('pt_me'),
    participants: others,
    resume_token: 'rs_1',
    resume_window_ms: 30_000,
    edge: 'paris-1',
  };
}

export function admission(change: Partial<Admission> = {}): Admission {
  return {
    participant_id: 'pt_me',
    join_token: 'jwt',
    expires_at: 300,
    role: 'speaker',
    sfu_endpoint: 'http://paris',
    signal_endpoint: 'ws://paris',
    ice_servers: [],
    region: 'paris',
    edge: 'paris-1',
    candidates: [
      {
        edge: 'frankfurt-1',
        region: 'frankfurt',
        sfu_endpoint: 'http://frankfurt',
        signal_endpoint: 'ws://frankfurt',
      },
    ],
    ...change,
  };
}

export function json(body: unknown, status = 200): Promise<Response> {
  return Promise.resolve(new Response(JSON.stringify(body), { status }));
}
