/** What a connection is for, as the server shows it to everybody. */
export interface ConnectionUse {
  /** The migration that it works on; undefined: none in particular. */
  readonly migration?: string;
  /** The number of the lane, or what else it does. */
  readonly lane: string;
}

// The server cuts what is longer.
const mostBytes = 63;
const mostOwn = 16;
const leastName = 6;

/** How every name begins, after one that the user has set. */
export const productName = 'umzug-cluster';

/**
 * `umzug-cluster NAME host:pid lane`, in at most 63 bytes of ASCII, as Postgres takes it. A name that the user has set
 * stays in front of it: `billing: umzug-cluster …`. Where there is no room for all, NAME loses its timestamp first and
 * then its end, and is left out before the host loses its beginning: names of pods differ at their end.
 */
export function applicationName(
  { migration = '', lane }: ConnectionUse,
  { host, pid }: { readonly host: string; readonly pid: number },
  own = '',
): string {
  const first =
    own === '' || own === productName ? productName : `${endCut(plain(own), mostOwn)}: ${productName}`;
  const last = `:${pid} ${lane}`;
  const place = startCut(plain(host), mostBytes - first.length - 1 - last.length) + last;
  const room = mostBytes - first.length - place.length - 2;
  const name = plain(migration);
  const short = name.length <= room ? name : name.replace(/^\d[\d.T_:-]*[._-]/, '');
  const shown = short.length <= room || room >= leastName ? endCut(short, room) : '';
  return [first, shown, place].filter((part) => part !== '').join(' ');
}

const plain = (text: string): string => text.replaceAll(/[^!-~]/g, '?');
const endCut = (text: string, most: number): string =>
  text.length <= most ? text : `${text.slice(0, most - 2)}..`;
const startCut = (text: string, most: number): string =>
  text.length <= most ? text : `..${text.slice(text.length - most + 2)}`;

/** Whether a connection of this name works on this migration in this role; one whose name is not shown does on none. */
export function isUsedFor(shown: string, { migration = '', lane }: ConnectionUse): boolean {
  const [, name = '', role] = /umzug-cluster (\S+) \S+:\d+ (\S+)$/.exec(shown) ?? [];
  return role === lane && name !== '' && plain(migration).includes(name.replace(/\.\.$/, ''));
}
