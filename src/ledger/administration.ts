import { type Decision, type Verb, decide } from '../core/config/operate.ts';
import { type NumberSetting, settings } from '../core/config/settings.ts';
import { liveStates } from '../core/config/states.ts';
import { steerable } from '../core/config/steering.ts';
import { pg } from '../postgres/pg.ts';
import { gateName, releaseRanges } from './shared-sql.ts';

/** The tables that an administrator's functions and view work on, quoted and qualified. */
type Tables = Readonly<
  Record<
    | 'schema'
    | 'prefix'
    | 'migrations'
    | 'runs'
    | 'controls'
    | 'hosts'
    | 'ranges'
    | 'quarantine'
    | 'history'
    | 'status',
    string
  >
>;

const text = (value: string | null): string => (value === null ? 'null' : pg.escapeLiteral(value));
const live = liveStates.map(text).join(', ');

/**
 * What an administrator needs who has psql and nothing else: functions that say to a run what the commands say, with the
 * rights of whoever calls them, and a view of what runs. Made again as they are where they exist already.
 */
export function administration(tables: Tables): string {
  return [
    control(tables),
    ...verbs.map((verb) => verbFunction(tables, verb)),
    setFunction(tables),
    statusView(tables),
  ].join('\n');
}

const verbs = ['pause', 'resume', 'cancel'] as const satisfies readonly Verb[];
const eventOf = { pause: 'paused', resume: 'resumed', cancel: 'cancelled' } as const;
const told = {
  pause: 'is paused on all hosts, until it is resumed',
  resume: 'may run again: start umzug-cluster up on a host',
  cancel: 'is cancelled on all hosts: finished work is kept',
} as const;
const saysWhat = {
  pause: 'Pauses a migration on all hosts, until resume, as umzug-cluster pause does.',
  resume: 'Lets a paused or cancelled migration run again; a host has to run it: umzug-cluster up.',
  cancel: 'Stops a migration on all hosts and keeps what is done, as umzug-cluster cancel does.',
} as const;

// Stands for the name of the migration in what `decide` says.
const anyName = '%NAME%';

/** What each verb comes to in each situation, as rows of SQL: the same as what the commands do. */
function rules(): string {
  const situations = [
    ...liveStates.flatMap((state) => {
      const down = { state, direction: 'down', up: 'reverting' as const, down: state, isExecuted: false };
      return [
        { state, direction: 'up', up: state, down: null, isExecuted: false, isPartlyBack: false },
        { ...down, isPartlyBack: false },
        { ...down, isPartlyBack: true },
      ];
    }),
    { state: 'executed', direction: null, up: null, down: null, isExecuted: true, isPartlyBack: false },
    { state: 'none', direction: null, up: null, down: null, isExecuted: false, isPartlyBack: false },
  ];
  const rows = verbs.flatMap((verb) =>
    situations.map(({ state, direction, ...situation }) => {
      const cells = cellsOf(decide(verb, { name: anyName, ...situation }));
      return `(${situation.isPartlyBack}, ${[verb, direction, state, ...cells].map(text).join(', ')})`;
    }),
  );
  return rows.join(',\n');
}

function cellsOf(decision: Decision): readonly (string | null)[] {
  if (decision.kind === 'move') return ['move', decision.to, null, null];
  if (decision.kind === 'already') return ['already', null, null, null];
  if (decision.kind === 'abandon') {
    // What is left of its run takes more than a statement to find out.
    const why = `${anyName} is being rolled back and has restored nothing yet: only the command can abandon that`;
    return ['refuse', null, why, `umzug-cluster cancel ${anyName}; or pause it`];
  }
  return ['refuse', null, decision.why, decision.hint];
}

const client = `pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object(
    'client', pg_catalog.host(pg_catalog.inet_client_addr()),
    'application', nullif(pg_catalog.current_setting('application_name'), '')))`;

/** A function of plpgsql, whose operators nobody's search path decides. */
function define({ schema, prefix }: Tables, signature: string, comment: string, body: string): string {
  const types = signature.replace(/\w+ (\w+)(?=[,)])/g, '$1').replace(/ returns .*/, '');
  return `create or replace function ${schema}.${prefix}${signature} language plpgsql volatile security invoker
set search_path = '' as $umzug_cluster$
${body}
$umzug_cluster$;
comment on function ${schema}.${prefix}${types} is ${text(comment)};`;
}

/** Finds the run that a word is meant for and locks it, as the commands do: a chunk that is past its last check first ends. */
const lockRun = ({ schema, runs }: Tables): string => `
  select r.id, r.direction, r.state, r.file_sha256 into run from ${runs} as r
  where r.name = migration and r.state in (${live}) order by r.direction = 'down' desc limit 1;
  if found then
    perform pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended(${text(gateName(schema, ''))} || run.id, 0));
    select r.id, r.direction, r.state, r.file_sha256 into run from ${runs} as r
    where r.name = migration and r.state in (${live}) order by r.direction = 'down' desc limit 1 for update;
  end if;`;

function control(tables: Tables): string {
  const { prefix, migrations, runs, ranges, history } = tables;
  return define(
    tables,
    'control(verb text, migration text) returns text',
    'What pause, resume and cancel do; call these.',
    `declare
  run record;
  rule record;
begin${lockRun(tables)}
  select * into rule from (values
${rules()}
  ) as t (is_partly_back, verb, direction, state, kind, target, why, hint)
  where t.is_partly_back = (run.direction is not distinct from 'down'
      and exists (select from ${ranges} as p where p.run_id = run.id and p.chunks > 0))
    and t.verb = ${prefix}control.verb and t.direction is not distinct from run.direction and t.state = coalesce(run.state,
    case when exists (select from ${migrations} as m where m.name = migration) then 'executed' else 'none' end);
  if rule.kind = 'refuse' then
    raise exception using errcode = 'object_not_in_prerequisite_state',
      message = pg_catalog.replace(rule.why, '${anyName}', migration),
      hint = pg_catalog.replace(rule.hint, '${anyName}', migration);
  end if;
  if rule.kind = 'already' then
    return migration || ' is ' || rule.state || ' already';
  end if;
  if rule.target = 'running' then
    ${releaseRanges(ranges, 'run.id')};
  end if;
  update ${runs} as r
  set state = rule.target, epoch = r.epoch + 1 + pg_catalog.floor(pg_catalog.random() * 4294967294)::bigint,
      error = case rule.target when 'cancelled' then r.error end, finished_at = null
  where r.id = run.id;
  insert into ${history} (event, migration, run_id, direction, file_sha256, detail)
  values (case verb ${verbs.map((verb) => `when '${verb}' then '${eventOf[verb]}'`).join(' ')} end,
          migration, run.id, run.direction, run.file_sha256, ${client});
  return migration || ' ' || case verb ${verbs.map((verb) => `when '${verb}' then ${text(told[verb])}`).join(' ')} end;
end`,
  );
}

function verbFunction(tables: Tables, verb: (typeof verbs)[number]): string {
  const body = `begin\n  return ${tables.schema}.${tables.prefix}control('${verb}', migration);\nend`;
  return define(tables, `${verb}(migration text) returns text`, saysWhat[verb], body);
}

function setFunction(tables: Tables): string {
  const { controls, history } = tables;
  const steered = steerable.flatMap((name) =>
    settings.filter((one): one is NumberSetting => one.name === name),
  );
  const bounds = steered.map(
    ({ name, min, max, canBeOff }) => `('${name}', ${min}::numeric, ${max}::numeric, ${canBeOff})`,
  );
  const known = steerable.join(', ');
  return define(
    tables,
    'set(migration text, setting text, value text) returns text',
    `Changes a setting of a migration that has started, on all hosts, as umzug-cluster set does: ${known}. "default": as each host has configured it; "off": no fixed chunkSize, no pace, no limit.`,
    `declare
  run record;
  bound record;
  wanted jsonb;
begin
  select r.id, r.direction, r.file_sha256 into run from ${tables.runs} as r
  where r.name = migration and r.state in (${live}) order by r.direction = 'down' desc limit 1;
  if not found then
    raise exception using errcode = 'object_not_in_prerequisite_state',
      message = migration || ' has no run whose settings could be changed', hint = ${text(`see ${tables.status}`)};
  end if;
  select * into bound from (values ${bounds.join(', ')}) as t (name, least, most, may_be_off) where t.name = setting;
  if not found then
    raise exception using errcode = 'invalid_parameter_value',
      message = 'unknown setting "' || setting || '"', hint = ${text(`one of ${known}`)};
  end if;
  if value = 'off' and bound.may_be_off then
    wanted := 'null';
  elsif value <> 'default' then
    if value !~ '^[0-9]{1,15}$' or value::numeric not between bound.least and bound.most then
      raise exception using errcode = 'invalid_parameter_value',
        message = pg_catalog.format('%s must be a whole number from %s to %s: got "%s"', setting, bound.least, bound.most, value),
        hint = 'or "default"' || case when bound.may_be_off then ', or "off"' else '' end;
    end if;
    wanted := pg_catalog.to_jsonb(value::bigint);
  end if;
  update ${controls} as c
  set overrides = case when wanted is null then c.overrides - setting
                       else c.overrides || pg_catalog.jsonb_build_object(setting, wanted) end,
      free_at = '-infinity'
  where c.run_id = run.id;
  insert into ${history} (event, migration, run_id, direction, file_sha256, detail)
  values ('changed', migration, run.id, run.direction, run.file_sha256, ${client} || pg_catalog.jsonb_build_object(
    'settings', pg_catalog.jsonb_build_object(setting, coalesce(wanted, '"default"'))));
  return migration || ': ' || setting || ' ' || value || ', on all hosts, starting with the next chunk';
end`,
  );
}

/** Name, SQL and comment of each column of the view. */
const columns: readonly (readonly [name: string, sql: string, comment: string])[] = [
  ['migration', 'known.name', 'Its name: the file without extension'],
  ['kind', `coalesce(m.kind, 'data')`, 'data, or schema'],
  [
    'state',
    `case when up.state not in (${live}) or up.state is null then 'executed'
          when up.state <> 'running' or seen.hosts > 0 or done.touched_at > clock_timestamp() - interval '5 seconds' then up.state
          else 'interrupted' end`,
    'running; interrupted: nobody works on it; paused, failed, cancelled, reverting, executed. What has not started is not here',
  ],
  ['direction', 'shown.direction', 'up, or down while it is being rolled back'],
  ['rows_done', 'coalesce(done.rows, 0)', 'Rows that its chunks have committed'],
  ['rows_quarantined', 'coalesce(bad.rows, 0)', 'Rows that are quarantined, because they failed'],
  [
    'table_rows_left',
    'coalesce(done.remaining, 0)',
    'About so many rows of the table have still to be looked at',
  ],
  ['chunks', 'coalesce(done.chunks, 0)', 'Transactions in which they were committed'],
  ['rows_per_second', 'seen.rows_per_second', 'At this moment, over all hosts; null: nobody works'],
  ['eta', `seen.eta_seconds * interval '1 second'`, 'About so long until it is done'],
  ['hosts', 'coalesce(seen.hosts, 0)', 'Commands that work on it'],
  ['workers', 'coalesce(seen.workers, 0)', 'Their processes'],
  ['waiting', 'seen.waiting', 'What it waits for'],
  ['throttled', 'seen.throttled', 'What holds new chunks back'],
  ['settings', `coalesce(c.overrides, '{}')`, 'What set has changed, on all hosts'],
  ['error', 'coalesce(shown.error, done.last_error)', 'Why it failed, or what its latest failed try said'],
  ['started_at', 'shown.started_at', 'When its latest run started'],
  ['finished_at', 'shown.finished_at', 'When that run ended'],
  ['executed_at', 'm.executed_at', 'Since when it counts as executed'],
  ['run_id', 'shown.id', 'Of its latest run, in the tables of the ledger'],
];

function statusView({ status, migrations, runs, controls, hosts, ranges, quarantine }: Tables): string {
  return `create or replace view ${status} as
select ${columns.map(([name, sql]) => `${sql} as ${name}`).join(',\n       ')}
from (select name from ${migrations} union select name from ${runs} where state in (${live})) as known
left join ${migrations} as m on m.name = known.name
left join lateral (
  select * from ${runs} as r where r.name = known.name and r.direction = 'up' order by r.state = 'reverted', r.id desc limit 1
) as up on true
left join ${runs} as down on down.name = known.name and down.direction = 'down' and down.state in (${live})
left join ${runs} as shown on shown.id = coalesce(down.id, up.id)
left join ${controls} as c on c.run_id = shown.id
left join lateral (
  select sum(p.rows)::bigint as rows, sum(p.chunks)::bigint as chunks, max(p.touched_at) as touched_at,
         sum(p.estimated) filter (where p.state = 'open')::bigint as remaining,
         (array_agg(p.last_error order by p.touched_at desc) filter (where p.last_error is not null))[1] as last_error
  from ${ranges} as p where p.run_id = shown.id
) as done on true
left join lateral (select count(*) as rows from ${quarantine} as q where q.run_id = shown.id) as bad on true
left join lateral (
  select count(*) as hosts, sum(h.workers) as workers, max(h.rows_per_second) as rows_per_second,
         min(h.eta_seconds) as eta_seconds, min(h.waiting) as waiting, min(h.throttled) as throttled
  from ${hosts} as h
  where h.run_id = shown.id and h.seen_at between clock_timestamp() - interval '5 seconds' and clock_timestamp()
) as seen on true;
comment on view ${status} is 'What has run and what runs, for people: one row for each migration. Reading it takes no lock that anybody waits for.';
${columns.map(([name, , comment]) => `comment on column ${status}.${name} is ${text(comment)};`).join('\n')}`;
}
