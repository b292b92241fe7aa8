/** The worker's own module: wires the browser's events to the work. */

import { FrameWorker, type ToWorker, type TransformOptions } from './frame-worker.ts';
import type { FrameLike } from './frames.ts';

/** The part of a DedicatedWorkerGlobalScope that is used; its types exclude those of a window. */
interface WorkerScope {
  onmessage: ((event: MessageEvent<ToWorker>) => void) | null;
  /** https://www.w3.org/TR/webrtc-encoded-transform/ */
  onrtctransform: ((event: TransformEvent) => void) | null;
  postMessage(message: unknown): void;
}

interface TransformEvent {
  transformer: {
    options: TransformOptions;
    readable: ReadableStream<FrameLike>;
    writable: WritableStream<FrameLike>;
  };
}

const scope = self as unknown as WorkerScope;
const worker = new FrameWorker((message) => scope.postMessage(message));

scope.onmessage = (event) => worker.handle(event.data);
scope.onrtctransform = ({ transformer }) => {
  void worker.transform(transformer.options, transformer.readable, transformer.writable);
};
