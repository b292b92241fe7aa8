/** The browser's side of the seam, under a test's control. */

import type { FromWorker, ToWorker, TransformOptions } from '../src/e2ee/frame-worker.ts';
import type { FrameTransforms } from '../src/e2ee/transforms.ts';
import type {
  DataChannelLike,
  PeerLike,
  Platform,
  ReceiverLike,
  SenderLike,
  SocketLike,
  TransceiverLike,
} from '../src/platform.ts';
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
  /** Whether somebody is there to answer pings. */
  deaf = false;

  constructor(
    readonly url: string,
    readonly protocols: string[],
  ) {}

  send(data: string): void {
    const message = JSON.parse(data) as ClientMessage;
    this.sent.push(message);
    if (message.type === 'ping' && !this.deaf) {
      this.onmessage?.(new MessageEvent('message', { data: '{"type":"pong"}' }));
    }
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

export class FakeSender implements SenderLike {
  track: MediaStreamTrack | null = null;
  encodings: RTCRtpEncodingParameters[];
  /** What `setParameters` was given, in order. */
  readonly set: RTCRtpEncodingParameters[][] = [];
  /** Ends each `setParameters`; at once unless a test says otherwise. */
  busy: () => Promise<void> = () => Promise.resolve();

  constructor(encodings: RTCRtpEncodingParameters[]) {
    this.encodings = encodings;
  }

  replaceTrack(track: MediaStreamTrack | null): Promise<void> {
    this.track = track;
    return Promise.resolve();
  }

  getParameters(): RTCRtpSendParameters {
    return { encodings: structuredClone(this.encodings) } as RTCRtpSendParameters;
  }

  async setParameters(parameters: RTCRtpSendParameters): Promise<void> {
    await this.busy();
    this.encodings = structuredClone(parameters.encodings);
    this.set.push(this.encodings);
  }
}

export class FakeTransceiver implements TransceiverLike {
  readonly sender: FakeSender;
  readonly receiver: TransceiverLike['receiver'];
  codecs: RTCRtpCodec[] = [];

  constructor(
    readonly mid: string,
    public direction: RTCRtpTransceiverDirection,
    readonly kind: string,
    readonly init: RTCRtpTransceiverInit,
  ) {
    this.sender = new FakeSender(
      (init.sendEncodings ?? [{}]).map((one) => ({ active: true, ...one })),
    );
    this.receiver = {
      track: { id: `media-${mid}` } as MediaStreamTrack,
      getSynchronizationSources: () => [],
    };
  }

  setCodecPreferences(codecs: RTCRtpCodec[]): void {
    this.codecs = codecs;
  }
}

export class FakeDataChannel implements DataChannelLike {
  readyState: RTCDataChannelState = 'connecting';
  binaryType: BinaryType = 'blob';
  onopen: ((event: Event) => void) | null = null;
  onmessage: ((event: MessageEvent) => void) | null = null;
  onclose: ((event: Event) => void) | null = null;
  readonly sent: ArrayBuffer[] = [];

  constructor(
    readonly label: string,
    readonly init: RTCDataChannelInit | undefined,
  ) {}

  send(data: ArrayBuffer): void {
    if (this.readyState !== 'open') throw new DOMException('not open', 'InvalidStateError');
    this.sent.push(data);
  }

  async open(): Promise<void> {
    this.readyState = 'open';
    this.onopen?.(new Event('open'));
    await settle();
  }

  async say(data: Uint8Array): Promise<void> {
    this.onmessage?.(new MessageEvent('message', { data: data.slice().buffer }));
    await settle();
  }
}

export class FakePeer implements PeerLike {
  signalingState: RTCSignalingState = 'stable';
  connectionState: RTCPeerConnectionState = 'new';
  localDescription: RTCSessionDescription | null = null;
  onnegotiationneeded: ((event: Event) => void) | null = null;
  onconnectionstatechange: ((event: Event) => void) | null = null;
  readonly transceivers: FakeTransceiver[] = [];
  readonly channels: FakeDataChannel[] = [];
  /** Refuses encodings as a browser does that lacks something; nothing unless a test says so. */
  refuses: (encodings: RTCRtpEncodingParameters[]) => boolean = () => false;
  /** What was called, in order. */
  readonly calls: string[] = [];
  closed = false;
  /** What the statistics say of what comes in, by m-line. */
  readonly inbound = new Map<string, { kind: string; framesDecoded?: number; packetsReceived?: number }>();
  #offers = 0;

  addTransceiver(
    trackOrKind: MediaStreamTrack | string,
    init: RTCRtpTransceiverInit = {},
  ): FakeTransceiver {
    if (this.refuses(init.sendEncodings ?? [])) {
      throw new DOMException('unsupported', 'OperationError');
    }
    const mid = String(this.transceivers.length);
    const kind = typeof trackOrKind === 'string' ? trackOrKind : trackOrKind.kind;
    return this.#add(new FakeTransceiver(mid, init.direction ?? 'sendrecv', kind, init));
  }

  /** An m-line, as the edge's offer makes them. */
  receive(mid: string, direction: RTCRtpTransceiverDirection = 'recvonly'): FakeTransceiver {
    return this.#add(new FakeTransceiver(mid, direction, 'video', {}));
  }

  createDataChannel(label: string, init?: RTCDataChannelInit): FakeDataChannel {
    const channel = new FakeDataChannel(label, init);
    this.channels.push(channel);
    this.calls.push(`channel-${label}`);
    return channel;
  }

  #add(transceiver: FakeTransceiver): FakeTransceiver {
    this.transceivers.push(transceiver);
    return transceiver;
  }

  getTransceivers(): FakeTransceiver[] {
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
    const entries = [...this.inbound].map(
      ([mid, counts]) => [mid, { type: 'inbound-rtp', mid, ssrc: 1, ...counts }] as const,
    );
    return Promise.resolve(new Map(entries) as unknown as RTCStatsReport);
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

/** Frames that go nowhere, and a worker that does nothing. */
export class FakeTransforms implements FrameTransforms {
  streams = false;
  onmessage: ((message: FromWorker) => void) | null = null;
  readonly posted: ToWorker[] = [];
  readonly attached: TransformOptions[] = [];
  closed = false;

  post(message: ToWorker): void {
    this.posted.push(message);
  }

  attach(_end: SenderLike | ReceiverLike, options: TransformOptions): void {
    this.attached.push(options);
  }

  close(): void {
    this.closed = true;
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
  transforms: FakeTransforms | undefined = new FakeTransforms();
  readonly configurations: RTCConfiguration[] = [];
  #now = 0;
  #timers: { at: number; task: () => void }[] = [];
  readonly #networkListeners = new Set<() => void>();

  socket(url: string, protocols: string[]): FakeSocket {
    const socket = new FakeSocket(url, protocols);
    this.sockets.push(socket);
    return socket;
  }

  peer(configuration: RTCConfiguration): FakePeer {
    this.configurations.push(configuration);
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

  videoCodecs(): RTCRtpCodec[] {
    return ['VP8', 'rtx', 'VP9', 'H264', 'AV1', 'ulpfec'].map((name) => ({
      mimeType: `video/${name}`,
      clockRate: 90_000,
    }));
  }

  frameTransforms(): FakeTransforms | undefined {
    return this.transforms;
  }

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
