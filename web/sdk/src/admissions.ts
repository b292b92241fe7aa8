import type { Coordinator } from './coordinator.ts';
import type { Admission } from './protocol.ts';

/** Where admissions come from: the coordinator, or the caller's own back end. */
export interface AdmissionSource {
  next(): Promise<Admission>;
  coordinator?: Coordinator;
  /** URLs of which one answers when the network works. */
  probes: string[];
}

/** The signalling endpoints of an admission's edges, the best first, and one that is to be `last`. */
export function signalEndpoints(admission: Admission, last?: string): string[] {
  const others = admission.candidates.map((edge) => edge.signal_endpoint);
  const all = [...new Set([admission.signal_endpoint, ...others])];
  return [...all.filter((one) => one !== last), ...all.filter((one) => one === last)];
}
