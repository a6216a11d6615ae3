import { expect, it } from 'vitest';
import { inOrder } from '../../src/postgres/transaction.ts';

it('tells of the statement that failed first, whose rejection settles last', async () => {
  const cause = new Error('deadlock detected');
  const throughFunctions = async (): Promise<never> => await Promise.reject(cause);
  const consequence = Promise.reject(new Error('current transaction is aborted'));
  await expect(inOrder([Promise.resolve(1), throughFunctions(), consequence])).rejects.toBe(cause);
});

it('gives the answers in their order', async () => {
  await expect(inOrder([Promise.resolve(1), Promise.resolve('b')])).resolves.toEqual([1, 'b']);
});
