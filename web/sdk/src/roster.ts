import { Emitter } from './emitter.ts';
import type { Feed } from './feed.ts';
import { Participant, type RemoteTrack } from './participant.ts';
import type { TransceiverLike } from './platform.ts';
import type {
  LeaveReason,
  ParticipantView,
  Presence,
  ServerEvent,
  SpeakerLevel,
  TrackSource,
} from './protocol.ts';

/** What changes among the participants. */
export interface RosterEvents {
  participantJoined: Participant;
  participantLeft: { participant: Participant; reason: LeaveReason };
  /** Also of the local participant, when the edge confirms a change. */
  presenceChanged: Participant;
  trackPublished: { participant: Participant; track: RemoteTrack };
  trackUnpublished: { participant: Participant; track: RemoteTrack };
  /**
   * A track can be played, or comes from elsewhere than before. When a later track of the same source
   * takes its place, a track is unsubscribed only after the later one is subscribed.
   */
  trackSubscribed: {
    participant: Participant;
    track: RemoteTrack;
    mediaStreamTrack: MediaStreamTrack;
  };
  /** A track can no longer be played. */
  trackUnsubscribed: { participant: Participant; track: RemoteTrack };
  pathChanged: Participant;
  /** Who speaks now, the dominant speaker first; also the local participant. */
  speakers: readonly Participant[];
  /** The network became too slow for a picture, or carries it again: `track.paused`. */
  trackPaused: { participant: Participant; track: RemoteTrack };
}

/** All of the above. */
export const ROSTER_EVENTS: readonly (keyof RosterEvents)[] = [
  'participantJoined',
  'participantLeft',
  'presenceChanged',
  'trackPublished',
  'trackUnpublished',
  'trackSubscribed',
  'trackUnsubscribed',
  'pathChanged',
  'speakers',
  'trackPaused',
];

/** Where a track should come from. */
interface Place {
  participant: Participant;
  track: RemoteTrack;
  line: TransceiverLike | undefined;
  /** A later track of the same source plays. */
  replaced: boolean;
}

/** Who is in the room, what they publish, and which of it comes in. */
export class Roster extends Emitter<RosterEvents> {
  readonly #participants = new Map<string, Participant>();
  #local: Participant | undefined;
  /** Brings all that comes in, also of participants that are not known yet. */
  #feed: Feed | undefined;
  /** Plays on, track by track, until the one that counts flows. */
  #former: Feed | undefined;
  #speakers: Participant[] = [];

  /** The others, in order of joining. */
  get participants(): ReadonlyMap<string, Participant> {
    return this.#participants;
  }

  /** The client itself; absent before the first snapshot. */
  get local(): Participant | undefined {
    return this.#local;
  }

  /** Those who speak, the dominant speaker first. */
  get speakers(): readonly Participant[] {
    return this.#speakers;
  }

  /** Takes an event of the edge; whether it was about the roster. */
  handle(event: ServerEvent): boolean {
    switch (event.type) {
      case 'room.snapshot':
        this.#reset(event.you, event.participants);
        return true;
      case 'room.participant_joined':
        this.#join(event.participant);
        return true;
      case 'room.participant_left':
        this.#leave(event.participant_id, event.reason);
        return true;
      case 'room.presence_changed':
        this.#presence(event.participant_id, event);
        return true;
      case 'room.track_published': {
        const participant = this.#participants.get(event.participant_id);
        const track = participant?.addTrack(event.track);
        if (participant && track) this.emit('trackPublished', { participant, track });
        this.#match();
        return true;
      }
      case 'room.track_unpublished':
        this.#unpublish(event.participant_id, event.track_id);
        return true;
      case 'room.path_changed': {
        const participant = this.#participants.get(event.participant_id);
        participant?.update({ path: event.path });
        if (participant) this.emit('pathChanged', participant);
        return true;
      }
      case 'room.speakers':
        this.#speak(event.speakers);
        return true;
      case 'track.state':
        this.#pause(event.track_id, event.state === 'paused_by_bandwidth');
        return true;
      default:
        return false;
    }
  }

  /**
   * Tracks come from this feed from now on. Each of the one before plays on until it flows here, or
   * that one is dropped.
   */
  play(feed: Feed): void {
    this.#former = this.#feed;
    this.#feed = feed;
    this.#match();
  }

  /** Something is new about what comes in. */
  refresh(): void {
    this.#match();
  }

  /** Nothing comes from a feed any more. */
  drop(feed: Feed): void {
    if (this.#feed === feed) this.#feed = undefined;
    if (this.#former === feed) this.#former = undefined;
    this.#match();
  }

  /** Nothing comes in any more, since the peer connection is gone. */
  detachAll(): void {
    this.#feed = this.#former = undefined;
    this.#match();
    this.#speak([]);
    for (const { tracks } of this.#participants.values()) {
      for (const id of tracks.keys()) this.#pause(id, false);
    }
  }

  /** Those in the way of a fresh snapshot leave; those who stayed keep their objects. */
  #reset(you: ParticipantView, others: ParticipantView[]): void {
    if (this.#local?.id === you.participant_id) this.#local.update(you);
    else this.#local = new Participant(you);
    const present = new Set(others.map((view) => view.participant_id));
    for (const id of [...this.#participants.keys()]) {
      if (!present.has(id)) this.#leave(id, 'left');
    }
    for (const view of others) this.#join(view);
  }

  #join(view: ParticipantView): void {
    if (view.participant_id === this.#local?.id) return;
    const known = this.#participants.get(view.participant_id);
    const participant = known ?? new Participant(view);
    if (!known) {
      this.#participants.set(participant.id, participant);
      for (const info of view.tracks) participant.addTrack(info);
      this.emit('participantJoined', participant);
    } else {
      participant.update(view);
      this.#replaceTracks(participant, view);
      this.emit('presenceChanged', participant);
      this.emit('pathChanged', participant);
    }
    this.#match();
  }

  #replaceTracks(participant: Participant, view: ParticipantView): void {
    const published = new Set(view.tracks.map((info) => info.track_id));
    for (const id of [...participant.tracks.keys()]) {
      if (!published.has(id)) this.#unpublish(participant.id, id);
    }
    for (const info of view.tracks) {
      const track = participant.addTrack(info);
      if (track) this.emit('trackPublished', { participant, track });
    }
  }

  #leave(id: string, reason: LeaveReason): void {
    const participant = this.#participants.get(id);
    if (!participant) return;
    for (const track of participant.tracks.values()) this.#detach(participant, track);
    this.#participants.delete(id);
    if (participant.speaking) {
      participant.speak(undefined);
      this.#speakers = this.#speakers.filter((one) => one !== participant);
      this.emit('speakers', this.#speakers);
    }
    this.emit('participantLeft', { participant, reason });
  }

  #presence(id: string, presence: Presence): void {
    const participant = id === this.#local?.id ? this.#local : this.#participants.get(id);
    if (!participant) return;
    const { audio_muted, video_muted, hand_raised, screen_sharing } = presence;
    participant.update({ presence: { audio_muted, video_muted, hand_raised, screen_sharing } });
    this.emit('presenceChanged', participant);
  }

  #speak(speakers: readonly SpeakerLevel[]): void {
    if (speakers.length === 0 && this.#speakers.length === 0) return;
    for (const participant of this.#speakers) participant.speak(undefined);
    this.#speakers = speakers.flatMap(({ participant_id: id, level }) => {
      const participant = id === this.#local?.id ? this.#local : this.#participants.get(id);
      participant?.speak(level);
      return participant ? [participant] : [];
    });
    this.emit('speakers', this.#speakers);
  }

  #pause(trackId: string, paused: boolean): void {
    for (const participant of this.#participants.values()) {
      const track = participant.tracks.get(trackId);
      if (!track || track.paused === paused) continue;
      track.pause(paused);
      this.emit('trackPaused', { participant, track });
    }
  }

  #unpublish(participantId: string, trackId: string): void {
    const participant = this.#participants.get(participantId);
    const track = participant?.tracks.get(trackId);
    if (!participant || !track) return;
    this.#detach(participant, track);
    participant.removeTrack(trackId);
    this.emit('trackUnpublished', { participant, track });
    // Another may have waited to take its place.
    this.#match();
  }

  /** Brings what comes in and what is published together, whichever was heard of first. */
  #match(): void {
    const places = this.#places();
    const taken = new Set(places.map(({ line }) => line));
    const leaves = ({ track, line, replaced }: Place): boolean => {
      const { transceiver } = track;
      if (!transceiver || transceiver === line) return false;
      // It plays until what takes its place does.
      return taken.has(transceiver) || !(line ?? replaced);
    };
    // An m-line may pass from one track to another: all leave theirs before any takes one.
    for (const place of places) if (leaves(place)) this.#detach(place.participant, place.track);
    for (const { participant, track, line } of places) {
      if (!line || track.transceiver === line) continue;
      if (track.transceiver) this.#pause(track.id, false);
      track.attach(line);
      const mediaStreamTrack = line.receiver.track;
      this.emit('trackSubscribed', { participant, track, mediaStreamTrack });
    }
    for (const { participant, track, replaced } of places) {
      if (replaced) this.#detach(participant, track);
    }
  }

  /** Where each track should come from. */
  #places(): Place[] {
    const lines = this.#feed?.lines() ?? new Map<string, TransceiverLike>();
    const former = this.#former?.lines() ?? new Map<string, TransceiverLike>();
    const places: Place[] = [];
    for (const participant of this.#participants.values()) {
      const own: Place[] = [];
      const played = new Set<TrackSource>();
      const tracks = [...participant.tracks.values()];
      // Who moves to another edge publishes each source twice for a while: the later one stays.
      for (const [index, track] of [...tracks.entries()].reverse()) {
        const replaced = played.has(track.source);
        let line = replaced ? undefined : lines.get(track.id);
        if (!replaced && line !== track.transceiver) {
          const before = former.get(track.id);
          const others = tracks.slice(0, index).filter((one) => one.source === track.source);
          const plays = ({ id, transceiver }: RemoteTrack): boolean =>
            transceiver !== undefined && (lines.has(id) || former.has(id));
          const waits = !line || before !== undefined || others.some(plays);
          if (waits && !(line && this.#feed?.flows(track.id))) line = before;
        }
        if (line) played.add(track.source);
        own.unshift({ participant, track, line, replaced });
      }
      places.push(...own);
    }
    return places;
  }

  #detach(participant: Participant, track: RemoteTrack): void {
    if (!track.transceiver) return;
    track.attach(undefined);
    this.#pause(track.id, false);
    this.emit('trackUnsubscribed', { participant, track });
  }
}
