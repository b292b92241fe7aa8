import type { ReceiverLike, SenderLike } from '../platform.ts';
import type { FromWorker, ToWorker, TransformOptions } from './frame-worker.ts';

/** The browser's ways between codec and network, and the worker at their end. */
export interface FrameTransforms {
  /** Whether peer connections must be made with `encodedInsertableStreams`. */
  readonly streams: boolean;
  onmessage: ((message: FromWorker) => void) | null;
  post(message: ToWorker): void;
  /** Leads the frames of a sender or receiver through the worker. */
  attach(end: SenderLike | ReceiverLike, options: TransformOptions): void;
  close(): void;
}

type Streams = Pick<Extract<ToWorker, { type: 'streams' }>, 'readable' | 'writable'>;

interface Transformable {
  transform?: RTCRtpScriptTransform;
  /** What Chromium had before `RTCRtpScriptTransform`. */
  createEncodedStreams?: () => Streams;
}

/** Starts the worker; `undefined` where the browser gives no frames out. */
export function browserTransforms(): FrameTransforms | undefined {
  const script = 'RTCRtpScriptTransform' in globalThis;
  if (!script && !('createEncodedStreams' in RTCRtpSender.prototype)) return undefined;
  const worker = new Worker(new URL('./worker.js', import.meta.url), { type: 'module' });
  const transforms: FrameTransforms = {
    streams: !script,
    onmessage: null,
    post: (message) => worker.postMessage(message),
    attach: (end, options) => {
      const way = end as Transformable;
      if (script) {
        way.transform = new RTCRtpScriptTransform(worker, options);
        return;
      }
      const streams = way.createEncodedStreams?.();
      if (!streams) return;
      const { readable, writable } = streams;
      worker.postMessage({ type: 'streams', options, readable, writable } satisfies ToWorker, [
        readable,
        writable,
      ]);
    },
    close: () => worker.terminate(),
  };
  worker.onmessage = (event: MessageEvent<FromWorker>) => transforms.onmessage?.(event.data);
  return transforms;
}
