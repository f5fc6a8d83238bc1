/** What is used of avsc, typed: its own declarations leave out what a subclass must write. Loaded with the first schema, by {@link loadAvsc}. */

export interface Tap {
  pos: number;
  writeBytes(bytes: Buffer): void;
  writeFixed(bytes: Buffer, size: number): void;
}

export interface Resolver {
  _read: ((tap: Tap) => unknown) | null;
}

export interface AvscType {
  readonly typeName: string;
  readonly branchName: string | undefined;
  toBuffer(value: unknown): Buffer;
  /** @throws Error when the bytes do not follow the schema. */
  fromBuffer(bytes: Buffer, resolver?: Resolver): unknown;
  /** @throws Error when the writer's values cannot be read as this. */
  createResolver(writer: AvscType): Resolver;
  _read(tap: Tap): unknown;
  _write(tap: Tap, value: unknown): void;
  _check(value: unknown): boolean;
  _update(resolver: Resolver, writer: AvscType, options: unknown): void;
}

export interface AvscRecord extends AvscType {
  readonly name: string | undefined;
  readonly fields: readonly {
    readonly name: string;
    readonly type: AvscType;
    defaultValue(): unknown;
  }[];
}

export interface AvscUnion extends AvscType {
  readonly types: readonly AvscType[];
  _getIndex(value: unknown): number | undefined;
}

export interface AvscLogical extends AvscType {
  readonly underlyingType: AvscType;
}

export interface AvscFixed extends AvscType {
  readonly name: string | undefined;
  readonly size: number;
}

export interface ForSchemaOptions {
  readonly typeHook: (schema: unknown, options: ForSchemaOptions) => AvscType | undefined;
  readonly omitRecordMethods: boolean;
}

interface LongMethods {
  fromBuffer(bytes: Uint8Array): bigint;
  toBuffer(value: bigint): Buffer;
  fromJSON(value: number | bigint): bigint;
  toJSON(value: bigint): bigint;
  isValid(value: unknown): boolean;
  compare(one: bigint, other: bigint): number;
}

type New<T> = new (schema: unknown, options: ForSchemaOptions) => T;

export interface Avsc {
  readonly Type: { forSchema(schema: unknown, options: ForSchemaOptions): AvscType };
  readonly types: {
    readonly LogicalType: New<AvscLogical>;
    readonly UnwrappedUnionType: New<AvscUnion>;
    readonly WrappedUnionType: New<AvscUnion>;
    readonly FixedType: New<AvscFixed>;
    readonly NullType: new () => AvscType;
    readonly BooleanType: new () => AvscType;
    readonly IntType: new () => AvscType;
    readonly FloatType: new () => AvscType;
    readonly DoubleType: new () => AvscType;
    readonly BytesType: new () => AvscType;
    readonly StringType: new () => AvscType;
    readonly LongType: { __with(methods: LongMethods, noUnpack: boolean): AvscType };
  };
}

export async function loadAvsc(): Promise<Avsc> {
  return (await import('avsc')).default as unknown as Avsc;
}
