import type * as Pg from 'pg';
import { pg } from './pg.ts';

/** A column as the server describes it. */
export interface Field {
  readonly name: string;
  /** Oid of the table of which it is a column as it is, and the column's number; 0: it is an expression. */
  readonly tableID: number;
  readonly columnID: number;
  readonly dataTypeID: number;
  /** Bytes, -1: of varying length. */
  readonly dataTypeSize: number;
}

/** Takes from each row, before it is made an object, what is the product's own. */
export interface RowTaker {
  /** Called with the columns, before the rows; says how many of them, from the first on, are the author's. */
  columns(fields: readonly Field[]): number;
  /** Called with the text of all columns of a row, as it came. */
  row(texts: readonly (string | null)[]): void;
}

type Handlers = {
  handleRowDescription(message: { fields: Field[] }): void;
  handleDataRow(message: { fields: (string | null)[] }): void;
};

/** pg's own query, with these two of its methods; its types do not tell of them. */
const Query = pg.Query as unknown as new (config: object) => Handlers;

/**
 * A query whose rows lose columns on their way: what is taken off an object that is there already costs more, and
 * so does a value of which no object is ever made.
 */
class RowQuery extends Query {
  readonly #taker: RowTaker;
  #visible = 0;

  constructor(config: object, taker: RowTaker) {
    super(config);
    this.#taker = taker;
  }

  override handleRowDescription(message: { fields: Field[] }): void {
    this.#visible = this.#taker.columns(message.fields);
    super.handleRowDescription({ ...message, fields: message.fields.slice(0, this.#visible) });
  }

  override handleDataRow(message: { fields: (string | null)[] }): void {
    this.#taker.row(message.fields);
    message.fields.length = this.#visible;
    super.handleDataRow(message);
  }
}

/** Runs one statement through the extended protocol; `taker` gets the columns of its rows that are not the author's. */
export async function queryRows(
  client: Pg.Client,
  { text, values }: { readonly text: string; readonly values: readonly unknown[] },
  taker: RowTaker,
): Promise<unknown> {
  return await new Promise((resolve, reject) => {
    const callback = (error: Error | null, result: unknown): void =>
      error === null ? resolve(result) : reject(error);
    const config = { text, values: [...values], queryMode: 'extended', callback };
    client.query(new RowQuery(config, taker) as unknown as Pg.Submittable);
  });
}
