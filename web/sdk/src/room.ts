import type { AdmissionSource } from './admissions.ts';
import { Connection, type ConnectionState } from './connection.ts';
import type { DataMessage, SendOptions } from './data.ts';
import { DataChannels } from './data-channels.ts';
import type { Encryption } from './e2ee/encryption.ts';
import type { E2eeKey } from './e2ee/keys.ts';
import { Emitter } from './emitter.ts';
import { NotAllowed, type SluiceError } from './errors.ts';
import type { JoinClock } from './join-clock.ts';
import type { DeviceChoice, LocalMedia } from './local-media.ts';
import type { Participant } from './participant.ts';
import type { Platform } from './platform.ts';
import type { Admission, LeaveReason, TrackSource, WaitingParticipant } from './protocol.ts';
import { QualityReports } from './quality-reports.ts';
import { ROSTER_EVENTS, Roster, type RosterEvents } from './roster.ts';
import { StatsReader, type RoomStats } from './stats.ts';
import { Subscriptions, type TrackWish } from './subscriptions.ts';

/** What a room tells. */
export interface RoomEvents extends RosterEvents {
  connectionState: ConnectionState;
  /** A local source was switched on or off. */
  localMediaChanged: TrackSource;
  /** Somebody sent a message. */
  data: DataMessage;
  /** What comes from a participant cannot be decrypted, since its key is another; or can again. */
  decryption: { participant: Participant; works: boolean };
  /** The room is over for this client: it left, was removed, or the meeting was ended. */
  ended: LeaveReason;
  /** Something failed; the room goes on unless its state says otherwise. */
  error: SluiceError;
}

/** What comes with a join besides its media. */
export interface RoomParts {
  /** Began when the client set out. */
  clock: JoinClock;
  /** End to end; absent when there is none. */
  encryption: Encryption | undefined;
  /** Whether the edge is told how the call goes. */
  reportQuality: boolean;
}

/** A meeting that the client is in. */
export class Room extends Emitter<RoomEvents> {
  readonly #source: AdmissionSource;
  readonly #local: LocalMedia;
  readonly #roster = new Roster();
  readonly #subscriptions: Subscriptions;
  readonly #data: DataChannels;
  readonly #encryption: Encryption | undefined;
  readonly #stats = new StatsReader();
  /** As `#stats`, for what the edge is told. */
  readonly #measured = new StatsReader();
  readonly #connection: Connection;

  readonly #reports: QualityReports | undefined;

  /** @internal Rooms come from `SluiceClient.join`. */
  constructor(
    platform: Platform,
    source: AdmissionSource,
    admission: Admission,
    local: LocalMedia,
    { clock, encryption, reportQuality }: RoomParts,
  ) {
    super();
    const roster = this.#roster;
    this.#source = source;
    this.#local = local;
    this.#subscriptions = new Subscriptions(platform);
    this.#encryption = encryption;
    this.#data = new DataChannels(platform, encryption, {
      onMessage: (message) => this.emit('data', message),
      onUnreadable: (from) => this.#decryption(from, false),
      onError: (error) => this.emit('error', error),
    });
    if (encryption) {
      encryption.onDecryption = (id, works) => this.#decryption(id, works);
      encryption.onError = (error) => this.emit('error', error);
    }
    const subscriptions = this.#subscriptions;
    const parts = { local, roster, subscriptions, data: this.#data, encryption };
    if (reportQuality) this.#reports = this.#reportsOver(platform);
    this.#connection = new Connection(platform, source, admission, parts, clock, {
      onState: (state) => {
        if (state === 'connected') this.#reports?.start();
        else this.#reports?.stop();
        this.emit('connectionState', state);
      },
      onSession: (played) => {
        if (!played) roster.detachAll();
        this.#stats.reset();
        this.#measured.reset();
        this.#reports?.reset();
      },
      onOver: () => {
        roster.detachAll();
        this.#data.close();
        encryption?.close();
        local.stop();
      },
      onEnded: (reason) => this.emit('ended', reason),
      onError: (error) => this.emit('error', error),
    });
    roster.on('trackUnpublished', ({ track }) => this.#subscriptions.forget(track.id));
    roster.on('participantLeft', ({ participant }) => {
      for (const id of participant.tracks.keys()) this.#subscriptions.forget(id);
    });
    for (const name of ROSTER_EVENTS) this.#forward(name);
    local.on('changed', (name) => {
      this.#connection.session?.send({ type: 'presence.update', ...local.presence });
      this.emit('localMediaChanged', name);
    });
    local.on('negotiate', () => this.#connection.negotiate());
    local.on('error', (error) => this.emit('error', error));
  }

  get state(): ConnectionState {
    return this.#connection.state;
  }

  /** The others, by id, in order of joining. */
  get participants(): ReadonlyMap<string, Participant> {
    return this.#roster.participants;
  }

  /** The client itself; absent until the first snapshot. */
  get localParticipant(): Participant | undefined {
    return this.#roster.local;
  }

  /** What let the client in. */
  get admission(): Readonly<Admission> {
    return this.#connection.admission;
  }

  /** Whether a local source is on. */
  isOn(source: TrackSource): boolean {
    return this.#local.isOn(source);
  }

  /** The track of a local source, to show it to its owner. */
  localTrack(source: TrackSource): MediaStreamTrack | undefined {
    return this.#local.track(source);
  }

  /** Unmutes or mutes the microphone, or takes another. @throws MediaError, NotAllowed */
  async setMicrophone(choice: DeviceChoice): Promise<void> {
    this.#requirePublisher();
    return this.#local.set('microphone', choice);
  }

  /** Switches the camera on or off, or takes another. @throws MediaError, NotAllowed */
  async setCamera(choice: DeviceChoice): Promise<void> {
    this.#requirePublisher();
    return this.#local.set('camera', choice);
  }

  /**
   * Uses another microphone or camera: at once when it is on, else when it is next switched on.
   * @throws MediaError
   */
  chooseDevice(device: 'microphone' | 'camera', deviceId: string): Promise<void> {
    return this.#local.choose(device, deviceId);
  }

  /** Shares a screen or window, or stops. @throws MediaError, NotAllowed */
  shareScreen(share: boolean): Promise<void> {
    return this.#local.shareScreen(share, this.#connection.admission.role);
  }

  /** Raises the hand, or lowers it. */
  raiseHand(raised: boolean): void {
    this.#local.handRaised = raised;
    this.#connection.session?.send({ type: 'presence.update', hand_raised: raised });
  }

  /** Those who speak now, the dominant speaker first. */
  get speakers(): readonly Participant[] {
    return this.#roster.speakers;
  }

  /**
   * Says how a track of somebody else is wanted, in place of what was said of it before;
   * `undefined` leaves it to the edge. Wishes outlive a reconnection, and end with the track.
   */
  subscribe(trackId: string, wish: TrackWish | undefined): void {
    this.#subscriptions.set(trackId, wish);
  }

  /**
   * Sends a message to the others; a text travels as UTF-8. It waits while the room reconnects, and
   * no longer than the room lasts. A message that is not `reliable` may be lost or overtaken. With
   * end-to-end encryption the payload is encrypted; from whom, for whom and the topic stay in clear.
   *
   * @throws DataError when the message is longer than 16,384 bytes with its header, or when too
   * many wait: an edge takes 100 messages and 256 KiB a second.
   */
  send(payload: string | Uint8Array, options: SendOptions = {}): void {
    this.#data.send(payload, options);
  }

  /** Whether media and messages are encrypted end to end. */
  get encrypted(): boolean {
    return this.#encryption !== undefined;
  }

  /**
   * Encrypts with another key from now on. Those who have not been told it cannot follow; what
   * comes with the keys before is still read. @throws EncryptionError
   */
  async setEncryptionKey(key: E2eeKey, keyId: number): Promise<void> {
    await this.#encryption?.setKey(key, keyId);
  }

  /** Removes somebody. @throws NotAllowed unless the client is a host. */
  remove(participantId: string): void {
    if (this.#connection.admission.role !== 'host') throw new NotAllowed('only a host removes participants');
    this.#connection.session?.send({ type: 'participant.remove', participant_id: participantId });
  }

  /** Those in the waiting room. Needs the host key. @throws RequestRefused, CoordinatorUnreachable */
  async waiting(): Promise<WaitingParticipant[]> {
    return (await this.#source.coordinator?.waiting()) ?? [];
  }

  /** Lets somebody in. Needs the host key. @throws RequestRefused, CoordinatorUnreachable */
  async admit(participantId: string): Promise<void> {
    await this.#source.coordinator?.admit(participantId);
  }

  /** Turns somebody away. Needs the host key. @throws RequestRefused, CoordinatorUnreachable */
  async deny(participantId: string): Promise<void> {
    await this.#source.coordinator?.deny(participantId);
  }

  /** Leaves for good and lets go of every device. */
  leave(): void {
    this.#connection.leave();
  }

  /** Figures of the transport and of every track, over the time since the call before. */
  async stats(): Promise<RoomStats> {
    return (await this.#read(this.#stats)) ?? this.#stats.empty();
  }

  /**
   * @internal Enters for the first time; resolves once media flows.
   * @throws EdgeUnreachable, EdgeError, MediaUnreachable, NegotiationFailed, RoomEnded
   */
  enter(): Promise<void> {
    return this.#connection.open();
  }

  async #read(reader: StatsReader): Promise<RoomStats | undefined> {
    const { session } = this.#connection;
    if (!session) return undefined;
    const published = session.published;
    return reader.read(await session.getStats(), published, this.#roster.participants);
  }

  #reportsOver(platform: Platform): QualityReports {
    return new QualityReports(platform, {
      // Of two sessions at once nobody could tell what belongs to which.
      read: () =>
        this.#connection.overlaps ? Promise.resolve(undefined) : this.#read(this.#measured),
      clock: () => this.#connection.clock,
      send: (report) => this.#connection.session?.send({ type: 'quality.report', ...report }),
    });
  }

  #decryption(participantId: string, works: boolean): void {
    const participant = this.#roster.participants.get(participantId);
    if (participant) this.emit('decryption', { participant, works });
  }

  #requirePublisher(): void {
    if (this.#connection.admission.role !== 'viewer') return;
    throw new NotAllowed('a viewer publishes nothing: attendee, speaker or host is needed');
  }

  #forward<Name extends keyof RosterEvents>(name: Name): void {
    this.#roster.on(name, (payload) => this.emit(name, payload as RoomEvents[Name]));
  }
}

