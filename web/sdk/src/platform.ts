/**
 * The seam to the browser: everything that a test replaces, and nothing else.
 */

import { browserTransforms, type FrameTransforms } from './e2ee/transforms.ts';

/** The part of a WebSocket that the SDK uses. */
export interface SocketLike {
  onopen: ((event: Event) => void) | null;
  onmessage: ((event: MessageEvent) => void) | null;
  onclose: ((event: CloseEvent) => void) | null;
  send(data: string): void;
  close(code?: number, reason?: string): void;
}

/** The part of an RTCRtpSender that the SDK uses. */
export type SenderLike = Pick<
  RTCRtpSender,
  'track' | 'replaceTrack' | 'getParameters' | 'setParameters'
>;

/** The part of an RTCRtpReceiver that the SDK uses. */
export type ReceiverLike = Pick<RTCRtpReceiver, 'track' | 'getSynchronizationSources'>;

/** The part of an RTCRtpTransceiver that the SDK uses. */
export interface TransceiverLike {
  readonly mid: string | null;
  direction: RTCRtpTransceiverDirection;
  readonly sender: SenderLike;
  readonly receiver: ReceiverLike;
  setCodecPreferences(codecs: RTCRtpCodec[]): void;
}

/** The part of an RTCDataChannel that the SDK uses. */
export interface DataChannelLike {
  readonly readyState: RTCDataChannelState;
  binaryType: BinaryType;
  onopen: ((event: Event) => void) | null;
  onmessage: ((event: MessageEvent) => void) | null;
  onclose: ((event: Event) => void) | null;
  send(data: ArrayBuffer): void;
}

/** The part of an RTCPeerConnection that the SDK uses. */
export interface PeerLike {
  readonly signalingState: RTCSignalingState;
  readonly connectionState: RTCPeerConnectionState;
  readonly localDescription: RTCSessionDescription | null;
  onnegotiationneeded: ((event: Event) => void) | null;
  onconnectionstatechange: ((event: Event) => void) | null;
  addTransceiver(
    trackOrKind: MediaStreamTrack | string,
    init?: RTCRtpTransceiverInit,
  ): TransceiverLike;
  getTransceivers(): TransceiverLike[];
  createDataChannel(label: string, init?: RTCDataChannelInit): DataChannelLike;
  setLocalDescription(description?: RTCLocalSessionDescriptionInit): Promise<void>;
  setRemoteDescription(description: RTCSessionDescriptionInit): Promise<void>;
  restartIce(): void;
  getStats(): Promise<RTCStatsReport>;
  close(): void;
}

/** What the SDK needs of its surroundings. */
export interface Platform {
  socket(url: string, protocols: string[]): SocketLike;
  peer(configuration: RTCConfiguration): PeerLike;
  fetch(url: string, init: RequestInit): Promise<Response>;
  /** `getUserMedia`; rejects where a page may not ask, as one without TLS. */
  userMedia(constraints: MediaStreamConstraints): Promise<MediaStream>;
  /** `getDisplayMedia`. */
  displayMedia(constraints: DisplayMediaStreamOptions): Promise<MediaStream>;
  /** The video codecs that the browser can send, those it likes best first. */
  videoCodecs(): RTCRtpCodec[];
  /** Starts to give encoded frames out; `undefined` where the browser does not. */
  frameTransforms(): FrameTransforms | undefined;
  /** Milliseconds on a clock that never goes back. */
  now(): number;
  /** Milliseconds since 1970. */
  wallClock(): number;
  /** 0 inclusive to 1 exclusive. */
  random(): number;
  /** Calls `task` after `ms` milliseconds, unless the returned function is called before. */
  after(ms: number, task: () => void): () => void;
  /** Calls `listener` whenever the machine's network changed, until the returned function is called. */
  onNetworkChange(listener: () => void): () => void;
}

/** The browser itself. */
export function browserPlatform(): Platform {
  return {
    socket: (url, protocols) => new WebSocket(url, protocols),
    peer: (configuration) => new RTCPeerConnection(configuration),
    fetch: (url, init) => fetch(url, init),
    userMedia: (constraints) => devices().then((media) => media.getUserMedia(constraints)),
    displayMedia: (constraints) => devices().then((media) => media.getDisplayMedia(constraints)),
    videoCodecs: () => RTCRtpSender.getCapabilities('video')?.codecs ?? [],
    frameTransforms: browserTransforms,
    now: () => performance.now(),
    wallClock: () => Date.now(),
    random: () => Math.random(),
    after: (ms, task) => {
      const timer = setTimeout(task, ms);
      return () => clearTimeout(timer);
    },
    onNetworkChange: (listener) => {
      // Chromium tells when Wi-Fi gives way to mobile data; the others only when a network is back.
      const connection = (navigator as Navigator & { connection?: EventTarget }).connection;
      connection?.addEventListener('change', listener);
      window.addEventListener('online', listener);
      return () => {
        connection?.removeEventListener('change', listener);
        window.removeEventListener('online', listener);
      };
    },
  };
}

/** `navigator.mediaDevices`, which is absent outside secure contexts whatever its type says. */
async function devices(): Promise<MediaDevices> {
  const media: MediaDevices | undefined = navigator.mediaDevices;
  if (!media) throw new DOMException('the page was not loaded over HTTPS', 'SecurityError');
  return media;
}

/** Resolves after `ms` milliseconds. */
export function delay(platform: Platform, ms: number): Promise<void> {
  return new Promise((resolve) => platform.after(ms, resolve));
}
