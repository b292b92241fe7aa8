/** Measures how loud a microphone is. */
export class MicMeter {
  readonly #context = new AudioContext();
  readonly #analyser = this.#context.createAnalyser();
  readonly #samples = new Float32Array(512);
  #source: MediaStreamAudioSourceNode | undefined;
  #track: MediaStreamTrack | undefined;

  constructor() {
    this.#analyser.fftSize = this.#samples.length;
  }

  /** Listens to `track` from now on, or to nothing. */
  listen(track: MediaStreamTrack | undefined): void {
    if (track === this.#track) return;
    this.#source?.disconnect();
    this.#track = track;
    this.#source = track && this.#context.createMediaStreamSource(new MediaStream([track]));
    this.#source?.connect(this.#analyser);
    if (track) void this.#context.resume();
  }

  /** The loudness now: 0 is silence, 1 as loud as can be, with speech around a half. */
  level(): number {
    if (!this.#source) return 0;
    this.#analyser.getFloatTimeDomainData(this.#samples);
    let sum = 0;
    for (const sample of this.#samples) sum += sample * sample;
    const decibels = 10 * Math.log10(sum / this.#samples.length + 1e-10);
    return Math.min(1, Math.max(0, (decibels + 60) / 55));
  }

  /** Lets go of the sound system. */
  close(): void {
    this.listen(undefined);
    void this.#context.close();
  }
}
