/** How a piece of text looks: the numbers of its SGR escape sequence, such as 1 for bold, 36 for cyan. */
export type Style = readonly number[];

export interface Span {
  readonly text: string;
  readonly style: Style;
}

// oxlint-disable-next-line no-control-regex
const pieces = /\u001b\[(\??[\d;]*)([A-Za-z])|\n|\r|[^\u001b\n\r]+/g;

/** A terminal in memory: keeps the lines that are on it, for the escape sequences that the product writes. */
export class VirtualScreen {
  columns: number;
  rows = 24;
  readonly #resized: (() => void)[] = [];
  #lines: Span[][] = [[]];
  #row = 0;
  #style: Style = [];

  constructor(columns = 80) {
    this.columns = columns;
  }

  /** The text of every line, down to the cursor's or the last that is written. */
  get lines(): readonly string[] {
    return this.#lines.map((line) => line.map(({ text }) => text).join(''));
  }

  get spans(): readonly (readonly Span[])[] {
    return this.#lines.map((line) => [...line]);
  }

  write(text: string): void {
    for (const [piece, parameter = '', command] of text.matchAll(pieces)) {
      if (command !== undefined) this.#obey(command, parameter);
      else if (piece === '\n') this.#move(this.#row + 1);
      else if (piece === '\r') this.#lines[this.#row] = [];
      else this.#put(piece);
    }
  }

  on(_event: 'resize', listener: () => void): void {
    this.#resized.push(listener);
  }

  off(_event: 'resize', listener: () => void): void {
    this.#resized.splice(this.#resized.indexOf(listener), 1);
  }

  /** Makes it narrower or wider, as most terminals do: lines that no longer fit are wrapped. */
  resize(columns: number): void {
    this.columns = columns;
    this.#lines = this.lines.flatMap((line) =>
      line === ''
        ? [[]]
        : (line.match(new RegExp(`.{1,${columns}}`, 'g')) ?? []).map((text) => [{ text, style: [] }]),
    );
    this.#row = this.#lines.length - 1;
    for (const listener of this.#resized) listener();
  }

  #obey(command: string, parameter: string): void {
    if (command === 'A') this.#move(this.#row - (Number(parameter) || 1));
    else if (command === 'J') this.#lines.length = this.#row;
    else if (command === 'm') this.#dress(parameter.split(';').map(Number));
    // K: what is written goes over a whole line; h, l: switches that change nothing on the screen.
    this.#lines[this.#row] ??= [];
  }

  #dress(codes: Style): void {
    for (const code of codes) {
      if (code === 0) this.#style = [];
      else if (code === 22) this.#style = this.#style.filter((one) => one !== 1 && one !== 2);
      else if (code === 39) this.#style = this.#style.filter((one) => one < 30);
      else this.#style = [...this.#style, code];
    }
  }

  #move(row: number): void {
    this.#row = Math.max(0, row);
    // Whoever goes back to a line writes it anew.
    if (this.#row < this.#lines.length) this.#fresh = true;
    else this.#lines[this.#row] = [];
  }

  /** True until something is written to the line that the cursor has gone to. */
  #fresh = false;

  #put(text: string): void {
    const before = this.#fresh ? [] : (this.#lines[this.#row] ?? []);
    this.#fresh = false;
    this.#lines[this.#row] = [...before, { text, style: this.#style }];
  }
}
