import { describe, expect, it } from 'vitest';
import { LaneWatch, lanesFor, mostLanes, usualLanes } from '../../src/core/size/lanes.ts';

/** A server and its client: chunks use a core, wait for the disk, then for the network, again and again. */
interface Machine {
  readonly cores: number;
  /** Reads that the disk does at once. */
  readonly disks: number;
  /** Milliseconds of each turn, on average, and by chance up to twice as much or next to nothing. */
  readonly coreMs: number;
  readonly diskMs: number;
  readonly networkMs: number;
}

type Place = 'core' | 'disk' | 'network';
const places: readonly Place[] = ['core', 'disk', 'network'];

// Each chunk that queues for a core slows the others: caches are shared, and switching costs.
const crowding = 0.03;

/** A sequence of numbers from 0 to 1 that is the same each time. */
function chance(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state * 16_807) % 2_147_483_647;
    return state / 2_147_483_647;
  };
}

interface Lane {
  place: Place;
  leftMs: number;
}

interface Course {
  /** Turns that were done in all, and in the second half of the time. */
  readonly turns: number;
  readonly late: number;
  /** Lanes at the end of each 250 ms. */
  readonly lanes: readonly number[];
}

const stepMs = 1;
const lookEveryMs = 250;

/** Works on a machine for so long, with a number of lanes, or with the one that follows from looks. */
function work(machine: Machine, forMs: number, how: number | 'by looks', seed = 1): Course {
  const random = chance(seed);
  const ms: Record<Place, number> = {
    core: machine.coreMs,
    disk: machine.diskMs,
    network: machine.networkMs,
  };
  const room: Record<Place, number> = { core: machine.cores, disk: machine.disks, network: Infinity };
  const watch = new LaneWatch();
  const lanes: Lane[] = [];
  const seen: number[] = [];
  let wanted = how === 'by looks' ? usualLanes : how;
  let [turns, late] = [0, 0];
  for (let now = 0; now < forMs; now += stepMs) {
    while (lanes.length < wanted) lanes.push({ place: 'core', leftMs: ms.core * 2 * random() });
    lanes.length = wanted;
    let queue = -machine.cores;
    for (const { place } of lanes) if (place === 'core') queue += 1;
    for (const place of places) {
      let free = room[place];
      const speed = place === 'core' ? 1 / (1 + crowding * Math.max(0, queue)) : 1;
      for (const lane of lanes) {
        if (lane.place !== place) continue;
        if (free === 0) break;
        free -= 1;
        lane.leftMs -= stepMs * speed;
        if (lane.leftMs > 0) continue;
        lane.place = places[(places.indexOf(place) + 1) % places.length] ?? 'core';
        lane.leftMs = ms[lane.place] * 2 * random();
        if (lane.place !== 'core') continue;
        turns += 1;
        if (now > forMs / 2) late += 1;
      }
    }
    // Whoever has to wait for a core does so behind those that came before.
    if (random() < 0.2) lanes.push(...lanes.splice(0, 1));
    if (now % lookEveryMs !== 0 || now === 0) continue;
    const at = (place: Place): number => lanes.filter((lane) => lane.place === place).length;
    const waits = watch.add({ chunks: lanes.length, onDisk: at('disk'), onClient: at('network') }, now);
    if (how === 'by looks') wanted = lanesFor(wanted, waits, 0);
    seen.push(wanted);
  }
  return { turns, late, lanes: seen };
}

const machines: readonly (readonly [string, Machine])[] = [
  ['all in memory', { cores: 2, disks: 8, coreMs: 10, diskMs: 0.5, networkMs: 1 }],
  ['reads that the operating system has', { cores: 2, disks: 8, coreMs: 10, diskMs: 4, networkMs: 1 }],
  ['as much disk as core', { cores: 2, disks: 16, coreMs: 8, diskMs: 8, networkMs: 1 }],
  ['a slow disk that does many reads at once', { cores: 2, disks: 32, coreMs: 4, diskMs: 25, networkMs: 1 }],
  ['a slow disk that does four', { cores: 2, disks: 4, coreMs: 4, diskMs: 25, networkMs: 1 }],
  ['a slow disk that does one', { cores: 2, disks: 1, coreMs: 4, diskMs: 25, networkMs: 1 }],
  ['a server that is far away', { cores: 2, disks: 8, coreMs: 4, diskMs: 1, networkMs: 20 }],
  ['one core', { cores: 1, disks: 8, coreMs: 10, diskMs: 5, networkMs: 1 }],
  ['many cores and a slow disk', { cores: 8, disks: 32, coreMs: 10, diskMs: 40, networkMs: 1 }],
];

const halfMinuteMs = 30_000;
const seeds = [1, 2, 3];
const fixed = Array.from({ length: mostLanes - usualLanes + 1 }, (_, index) => usualLanes + index);

describe.each(machines)('the number of lanes: %s', (_name, machine) => {
  it('is at most a tenth slower than the best fixed one', () => {
    const late = (how: number | 'by looks'): number =>
      seeds.reduce((sum, seed) => sum + work(machine, halfMinuteMs, how, seed).late, 0);
    expect(late('by looks')).toBeGreaterThan(0.9 * Math.max(...fixed.map(late)));
  });

  it('is found soon: in five seconds as much is done as in four with the best one', () => {
    const turns = (how: number | 'by looks'): number =>
      seeds.reduce((sum, seed) => sum + work(machine, 5_000, how, seed).turns, 0);
    expect(turns('by looks')).toBeGreaterThan(0.8 * Math.max(...fixed.map(turns)));
  });

  it('is not left again and again', () => {
    for (const seed of seeds) {
      const { lanes } = work(machine, halfMinuteMs, 'by looks', seed);
      const changes = lanes.filter((count, index) => index > 0 && count !== lanes[index - 1]);
      expect(changes.length, lanes.join(' ')).toBeLessThanOrEqual(4);
    }
  });
});

describe('the number of lanes', () => {
  const nothing = { disk: 0, client: 0 };

  it('is two where nothing waits, and as many as there may be where all do', () => {
    expect(lanesFor(usualLanes, nothing, 0)).toBe(usualLanes);
    expect(lanesFor(mostLanes, nothing, 0)).toBe(usualLanes);
    expect(lanesFor(usualLanes, { disk: 1, client: 0 }, 1)).toBe(mostLanes);
    expect(lanesFor(usualLanes, { disk: 1, client: 0 }, 1, 5)).toBe(5);
  });

  it('does not grow where chunks wait for a process that computes', () => {
    expect(lanesFor(usualLanes, { disk: 0, client: 0.9 }, 0.95)).toBe(usualLanes);
    expect(lanesFor(usualLanes, { disk: 0, client: 0.9 }, 0.05)).toBeGreaterThan(5);
  });

  it('does not follow a single look', () => {
    const watch = new LaneWatch();
    const once = watch.add({ chunks: 1, onDisk: 1, onClient: 0 }, 0);
    expect(lanesFor(usualLanes, once, 0)).toBeLessThan(mostLanes);
    let waits = once;
    for (let n = 1; n < 20; n += 1) waits = watch.add({ chunks: 2, onDisk: 0, onClient: 0 }, n * lookEveryMs);
    expect(lanesFor(usualLanes, waits, 0)).toBe(usualLanes);
  });

  it('goes back when what made many pay has passed, and grows again when it returns', () => {
    const watch = new LaneWatch();
    let lanes = usualLanes;
    let now = 0;
    const live = (share: number, forMs: number): number => {
      for (const end = now + forMs; now < end; now += lookEveryMs) {
        const look = { chunks: lanes, onDisk: Math.round(lanes * share), onClient: 0 };
        lanes = lanesFor(lanes, watch.add(look, now), 0);
      }
      return lanes;
    };
    expect(live(0.9, 3_000)).toBe(mostLanes);
    expect(live(0, 15_000)).toBe(usualLanes);
    expect(live(0.9, 15_000)).toBe(mostLanes);
  });

  it('never leaves its bounds, whatever is seen', () => {
    const random = chance(7);
    const watch = new LaneWatch();
    let lanes = usualLanes;
    for (let n = 0; n < 5_000; n += 1) {
      const chunks = Math.floor(random() * 20);
      const onDisk = Math.floor(random() * (chunks + 1));
      const onClient = Math.floor(random() * (chunks - onDisk + 1));
      lanes = lanesFor(lanes, watch.add({ chunks, onDisk, onClient }, n * random() * 500), random(), 5);
      expect(lanes).toBeGreaterThanOrEqual(usualLanes);
      expect(lanes).toBeLessThanOrEqual(5);
    }
  });
});
