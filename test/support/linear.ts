// Equal where the time is linear, a hundred times as long where it is quadratic.
const most = 20;

/**
 * Whether `read` takes time in proportion to its text: as much processor time for a long one as for a hundred of a
 * hundredth of its length.
 */
export function isLinear(part: string, read: (text: string) => unknown): boolean {
  const text = (length: number): string => part.repeat(Math.ceil(length / part.length));
  const [short, long] = [text(1_000), text(100_000)];
  const ofShort = processorMs(() => {
    for (let times = 0; times < 100; times += 1) read(short);
  });
  return processorMs(() => read(long)) < most * Math.max(ofShort, 5);
}

function processorMs(work: () => unknown): number {
  const before = process.cpuUsage();
  work();
  return process.cpuUsage(before).user / 1_000;
}
