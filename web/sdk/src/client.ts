import type { AdmissionSource } from './admissions.ts';
import { Coordinator, type JoinProgress, type JoinTarget } from './coordinator.ts';
import { Encryption, encryptableCodec, type E2eeOptions } from './e2ee/encryption.ts';
import { Aborted, type MediaError } from './errors.ts';
import type { PublishOptions } from './encodings.ts';
import { JoinClock } from './join-clock.ts';
import { LocalMedia, type MediaOptions } from './local-media.ts';
import { browserPlatform, type Platform } from './platform.ts';
import type { Admission } from './protocol.ts';
import { Room } from './room.ts';

/** How to join: through the coordinator, or with admissions that a back end asked it for. */
export type JoinOptions = (JoinTarget | { admission: () => Promise<Admission> }) &
  JoinProgress & {
    /** What to start with; nothing when absent. */
    media?: MediaOptions;
    /** How own pictures are sent. */
    publish?: PublishOptions;
    /** Encrypts media and messages end to end. */
    e2ee?: E2eeOptions;
    /** A device to start with cannot be had; the join goes on without it. */
    onMediaError?: (error: MediaError) => void;
    /** Whether the edge is told every ten seconds how the call goes; `true` when absent. */
    reportQuality?: boolean;
  };

/** The way into a meeting. */
export class SluiceClient {
  readonly #platform: Platform;

  constructor(platform: Platform = browserPlatform()) {
    this.#platform = platform;
  }

  /** `new SluiceClient().join(options)`. */
  static join(options: JoinOptions): Promise<Room> {
    return new SluiceClient().join(options);
  }

  /**
   * Joins a meeting, and resolves once media flows.
   *
   * @throws RequestRefused when the coordinator does not let the client in.
   * @throws CoordinatorUnreachable, EdgeUnreachable, MediaUnreachable when there is no way.
   * @throws EncryptionError when the browser cannot encrypt, or not with this codec or key.
   * @throws Aborted when `signal` said so.
   */
  async join(options: JoinOptions): Promise<Room> {
    const clock = new JoinClock(this.#platform);
    const publish = options.publish ?? {};
    const codec = options.e2ee && encryptableCodec(publish.codec);
    const encryption =
      options.e2ee && codec && (await Encryption.start(this.#platform, options.e2ee, codec));
    const local = new LocalMedia(this.#platform, {
      ...publish,
      // Another codec might be one that cannot be encrypted.
      ...(codec && { codec, onlyCodec: true }),
      onTransceiver: (transceiver, kind) => encryption?.send(transceiver, kind),
    });
    const source = this.#source(options);
    try {
      const [admission, problems] = await Promise.all([
        source.next().then((admission) => {
          clock.mark('admitted_ms');
          return admission;
        }),
        local.start(options.media ?? {}),
      ]);
      for (const problem of problems) options.onMediaError?.(problem);
      if (options.signal?.aborted) throw new Aborted('the join was given up');
      // Devices start while the coordinator is asked, since both take their time; what the role
      // turns out not to publish is let go of again.
      if (admission.role === 'viewer') local.stop();
      const room = new Room(this.#platform, source, admission, local, {
        clock,
        encryption,
        reportQuality: options.reportQuality ?? true,
      });
      const giveUp = (): void => room.leave();
      options.signal?.addEventListener('abort', giveUp);
      await room.enter().finally(() => options.signal?.removeEventListener('abort', giveUp));
      return room;
    } catch (error) {
      local.stop();
      encryption?.close();
      throw error;
    }
  }

  #source(options: JoinOptions): AdmissionSource {
    if ('admission' in options) {
      return { next: options.admission, probes: [] };
    }
    const coordinator = new Coordinator(this.#platform, options);
    return {
      next: () => coordinator.join(options),
      coordinator,
      probes: [options.coordinator],
    };
  }
}
