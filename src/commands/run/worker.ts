import { workerFlags } from '../../core/config/flags.ts';
import { type Command, argFlag, textOf, valueFlag } from '../frame/command.ts';

/** `worker`: a host that joins what others run, and waits for more. */
export const worker: Command = {
  command: 'worker',
  describe: 'join every run that another host has started, and wait for more, until it is stopped',
  options: {
    ...Object.fromEntries(workerFlags.map(({ name, describe }) => [name, valueFlag(describe)])),
    ...argFlag,
  },
  insteadOf: () => 'umzug-cluster worker',
  examples: [
    ['worker', 'one more host for every run of umzug-cluster up; Ctrl-C drains it'],
    ['worker --listen 0.0.0.0:8080', 'in a pod: /healthz, /readyz and /metrics can be reached from outside'],
  ],
  run: async (flags, io) => {
    const { flagsOfVariables } = await import('../../config/variables.ts');
    const { withContext } = await import('../frame/context.ts');
    const { withStopping } = await import('./stopping.ts');
    const { runWorker } = await import('./run-worker.ts');
    const listen = textOf(flags, 'listen') ?? textOf(flagsOfVariables(io.env, workerFlags).flags, 'listen');
    await withStopping((stopping) =>
      withContext(flags, io, (context) => runWorker(listen ?? null, context, stopping, io)),
    );
  },
};
