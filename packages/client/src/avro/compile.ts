/**
 * A schema as avsc's type, with what avsc would do differently: longs are exact, bytes may be any Uint8Array, logical types are those of
 * logical-forms.ts, and a union is unwrapped wherever its branches differ as JavaScript values.
 */
import type {
  Avsc,
  AvscFixed,
  AvscLogical,
  AvscRecord,
  AvscType,
  AvscUnion,
  ForSchemaOptions,
  Resolver,
  Tap,
} from './avsc-module.ts';
import { isLong, readLong, writeLong } from './exact-long.ts';
import { type LogicalForm, logicalForm, type Raw } from './logical-forms.ts';
import { type Node, type PrimitiveName, type Shape, shapeOfNode, shapeOfValue } from './nodes.ts';

export interface Compiled {
  readonly type: AvscType;
  readonly node: Node;
}

type Schema = { readonly type?: unknown; readonly logicalType?: unknown };

/** @param schema parsed JSON; whole numbers too large for a number may be bigints. @throws Error of avsc's saying what is wrong with the schema. */
export function compile(avsc: Avsc, schema: unknown): Compiled {
  const types = new Types(avsc);
  const type = avsc.Type.forSchema(schema, { typeHook: types.hook, omitRecordMethods: true });
  return { type, node: types.nodeOf(type) };
}

class Types {
  readonly #avsc: Avsc;
  readonly #primitives: ReadonlyMap<string, AvscType>;
  /** Of the logical types. */
  readonly #forms = new Map<AvscType, LogicalForm>();
  readonly #nodes = new Map<AvscType, Node>();
  /** Annotated schemas whose underlying type is being made. */
  readonly #underlying = new Set<unknown>();

  constructor(avsc: Avsc) {
    this.#avsc = avsc;
    this.#primitives = primitives(avsc);
  }

  readonly hook = (schema: unknown, options: ForSchemaOptions): AvscType | undefined => {
    if (typeof schema === 'string') return this.#primitives.get(schema);
    if (Array.isArray(schema)) return this.#union(schema, options);
    if (typeof schema !== 'object' || schema === null) return undefined;
    const { type } = schema as Schema;
    if (typeof type === 'object' && type !== null) return this.#avsc.Type.forSchema(type, options);
    const form = this.#underlying.has(schema) ? undefined : logicalForm(schema);
    if (form !== undefined) return this.#logical(schema, options, form);
    if (type === 'fixed') return fixedType(this.#avsc, schema, options);
    return typeof type === 'string' ? this.#primitives.get(type) : undefined;
  };

  #union(schemas: readonly unknown[], options: ForSchemaOptions): AvscType {
    const branches = schemas.map((schema) => this.#avsc.Type.forSchema(schema, options));
    const shapes = branches.map((branch) => this.#shapeOf(branch));
    if (new Set(shapes).size < shapes.length) return new this.#avsc.types.WrappedUnionType(branches, options);
    return unwrappedUnion(this.#avsc, branches, shapes, options);
  }

  #logical(schema: object, options: ForSchemaOptions, form: LogicalForm): AvscType {
    this.#underlying.add(schema);
    try {
      const type = logicalType(this.#avsc, schema, options, form, (other) => this.#forms.get(other));
      this.#forms.set(type, form);
      return type;
    } finally {
      this.#underlying.delete(schema);
    }
  }

  /** Without walking into it: it may not be whole yet. */
  #shapeOf(type: AvscType): Shape | undefined {
    const logical = this.#forms.get(type);
    if (logical !== undefined) return logical.key === 'duration' ? 'object' : 'text';
    switch (type.typeName) {
      case 'record':
      case 'error':
      case 'map':
        return 'object';
      case 'array':
        return 'array';
      case 'enum':
        return 'text';
      case 'fixed':
        return 'bytes';
      case 'union:wrapped':
      case 'union:unwrapped':
        throw new Error('a union may not hold another union directly');
      default:
        return shapeOfNode({ kind: primitiveName(type) });
    }
  }

  nodeOf(type: AvscType): Node {
    const known = this.#nodes.get(type);
    if (known !== undefined) return known;
    const logical = this.#forms.get(type);
    if (logical === undefined) return this.#plainNode(type);
    const node = { ...this.#plainNode((type as AvscLogical).underlyingType), logical } as Node;
    this.#nodes.set(type, node);
    return node;
  }

  #plainNode(type: AvscType): Node {
    switch (type.typeName) {
      case 'record':
      case 'error':
        return this.#recordNode(type as AvscRecord);
      case 'array':
        return { kind: 'array', items: this.nodeOf((type as AvscType & { itemsType: AvscType }).itemsType) };
      case 'map':
        return { kind: 'map', values: this.nodeOf((type as AvscType & { valuesType: AvscType }).valuesType) };
      case 'enum': {
        const { name, symbols } = type as AvscType & { name?: string; symbols: readonly string[] };
        return { kind: 'enum', name: name ?? 'an enum', symbols };
      }
      case 'fixed': {
        const { name, size } = type as AvscFixed;
        return { kind: 'fixed', name: name ?? 'a fixed', size };
      }
      case 'union:wrapped':
      case 'union:unwrapped':
        return {
          kind: 'union',
          wrapped: type.typeName === 'union:wrapped',
          branches: (type as AvscUnion).types.map((branch) => ({
            name: branch.branchName ?? branch.typeName,
            node: this.nodeOf(branch),
          })),
        };
      default:
        return { kind: primitiveName(type) };
    }
  }

  /** Known before its fields are: it may hold itself. */
  #recordNode(type: AvscRecord): Node {
    const fields: { name: string; node: Node; optional: boolean }[] = [];
    const byName = new Map<string, (typeof fields)[number]>();
    const node: Node = { kind: 'record', name: type.name ?? 'a record', fields, byName };
    this.#nodes.set(type, node);
    for (const { name, type: fieldType, ...field } of type.fields.map((each) => ({
      name: each.name,
      type: each.type,
      optional: each.defaultValue() !== undefined,
    }))) {
      if (name === '__proto__') throw new Error('a field may not be called __proto__');
      const made = { name, node: this.nodeOf(fieldType), optional: field.optional };
      fields.push(made);
      byName.set(name, made);
    }
    return node;
  }
}

function primitiveName(type: AvscType): PrimitiveName {
  return (type.typeName === 'abstract:long' ? 'long' : type.typeName) as PrimitiveName;
}

const bufferOf = (value: Uint8Array): Buffer =>
  Buffer.isBuffer(value) ? value : Buffer.from(value.buffer, value.byteOffset, value.length);

function primitives({ types }: Avsc): ReadonlyMap<string, AvscType> {
  const long = types.LongType.__with(
    {
      fromBuffer: readLong,
      toBuffer: writeLong,
      fromJSON: (value) => {
        const exact = BigInt(value);
        if (!isLong(exact)) throw new Error(`${value} takes more than 64 bits`);
        return exact;
      },
      toJSON: (value) => value,
      isValid: isLong,
      compare: (one, other) => (one < other ? -1 : one > other ? 1 : 0),
    },
    true,
  );
  // avsc does not know that its numbers can be read from a long that is not its own.
  const promote = (resolver: Resolver, writer: AvscType): boolean => {
    if (writer !== long && writer.typeName !== 'abstract:long') return false;
    resolver._read = (tap) => Number(writer._read(tap));
    return true;
  };
  class Float extends types.FloatType {
    override _update(resolver: Resolver, writer: AvscType, options: unknown): void {
      if (!promote(resolver, writer)) super._update(resolver, writer, options);
    }
  }
  class Double extends types.DoubleType {
    override _update(resolver: Resolver, writer: AvscType, options: unknown): void {
      if (!promote(resolver, writer)) super._update(resolver, writer, options);
    }
  }
  class Bytes extends types.BytesType {
    override _check(value: unknown): boolean {
      return value instanceof Uint8Array;
    }
    override _write(tap: Tap, value: unknown): void {
      tap.writeBytes(bufferOf(value as Uint8Array));
    }
  }
  return new Map<string, AvscType>([
    ['null', new types.NullType()],
    ['boolean', new types.BooleanType()],
    ['int', new types.IntType()],
    ['long', long],
    ['float', new Float()],
    ['double', new Double()],
    ['bytes', new Bytes()],
    ['string', new types.StringType()],
  ]);
}

function fixedType({ types }: Avsc, schema: object, options: ForSchemaOptions): AvscType {
  class Fixed extends types.FixedType {
    override _check(value: unknown): boolean {
      return value instanceof Uint8Array && value.length === this.size;
    }
    override _write(tap: Tap, value: unknown): void {
      tap.writeFixed(bufferOf(value as Uint8Array), this.size);
    }
  }
  return new Fixed(schema, options);
}

function unwrappedUnion(
  { types }: Avsc,
  branches: readonly AvscType[],
  shapes: readonly (Shape | undefined)[],
  options: ForSchemaOptions,
): AvscType {
  const indexes = new Map(shapes.map((shape, index) => [shape, index]));
  class Union extends types.UnwrappedUnionType {
    override _getIndex(value: unknown): number | undefined {
      return indexes.get(shapeOfValue(value));
    }
  }
  return new Union(branches, options);
}

function logicalType(
  { types }: Avsc,
  schema: object,
  options: ForSchemaOptions,
  form: LogicalForm,
  formOf: (type: AvscType) => LogicalForm | undefined,
): AvscType {
  class Logical extends types.LogicalType {
    _fromValue(raw: Raw): unknown {
      return form.fromRaw(raw);
    }
    _toValue(value: unknown): Raw {
      const raw = form.toRaw(value);
      return raw instanceof Uint8Array ? bufferOf(raw) : raw;
    }
    /** @returns how a value that `writer` has read becomes one of this type; undefined: it cannot. */
    _resolve(writer: AvscType): ((value: unknown) => unknown) | undefined {
      const other = formOf(writer) ?? (writer as { readonly form?: LogicalForm }).form;
      if (other !== undefined) {
        if (other.key === form.key) return (value) => value;
        return other.family === form.family ? (value) => form.fromRaw(form.toRaw(value)) : undefined;
      }
      const mine = primitiveName(this.underlyingType);
      const written = primitiveName(writer);
      if (mine === 'long' && written === 'int') return (value) => form.fromRaw(BigInt(value as number));
      if (mine !== written || (mine as string) === 'fixed') return undefined;
      return (value) => form.fromRaw(value as Raw);
    }
    get form(): LogicalForm {
      return form;
    }
  }
  return new Logical(schema, options);
}
