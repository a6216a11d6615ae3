/** What a signal asks of a run: fewer and smaller chunks, no new chunk for now, or its end on this host. */
export type Response = 'slow' | 'hold' | 'abort';

/** Why a run is held back. */
export interface Reason {
  /** What it is about, without the numbers, which change with every look: `replica lag (replica-1)`. */
  readonly kind: string;
  /** `replica lag 48 MB > 32 MB (replica-1)` */
  readonly text: string;
}

/** What one look at one signal has come to. */
export interface Signal extends Reason {
  readonly response: Response;
  /** The load of the run is a cause of it, so that a slower run is what helps. */
  readonly isLoad: boolean;
}
