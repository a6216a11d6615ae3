/** The part of Babel's nodes that is looked at here. */
interface Field {
  readonly node: {
    readonly static?: boolean;
    readonly computed?: boolean;
    readonly key: { readonly type: string };
    readonly value?: object | null;
    readonly decorators?: readonly { readonly expression: object }[] | null;
  };
  readonly scope: { generateUidIdentifier(name: string): object };
  replaceWithMultiple(nodes: readonly object[]): void;
}

interface Program {
  traverse(visitor: { readonly ClassProperty: (field: Field) => void }): void;
}

interface Babel {
  readonly types: {
    arrayExpression(elements: readonly object[]): object;
    classPrivateProperty(key: object, value: object): object;
    cloneNode(node: object): object;
    memberExpression(of: object, key: object, computed: boolean): object;
    privateName(id: object): object;
    staticBlock(body: readonly object[]): object;
    stringLiteral(text: string): object;
    thisExpression(): object;
  };
  readonly template: Record<'statement' | 'expression', (code: string) => (parts: object) => object>;
}

/**
 * A plugin for the translator: a decorated field (`@Column() id!: number`, `@Column declare name: string`) becomes
 * calls of its decorators on the prototype, and an assignment where it has a value, as tsc makes them of it. The
 * translator's own way refuses `!` and `declare`, and throws where the class is used; and a field that is defined
 * would hide the accessor that an ORM has put on the class.
 */
export function decoratedFields({ types, template }: Babel): object {
  const decorate = template.statement(
    `((target, key, decorators) => {
       let own;
       for (const decorate of decorators.reverse()) {
         const made = decorate(target, key, own);
         if (made && made !== target) own = made;
       }
       if (own) Object.defineProperty(target, key, own);
     })(%%target%%, %%key%%, %%decorators%%);`,
  );
  const assign = template.expression('void (%%target%% = %%value%%)');
  const prototype = template.expression('this.prototype');
  const ClassProperty = (field: Field): void => {
    const { key, computed = false, value, decorators, static: isStatic = false } = field.node;
    if (decorators == null || decorators.length === 0) return;
    const isName = !computed && 'name' in key;
    const calls = decorate({
      target: isStatic ? types.thisExpression() : prototype({}),
      key: isName ? types.stringLiteral(String(key.name)) : types.cloneNode(key),
      decorators: types.arrayExpression(decorators.map(({ expression }) => expression)),
    });
    const target = types.memberExpression(types.thisExpression(), types.cloneNode(key), !isName);
    const set = value == null ? null : assign({ target, value });
    // In a private field, an initializer runs in its turn.
    const id = types.privateName(field.scope.generateUidIdentifier('initializer'));
    field.replaceWithMultiple([
      ...(set !== null && isStatic ? [types.staticBlock([template.statement('%%set%%')({ set })])] : []),
      types.staticBlock([calls]),
      ...(set !== null && !isStatic ? [types.classPrivateProperty(id, set)] : []),
    ]);
  };
  // At the beginning: the design types are there, and no other plugin has looked at the field.
  return { visitor: { Program: (program: Program) => program.traverse({ ClassProperty }) } };
}
